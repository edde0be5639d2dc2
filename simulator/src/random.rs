//! Numbers from a seed: the same everywhere, for samples, possible worlds and the expander `random`.

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, each as likely as the others to within 2^-64; 0 for the bound 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.next_number()) * (bound as u128);
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// `count` different numbers below `bound`, ascending; all of them if there are not more.
    pub fn choose(&mut self, count: usize, bound: usize) -> Vec<usize> {
        // Floyd's method: as many draws as numbers.
        let mut chosen = std::collections::BTreeSet::new();
        for last in bound.saturating_sub(count)..bound {
            let drawn = self.below(last + 1);
            if !chosen.insert(drawn) {
                chosen.insert(last);
            }
        }
        chosen.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_the_published_generator() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next_number(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_number(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn choices_are_different_and_all_occur() {
        let mut random = Random::new(1);
        let mut seen = [0; 5];
        for _ in 0..1000 {
            let chosen = random.choose(2, 5);
            assert_eq!(chosen.len(), 2);
            assert!(chosen[0] < chosen[1]);
            for at in chosen {
                seen[at] += 1;
            }
        }
        assert!(seen.iter().all(|&count| (330..470).contains(&count)), "{seen:?}");
        assert_eq!(random.choose(9, 3), [0, 1, 2]);
    }
}
