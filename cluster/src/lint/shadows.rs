//! Alternatives that an earlier alternative always comes before.

use drayage_allocator::objects::{AllocationMode, DeviceSubRequest};

use super::cluster::{Cluster, Demand};
use super::finding::{Draft, Findings};
use super::rules::ALTERNATIVE_UNREACHABLE;

pub(super) fn check(cluster: &Cluster<'_>, findings: &mut Findings) {
    for demand in &cluster.demands {
        for (index, request) in demand.spec.requests.iter().enumerate() {
            for (position, alternative) in request.first_available.iter().enumerate() {
                let mut earlier = request.first_available.iter().take(position);
                let shadow = earlier.find(|earlier| {
                    fits_whenever(earlier, alternative) && !is_named(demand, &request.name, &earlier.name)
                });
                if let Some(shadow) = shadow {
                    let field = demand.devices.clone().field("requests").index(index);
                    let message = format!(
                        "alternative `{}` is never chosen: `{}` fits whenever it does",
                        alternative.name, shadow.name
                    );
                    findings.add(
                        Draft::new(
                            ALTERNATIVE_UNREACHABLE,
                            demand.object.clone(),
                            demand.origin,
                            field.field("firstAvailable").index(position),
                            message,
                        )
                        .alike(demand.alike),
                    );
                }
            }
        }
    }
}

/// Whether devices for `later` are always devices for `earlier` too.
fn fits_whenever(earlier: &DeviceSubRequest, later: &DeviceSubRequest) -> bool {
    use AllocationMode::{All, ExactCount};
    let selectors = |alternative: &DeviceSubRequest, other: &DeviceSubRequest| {
        alternative.selectors.iter().all(|selector| other.selectors.contains(selector))
    };
    let fewer = match (&earlier.allocation_mode, &later.allocation_mode) {
        (ExactCount, ExactCount) => earlier.count <= later.count,
        // All devices are at least one.
        (ExactCount, All) => earlier.count <= 1,
        // All devices that more selectors leave over may be had where all devices cannot.
        (All, All) => selectors(later, earlier),
        _ => false,
    };
    let tolerates = later.tolerations.iter().all(|toleration| earlier.tolerations.contains(toleration));
    fewer
        && tolerates
        && earlier.device_class_name == later.device_class_name
        && selectors(earlier, later)
        && (earlier.capacity.is_none() || earlier.capacity == later.capacity)
        && earlier.derived_attributes == later.derived_attributes
}

/// Whether a constraint is about this alternative alone, so that it is stricter than it looks.
fn is_named(demand: &Demand<'_>, request: &str, alternative: &str) -> bool {
    let name = format!("{request}/{alternative}");
    demand.spec.constraints.iter().any(|constraint| constraint.requests.contains(&name))
}
