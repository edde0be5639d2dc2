//! How much is read while slices are kept.

use serde_json::{Value, json};

use super::*;
use crate::devices::{PoolDevice, fields::tests::MAPS};

fn pool(devices: usize) -> Pool {
    let device = |number: usize| {
        let fields = json!({
            "attributes": {"uuid": {"string": format!("GPU-{number}")}},
            "capacity": {"memory": {"value": "1024Mi"}},
        });
        let Value::Object(fields) = fields else { panic!("an object") };
        PoolDevice { name: format!("gpu-{number}"), fields: fields.into() }
    };
    Pool {
        name: "node-1".to_owned(),
        devices: (0..devices).map(device).collect(),
        shared_counters: Vec::new(),
    }
}

/// A server that writes fields in another order and quantities in its own way, and tells of what it did.
#[derive(Default)]
struct Server {
    version: u64,
    slices: Vec<Slice>,
}

impl Server {
    fn store(&mut self, name: String, spec: &Fields) -> Slice {
        self.version += 1;
        let map: serde_json::Map<String, Value> = serde_json::from_str(spec.text()).expect("an object");
        let reversed = map.iter().rev().map(|(key, value)| format!("{}:{value}", json!(key)));
        let text = format!("{{{}}}", reversed.collect::<Vec<_>>().join(",")).replace("1024Mi", "1Gi");
        let version = self.version.to_string();
        let slice =
            Slice { name, uid: version.clone(), resource_version: version, spec: Fields::of_object(text) };
        self.slices.retain(|other| other.name != slice.name);
        self.slices.push(slice.clone());
        slice
    }

    /// Tells the controller of an event and of all that comes of it; how many slices were written.
    fn run(&mut self, controller: &mut Controller, event: Event) -> usize {
        let mut events = std::collections::VecDeque::from([event]);
        let mut writes = 0;
        while let Some(event) = events.pop_front() {
            for action in controller.handle(Duration::from_secs(1), event) {
                let (write, made) = match action {
                    Action::Discover => {
                        let served = Served { version: ApiVersion::V1, minor: 36 };
                        events.push_back(Event::Discovered(Ok(served)));
                        continue;
                    }
                    Action::List => {
                        events.push_back(Event::Listed(Ok(self.slices.clone())));
                        continue;
                    }
                    Action::Create { write, name_prefix, spec } => {
                        (write, self.store(format!("{name_prefix}{}", self.version), &spec))
                    }
                    Action::Update { write, slice } => (write, self.store(slice.name, &slice.spec)),
                    other => panic!("{other:?}"),
                };
                writes += 1;
                events.push_back(Event::Changed(made.clone()));
                events.push_back(Event::Written { write, result: Ok(Some(made)) });
            }
        }
        assert!(controller.is_settled());
        writes
    }
}

/// Thousands of devices are some megabytes of text. Trees of them were most of the work after a wipe.
#[test]
fn slices_are_kept_without_trees_of_them() {
    let mut server = Server::default();
    let mut controller = Controller::new("gpu.example.com", "node-1", true);
    let before = MAPS.get();
    let mut wanted = pool(1000);
    assert_eq!(server.run(&mut controller, Event::Desired(vec![wanted.clone()])), 16);
    // A kubelet that starts removes them all.
    for slice in std::mem::take(&mut server.slices) {
        assert_eq!(server.run(&mut controller, Event::Deleted(slice)), 1);
    }
    assert_eq!(server.slices.len(), 16);
    assert_eq!(server.run(&mut controller, Event::WatchLost), 0);
    // A process that starts finds what another one made.
    let mut controller = Controller::new("gpu.example.com", "node-1", true);
    assert_eq!(server.run(&mut controller, Event::Desired(vec![wanted.clone()])), 0);
    assert_eq!(MAPS.get() - before, 0, "no tree was made");
    // A taint is looked at, and of the other slices none.
    wanted.devices[0].fields.insert("taints".to_owned(), json!([{"key": "a", "effect": "NoSchedule"}]));
    let before = MAPS.get();
    assert_eq!(server.run(&mut controller, Event::Desired(vec![wanted])), 1);
    assert!(MAPS.get() - before <= 2, "{} trees", MAPS.get() - before);
}
