//! Which features a problem really uses, and how often each pair of them came together.

use std::fmt::Write as _;

use drayage_allocator::objects::{AllocationMode, AttributeValue, Device, DeviceSelector};

use crate::problem::Problem;
use crate::release::Target;
use crate::selectors::FRAGILE;

/// A feature of problems, with the short name of the table and what counts as using it.
struct Trait {
    name: &'static str,
    used: fn(&Facts<'_>) -> bool,
    /// Whether a release has it.
    exists: fn(Target) -> bool,
}

/// A problem with what many traits look at.
struct Facts<'a> {
    problem: &'a Problem,
    devices: Vec<&'a Device>,
    requests: Vec<Request<'a>>,
}

/// What exact requests and alternatives have in common.
struct Request<'a> {
    selectors: &'a [DeviceSelector],
    mode: &'a AllocationMode,
    count: i64,
    tolerations: bool,
    capacity: bool,
    derived: bool,
    admin: bool,
}

const ALWAYS: fn(Target) -> bool = |_| true;

const TRAITS: &[Trait] = &[
    Trait { name: "several claims", used: |f| f.problem.claims.len() > 1, exists: ALWAYS },
    Trait {
        name: "several requests",
        used: |f| f.problem.claims.iter().any(|claim| claim.requests.len() > 1),
        exists: ALWAYS,
    },
    Trait {
        name: "alternatives",
        used: |f| {
            f.problem.features.prioritized_list
                && requests(f.problem).any(|request| !request.first_available.is_empty())
        },
        exists: ALWAYS,
    },
    Trait { name: "count above 1", used: |f| f.requests.iter().any(|r| r.count > 1), exists: ALWAYS },
    Trait { name: "count at the limit", used: |f| f.requests.iter().any(|r| r.count >= 20), exists: ALWAYS },
    Trait {
        name: "all mode",
        used: |f| f.requests.iter().any(|r| *r.mode == AllocationMode::All),
        exists: ALWAYS,
    },
    Trait {
        name: "admin access",
        used: |f| f.problem.features.admin_access && f.requests.iter().any(|r| r.admin),
        exists: ALWAYS,
    },
    Trait {
        name: "match attribute",
        used: |f| constraints(f.problem).any(|(matched, _)| matched),
        exists: ALWAYS,
    },
    Trait {
        name: "distinct attribute",
        used: |f| constraints(f.problem).any(|(_, distinct)| distinct),
        exists: ALWAYS,
    },
    Trait {
        name: "class selector",
        used: |f| f.problem.classes.iter().any(|class| !class.selectors.is_empty()),
        exists: ALWAYS,
    },
    Trait {
        name: "request selector",
        used: |f| f.requests.iter().any(|r| !r.selectors.is_empty()),
        exists: ALWAYS,
    },
    Trait {
        name: "fragile selector",
        used: |f| {
            let of_classes = f.problem.classes.iter().flat_map(|class| &class.selectors);
            let of_requests = f.requests.iter().flat_map(|r| r.selectors);
            of_classes.chain(of_requests).any(|selector| {
                FRAGILE.iter().any(|fragile| selector.cel.as_deref() == Some(fragile.expression))
            })
        },
        exists: ALWAYS,
    },
    Trait {
        name: "class config",
        used: |f| f.problem.classes.iter().any(|class| !class.config.is_empty()),
        exists: ALWAYS,
    },
    Trait {
        name: "claim config",
        used: |f| f.problem.claims.iter().any(|claim| !claim.config.is_empty()),
        exists: ALWAYS,
    },
    Trait {
        name: "several pools",
        used: |f| {
            let first = f.problem.slices.first().map(drayage_allocator::objects::ResourceSlice::pool_id);
            f.problem.slices.iter().any(|slice| Some(slice.pool_id()) != first)
        },
        exists: ALWAYS,
    },
    Trait {
        name: "pools of one name",
        used: |f| {
            f.problem.slices.iter().any(|one| {
                let same_name = |other: &&_| same_pool_name(one, other);
                f.problem.slices.iter().any(|other| same_name(&other))
            })
        },
        exists: ALWAYS,
    },
    Trait {
        name: "several slices",
        used: |f| f.problem.slices.iter().any(|slice| slice.pool.resource_slice_count > 1),
        exists: ALWAYS,
    },
    Trait {
        name: "stale slices",
        used: |f| {
            f.problem.slices.iter().any(|one| {
                f.problem.slices.iter().any(|other| {
                    one.pool_id() == other.pool_id() && one.pool.generation < other.pool.generation
                })
            })
        },
        exists: ALWAYS,
    },
    Trait {
        name: "incomplete pool",
        used: |f| f.problem.slices.iter().any(|slice| is_incomplete(f.problem, slice)),
        exists: ALWAYS,
    },
    Trait {
        name: "node selector",
        used: |f| f.problem.slices.iter().any(|slice| slice.node_selector.is_some()),
        exists: ALWAYS,
    },
    Trait {
        name: "all nodes",
        used: |f| f.problem.slices.iter().any(|slice| slice.all_nodes),
        exists: ALWAYS,
    },
    Trait {
        name: "per-device nodes",
        used: |f| {
            f.problem.features.partitionable_devices
                && f.problem.slices.iter().any(|slice| slice.per_device_node_selection == Some(true))
        },
        exists: ALWAYS,
    },
    Trait {
        name: "partitions",
        used: |f| {
            f.problem.features.partitionable_devices
                && f.devices.iter().any(|device| !device.consumes_counters.is_empty())
        },
        exists: ALWAYS,
    },
    Trait {
        name: "taints",
        used: |f| f.problem.features.device_taints && f.devices.iter().any(|d| !d.taints.is_empty()),
        exists: ALWAYS,
    },
    Trait {
        name: "tolerations",
        used: |f| f.problem.features.device_taints && f.requests.iter().any(|r| r.tolerations),
        exists: ALWAYS,
    },
    Trait {
        name: "binding conditions",
        used: |f| {
            f.problem.features.device_binding_and_status
                && f.devices.iter().any(|device| device.binding_conditions.is_some())
        },
        exists: ALWAYS,
    },
    Trait {
        name: "binds to node",
        used: |f| f.devices.iter().any(|device| device.binds_to_node),
        exists: ALWAYS,
    },
    Trait {
        name: "shared devices",
        used: |f| f.problem.features.consumable_capacity && f.devices.iter().any(|d| is_shared(d)),
        exists: ALWAYS,
    },
    Trait {
        name: "capacity requests",
        used: |f| f.problem.features.consumable_capacity && f.requests.iter().any(|r| r.capacity),
        exists: ALWAYS,
    },
    Trait {
        name: "request policy",
        used: |f| {
            f.problem.features.consumable_capacity
                && f.devices.iter().any(|device| {
                    is_shared(device)
                        && device.capacity.values().any(|capacity| capacity.request_policy.is_some())
                })
        },
        exists: ALWAYS,
    },
    Trait { name: "held devices", used: |f| !f.problem.held_devices.is_empty(), exists: ALWAYS },
    Trait { name: "held shares", used: |f| !f.problem.held_shares.is_empty(), exists: ALWAYS },
    Trait { name: "held capacity", used: |f| !f.problem.held_capacity.is_empty(), exists: ALWAYS },
    Trait { name: "a feature is off", used: |f| has_switched_off(f.problem), exists: ALWAYS },
    Trait {
        name: "list attributes",
        used: |f| {
            f.problem.features.list_type_attributes
                && f.devices.iter().any(|device| device.attributes.values().any(AttributeValue::is_list))
        },
        exists: |target| target.features().list_type_attributes,
    },
    Trait {
        name: "fractional range",
        used: |f| {
            let fractional = |device: &Device| {
                device.capacity.values().any(|capacity| {
                    let range =
                        capacity.request_policy.as_ref().and_then(|policy| policy.valid_range.as_ref());
                    range.is_some_and(|range| {
                        let bounds = [&range.min, &range.max, &range.step];
                        bounds.into_iter().flatten().any(|bound| bound.to_string().ends_with('m'))
                    })
                })
            };
            f.problem.features.fractional_capacity_range && f.devices.iter().any(|d| fractional(d))
        },
        exists: |target| target.features().fractional_capacity_range,
    },
    Trait {
        name: "node operations",
        used: |f| {
            f.problem.features.optional_node_operations
                && f.problem.slices.iter().any(|slice| !slice.skip_node_operations.is_empty())
        },
        exists: |target| target.features().optional_node_operations,
    },
    Trait {
        name: "derived attributes",
        used: |f| f.problem.features.derived_attributes && f.requests.iter().any(|r| r.derived),
        exists: |target| target.features().derived_attributes,
    },
    Trait {
        name: "compatibility groups",
        used: |f| {
            let grouped = |device: &Device| {
                device.consumes_counters.iter().any(|taken| !taken.compatibility_groups.is_empty())
            };
            f.problem.features.compatibility_groups && f.devices.iter().any(|d| grouped(d))
        },
        exists: |target| target.features().compatibility_groups,
    },
];

