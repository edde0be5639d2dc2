//! A list of what was computed once, which grows behind a shared reference.

use std::sync::OnceLock;

/// Entries computed on demand. What an entry is must follow from what it is looked up by, so that it does not
/// matter who computes it, nor whether one is computed twice.
#[derive(Debug)]
pub(crate) struct Remembered<T>(OnceLock<Box<Entry<T>>>);

#[derive(Debug)]
struct Entry<T> {
    value: T,
    next: Remembered<T>,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Remembered<T> {
    /// The first entry that `is_wanted`; computed and added where there is none.
    pub(crate) fn get(&self, is_wanted: impl Fn(&T) -> bool, compute: impl FnOnce() -> T) -> &T {
        let mut list = self;
        while let Some(entry) = list.0.get() {
            if is_wanted(&entry.value) {
                return &entry.value;
            }
            list = &entry.next;
        }
        let mut added = Box::new(Entry { value: compute(), next: Self::default() });
        loop {
            match list.0.set(added) {
                Ok(()) => break,
                // Somebody else added an entry meanwhile.
                Err(back) => added = back,
            }
            match list.0.get() {
                Some(entry) if is_wanted(&entry.value) => return &entry.value,
                Some(entry) => list = &entry.next,
                None => {}
            }
        }
        &list.0.get().expect("the entry was set just now").value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_is_made_once() {
        let list = Remembered::default();
        let mut made = 0;
        for wanted in [1, 2, 1, 3, 2] {
            let found = list.get(
                |entry| *entry == wanted,
                || {
                    made += 1;
                    wanted
                },
            );
            assert_eq!(*found, wanted);
        }
        assert_eq!(made, 3);
    }
}
