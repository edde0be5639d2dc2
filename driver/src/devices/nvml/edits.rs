//! What a container with a GPU gets.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    NvmlOptions, Roots,
    inventory::{Card, Partition},
};
use crate::{
    cdi::{ContainerEdits, DeviceNode, Mount},
    kubelet::Failure,
};

/// Where images that are made for CUDA look for libraries of the driver.
const LIBRARIES: &str = "/usr/local/nvidia";

/// What `NVIDIA_VISIBLE_DEVICES` is set to, the variable that tells NVIDIA's container runtime what to do. Images that
/// are made for CUDA set it to `all`, which would give a container every GPU of the node where that runtime is the
/// default one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VisibleDevices {
    /// That runtime, if it is there, does nothing.
    #[default]
    Void,
    /// That runtime brings libraries and tools of the driver, and no GPU.
    None,
}

/// The edits for a card, or for a MIG device of it. Without a call of the library.
pub(super) fn edits(
    options: &NvmlOptions,
    card: &Card,
    partition: Option<&Partition>,
) -> Result<ContainerEdits, Failure> {
    let missing = |what: String| Failure::Transient(format!("GPU `{}`: {what}", card.address));
    let minor = card.minor.ok_or_else(|| missing("the library does not tell its device node".to_owned()))?;
    let mut names = vec![format!("nvidia{minor}"), "nvidiactl".to_owned(), "nvidia-uvm".to_owned()];
    if let Some(partition) = partition {
        let numbers = capabilities(&options.roots, minor, partition).map_err(missing)?;
        names.extend(numbers.map(|number| format!("nvidia-caps/nvidia-cap{number}")));
    }
    for name in &names {
        let path = options.roots.dev.join(name);
        if !path.exists() {
            let hint = if name == "nvidia-uvm" { "; is the module nvidia-uvm loaded?" } else { "" };
            return Err(missing(format!("device node `/dev/{name}` does not exist{hint}")));
        }
    }
    // Only profilers and debuggers need it.
    let tools = "nvidia-uvm-tools";
    names.extend(options.roots.dev.join(tools).exists().then(|| tools.to_owned()));
    let visible = match options.visible_devices {
        VisibleDevices::Void => "void",
        VisibleDevices::None => "none",
    };
    Ok(ContainerEdits {
        env: vec![format!("NVIDIA_VISIBLE_DEVICES={visible}")],
        device_nodes: names
            .into_iter()
            .map(|name| DeviceNode { path: format!("/dev/{name}"), ..DeviceNode::default() })
            .collect(),
        mounts: options.libraries.iter().map(|folder| libraries(folder)).collect(),
        ..ContainerEdits::default()
    })
}

fn libraries(folder: &Path) -> Mount {
    Mount {
        host_path: folder.display().to_string(),
        container_path: LIBRARIES.to_owned(),
        options: ["ro", "nosuid", "nodev", "rbind"].map(str::to_owned).to_vec(),
        kind: None,
    }
}

