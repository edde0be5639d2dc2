//! Names that a cluster generates.

use std::collections::BTreeSet;

/// The letters of generated suffixes: no vowels and nothing that looks like another.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

const SUFFIX_LENGTH: u32 = 5;

/// All suffixes there are.
const SUFFIXES: u64 = 27_u64.pow(SUFFIX_LENGTH);

/// Coprime to the number of suffixes, so that consecutive numbers give different suffixes, all over the range.
const STRIDE: u64 = 8_234_567;

/// The API server cuts the base of a generated name so that it has 63 characters with the suffix.
const MAX_BASE: usize = 58;

/// `generateName` completed with five characters, as the API server does, but not at random: they depend on
/// `seed` and `number`, and different numbers below 14 million give different names.
pub fn generated_name(base: &str, seed: &str, number: u64) -> String {
    let base = base.get(..MAX_BASE).unwrap_or(base);
    let mut code = (stable_hash(seed) % SUFFIXES + number % SUFFIXES * STRIDE) % SUFFIXES;
    let mut name = String::with_capacity(base.len() + 5);
    name.push_str(base);
    for _ in 0..SUFFIX_LENGTH {
        name.push(letter(code));
        code /= 27;
    }
    name
}

/// Names that are taken, by namespace.
pub(super) type TakenNames = BTreeSet<(String, String)>;

/// The first generated name from `first` on that is not taken; it is taken afterwards.
pub(super) fn free_name(
    base: &str,
    seed: &str,
    first: u64,
    namespace: &str,
    taken: &mut TakenNames,
) -> String {
    (first..first.saturating_add(SUFFIXES))
        .map(|number| generated_name(base, seed, number))
        .find(|name| taken.insert((namespace.to_owned(), name.clone())))
        .unwrap_or_default()
}

/// A hash of a pod template, written as Deployments write it: about ten letters.
pub(super) fn template_hash(seed: &str) -> String {
    (stable_hash(seed) & 0xFFFF_FFFF).to_string().bytes().map(|digit| letter(u64::from(digit))).collect()
}

fn letter(code: u64) -> char {
    let position = usize::try_from(code % 27).unwrap_or_default();
    ALPHABET.get(position).map_or('x', |byte| char::from(*byte))
}

/// FNV-1a with 64 bits: the same on every machine and in every release.
fn stable_hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_differ_and_fit() {
        let names: BTreeSet<String> =
            (0..20_000).map(|number| generated_name("web-", "Deployment/default/web", number)).collect();
        assert_eq!(names.len(), 20_000);
        assert!(names.iter().all(|name| name.starts_with("web-") && name.len() == 9));
        assert_eq!(generated_name(&"a".repeat(80), "seed", 0).len(), 63);
        assert_eq!(generated_name("web-", "seed", 7), generated_name("web-", "seed", 7));
    }
}
