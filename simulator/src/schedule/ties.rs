//! Which of several best nodes gets the pod.

use super::nodes::Nodes;

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
}

impl Ties {
    /// Chooses one of the best nodes.
    pub(crate) fn choose(&self, best: &[usize], nodes: &Nodes) -> Option<usize> {
        if let Self::Wanted(wanted) = self
            && best.contains(wanted)
        {
            return Some(*wanted);
        }
        best.iter().copied().min_by(|&left, &right| nodes.by_name(left, right))
    }
}
