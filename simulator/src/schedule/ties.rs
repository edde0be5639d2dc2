//! What a scheduler leaves to chance, and how it is decided here.

use super::nodes::Nodes;
use crate::random::Random;

/// What [`Ties::ByName`] does, for reports.
pub(crate) const TIE_RULE: &str = "of several best nodes the first by name";

/// A rule for ties. A scheduler takes a random one of the best nodes.
#[derive(Clone, Debug, Default)]
pub(crate) enum Ties {
    /// The first by name.
    #[default]
    ByName,
    /// The node of this number if it is among them, else the first by name.
    Wanted(usize),
    /// Any, as a scheduler does.
    Random(Random),
}

impl Ties {
    /// Chooses one of the best nodes.
    pub(crate) fn choose(&mut self, best: &[usize], nodes: &Nodes) -> Option<usize> {
        match self {
            Self::Wanted(wanted) if best.contains(wanted) => return Some(*wanted),
            Self::Random(random) => return best.get(random.below(best.len())).copied(),
            _ => {}
        }
        best.iter().copied().min_by(|&left, &right| nodes.by_name(left, right))
    }

    /// With which of so many the scheduler begins where it begins anywhere: with the first, if not at random.
    pub(crate) fn begin(&mut self, count: usize) -> usize {
        match self {
            Self::Random(random) => random.below(count),
            Self::ByName | Self::Wanted(_) => 0,
        }
    }
}
