//! The thread that waits for critical errors.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use drayage_nvml::{Device, Error, Event, Library, event_types};

use super::{inventory::kernel_address, look::Shared, xid};

/// How long one wait is, in milliseconds: as long as it may take this thread to end.
const WAIT: u32 = 500;
/// Between two tries to listen.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens until the library is given up. What goes wrong once is tried again at once, since a card that is lost takes
/// the wait of all others with it.
pub(super) fn listen(shared: &Shared, library: &Library, gone: &AtomicBool) {
    let ended = || gone.load(Ordering::Relaxed) || shared.has_ended();
    let mut failed_before = false;
    while !ended() {
        let mut heard = false;
        match listen_to_all(shared, library, &ended, &mut heard) {
            Ok(()) => failed_before = false,
            Err(error) => {
                if failed_before && !heard {
                    shared.cannot_listen(error.to_string());
                    shared.pause(PAUSE);
                }
                failed_before = true;
            }
        }
    }
}

/// Listens to the cards as they are now, until there are others.
fn listen_to_all(
    shared: &Shared,
    library: &Library,
    ended: &dyn Fn() -> bool,
    heard: &mut bool,
) -> Result<(), Error> {
    let before = shared.addresses();
    let set = library.event_set()?;
    let mut deaf = BTreeMap::new();
    let mut cards = Vec::new();
    for index in 0..library.count()? {
        // Whoever looks at the cards tells of those that do not answer.
        let Ok(device) = library.device(index) else { continue };
        let Ok(bus_id) = device.bus_id() else { continue };
        let address = kernel_address(&bus_id);
        let wanted = event_types::XID_CRITICAL_ERROR | event_types::DOUBLE_BIT_ECC_ERROR;
        let registered = device.supported_events().and_then(|supported| {
            let types = wanted & supported;
            if types & event_types::XID_CRITICAL_ERROR == 0 {
                return Ok(false);
            }
            set.register(device, types).map(|()| true)
        });
        match registered {
            Ok(true) => cards.push((device, address)),
            Ok(false) => {
                deaf.insert(address, "it has no such events".to_owned());
            }
            Err(error) => {
                deaf.insert(address, error.to_string());
            }
        }
    }
    // The first answer is not waited for.
    let mut wait = 0;
    while !ended() {
        if cards.is_empty() {
            shared.pause(Duration::from_millis(WAIT.into()));
        } else if let Some(event) = set.wait(wait)? {
            happened(shared, &cards, &event);
        }
        wait = WAIT;
        *heard = true;
        shared.heard(&deaf);
        if shared.addresses() != before {
            break;
        }
    }
    Ok(())
}

/// Takes in an event.
fn happened(shared: &Shared, cards: &[(Device<'_>, String)], event: &Event<'_>) {
    let message = match event.event_type {
        event_types::XID_CRITICAL_ERROR => {
            if shared.options.ignored_xids.contains(&event.data) {
                return;
            }
            xid::message(event.data)
        }
        event_types::DOUBLE_BIT_ECC_ERROR => "a memory error of two bits (ECC)".to_owned(),
        _ => return,
    };
    let known = cards.iter().find(|(device, _)| *device == event.device).map(|(_, address)| address.clone());
    let address = known.or_else(|| event.device.bus_id().ok().map(|bus_id| kernel_address(&bus_id)));
    let instance = event.gpu_instance.map(|gpu| (gpu, event.compute_instance));
    shared.failed(address.as_deref(), instance, &message);
}
