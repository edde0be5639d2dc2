//! Gives equal values one number.

use std::fmt::{self, Debug, Write};
use std::hash::Hasher;
use std::sync::Arc;

use drayage_allocator::persistent::{List, Map};
use rustc_hash::FxHasher;

/// Values by number, each once. Copies share them.
///
/// The objects' types cannot be hashed; their debug text can, and equality decides.
#[derive(Clone, Debug)]
pub(crate) struct Interner<T> {
    values: List<Arc<T>>,
    numbers: Map<u64, Arc<[u32]>>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { values: List::default(), numbers: Map::default() }
    }
}

impl<T: Debug + Eq> Interner<T> {
    /// The number of a value, new if no equal value has one.
    pub(crate) fn intern(&mut self, value: T) -> usize {
        let hash = hash(&value);
        let same_hash = self.numbers.get(&hash);
        let mut found = same_hash.into_iter().flat_map(|numbers| numbers.iter());
        if let Some(&found) = found.find(|&&number| self.values.get(number).is_some_and(|at| **at == value)) {
            return found as usize;
        }
        let others = same_hash.cloned();
        let number = self.values.push(Arc::new(value));
        let numbers: Arc<[u32]> =
            others.iter().flat_map(|numbers| numbers.iter().copied()).chain([number]).collect();
        self.numbers.insert(hash, numbers);
        number as usize
    }

    /// The value of a number.
    pub(crate) fn get(&self, number: usize) -> Option<&Arc<T>> {
        self.values.get(u32::try_from(number).ok()?)
    }
}

struct Hashed(FxHasher);

impl Write for Hashed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

fn hash(value: &impl Debug) -> u64 {
    let mut hashed = Hashed(FxHasher::default());
    // Writing into the hasher cannot fail; a failing `Debug` would only make a poor hash.
    let _ = write!(hashed, "{value:?}");
    hashed.0.finish()
}

#[cfg(test)]
mod tests {
    use super::Interner;

    #[test]
    fn equal_values_share_a_number() {
        let mut interner = Interner::default();
        let numbers = ["a", "b", "a", "c", "b"].map(|text| interner.intern(text.to_owned()));
        assert_eq!(numbers, [0, 1, 0, 2, 1]);
        assert_eq!(interner.get(2).map(|text| text.as_str()), Some("c"));
        assert_eq!(interner.get(3), None);
    }
}
