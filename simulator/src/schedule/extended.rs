//! Extended resources that device classes back (KEP-5004): which class serves which resource, and the claim that
//! the scheduler makes for a pod.

use std::collections::BTreeMap;

use drayage_allocator::objects::{AllocationMode, DeviceRequest, ExactDeviceRequest, ResourceClaim};
use drayage_cluster::objects::{Class, Container, PodSpec};

use super::resources::IMPLICIT_PREFIX;

/// The device class behind each extended resource.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResourceClasses {
    classes: BTreeMap<String, String>,
}

impl ResourceClasses {
    /// Every class serves `deviceclass.resource.kubernetes.io/<name>`, and its `extendedResourceName` if it has
    /// one. Of several classes with the same name for a resource the newest counts, then the first by name.
    pub(crate) fn new(classes: &[Class]) -> Self {
        let mut winners: BTreeMap<&str, &Class> = BTreeMap::new();
        for class in classes {
            let Some(resource) = class.spec.extended_resource_name.as_deref() else { continue };
            winners
                .entry(resource)
                .and_modify(|winner| {
                    let rank = |class: &Class| {
                        (class.metadata.creation_timestamp.clone(), class.metadata.name.clone())
                    };
                    let ((old_time, old_name), (time, name)) = (rank(winner), rank(class));
                    if time > old_time || time == old_time && name < old_name {
                        *winner = class;
                    }
                })
                .or_insert(class);
        }
        let mut by_resource: BTreeMap<String, String> = classes
            .iter()
            .map(|class| (format!("{IMPLICIT_PREFIX}{}", class.metadata.name), class.metadata.name.clone()))
            .collect();
        for (resource, class) in winners {
            by_resource.insert(resource.to_owned(), class.metadata.name.clone());
        }
        Self { classes: by_resource }
    }

    /// The class that serves a resource.
    pub(crate) fn class(&self, resource: &str) -> Option<&str> {
        self.classes.get(resource).map(String::as_str)
    }
}

/// How upstream calls the claim before it exists.
const UNNAMED: &str = "<extended-resources>";

/// The claim for some extended resources of a pod; `resources` are names with their classes, sorted.
pub(crate) fn claim(namespace: &str, spec: &PodSpec, resources: &[(&str, &str)]) -> ResourceClaim {
    let containers: Vec<&Container> = spec.init_containers.iter().chain(&spec.containers).collect();
    let is_short_lived = |index: usize| {
        index < spec.init_containers.len() && !containers.get(index).is_some_and(|c| c.restarts_always)
    };
    let mut requests = Vec::new();
    for &(resource, class) in resources {
        let mut long_lived: Vec<Option<DeviceRequest>> = Vec::with_capacity(containers.len());
        for (index, container) in containers.iter().enumerate() {
            let own = || request(index, container, resource, class, &[]);
            long_lived.push(if is_short_lived(index) { None } else { own() });
        }
        // An init container that ends may use what later containers will have, and asks only for the rest; since
        // they run one after the other, the largest rest serves all.
        let mut largest: Option<DeviceRequest> = None;
        for (index, container) in containers.iter().enumerate().filter(|&(index, _)| is_short_lived(index)) {
            let reusable = long_lived.get(index..).unwrap_or_default();
            let Some(rest) = request(index, container, resource, class, reusable) else { continue };
            if largest.as_ref().is_none_or(|largest| count(largest) < count(&rest)) {
                largest = Some(rest);
            }
        }
        requests.extend(largest);
        requests.extend(long_lived.into_iter().flatten());
    }
    requests.sort_by(|left, right| left.name.cmp(&right.name));
    ResourceClaim {
        namespace: namespace.to_owned(),
        name: UNNAMED.to_owned(),
        requests,
        ..ResourceClaim::default()
    }
}

fn count(request: &DeviceRequest) -> i64 {
    request.exactly.as_ref().map_or(0, |exactly| exactly.count)
}

