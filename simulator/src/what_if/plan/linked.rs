//! Which things hang together.

/// Groups of things by number, each at first alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Linked {
    /// By thing: an earlier one of its group, or itself.
    earlier: Vec<usize>,
}

impl Linked {
    /// So many things.
    pub(super) fn new(count: usize) -> Self {
        Self { earlier: (0..count).collect() }
    }

    /// The first thing of the group.
    pub(super) fn first(&self, mut number: usize) -> usize {
        while let Some(&earlier) = self.earlier.get(number).filter(|earlier| **earlier != number) {
            number = earlier;
        }
        number
    }

    /// Makes one group of those of some things.
    pub(super) fn link(&mut self, numbers: impl IntoIterator<Item = usize>) {
        let mut before = None;
        for number in numbers {
            let first = self.first(number);
            let other = before.map_or(first, |before| self.first(before));
            if let Some(earlier) = self.earlier.get_mut(first.max(other)) {
                *earlier = first.min(other);
            }
            before = Some(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// As if everybody told everybody of the group.
        #[test]
        fn groups_are_what_pairs_lead_to(pairs in prop::collection::vec((0..12_usize, 0..12_usize), 0..16)) {
            let mut linked = Linked::new(12);
            let mut firsts: Vec<usize> = (0..12).collect();
            for (one, other) in pairs {
                linked.link([one, other]);
                let (low, high) = (firsts[one].min(firsts[other]), firsts[one].max(firsts[other]));
                firsts.iter_mut().filter(|first| **first == high).for_each(|first| *first = low);
            }
            prop_assert_eq!((0..12).map(|number| linked.first(number)).collect::<Vec<_>>(), firsts);
        }
    }
}