fn requests(problem: &Problem) -> impl Iterator<Item = &drayage_allocator::objects::DeviceRequest> {
    problem.claims.iter().flat_map(|claim| &claim.requests)
}

/// Whether each constraint matches, and whether it distinguishes.
fn constraints(problem: &Problem) -> impl Iterator<Item = (bool, bool)> {
    problem
        .claims
        .iter()
        .flat_map(|claim| &claim.constraints)
        .map(|constraint| (constraint.match_attribute.is_some(), constraint.distinct_attribute.is_some()))
}

fn same_pool_name(
    one: &drayage_allocator::objects::ResourceSlice,
    other: &drayage_allocator::objects::ResourceSlice,
) -> bool {
    one.pool.name == other.pool.name && one.driver != other.driver
}

fn is_incomplete(problem: &Problem, slice: &drayage_allocator::objects::ResourceSlice) -> bool {
    let mut newest = i64::MIN;
    let mut count = 0;
    for other in problem.slices.iter().filter(|other| other.pool_id() == slice.pool_id()) {
        if other.pool.generation > newest {
            newest = other.pool.generation;
            count = 0;
        }
        count += i64::from(other.pool.generation == newest);
    }
    slice.pool.generation == newest && slice.pool.resource_slice_count != count
}

fn is_shared(device: &Device) -> bool {
    device.allow_multiple_allocations == Some(true)
}

