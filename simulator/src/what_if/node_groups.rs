//! Node groups as the what-ifs use them: a template that turns into nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use drayage_allocator::objects::ResourceSlice;
use drayage_cel::AttributeValue;
use drayage_cluster::objects::{Node, Pod, WorkloadKind};
use drayage_cluster::{Input, LoadErrors, LoadOptions, Snapshot, controllers};
use drayage_crds::{API_VERSION, AttributeBinding, NodeGroup};
use serde_json::{Map, Value, json};

/// A group whose template was read.
#[derive(Clone, Debug)]
pub struct Group {
    /// `metadata.name`
    pub name: String,
    /// `spec.minSize`
    pub min_size: usize,
    /// `spec.maxSize`
    pub max_size: usize,
    /// How many nodes it has.
    pub current_size: usize,
    /// `spec.members`
    pub members: BTreeMap<String, String>,
    /// Price of a node for an hour.
    pub price: Option<f64>,
    /// `spec.zeroOrMax`
    pub zero_or_max: bool,
    /// The node; its name is a stand-in.
    pub node: Node,
    /// Its slices, all of them of the node alone.
    pub slices: Vec<ResourceSlice>,
    /// Pods that it starts with, without those of DaemonSets.
    pub pods: Vec<Pod>,
    bindings: Vec<AttributeBinding>,
}

/// A new node of a group.
#[derive(Clone, Debug)]
pub struct NewNode {
    /// The node.
    pub node: Node,
    /// Its slices, with pools of their own.
    pub slices: Vec<ResourceSlice>,
    /// Pods that run on it from the start: those of the template and of the cluster's DaemonSets. They hold no devices,
    /// as with cluster-autoscaler.
    pub pods: Vec<Pod>,
}

/// Why a group cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// Not our kind or version.
    #[error("`{found}` is not `{API_VERSION} NodeGroup`")]
    Kind {
        /// `apiVersion` and `kind`.
        found: String,
    },
    /// A field has no sensible value.
    #[error("node group `{group}`: `{field}`: {message}")]
    Field {
        /// The group.
        group: String,
        /// The field.
        field: String,
        /// What is wrong.
        message: String,
    },
    /// The template cannot be read.
    #[error("node group `{group}`: the template: {}", errors.faults.first().map_or_else(String::new, ToString::to_string))]
    Template {
        /// The group.
        group: String,
        /// What is wrong with it.
        errors: Box<LoadErrors>,
    },
}

/// Stands for the name that a new node gets.
const STAND_IN: &str = "node-of-template";

impl Group {
    /// Reads the template. `cluster` has the nodes that are members already.
    pub fn new(group: &NodeGroup, cluster: &Snapshot) -> Result<Self, GroupError> {
        if group.api_version != API_VERSION || group.kind != "NodeGroup" {
            let found = format!("{} {}", group.api_version, group.kind);
            return Err(GroupError::Kind { found });
        }
        let name = group.metadata.name.clone();
        let wrong = |field: &str, message: String| GroupError::Field {
            group: name.clone(),
            field: field.to_owned(),
            message,
        };
        let spec = &group.spec;
        if spec.min_size > spec.max_size {
            let message = format!("{} is more than `spec.maxSize` {}", spec.min_size, spec.max_size);
            return Err(wrong("spec.minSize", message));
        }
        if let Some(price) = spec.price_per_hour.filter(|price| !price.is_finite() || *price < 0.0) {
            return Err(wrong("spec.pricePerHour", format!("{price} is no price")));
        }
        let objects = objects(group).map_err(|(field, message)| wrong(&field, message))?;
        let bytes = serde_json::to_vec(&json!({"apiVersion": "v1", "kind": "List", "items": objects}))
            .unwrap_or_default();
        let input = Input::Bytes { name: format!("template of node group `{name}`"), bytes };
        let template = drayage_cluster::load(&[input], LoadOptions::default())
            .map_err(|errors| GroupError::Template { group: name.clone(), errors: Box::new(errors) })?;
        let slices: Vec<ResourceSlice> =
            template.slices.iter().map(|slice| slice.spec.as_ref().clone()).collect();
        if let Some((at, _)) = slices.iter().enumerate().find(|(_, slice)| {
            slice.all_nodes || slice.node_selector.is_some() || slice.per_device_node_selection == Some(true)
        }) {
            let message = "devices of a template must be on its node; cluster-autoscaler makes no others";
            return Err(wrong(&format!("spec.template.resourceSlices[{at}]"), message.to_owned()));
        }
        let [node] = template.nodes.as_slice() else {
            return Err(wrong("spec.template.node", "the template needs one node".to_owned()));
        };
        let is_member = |node: &&Node| {
            !spec.members.is_empty()
                && spec.members.iter().all(|(key, value)| node.metadata.labels.get(key) == Some(value))
        };
        Ok(Self {
            min_size: size(spec.min_size),
            max_size: size(spec.max_size),
            current_size: spec
                .current_size
                .map_or_else(|| cluster.nodes.iter().filter(is_member).count(), size),
            members: spec.members.clone(),
            price: spec.price_per_hour,
            zero_or_max: spec.zero_or_max,
            node: node.clone(),
            slices,
            pods: template.pods.into_iter().map(Arc::unwrap_or_clone).collect(),
            bindings: spec.attribute_bindings.clone(),
            name,
        })
    }

