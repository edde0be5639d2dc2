//! Which claims of a search use which devices exclusively.

use smallvec::SmallVec;

#[derive(Debug)]
pub(super) struct Marks {
    /// By position: how many claims use the device.
    counts: SmallVec<[u32; 32]>,
    /// Position and claim, in the order in which they came.
    pairs: SmallVec<[(u32, u32); 8]>,
}

impl Marks {
    pub(super) fn new(positions: u32) -> Self {
        Self { counts: SmallVec::from_elem(0, positions as usize), pairs: SmallVec::new() }
    }

    /// Whether any claim uses the device.
    pub(super) fn any(&self, position: u32) -> bool {
        self.counts[position as usize] > 0
    }

    /// The claims that use the device.
    pub(super) fn of(&self, position: u32) -> impl Iterator<Item = u32> {
        let pairs = if self.any(position) { self.pairs.as_slice() } else { &[] };
        pairs.iter().filter(move |(other, _)| *other == position).map(|(_, claim)| *claim)
    }

    /// Notes that a claim uses the device, once.
    pub(super) fn insert(&mut self, position: u32, claim: u32) {
        if self.of(position).all(|other| other != claim) {
            self.counts[position as usize] += 1;
            self.pairs.push((position, claim));
        }
    }

    pub(super) fn remove(&mut self, position: u32, claim: u32) {
        // The latest is asked for first.
        if let Some(index) = self.pairs.iter().rposition(|pair| *pair == (position, claim)) {
            self.pairs.remove(index);
            self.counts[position as usize] -= 1;
        }
    }
}
