//! Objects that say the same to a scheduler, without the names of those who run them.
//!
//! Names of objects and namespaces, values of labels and taints, images and UIDs get pseudonyms, the same for the same
//! text wherever it stands. They keep the order of what they stand for, since a scheduler takes the first by name in
//! places. Annotations that nothing depends on, environments, commands, addresses and all other fields without a part
//! in scheduling are dropped.
//!
//! What stays as it is: keys of labels and taints, names of drivers, devices, resources and containers' requests, attributes
//! of devices with their values, and expressions, because answers hang on them.

mod fields;
mod names;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::raw::RawObject;

pub use names::Pseudonyms;

/// Objects under pseudonyms, and what these stand for.
#[derive(Clone, Debug)]
pub struct Anonymised {
    /// The objects, in the order in which they were given.
    pub objects: Vec<Value>,
    /// What stands for what.
    pub pseudonyms: Pseudonyms,
}

/// Puts pseudonyms in the place of names.
pub fn anonymise(objects: &[RawObject]) -> Anonymised {
    let mut gathered = names::Gathered::default();
    let mut values: Vec<Value> = objects.iter().map(|object| object.value.clone()).collect();
    for (object, value) in objects.iter().zip(&mut values) {
        fields::drop_what_nothing_depends_on(&object.object.kind, value);
    }
    for (object, value) in objects.iter().zip(&mut values) {
        fields::visit(&object.object.kind, value, &mut |kind, text| gathered.note(kind, text));
        gathered.note_composites(value);
    }
    let pseudonyms = gathered.pseudonyms();
    for (object, value) in objects.iter().zip(&mut values) {
        fields::visit(&object.object.kind, value, &mut |kind, text| {
            *text = pseudonyms.of(kind, text);
        });
    }
    Anonymised { objects: values, pseudonyms }
}

/// What a text is the name of. Texts of one kind are ordered among each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameKind {
    /// A namespace.
    Namespace,
    /// A node, or a pool, which often has the name of its node.
    Node,
    /// A pod, or a workload, from which pods have their names.
    Workload,
    /// A claim, a claim template, a volume claim.
    Claim,
    /// A device class.
    Class,
    /// A ResourceSlice.
    Slice,
    /// Any other object.
    Object,
    /// A value of a label, a taint or a selector.
    Value,
    /// An image, with its tag.
    Image,
    /// A UID.
    Uid,
    /// A resource, of which only those are changed that are made of a device class.
    Resource,
}

impl NameKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Namespace => "namespace-",
            Self::Node => "node-",
            Self::Workload => "pod-",
            Self::Claim => "claim-",
            Self::Class => "class-",
            Self::Slice => "slice-",
            Self::Object => "object-",
            Self::Value => "value-",
            Self::Image => "image-",
            Self::Uid => "uid-",
            Self::Resource => "",
        }
    }
}

/// Names by kind and what they stand for, for somebody who has to read an answer about pseudonyms.
pub type Table = BTreeMap<&'static str, BTreeMap<String, String>>;
