//! Holds each fact against the objects, and notes what it forbids.

use crate::diagnosis::{SelectorSource, UnusablePoolState};
use crate::explanation::fact::{
    CounterFact, Demand, Fact, GroupsFact, Read, ReadValue, ReadWhat, RequestName, SelectorFact,
};
use crate::explanation::terms::terms;
use crate::objects::{AttributeValue, DeviceId, DeviceTaint};
use crate::profile::TaintEffects;
use crate::verify::books::{allowed, counters_are_paid, skips_operations, taken};
use crate::verify::claim::attribute_of;
use crate::verify::groups::Common;
use crate::verify::reach::{Unusable, device_selects_node};

use super::CheckError;
use super::assignments::{amounts_of, counter_amounts};
use super::world::{Restriction, Seen, World};

/// What these facts forbid together, each with its place in the core.
pub(super) fn restrict<'f>(
    world: &mut World<'_, '_>,
    facts: impl Iterator<Item = (usize, &'f Fact)>,
) -> Result<Restriction, CheckError> {
    let mut restriction = Restriction::default();
    for (fact, stated) in facts {
        let mut judge = Judge { world, restriction: &mut restriction };
        judge.fact(stated).map_err(|what| CheckError::False { fact, what })?;
    }
    Ok(restriction)
}

struct Judge<'j, 'q, 'a> {
    world: &'j mut World<'q, 'a>,
    restriction: &'j mut Restriction,
}

type Truth = Result<(), String>;

fn holds(is_true: bool, what: impl FnOnce() -> String) -> Truth {
    if is_true { Ok(()) } else { Err(what()) }
}