    /// Whether a node of the cluster belongs to the group.
    pub fn has_member(&self, node: &Node) -> bool {
        !self.members.is_empty()
            && self.members.iter().all(|(key, value)| node.metadata.labels.get(key) == Some(value))
    }

    /// How many nodes may still be added.
    pub fn headroom(&self) -> usize {
        self.max_size.saturating_sub(self.current_size)
    }

    /// The new node with this number, counted from 0 for the whole what-if. Names and pools of nodes with different
    /// numbers differ. `cluster` has the DaemonSets.
    pub fn instance(&self, number: usize, cluster: &Snapshot) -> NewNode {
        let name = format!("{}-new-{number}", self.name);
        let mut node = self.node.clone();
        node.metadata.name.clone_from(&name);
        node.metadata.uid = format!("Node:{name}");
        node.metadata.labels.insert("kubernetes.io/hostname".to_owned(), name.clone());
        // A template made from a node that is still starting, or cordoned, does not stand for one that has started.
        node.unschedulable = false;
        node.ready = Some(true);
        let mut slices = self.slices.clone();
        for slice in &mut slices {
            slice.name = format!("{}-{name}", slice.name);
            slice.node_name = Some(name.clone());
            slice.pool.name = format!("{}-{name}", slice.pool.name);
            self.bind(slice, &name, number);
        }
        let mut pods = self.pods.clone();
        pods.extend(daemon_pods(&node, cluster));
        for pod in &mut pods {
            pod.spec.node_name = Some(name.clone());
            pod.metadata.name = format!("{}-{name}", pod.metadata.name);
            pod.metadata.uid = format!("Pod:{}", pod.metadata.full_name());
            // Nothing is allocated for them: cluster-autoscaler forces them in without claims.
            pod.spec.resource_claims.clear();
        }
        NewNode { node, slices, pods }
    }

    /// Sets the attributes that a node only knows of itself.
    fn bind(&self, slice: &mut ResourceSlice, node: &str, number: usize) {
        for binding in &self.bindings {
            if binding.driver.as_ref().is_some_and(|driver| *driver != slice.driver) {
                continue;
            }
            for device in &mut slice.devices {
                let Some(value) = device.attributes.get_mut(&binding.attribute) else { continue };
                let before = match &*value {
                    AttributeValue::String(text) => text.clone(),
                    _ => String::new(),
                };
                let domain = number / size(binding.nodes_per_domain).max(1);
                let text = binding
                    .value
                    .replace("{node}", node)
                    .replace("{index}", &number.to_string())
                    .replace("{domain}", &domain.to_string())
                    .replace("{value}", &before);
                *value = AttributeValue::String(text);
            }
        }
    }
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The objects of a template with the fields that a template need not have. On a fault, the field and what is wrong.
fn objects(group: &NodeGroup) -> Result<Vec<Value>, (String, String)> {
    let template = &group.spec.template;
    let mut objects = Vec::new();
    let mut add = |value: &Value, field: String, api_version: &str, kind: &str, name: String| {
        let Value::Object(fields) = value else {
            return Err((field, "an object is expected".to_owned()));
        };
        let mut fields = fields.clone();
        fields.entry("apiVersion").or_insert_with(|| api_version.into());
        let found = fields.entry("kind").or_insert_with(|| kind.into()).clone();
        if found != kind {
            return Err((format!("{field}.kind"), format!("{found} stands where a {kind} is expected")));
        }
        object_in(&mut fields, "metadata").entry("name").or_insert_with(|| name.into());
        if kind == "ResourceSlice" {
            let spec = object_in(&mut fields, "spec");
            let spans = ["allNodes", "nodeSelector", "perDeviceNodeSelection"];
            if !spans.iter().any(|key| spec.contains_key(*key)) {
                spec.insert("nodeName".to_owned(), STAND_IN.into());
            }
        }
        objects.push(Value::Object(fields));
        Ok(())
    };
    add(&template.node, "spec.template.node".to_owned(), "v1", "Node", STAND_IN.to_owned())?;
    for (at, slice) in template.resource_slices.iter().enumerate() {
        let field = format!("spec.template.resourceSlices[{at}]");
        add(slice, field, "resource.k8s.io/v1", "ResourceSlice", format!("slice-{at}"))?;
    }
    for (at, pod) in template.pods.iter().enumerate() {
        add(pod, format!("spec.template.pods[{at}]"), "v1", "Pod", format!("static-{at}"))?;
    }
    Ok(objects)
}

fn object_in<'m>(fields: &'m mut Map<String, Value>, key: &str) -> &'m mut Map<String, Value> {
    let value = fields.entry(key).or_insert_with(|| Value::Object(Map::new()));
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(fields) => fields,
        _ => unreachable!("made an object above"),
    }
}

/// The pods that the cluster's DaemonSets will have on the node.
fn daemon_pods(node: &Node, cluster: &Snapshot) -> Vec<Pod> {
    let daemon_sets = cluster.workloads.iter().filter(|workload| workload.kind == WorkloadKind::DaemonSet);
    let mut alone = Snapshot {
        nodes: vec![node.clone()],
        workloads: daemon_sets.cloned().collect(),
        ..Snapshot::default()
    };
    controllers::expand_workloads(&mut alone);
    alone.pods.into_iter().map(Arc::unwrap_or_clone).collect()
}
