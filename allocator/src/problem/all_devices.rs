//! Requests for all devices: which ones those are.

use super::{Choice, Setting, request_error};
use crate::capacity::{self, CapacityMismatch, CapacityRules};
use crate::error::{AllocationError, ErrorKind};
use crate::inventory::PoolState;
use crate::objects::ResourceClaim;
use crate::profile::AllWithBrokenPool;

/// No devices, where the profile lets a request for all devices fail because of a broken pool.
pub(super) fn unusable(setting: &Setting<'_>, error: AllocationError) -> Result<Vec<u32>, AllocationError> {
    let broken = matches!(error.kind(), ErrorKind::PoolIncomplete | ErrorKind::PoolInvalid);
    match setting.profile.all_with_broken_pool {
        AllWithBrokenPool::FailsRequest if broken => Ok(Vec::new()),
        AllWithBrokenPool::FailsRequest | AllWithBrokenPool::Fatal => Err(error),
    }
}

/// The devices that a request for all devices selects, or those of them that have capacity. Any incomplete or invalid
/// pool of the node is an error, whatever its driver.
pub(super) fn all_devices(
    setting: &Setting<'_>,
    claim: &ResourceClaim,
    choice: &Choice<'_>,
    with_capacity: bool,
) -> Result<Vec<u32>, AllocationError> {
    let Setting { inventory, view, .. } = setting;
    let mut devices = Vec::new();
    for pool in &view.pools {
        let incomplete = match &pool.state {
            PoolState::Usable(slices) => slices.incomplete,
            PoolState::Incomplete => true,
            PoolState::Invalid(why) => why.incomplete,
        };
        let broken = if incomplete {
            Some((ErrorKind::PoolIncomplete, "being updated"))
        } else if matches!(pool.state, PoolState::Invalid(_)) {
            Some((ErrorKind::PoolInvalid, "invalid"))
        } else {
            None
        };
        if let Some((kind, how)) = broken {
            let detail = format!(
                "asks for all devices, but resource pool {} is currently {how}",
                inventory.pool(pool.pool).id
            );
            return Err(request_error(kind, claim, choice.name, &detail));
        }
        for position in pool.positions.clone() {
            if choice.selects(setting, claim, position)?
                && (!with_capacity || has_capacity(setting, claim, choice, position)?)
            {
                devices.push(position);
            }
        }
    }
    Ok(devices)
}

/// Whether a request for all devices means a device: whether it has capacity for it, depending on the profile
/// beside what other claims consume, or at all.
pub(super) fn has_capacity(
    setting: &Setting<'_>,
    claim: &ResourceClaim,
    choice: &Choice<'_>,
    position: u32,
) -> Result<bool, AllocationError> {
    if !setting.features.consumable_capacity {
        return Ok(true);
    }
    let inventory = setting.inventory;
    let index = setting.view.device(position);
    let device = inventory.device(index);
    let rules = CapacityRules::new(setting.features, setting.profile);
    let amounts = match capacity::consumption(choice.capacity, &device.capacity, rules) {
        Ok(amounts) => amounts,
        Err(CapacityMismatch::Fault { message }) => {
            let detail = format!("checking capacity for device {}: {message}", device.name);
            return Err(request_error(ErrorKind::Capacity, claim, choice.name, &detail));
        }
        Err(_) => return Ok(false),
    };
    if !setting.profile.all_leaves_out_full_devices {
        return Ok(capacity::shortage(&amounts, &device.capacity, None, None).is_none());
    }
    let pool = setting.state.pool(&inventory.pool(inventory.pool_of_device(index)).id);
    let books = pool.and_then(|pool| pool.devices.get(&device.name));
    let allocated = books.and_then(|books| books.capacity.as_ref());
    Ok(capacity::shortage(&amounts, &device.capacity, allocated, None).is_none())
}