impl Judge<'_, '_, '_> {
    fn fact(&mut self, fact: &Fact) -> Truth {
        match fact {
            Fact::Demand(demand) => self.demand(demand),
            Fact::Selector(selector) => self.selector(selector),
            Fact::GateOff { gate, devices } => self.gate(gate, devices),
            Fact::NodeSelection { devices } => self.every_request(devices, |world, seen| {
                device_selects_node(&seen.reached, world.question.node) != Some(true)
            }),
            Fact::Pool { pool, state, devices } => {
                let known = self.world.pools.iter().position(|known| known.id == *pool);
                let number = known.ok_or_else(|| format!("pool `{pool}` is not there"))?;
                let unusable = self.world.pools.get(number).and_then(|pool| pool.unusable.as_ref());
                let right = match (unusable, state) {
                    (
                        Some(Unusable::Incomplete { found, announced }),
                        UnusablePoolState::Incomplete { found: stated, announced: of },
                    ) => (found, announced) == (stated, of),
                    (Some(Unusable::Invalid { reason }), UnusablePoolState::Invalid { reason: stated }) => {
                        reason == stated
                    }
                    _ => false,
                };
                holds(right, || format!("pool `{pool}` is not as stated"))?;
                self.every_request(devices, |_, seen| seen.pool == number)
            }
            Fact::CapacityMissing { capacity, requests, devices } => {
                self.pairs(requests, devices, |_, ask, seen| {
                    let asked = ask.capacity.is_some_and(|amounts| amounts.contains_key(capacity));
                    asked && !seen.reached.device.capacity.contains_key(capacity)
                })
            }
            Fact::CapacityPolicy { capacity, request, devices } => {
                for (device, amount) in devices {
                    let requests = std::slice::from_ref(request);
                    self.pairs(requests, std::slice::from_ref(device), |_, ask, seen| {
                        let object = seen.reached.device.capacity.get(capacity);
                        object.is_some_and(|object| {
                            taken(self.world.question, ask, capacity, object) == *amount
                                && !allowed(self.world.question, amount, object)
                        })
                    })?;
                }
                Ok(())
            }
            Fact::Taint { taint, requests, devices } => {
                let features = self.world.question.features;
                let effects = self.world.question.profile.taint_effects;
                holds(features.device_taints, || "taints are ignored".to_owned())?;
                self.pairs(requests, devices, |_, ask, seen| {
                    seen.reached.device.taints.contains(taint) && !tolerated(taint, ask.tolerations, effects)
                })
            }
            Fact::Held { requests, devices } => {
                let devices: Vec<DeviceId> = devices.iter().map(|held| held.device.clone()).collect();
                self.pairs(requests, &devices, |world, ask, seen| {
                    !ask.is_admin() && world.question.state.holds_device(&seen.id)
                })
            }
            Fact::Constraint(constraint) => {
                let claim = self.claim(&constraint.claim)?;
                let object = self.world.question.claims.get(claim);
                let object = object.and_then(|claim| claim.constraints.get(constraint.index));
                let right = object.is_some_and(|object| {
                    let name = object.match_attribute.as_ref().or(object.distinct_attribute.as_ref());
                    object.match_attribute.is_some() == constraint.is_match
                        && name == Some(&constraint.attribute)
                });
                holds(right, || format!("constraint {} is not as stated", constraint.index))?;
                self.restriction.constraints.insert((claim, constraint.index));
                Ok(())
            }
            Fact::Capacity { capacity, devices, .. } => {
                for left in devices {
                    let device = self.device(&left.device)?;
                    let state = self.world.question.state;
                    let held = state.consumed_capacity(&left.device).and_then(|held| held.get(capacity));
                    let object = self.world.devices.get(device);
                    let object = object.and_then(|seen| seen.reached.device.capacity.get(capacity));
                    let right = object.is_some_and(|object| object.value == left.total)
                        && held.cloned().unwrap_or_default() == left.held;
                    holds(right, || format!("capacity `{capacity}` of `{}` is not as stated", left.device))?;
                    self.restriction.capacities.insert((device, capacity.clone()));
                }
                Ok(())
            }
            Fact::Counter(counter) => self.counter(counter),
            Fact::Groups(groups) => self.groups(groups),
            Fact::Once { devices } => {
                for id in devices {
                    let device = self.device(id)?;
                    holds(!self.world.is_shareable(device), || format!("device `{id}` can be shared"))?;
                    self.restriction.once.insert(device);
                }
                Ok(())
            }
            Fact::ClaimLimit { claim } => {
                let claim = self.claim(claim)?;
                self.restriction.limits.insert(claim);
                Ok(())
            }
            Fact::NotFound { .. } => Err("it stands beside other facts".to_owned()),
        }
    }

    fn claim(&self, name: &str) -> Result<usize, String> {
        let claims = self.world.question.claims.iter();
        let found = claims.map(|claim| claim.full_name()).position(|known| known == name);
        found.ok_or_else(|| format!("claim `{name}` is not there"))
    }

    fn form(&self, name: &RequestName) -> Result<usize, String> {
        self.world.ask(name).ok_or_else(|| format!("request `{}` is not there", name.request))
    }

    fn device(&self, id: &DeviceId) -> Result<usize, String> {
        self.world.device(id).ok_or_else(|| format!("device `{id}` is not there"))
    }

    fn demand(&mut self, demand: &Demand) -> Truth {
        let forms = self.world.forms.iter();
        let own = forms.filter(|form| {
            form.name.place == demand.place
                && form.name.claim == demand.claim
                && form.ask.base_name == demand.request
        });
        let stated: Vec<_> = own.clone().map(|form| self.world.stated(form)).collect();
        holds(stated == demand.forms, || format!("request `{}` needs something else", demand.request))?;
        holds(own.clone().next().is_some(), || format!("request `{}` is not there", demand.request))?;
        self.restriction.demands.insert(demand.place);
        Ok(())
    }

    /// Refuses devices to requests, if that is right for each pair.
    fn pairs(
        &mut self,
        requests: &[RequestName],
        devices: &[DeviceId],
        refuses: impl Fn(&World<'_, '_>, &crate::verify::claim::Ask<'_>, &Seen<'_>) -> bool,
    ) -> Truth {
        for name in requests {
            let form = self.form(name)?;
            for id in devices {
                let device = self.device(id)?;
                let (Some(asking), Some(seen)) = (self.world.forms.get(form), self.world.devices.get(device))
                else {
                    continue;
                };
                holds(refuses(self.world, &asking.ask, seen), || {
                    format!("it does not keep `{id}` from request `{}`", name.request)
                })?;
                self.restriction.refused.insert((form, device));
            }
        }
        Ok(())
    }

    fn every_request(
        &mut self,
        devices: &[DeviceId],
        refuses: impl Fn(&World<'_, '_>, &Seen<'_>) -> bool,
    ) -> Truth {
        let requests: Vec<RequestName> = self.world.forms.iter().map(|form| form.name.clone()).collect();
        self.pairs(&requests, devices, |world, _, seen| refuses(world, seen))
    }

    fn gate(&mut self, gate: &str, devices: &[DeviceId]) -> Truth {
        let features = self.world.question.features;
        self.every_request(devices, |world, seen| {
            let device = seen.reached.device;
            match gate {
                "DRADeviceBindingConditions" => {
                    !features.device_binding_and_status
                        && device.binding_conditions.iter().flatten().next().is_some()
                }
                "DRAPartitionableDevices" => {
                    let shared = features.consumable_capacity
                        && device.allow_multiple_allocations == Some(true)
                        && counters_are_paid(world.question, &seen.id);
                    !features.partitionable_devices && !device.consumes_counters.is_empty() && !shared
                }
                "DRAOptionalNodeOperations" => !skips_operations(world.question, &seen.reached),
                _ => false,
            }
        })
    }

    fn selector(&mut self, fact: &SelectorFact) -> Truth {
        let SelectorFact { source, owner, index, expression, term, requests, cases } = fact;
        let is_term = term == expression || terms(expression).contains(&term.as_str());
        holds(is_term, || format!("`{term}` is no term of `{expression}`"))?;
        for name in requests {
            let form = self.form(name)?;
            let Some(ask) = self.world.forms.get(form).map(|form| form.ask) else { continue };
            let classes = self.world.question.classes;
            let selectors = match source {
                SelectorSource::Class => {
                    let class = classes.iter().find(|class| class.name == *owner && class.name == ask.class);
                    class.map(|class| class.selectors.as_slice())
                }
                SelectorSource::Request => (ask.result_name() == *owner).then_some(ask.selectors),
            };
            let selector = selectors.and_then(|selectors| selectors.get(*index));
            let is_own = selector.and_then(|selector| selector.cel.as_ref()) == Some(expression);
            holds(is_own, || format!("selector {index} of `{owner}` is another"))?;
        }
        let question = self.world.question;
        self.world.programs.compile(term, question);
        for case in cases {
            self.pairs(requests, &case.devices, |world, _, seen| {
                let whole = world.programs.verdict(expression, &seen.reached);
                let verdict = world.programs.verdict(term, &seen.reached);
                let failed = if term == expression { whole } else { verdict }.is_none();
                whole != Some(true)
                    && verdict != Some(true)
                    && failed == case.failed
                    && case.reads.iter().all(|read| is_read(read, seen))
            })?;
        }
        Ok(())
    }

    fn groups(&mut self, fact: &GroupsFact) -> Truth {
        let GroupsFact { pool, counter_set, common, holders, .. } = fact;
        let features = self.world.question.features;
        let counts = features.compatibility_groups && features.partitionable_devices;
        holds(counts, || "compatibility groups are ignored".to_owned())?;
        let known = self.world.pools.iter().position(|known| known.id == *pool);
        let number = known.ok_or_else(|| format!("pool `{pool}` is not there"))?;
        let slices = self.world.pools.get(number).into_iter();
        let slices = slices.flat_map(|pool| pool.reachable.iter().chain(&pool.elsewhere));
        let devices =
            slices.filter(|slice| slice.shared_counters.is_empty()).flat_map(|slice| &slice.devices);
        let draws = |device: &crate::objects::Device| {
            device.consumes_counters.iter().any(|draw| draw.counter_set == *counter_set)
        };
        let id =
            |device: &crate::objects::Device| DeviceId { pool: pool.clone(), device: device.name.clone() };
        let state = self.world.question.state;
        let right: Vec<DeviceId> =
            devices.filter(|one| draws(one)).map(id).filter(|device| state.is_allocated(device)).collect();
        holds(right.iter().eq(holders.iter().map(|holder| &holder.device)), || {
            format!("other devices draw on set `{counter_set}`")
        })?;
        let found = match self.world.held_groups.common(pool, counter_set) {
            Common::Anything => None,
            Common::NoGroups => Some(Vec::new()),
            Common::Groups(groups) => Some(groups.into_iter().map(str::to_owned).collect()),
        };
        holds(found == *common, || format!("the groups on set `{counter_set}` are others"))?;
        self.restriction.groups.insert((number, counter_set.clone()));
        Ok(())
    }

    fn counter(&mut self, fact: &CounterFact) -> Truth {
        let CounterFact { pool, counter_set, counter, total, held, holders, .. } = fact;
        let known = self.world.pools.iter().position(|known| known.id == *pool);
        let number = known.ok_or_else(|| format!("pool `{pool}` is not there"))?;
        let amounts = counter_amounts(self.world, number, counter_set, counter);
        holds(amounts == Some((total.clone(), held.clone())), || {
            format!("counter `{counter}` of set `{counter_set}` is not as stated")
        })?;
        let slices = self.world.pools.get(number).into_iter();
        let slices =
            slices.flat_map(|pool| pool.reachable.iter().chain(&pool.withheld).chain(&pool.elsewhere));
        let devices: Vec<_> = slices.flat_map(|slice| &slice.devices).collect();
        for holder in holders {
            let takes = devices.iter().any(|device| {
                device.name == holder.device.device
                    && amounts_of(device, counter_set, counter).next().is_some()
            });
            let held = holder.device.pool == *pool
                && takes
                && self.world.question.state.is_allocated(&holder.device);
            holds(held, || format!("device `{}` takes nothing of it", holder.device))?;
        }
        self.restriction.counters.insert((number, counter_set.clone(), counter.clone()));
        Ok(())
    }
}

