//! The real card, where there is one: the library says the same as the vendor's tool.

#![expect(clippy::print_stderr, reason = "what was compared, or that nothing was")]

use std::process::Command;

use drayage_driver::{
    devices::{
        DeviceSource as _,
        nvml::{NvmlDevices, NvmlOptions},
    },
    publish::allocator_slices,
};
use serde_json::{Map, Value};

/// What `nvidia-smi` says of all cards: UUID, memory in MiB, PCI address.
fn told() -> Option<Vec<[String; 3]>> {
    let arguments = ["--query-gpu=uuid,memory.total,pci.bus_id", "--format=csv,noheader,nounits"];
    let output = Command::new("nvidia-smi").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    let line = |line: &str| {
        let parts: Vec<String> = line.split(',').map(|part| part.trim().to_owned()).collect();
        <[String; 3]>::try_from(parts).ok()
    };
    text.lines().map(line).collect()
}

/// A quantity of octets in MiB.
fn mebibytes(quantity: &str) -> u64 {
    let digits = quantity.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let number: u64 = digits.parse().expect("a number");
    match &quantity[digits.len()..] {
        "Ti" => number << 20,
        "Gi" => number << 10,
        "Mi" => number,
        "Ki" => number >> 10,
        _ => number >> 20,
    }
}

/// `nvidia-smi` writes the domain with eight digits, and letters large.
fn kernel_address(address: &str) -> String {
    let lower = address.to_ascii_lowercase();
    let short = lower
        .strip_prefix("0000")
        .filter(|rest| rest.split(':').next().is_some_and(|domain| domain.len() == 4));
    short.map_or(lower.clone(), str::to_owned)
}

fn text<'f>(fields: &'f Map<String, Value>, path: &str) -> Option<&'f str> {
    let (list, rest) = path.split_once(' ')?;
    let (name, kind) = rest.split_once(' ')?;
    fields.get(list)?.get(name)?.get(kind)?.as_str()
}

#[test]
fn the_real_card_has_the_uuid_memory_and_address_that_nvidia_smi_tells() {
    let Some(told) = told() else {
        eprintln!("SKIPPED: there is no nvidia-smi that answers, so NO real card was looked at");
        return;
    };
    let source = NvmlDevices::start(NvmlOptions::default(), "node-1").expect("a thread");
    let pools = source.pools().expect("pools");
    eprintln!("devices: {:#?}", pools[0].devices);
    eprintln!("health: {:#?}, notes: {:#?}", source.observe(), source.notes());
    allocator_slices("gpu.example.com", "node-1", &pools).expect("the API would take them");
    let mut compared = 0;
    for [uuid, memory, address] in told {
        let of_card = pools[0].devices.iter().map(|device| device.fields.map()).find(|fields| {
            text(fields, "attributes uuid string") == Some(&uuid)
                || text(fields, "attributes parentUUID string") == Some(&uuid)
        });
        // A card in MIG mode that is not divided has no device.
        let Some(fields) = of_card else { continue };
        let found = text(&fields, "attributes resource.kubernetes.io/pciBusID string");
        assert_eq!(found, Some(kernel_address(&address).as_str()));
        if text(&fields, "attributes type string") == Some("gpu") {
            let found = text(&fields, "capacity memory value").expect("memory");
            assert_eq!(mebibytes(found), memory.parse::<u64>().expect("a number"), "MiB");
        }
        compared += 1;
    }
    assert!(compared > 0, "no card of nvidia-smi is a device");
}
