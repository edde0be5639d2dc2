//! What is known of a slice that the server has.

use std::borrow::Cow;

use serde::Deserialize;

use super::{compare::Specification, controller::Slice, digest::Digest};

/// A slice that the server has.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) slice: Slice,
    pub(super) pool: String,
    pub(super) generation: i64,
    /// Driver, node and pool of a slice cannot be changed.
    pub(super) can_be_updated: bool,
    pub(super) digest: Option<Digest>,
    /// Digest of a specification that the server has by this slice, whatever it made of it.
    pub(super) satisfies: Option<Digest>,
}

/// What every slice begins with, as far as it matters here.
#[derive(Default, Deserialize)]
struct Head<'t> {
    #[serde(borrow, default)]
    driver: Cow<'t, str>,
    #[serde(borrow, default, rename = "nodeName")]
    node: Cow<'t, str>,
    #[serde(borrow, default)]
    pool: PoolHead<'t>,
}

#[derive(Default, Deserialize)]
struct PoolHead<'t> {
    #[serde(borrow, default)]
    name: Cow<'t, str>,
    #[serde(default)]
    generation: i64,
}

impl Known {
    /// A slice as the controller of `driver` on `node` sees it.
    pub(super) fn new(slice: Slice, driver: &str, node: &str) -> Self {
        // A head of other types is that of nobody.
        let head: Head<'_> = serde_json::from_str(slice.spec.text()).unwrap_or_default();
        Self {
            pool: head.pool.name.into_owned(),
            generation: head.pool.generation,
            can_be_updated: head.driver == driver && head.node == node,
            digest: Digest::of(slice.spec.text()),
            satisfies: None,
            slice,
        }
    }

    pub(super) fn specification(&self) -> Specification {
        Specification { fields: self.slice.spec.clone(), digest: self.digest }
    }
}

/// What a server made of what it was sent.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) sent: Specification,
    pub(super) stored: Specification,
}