/// The request of one container for one resource, or `None` where it needs no devices beyond the reusable ones.
fn request(
    index: usize,
    container: &Container,
    resource: &str,
    class: &str,
    reusable: &[Option<DeviceRequest>],
) -> Option<DeviceRequest> {
    let wanted = container.resources.requests.get(resource)?.as_integer()?;
    if wanted == 0 {
        return None;
    }
    let mut available = 0_i64;
    for request in reusable.iter().flatten() {
        available = available.saturating_add(count(request));
        if available >= wanted {
            return None;
        }
    }
    // The map is sorted by name, which is the order upstream numbers resources in.
    let position = container.resources.requests.keys().position(|name| name == resource).unwrap_or(0);
    Some(DeviceRequest {
        name: format!("container-{index}-request-{position}"),
        exactly: Some(ExactDeviceRequest {
            device_class_name: class.to_owned(),
            allocation_mode: AllocationMode::ExactCount,
            count: wanted.saturating_sub(available),
            ..ExactDeviceRequest::default()
        }),
        first_available: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(requests: &[(&str, &str)], restarts_always: bool) -> Container {
        let mut container = Container { restarts_always, ..Container::default() };
        container.resources.requests =
            requests.iter().map(|(name, text)| ((*name).to_owned(), text.parse().unwrap())).collect();
        container
    }

    fn requests(spec: &PodSpec, resources: &[(&str, &str)]) -> Vec<(String, i64)> {
        let claim = claim("ns", spec, resources);
        claim.requests.iter().map(|request| (request.name.clone(), count(request))).collect()
    }

    const GPU: (&str, &str) = ("example.com/gpu", "gpu-class");

    #[test]
    fn requests_are_numbered_by_container_and_resource() {
        let spec = PodSpec {
            containers: vec![
                container(&[("cpu", "1"), ("example.com/gpu", "2")], false),
                container(&[("example.com/gpu", "1"), ("a.example.com/x", "3")], false),
            ],
            ..PodSpec::default()
        };
        let found = requests(&spec, &[("a.example.com/x", "x-class"), GPU]);
        assert_eq!(
            found,
            [
                ("container-0-request-1".to_owned(), 2),
                ("container-1-request-0".to_owned(), 3),
                ("container-1-request-1".to_owned(), 1),
            ]
        );
    }

    #[test]
    fn ended_init_containers_reuse_what_follows_them() {
        let gpu = |count: &str, sidecar| container(&[("example.com/gpu", count)], sidecar);
        let spec = PodSpec {
            init_containers: vec![gpu("5", false), gpu("1", true), gpu("4", false)],
            containers: vec![gpu("2", false)],
            ..PodSpec::default()
        };
        // The first may use the sidecar's 1 and the container's 2 and adds 2; the third only the container's 2
        // and adds 2: the first of equal rests counts.
        assert_eq!(
            requests(&spec, &[GPU]),
            [
                ("container-0-request-0".to_owned(), 2),
                ("container-1-request-0".to_owned(), 1),
                ("container-3-request-0".to_owned(), 2),
            ]
        );
    }

    #[test]
    fn names_sort_as_text() {
        let spec = PodSpec {
            containers: (0..11).map(|_| container(&[("example.com/gpu", "1")], false)).collect(),
            ..PodSpec::default()
        };
        let found = requests(&spec, &[GPU]);
        assert_eq!(found[2].0, "container-10-request-0");
    }

    #[test]
    fn the_newest_class_serves_a_resource() {
        let class = |name: &str, created: Option<&str>| {
            let mut class = Class::default();
            name.clone_into(&mut class.metadata.name);
            class.metadata.creation_timestamp = created.map(str::to_owned);
            class.spec.extended_resource_name = Some("example.com/gpu".to_owned());
            class
        };
        let serving =
            |classes: &[Class]| ResourceClasses::new(classes).class("example.com/gpu").map(str::to_owned);
        let (old, new) = (class("a", Some("2023-01-01T00:00:00Z")), class("b", Some("2024-01-01T00:00:00Z")));
        assert_eq!(serving(&[old.clone(), new.clone()]).as_deref(), Some("b"));
        assert_eq!(serving(&[new, old]).as_deref(), Some("b"));
        assert_eq!(serving(&[class("d", None), class("c", None)]).as_deref(), Some("c"));
        let classes = ResourceClasses::new(&[class("a", None)]);
        assert_eq!(classes.class("deviceclass.resource.kubernetes.io/a"), Some("a"));
        assert_eq!(classes.class("example.com/other"), None);
    }
}
