//! What the slices of a pool are to hold.

use std::sync::Arc;

use super::{
    digest::Digest,
    layout::{SliceContent, spec},
};
use crate::devices::Fields;

/// What a slice is to hold, with the digest of that part of its specification.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) slice: SliceContent,
    digest: Option<Digest>,
}

impl Content {
    /// Digest of the whole specification.
    pub(super) fn with(&self, head: Option<Digest>) -> Option<Digest> {
        Some(head?.and(self.digest?))
    }
}

/// What the slices of a pool are to hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    pub(super) slices: Arc<[Content]>,
    /// Whether the pool has changed since.
    pub(super) outdated: bool,
}

impl Contents {
    /// Most of a pool is as it was `before`.
    pub(super) fn new(slices: Vec<SliceContent>, before: Option<&Self>) -> Self {
        let content = |(place, slice): (usize, SliceContent)| {
            let known =
                before.and_then(|before| before.slices.get(place)).filter(|known| known.slice == slice);
            let digest = match known {
                Some(known) => known.digest,
                None => Digest::of(spec(&Fields::default(), &slice).text()),
            };
            Content { slice, digest }
        };
        Self { slices: slices.into_iter().enumerate().map(content).collect(), outdated: false }
    }
}