fn has_switched_off(problem: &Problem) -> bool {
    let features = problem.features;
    !(features.admin_access
        && features.prioritized_list
        && features.partitionable_devices
        && features.device_taints
        && features.device_binding_and_status
        && features.consumable_capacity)
}

impl<'a> Facts<'a> {
    fn of(problem: &'a Problem) -> Self {
        let mut found = Vec::new();
        for request in requests(problem) {
            if let Some(exact) = &request.exactly {
                found.push(Request {
                    selectors: &exact.selectors,
                    mode: &exact.allocation_mode,
                    count: exact.count,
                    tolerations: !exact.tolerations.is_empty(),
                    capacity: exact.capacity.as_ref().is_some_and(|amounts| !amounts.is_empty()),
                    derived: !exact.derived_attributes.is_empty(),
                    admin: exact.admin_access == Some(true),
                });
            }
            for sub in &request.first_available {
                found.push(Request {
                    selectors: &sub.selectors,
                    mode: &sub.allocation_mode,
                    count: sub.count,
                    tolerations: !sub.tolerations.is_empty(),
                    capacity: sub.capacity.as_ref().is_some_and(|amounts| !amounts.is_empty()),
                    derived: !sub.derived_attributes.is_empty(),
                    admin: false,
                });
            }
        }
        Self {
            problem,
            devices: problem.slices.iter().flat_map(|slice| &slice.devices).collect(),
            requests: found,
        }
    }
}

/// How many problems used each feature and each pair of features.
#[derive(Clone, Debug)]
pub struct Coverage {
    target: Target,
    /// Row and column are indices of traits; the diagonal counts single features.
    pairs: Vec<Vec<u64>>,
}

impl Coverage {
    /// Nothing counted yet.
    pub fn new(target: Target) -> Self {
        Self { target, pairs: vec![vec![0; TRAITS.len()]; TRAITS.len()] }
    }

    /// Counts a problem.
    pub fn add(&mut self, problem: &Problem) {
        let facts = Facts::of(problem);
        let used: Vec<usize> = (0..TRAITS.len()).filter(|&index| (TRAITS[index].used)(&facts)).collect();
        for (position, &one) in used.iter().enumerate() {
            for &other in &used[position..] {
                self.pairs[one][other] += 1;
            }
        }
    }

    /// Whether the problem uses a feature or a pair of features that came at most so many times.
    pub fn brings_rare(&self, problem: &Problem, copies: u64) -> bool {
        let facts = Facts::of(problem);
        let used: Vec<usize> = (0..TRAITS.len()).filter(|&index| (TRAITS[index].used)(&facts)).collect();
        used.iter()
            .enumerate()
            .any(|(position, &one)| used[position..].iter().any(|&other| self.pairs[one][other] < copies))
    }

    fn traits(&self) -> Vec<usize> {
        (0..TRAITS.len()).filter(|&index| (TRAITS[index].exists)(self.target)).collect()
    }

    /// Pairs of features, and single ones, that came less often than `least`, with their counts.
    pub fn below(&self, least: u64) -> Vec<(String, u64)> {
        let traits = self.traits();
        let mut found = Vec::new();
        for (position, &one) in traits.iter().enumerate() {
            for &other in &traits[position..] {
                let count = self.pairs[one][other];
                if count < least {
                    let names = if one == other {
                        TRAITS[one].name.to_owned()
                    } else {
                        format!("{} + {}", TRAITS[one].name, TRAITS[other].name)
                    };
                    found.push((names, count));
                }
            }
        }
        found.sort_by_key(|(_, count)| *count);
        found
    }

    /// The table of features and pairs: each row a feature, its count, then its counts with the features above it.
    pub fn table(&self) -> String {
        let traits = self.traits();
        let mut text = String::new();
        let _ = write!(text, "{:>4} {:<20} {:>8}", "", "feature", "count");
        for number in 1..traits.len() {
            let _ = write!(text, " {:>7}", format!("with {number}"));
        }
        text.push('\n');
        for (position, &one) in traits.iter().enumerate() {
            let _ = write!(text, "{:>4} {:<20} {:>8}", position + 1, TRAITS[one].name, self.pairs[one][one]);
            for &other in &traits[..position] {
                let _ = write!(text, " {:>7}", self.pairs[other][one]);
            }
            text.push('\n');
        }
        text
    }
}