fn tolerated(
    taint: &DeviceTaint,
    tolerations: &[crate::objects::DeviceToleration],
    effects: TaintEffects,
) -> bool {
    let keeps_away =
        effects == TaintEffects::Any || taint.effect == "NoSchedule" || taint.effect == "NoExecute";
    !keeps_away
        || tolerations.iter().any(|toleration| {
            (toleration.key.is_empty() || toleration.key == taint.key)
                && (toleration.effect.is_empty() || toleration.effect == taint.effect)
                && match toleration.operator.as_str() {
                    "Exists" => true,
                    "" | "Equal" => toleration.value == taint.value,
                    _ => false,
                }
        })
}

/// Whether a device has what a case says was read of it.
fn is_read(read: &Read, seen: &Seen<'_>) -> bool {
    let device = seen.reached.device;
    let driver = &seen.reached.slice.driver;
    match (&read.what, &read.value) {
        (ReadWhat::Driver, Some(ReadValue::Attribute(AttributeValue::String(value)))) => value == driver,
        (ReadWhat::AllowMultipleAllocations, Some(ReadValue::Attribute(AttributeValue::Bool(value)))) => {
            *value == (device.allow_multiple_allocations == Some(true))
        }
        (ReadWhat::Attribute(name), value) => {
            let own = attribute_of(&seen.reached, name).cloned().map(ReadValue::Attribute);
            own == *value
        }
        (ReadWhat::Capacity(name), value) => {
            let short = name.strip_prefix(driver.as_str()).and_then(|rest| rest.strip_prefix('/'));
            let found = device.capacity.get(name).or_else(|| device.capacity.get(short?));
            found.map(|capacity| ReadValue::Capacity(capacity.value.clone())) == *value
        }
        _ => false,
    }
}
