//! The device that an expression is evaluated on.

use drayage_allocator::objects::ResourceSlice;
use drayage_cel::Device;
use drayage_cluster::Snapshot;

use crate::command::arguments::{CelDevice, Objects};
use crate::command::failure::{Complaint, Failure};
use crate::command::objects;
use crate::command::terminal::Terminal;
use crate::command::text::count;

/// Reads the slices and prepares the device.
pub(crate) fn find(typed: &CelDevice, terminal: &Terminal) -> Result<Device, Failure> {
    if typed.slice.is_empty() {
        return Err(Failure::input(
            Complaint::new("no device to evaluate on")
                .with_hint("`--slice FILE --device NAME` takes one from a ResourceSlice"),
        ));
    }
    let objects = Objects { filename: typed.slice.clone(), strict: false, allow_missing: true };
    let snapshot = objects::load(&objects, terminal)?;
    let (slice, device) = find_in(&snapshot, typed.device.as_deref())?;
    let capacity = device.capacity.iter().map(|(name, capacity)| (name.as_str(), &capacity.value));
    let shared = device.allow_multiple_allocations.unwrap_or(false);
    Ok(Device::new(&slice.driver, &device.attributes, capacity, shared))
}

/// Names shown where a device is not found.
const SHOWN_NAMES: usize = 5;

/// The device of the slices that `name` means: its name, or as much of `driver/pool/device` as tells it from
/// others. Without a name, the only device there is.
fn find_in<'a>(
    snapshot: &'a Snapshot,
    name: Option<&str>,
) -> Result<(&'a ResourceSlice, &'a drayage_allocator::objects::Device), Failure> {
    let all = || {
        let slices = snapshot.slices.iter().map(|slice| slice.spec.as_ref());
        slices.flat_map(|slice| slice.devices.iter().map(move |device| (slice, device)))
    };
    let full_name = |slice: &ResourceSlice, device: &str| format!("{}/{device}", slice.pool_id());
    let found: Vec<_> = all()
        .filter(|(slice, device)| {
            name.is_none_or(|name| {
                let full_name = full_name(slice, &device.name);
                full_name == name || full_name.strip_suffix(name).is_some_and(|before| before.ends_with('/'))
            })
        })
        .collect();
    if let [only] = found[..] {
        return Ok(only);
    }
    let listed: Vec<_> = if found.is_empty() { all().collect() } else { found.clone() };
    let mut names: Vec<String> = listed
        .iter()
        .take(SHOWN_NAMES)
        .map(|(slice, device)| format!("`{}`", full_name(slice, &device.name)))
        .collect();
    if listed.len() > SHOWN_NAMES {
        names.push(format!("{} more", listed.len() - SHOWN_NAMES));
    }
    let names = names.join(", ");
    Err(Failure::input(match (name, found.len()) {
        _ if listed.is_empty() => Complaint::new("the input has no device")
            .with_hint("`--slice` takes a file with ResourceSlice objects"),
        (Some(name), 0) => Complaint::new(format!("device `{name}` does not exist"))
            .with_hint(format!("the input has {names}")),
        (Some(name), number) => Complaint::new(format!("`{name}` may be any of {}", count(number, "device")))
            .with_hint(format!("say which: {names}")),
        (None, number) => Complaint::new(format!("the input has {}", count(number, "device")))
            .with_hint(format!("choose one with `--device`: {names}")),
    }))
}
