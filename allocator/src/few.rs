//! A list that mostly has one entry, which then takes no memory of its own.

use std::ops::{Deref, DerefMut};

/// See the module. Unlike other small lists it is as free in the lifetimes of its entries as a slice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Few<T> {
    #[default]
    None,
    One(T),
    Many(Vec<T>),
}

impl<T> Few<T> {
    pub(crate) fn push(&mut self, entry: T) {
        match self {
            Self::None => *self = Self::One(entry),
            Self::Many(entries) => entries.push(entry),
            Self::One(_) => {
                if let Self::One(first) = std::mem::take(self) {
                    *self = Self::Many(vec![first, entry]);
                }
            }
        }
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(entries) => entries,
        }
    }
}

impl<T> DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::None => &mut [],
            Self::One(entry) => std::slice::from_mut(entry),
            Self::Many(entries) => entries,
        }
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(entries: I) -> Self {
        let mut few = Self::None;
        entries.into_iter().for_each(|entry| few.push(entry));
        few
    }
}

impl<'f, T> IntoIterator for &'f Few<T> {
    type Item = &'f T;
    type IntoIter = std::slice::Iter<'f, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stay_in_order() {
        for count in 0..5 {
            let mut few: Few<u32> = (0..count).collect();
            assert_eq!(few.to_vec(), (0..count).collect::<Vec<u32>>());
            few.iter_mut().for_each(|entry| *entry += 1);
            assert_eq!(few.to_vec(), (1..=count).collect::<Vec<u32>>());
        }
    }
}
