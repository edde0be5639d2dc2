//! A map and a list whose copies share everything that did not change since.
//!
//! Copying either is one reference count. A change copies the part it touches, and the list of the parts the first
//! time after a copy.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustc_hash::FxHasher;

/// A hash map. The order of its entries never shows.
#[derive(Clone, Debug)]
pub struct Map<K, V> {
    /// Their number is a power of two, or none.
    buckets: Arc<[Bucket<K, V>]>,
    len: usize,
}

/// Entries with their hashes.
type Bucket<K, V> = Arc<Vec<(u64, K, V)>>;

const FIRST_BUCKETS: usize = 16;
/// How many entries a bucket has on average before there are more buckets.
const FULL: usize = 16;

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self { buckets: Arc::from([]), len: 0 }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Map<K, V> {
    /// An empty map with room for so many entries.
    pub fn with_capacity(capacity: usize) -> Self {
        let buckets = capacity.div_ceil(FULL).max(FIRST_BUCKETS).next_power_of_two();
        Self { buckets: std::iter::repeat_n(Bucket::default(), buckets).collect(), len: 0 }
    }

    /// The value of a key.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let hash = hash_of(key);
        let bucket = self.buckets.get(self.bucket_of(hash))?;
        bucket.iter().find(|entry| entry.0 == hash && entry.1.borrow() == key).map(|entry| &entry.2)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a key, to be changed.
    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.get(key)?;
        let hash = hash_of(key);
        let mut entries = self.bucket_mut(hash)?.iter_mut();
        entries.find(|entry| entry.0 == hash && entry.1.borrow() == key).map(|entry| &mut entry.2)
    }

    /// Sets the value of a key; returns the one it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.len >= self.buckets.len() * FULL {
            self.grow();
        }
        let hash = hash_of(&key);
        let bucket = self.bucket_mut(hash)?;
        if let Some(entry) = bucket.iter_mut().find(|entry| entry.0 == hash && entry.1 == key) {
            return Some(std::mem::replace(&mut entry.2, value));
        }
        bucket.push((hash, key, value));
        self.len += 1;
        None
    }

    /// Removes a key; returns its value.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.get(key)?;
        let hash = hash_of(key);
        let bucket = self.bucket_mut(hash)?;
        let position = bucket.iter().position(|entry| entry.0 == hash && entry.1.borrow() == key)?;
        let entry = bucket.swap_remove(position);
        self.len -= 1;
        Some(entry.2)
    }

    fn bucket_of(&self, hash: u64) -> usize {
        // The upper bits of this hash are the better ones.
        usize::try_from(hash >> 32).unwrap_or_default() & self.buckets.len().wrapping_sub(1)
    }

    fn bucket_mut(&mut self, hash: u64) -> Option<&mut Vec<(u64, K, V)>> {
        let bucket = self.bucket_of(hash);
        let bucket = Arc::make_mut(&mut self.buckets).get_mut(bucket)?;
        if bucket.is_empty() && Arc::get_mut(bucket).is_none() {
            *bucket = Arc::new(Vec::with_capacity(FULL / 4));
        }
        Some(Arc::make_mut(bucket))
    }

    fn grow(&mut self) {
        let buckets = (self.buckets.len() * 4).max(FIRST_BUCKETS);
        let old =
            std::mem::replace(&mut self.buckets, std::iter::repeat_n(Bucket::default(), buckets).collect());
        for entry in old.iter().flat_map(|bucket| bucket.iter()) {
            if let Some(bucket) = self.bucket_mut(entry.0) {
                bucket.push(entry.clone());
            }
        }
    }
}

fn hash_of<Q: Hash + ?Sized>(key: &Q) -> u64 {
    let mut hasher = FxHasher::default();
    key.hash(&mut hasher);
    hasher.finish()
}

/// A list that only grows; its entries can be replaced.
#[derive(Clone, Debug)]
pub struct List<T> {
    chunks: Arc<Vec<Arc<Vec<T>>>>,
    len: u32,
}

const CHUNK: u32 = 64;

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { chunks: Arc::default(), len: 0 }
    }
}

impl<T: Clone> List<T> {
    /// The entry at an index.
    pub fn get(&self, index: u32) -> Option<&T> {
        self.chunks.get((index / CHUNK) as usize)?.get((index % CHUNK) as usize)
    }

    /// The entry at an index, to be changed.
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let chunk = Arc::make_mut(&mut self.chunks).get_mut((index / CHUNK) as usize)?;
        Arc::make_mut(chunk).get_mut((index % CHUNK) as usize)
    }

    /// Adds an entry and returns its index.
    pub fn push(&mut self, entry: T) -> u32 {
        let index = self.len;
        let chunks = Arc::make_mut(&mut self.chunks);
        if index.is_multiple_of(CHUNK) {
            chunks.push(Arc::default());
        }
        if let Some(chunk) = chunks.last_mut() {
            Arc::make_mut(chunk).push(entry);
        }
        // Entries take more than a byte each, so a list of this length fits no memory.
        self.len = index.checked_add(1).expect("a list has less than 2^32 entries");
        index
    }

    /// How many entries there are.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entries in their order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_do_not_see_later_changes() {
        let mut map: Map<String, u32> = Map::default();
        for number in 0..1_000 {
            assert_eq!(map.insert(number.to_string(), number), None);
        }
        let copy = map.clone();
        assert_eq!(map.insert("7".to_owned(), 0), Some(7));
        assert_eq!(map.remove("8"), Some(8));
        assert_eq!(map.remove("8"), None);
        assert_eq!((map.get("7"), map.get("8"), map.get("9")), (Some(&0), None, Some(&9)));
        assert_eq!((copy.get("7"), copy.get("8"), copy.get("9")), (Some(&7), Some(&8), Some(&9)));
        assert_eq!(Map::<String, u32>::default().get("7"), None);
    }

    #[test]
    fn lists_keep_their_order() {
        let mut list = List::default();
        let indices: Vec<u32> = (0..200).map(|number| list.push(number)).collect();
        assert_eq!(indices, (0..200).collect::<Vec<u32>>());
        let copy = list.clone();
        *list.get_mut(100).unwrap() = 0;
        assert_eq!((list.get(100), copy.get(100), copy.get(200)), (Some(&0), Some(&100), None));
        assert_eq!(copy.iter().copied().collect::<Vec<u32>>(), indices);
    }
}
