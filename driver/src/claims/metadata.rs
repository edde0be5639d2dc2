//! Files that tell containers about their devices (KEP-5304): one for each request of a claim, mounted by the CDI
//! device of the request's first device.
//!
//! A file has the same facts in every version of the format, newest first. Readers take the first that they know.
//!
//! They are no [`super::RecoverySource`], although they name claim and devices: a request whose devices have no attributes
//! has none, so what they tell of a claim may be a part of what it holds, and the rest would be given to others.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::AllocatedDevice;
use crate::{
    cdi::Mount,
    files::{FileSystem, remove_durably, remove_temporaries, write_atomically},
    kubelet::{ClaimReference, service::is_uid},
};

/// Where containers look.
const CONTAINER_DIRECTORY: &str = "/var/run/kubernetes.io/dra-device-attributes";
const VERSIONS: [&str; 2] = ["v1beta1", "v1alpha1"];
const ENDING: &str = ".json";

/// The part of a request's name before the slash: kubelet and paths know no alternatives.
pub(super) fn base(request: &str) -> &str {
    request.split_once('/').map_or(request, |(base, _)| base)
}

/// Whether a request can be part of a path: a DNS label, as the API server has it.
pub(crate) fn is_label(request: &str) -> bool {
    let allowed = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
    !request.is_empty() && request.len() <= 63 && request.bytes().all(allowed)
}

/// Content of the metadata file of a request, with what `attributes` says of its devices; none if it says nothing.
pub(super) fn describe(
    driver: &str,
    claim: &ClaimReference,
    allocation: &[AllocatedDevice],
    request: &str,
    attributes: impl Fn(&AllocatedDevice) -> Option<Map<String, Value>>,
) -> Option<String> {
    let of_request = allocation.iter().filter(|device| base(&device.request) == request);
    let described: Vec<_> = of_request.filter_map(|device| Some((device, attributes(device)?))).collect();
    (!described.is_empty()).then(|| document(driver, claim, &described))
}

/// All devices of one request of this driver, with their attributes.
fn document(
    driver: &str,
    claim: &ClaimReference,
    devices: &[(&AllocatedDevice, Map<String, Value>)],
) -> String {
    let first = devices.first().map(|(device, _)| *device);
    let list: Vec<Value> = devices
        .iter()
        .map(|(device, attributes)| {
            let mut fields = json!({ "driver": driver, "pool": device.pool, "name": device.device });
            if !attributes.is_empty() {
                fields["attributes"] = json!(attributes);
            }
            fields
        })
        .collect();
    let mut text = String::new();
    for version in VERSIONS {
        let mut document = json!({
            "apiVersion": format!("metadata.resource.k8s.io/{version}"),
            "kind": "DeviceMetadata",
            "metadata": {
                "name": claim.name, "namespace": claim.namespace, "uid": claim.uid, "generation": 1,
            },
            "requests": [{ "name": first.map(|device| &device.request), "devices": list }],
        });
        if let Some(name) = first.and_then(|device| device.pod_claim.as_ref()) {
            document["podClaimName"] = json!(name);
        }
        text.push_str(&serde_json::to_string_pretty(&document).unwrap_or_default());
        text.push('\n');
    }
    text
}

/// The metadata files of a driver: `UID_REQUEST.json` in one directory, which is beside the records so that it outlives
/// a reboot as they do.
#[derive(Clone, Debug)]
pub(super) struct MetadataFiles {
    directory: PathBuf,
}

impl MetadataFiles {
    /// The files of the records in `records`.
    pub(super) fn beside(records: &Path) -> Self {
        Self { directory: records.join("metadata") }
    }

    fn name(uid: &str, request: &str) -> String {
        format!("{uid}_{request}{ENDING}")
    }

    /// What puts the file of a request into a container, at the place where the container looks for a claim that the pod
    /// names, or for one that was made for it.
    pub(super) fn mount(&self, driver: &str, claim: &ClaimReference, device: &AllocatedDevice) -> Mount {
        let request = base(&device.request);
        let (folder, name) = match &device.pod_claim {
            Some(name) => ("resourceclaimtemplates", name),
            None => ("resourceclaims", &claim.name),
        };
        Mount {
            host_path: self.directory.join(Self::name(&claim.uid, request)).display().to_string(),
            container_path: format!("{CONTAINER_DIRECTORY}/{folder}/{name}/{request}/{driver}-metadata.json"),
            options: vec!["ro".to_owned(), "bind".to_owned()],
            kind: None,
        }
    }

    /// Writes the files of a claim that are missing or differ.
    pub(super) fn ensure<F: FileSystem>(
        &self,
        files: &F,
        uid: &str,
        contents: &BTreeMap<String, String>,
    ) -> io::Result<()> {
        for (request, content) in contents {
            let name = Self::name(uid, request);
            if files.read(&self.directory.join(&name)).is_ok_and(|found| found == content.as_bytes()) {
                continue;
            }
            files.create_directory(&self.directory)?;
            write_atomically(files, &self.directory, &name, content.as_bytes())?;
        }
        Ok(())
    }

    /// Removes all files of a claim; no error if there is none.
    pub(super) fn remove<F: FileSystem>(&self, files: &F, uid: &str) -> io::Result<()> {
        for (owner, name) in self.owned(files)? {
            if owner == uid {
                remove_durably(files, &self.directory, &name)?;
            }
        }
        Ok(())
    }

    /// Removes the files of claims that are not `known`, and what interrupted writes left behind. Failures do no harm:
    /// no CDI file mounts them.
    pub(super) fn sweep<F: FileSystem>(&self, files: &F, known: impl Fn(&str) -> bool) {
        remove_temporaries(files, &self.directory, "");
        for (owner, name) in self.owned(files).unwrap_or_default() {
            if !known(&owner) {
                let _ = remove_durably(files, &self.directory, &name);
            }
        }
    }

    /// UID and name of every file.
    fn owned<F: FileSystem>(&self, files: &F) -> io::Result<Vec<(String, String)>> {
        let names = match files.list(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            names => names?,
        };
        let owned = |name: String| {
            let (uid, _) = name.strip_suffix(ENDING)?.split_once('_')?;
            is_uid(uid).then(|| (uid.to_owned(), name.clone()))
        };
        let mut owned: Vec<_> = names.into_iter().filter_map(owned).collect();
        owned.sort();
        Ok(owned)
    }
}
