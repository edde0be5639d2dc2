//! Which claims of a search use which devices exclusively.

use smallvec::SmallVec;

#[derive(Debug)]
pub(super) struct Marks {
    /// By position: whether any claim uses the device.
    marked: SmallVec<[u64; 4]>,
    /// Position and claim, in the order in which they came.
    pairs: SmallVec<[(u32, u32); 8]>,
}

impl Marks {
    pub(super) fn new(positions: u32) -> Self {
        Self {
            marked: SmallVec::from_elem(0, positions.div_ceil(u64::BITS) as usize),
            pairs: SmallVec::new(),
        }
    }

    /// Whether any claim uses the device.
    pub(super) fn any(&self, position: u32) -> bool {
        self.marked[(position / u64::BITS) as usize] & bit(position) != 0
    }

    /// The claims that use the device.
    pub(super) fn of(&self, position: u32) -> impl Iterator<Item = u32> {
        let pairs = if self.any(position) { self.pairs.as_slice() } else { &[] };
        pairs.iter().filter(move |(other, _)| *other == position).map(|(_, claim)| *claim)
    }

    /// Notes that a claim uses the device, once.
    pub(super) fn insert(&mut self, position: u32, claim: u32) {
        if self.of(position).all(|other| other != claim) {
            self.marked[(position / u64::BITS) as usize] |= bit(position);
            self.pairs.push((position, claim));
        }
    }

    pub(super) fn remove(&mut self, position: u32, claim: u32) {
        // The latest is asked for first.
        if let Some(index) = self.pairs.iter().rposition(|pair| *pair == (position, claim)) {
            self.pairs.remove(index);
            if self.pairs.iter().all(|(other, _)| *other != position) {
                self.marked[(position / u64::BITS) as usize] &= !bit(position);
            }
        }
    }
}

/// The bit of a position in its word.
fn bit(position: u32) -> u64 {
    1 << (position % u64::BITS)
}