/// Numbers of the device nodes that let a process use the GPU instance and the compute instance of a MIG device.
fn capabilities(roots: &Roots, minor: u32, partition: &Partition) -> Result<[u32; 2], String> {
    let (gpu_instance, compute_instance) = partition.instance;
    let folder = roots.proc.join(format!("driver/nvidia/capabilities/gpu{minor}/mig/gi{gpu_instance}"));
    let number = |path: PathBuf| {
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        let field = text.lines().find_map(|line| line.strip_prefix("DeviceFileMinor:"));
        field
            .and_then(|number| number.trim().parse().ok())
            .ok_or_else(|| format!("`{}` has no number in a line `DeviceFileMinor`", path.display()))
    };
    let of_compute = folder.join(format!("ci{compute_instance}/access"));
    Ok([number(folder.join("access"))?, number(of_compute)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn card() -> (Card, Partition) {
        let card = Card { address: "0000:65:00.0".to_owned(), minor: Some(3), ..Card::default() };
        (card, Partition { instance: (2, 1), ..Partition::default() })
    }

    fn options(folder: &Path) -> NvmlOptions {
        let roots = Roots { sys: folder.join("sys"), proc: folder.join("proc"), dev: folder.join("dev") };
        NvmlOptions { roots, ..NvmlOptions::default() }
    }

    fn paths(edits: &ContainerEdits) -> Vec<&str> {
        edits.device_nodes.iter().map(|node| node.path.as_str()).collect()
    }

    #[test]
    fn a_whole_card_is_its_nodes_and_nothing_of_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = options(folder.path());
        for name in ["nvidia0", "nvidia3", "nvidiactl", "nvidia-uvm"] {
            write(&options.roots.dev.join(name), "");
        }
        let (card, _) = card();
        let edits = edits(&options, &card, None).expect("edits");
        assert_eq!(paths(&edits), ["/dev/nvidia3", "/dev/nvidiactl", "/dev/nvidia-uvm"]);
        assert_eq!(edits.env, ["NVIDIA_VISIBLE_DEVICES=void"]);
        assert!(edits.mounts.is_empty());
        write(&options.roots.dev.join("nvidia-uvm-tools"), "");
        let options = NvmlOptions {
            visible_devices: VisibleDevices::None,
            libraries: Some("/opt/nvidia".into()),
            ..options
        };
        let edits = super::edits(&options, &card, None).expect("edits");
        assert_eq!(paths(&edits).last(), Some(&"/dev/nvidia-uvm-tools"));
        assert_eq!(edits.env, ["NVIDIA_VISIBLE_DEVICES=none"]);
        assert_eq!(edits.mounts[0].host_path, "/opt/nvidia");
        assert_eq!(edits.mounts[0].container_path, "/usr/local/nvidia");
    }

    #[test]
    fn a_mig_device_has_the_nodes_of_its_instances() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = options(folder.path());
        let caps = ["nvidia-caps/nvidia-cap30", "nvidia-caps/nvidia-cap31"];
        for name in ["nvidia3", "nvidiactl", "nvidia-uvm"].iter().chain(&caps) {
            write(&options.roots.dev.join(name), "");
        }
        let (card, partition) = card();
        let error = edits(&options, &card, Some(&partition)).expect_err("no numbers").to_string();
        assert!(error.contains("gpu3/mig/gi2/access"), "{error}");
        let of_card = options.roots.proc.join("driver/nvidia/capabilities/gpu3/mig/gi2");
        write(&of_card.join("access"), "DeviceFileMinor: 30\nDeviceFileMode: 292\nDeviceFileModify: 1\n");
        write(&of_card.join("ci1/access"), "DeviceFileMinor: 31\nDeviceFileMode: 292\n");
        let edits = edits(&options, &card, Some(&partition)).expect("edits");
        assert_eq!(paths(&edits)[3..], ["/dev/nvidia-caps/nvidia-cap30", "/dev/nvidia-caps/nvidia-cap31"]);
        write(&of_card.join("ci1/access"), "DeviceFileMode: 292\n");
        let error = super::edits(&options, &card, Some(&partition)).expect_err("no number").to_string();
        assert!(error.contains("DeviceFileMinor"), "{error}");
    }

    #[test]
    fn a_node_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = options(folder.path());
        for name in ["nvidia3", "nvidiactl"] {
            write(&options.roots.dev.join(name), "");
        }
        let (card, _) = card();
        let error = edits(&options, &card, None).expect_err("no node").to_string();
        assert!(error.contains("`/dev/nvidia-uvm` does not exist; is the module"), "{error}");
        let error = edits(&options, &Card { minor: None, ..card }, None).expect_err("no number").to_string();
        assert!(error.contains("GPU `0000:65:00.0`: the library does not tell"), "{error}");
    }
}
