//! Gives equal values one number.

use std::fmt::{self, Debug, Write};
use std::hash::Hasher;

use rustc_hash::{FxHashMap, FxHasher};

/// Values by number, each once.
///
/// The objects' types cannot be hashed; their debug text can, and equality decides.
#[derive(Debug)]
pub(crate) struct Interner<T> {
    values: Vec<T>,
    numbers: FxHashMap<u64, Vec<u32>>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { values: Vec::new(), numbers: FxHashMap::default() }
    }
}

impl<T: Debug + Eq> Interner<T> {
    /// The number of a value, new if no equal value has one.
    pub(crate) fn intern(&mut self, value: T) -> usize {
        let same_hash = self.numbers.entry(hash(&value)).or_default();
        if let Some(&found) =
            same_hash.iter().find(|&&number| self.values.get(number as usize) == Some(&value))
        {
            return found as usize;
        }
        let number = self.values.len();
        same_hash.push(u32::try_from(number).unwrap_or(u32::MAX));
        self.values.push(value);
        number
    }

    /// The value of a number.
    pub(crate) fn get(&self, number: usize) -> Option<&T> {
        self.values.get(number)
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
        assert_eq!(interner.get(2).map(String::as_str), Some("c"));
        assert_eq!(interner.get(3), None);
    }
}
