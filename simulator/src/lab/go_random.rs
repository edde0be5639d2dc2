//! Go's `math/rand`: the additive lagged Fibonacci generator x(n) = x(n-607) + x(n-273) modulo 2^64.
//!
//! A study that was run with a seeded Go program is repeated exactly only with the same numbers. Go starts its
//! generator from a table: the state that the generator reaches after 7.8e12 steps from a simple seed. The table
//! is not copied here but computed, by raising x to that power modulo the polynomial of the recurrence.

/// Length of the state.
const LENGTH: usize = 607;
/// Distance between the two places that are added.
const TAP: usize = 273;
/// The recurrence in the order in which places are written: s(n+607) = s(n) + s(n+334).
const LAG: usize = LENGTH - TAP;
/// Steps from the simple seed to the table.
const WARM_UP: u64 = 7_800_000_000_000;
/// The modulus of the seeding generator, a Mersenne prime.
const MODULUS: i64 = (1 << 31) - 1;

/// The table that seeds are mixed with. Computing it takes some milliseconds; keep it for many generators.
#[derive(Clone, Debug)]
pub struct GoRandomTable {
    values: Vec<u64>,
}

impl Default for GoRandomTable {
    fn default() -> Self {
        Self::new()
    }
}

impl GoRandomTable {
    /// Computes the table.
    pub fn new() -> Self {
        // The simple seed shifts by 20 and 10 bits, where seeding later shifts by 40 and 20.
        let state = seeded(1, 20, 10);
        // The place written by step n, counted from 0, is (333 - n) modulo 607; before, that place holds s(n).
        let place = |step: u64| {
            let offset = usize::try_from(step % LENGTH as u64).unwrap_or(0);
            (LAG - 1 + LENGTH - offset) % LENGTH
        };
        let mut sequence: Vec<u64> =
            (0..LENGTH as u64).map(|step| state.get(place(step)).copied().unwrap_or(0)).collect();
        for step in 0..LENGTH {
            let next = sequence[step].wrapping_add(sequence[step + LAG]);
            sequence.push(next);
        }
        let power = power_of_x(WARM_UP);
        let mut values = vec![0; LENGTH];
        for ahead in 0..LENGTH {
            let value = power
                .iter()
                .zip(&sequence[ahead..])
                .fold(0_u64, |sum, (factor, term)| sum.wrapping_add(factor.wrapping_mul(*term)));
            values[place(WARM_UP + ahead as u64)] = value;
        }
        Self { values }
    }

    /// A generator as after `rand.Seed(seed)`.
    pub fn generator(&self, seed: i64) -> GoRandom {
        let mut state = seeded(seed, 40, 20);
        for (word, mixed) in state.iter_mut().zip(&self.values) {
            *word ^= mixed;
        }
        GoRandom { state, tap: 0, feed: LAG }
    }
}

/// The state that a linear congruential generator fills, three numbers for each word.
fn seeded(seed: i64, high: u32, middle: u32) -> Vec<u64> {
    let mut x = seed % MODULUS;
    if x < 0 {
        x += MODULUS;
    }
    if x == 0 {
        x = 89_482_311;
    }
    let mut next = || {
        x = x * 48_271 % MODULUS;
        x.cast_unsigned()
    };
    for _ in 0..20 {
        next();
    }
    (0..LENGTH).map(|_| (next() << high) ^ (next() << middle) ^ next()).collect()
}

/// The coefficients of x^exponent modulo x^607 - x^334 - 1, lowest first, modulo 2^64.
fn power_of_x(exponent: u64) -> Vec<u64> {
    let mut power = vec![0_u64; LENGTH];
    power[0] = 1;
    for bit in (0..u64::BITS - exponent.leading_zeros()).rev() {
        let mut product = vec![0_u64; 2 * LENGTH];
        for (shift, factor) in power.iter().enumerate().filter(|(_, factor)| **factor != 0) {
            for (sum, other) in product[shift..].iter_mut().zip(&power) {
                *sum = sum.wrapping_add(factor.wrapping_mul(*other));
            }
        }
        if exponent >> bit & 1 == 1 {
            product.rotate_right(1);
        }
        for high in (LENGTH..2 * LENGTH).rev() {
            let carried = std::mem::take(&mut product[high]);
            product[high - LENGTH] = product[high - LENGTH].wrapping_add(carried);
            product[high - LENGTH + LAG] = product[high - LENGTH + LAG].wrapping_add(carried);
        }
        product.truncate(LENGTH);
        power = product;
    }
    power
}

/// A generator with the methods and numbers of Go's `math/rand`.
#[derive(Clone, Debug)]
pub struct GoRandom {
    state: Vec<u64>,
    tap: usize,
    feed: usize,
}

impl GoRandom {
    fn next(&mut self) -> u64 {
        self.tap = self.tap.checked_sub(1).unwrap_or(LENGTH - 1);
        self.feed = self.feed.checked_sub(1).unwrap_or(LENGTH - 1);
        let sum = self.state[self.feed].wrapping_add(self.state[self.tap]);
        self.state[self.feed] = sum;
        sum
    }

    /// `Int63`: 63 random bits.
    pub fn int63(&mut self) -> u64 {
        self.next() & (u64::MAX >> 1)
    }

    /// `Float64`: a number from 0 to below 1.
    #[expect(clippy::cast_precision_loss, reason = "Go rounds as well")]
    pub fn float64(&mut self) -> f64 {
        loop {
            let value = self.int63() as f64 / (1_u64 << 63) as f64;
            if value < 1.0 {
                return value;
            }
        }
    }

    /// `Intn` for what fits 31 bits: a number from 0 to below `count`; 0 for a count of 0, where Go panics.
    pub fn below(&mut self, count: usize) -> usize {
        let Some(bound) =
            u32::try_from(count).ok().filter(|&bound| bound > 0 && i32::try_from(bound).is_ok())
        else {
            return 0;
        };
        let mut draw = || (self.int63() >> 32) as u32;
        let value = if bound.is_power_of_two() {
            draw() & (bound - 1)
        } else {
            let most = (1 << 31) - 1 - (1_u32 << 31) % bound;
            loop {
                let value = draw();
                if value <= most {
                    break value % bound;
                }
            }
        };
        value as usize
    }

    /// `Shuffle`.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below_by_product(last + 1);
            items.swap(last, other);
        }
    }

    /// As Go's own shuffle draws: the high half of a product, with rare repetitions.
    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    fn below_by_product(&mut self, count: usize) -> usize {
        let bound = u32::try_from(count).unwrap_or(u32::MAX);
        let mut draw = || (self.int63() >> 31) as u32;
        let mut product = u64::from(draw()) * u64::from(bound);
        if (product as u32) < bound {
            let threshold = bound.wrapping_neg() % bound;
            while (product as u32) < threshold {
                product = u64::from(draw()) * u64::from(bound);
            }
        }
        (product >> 32) as usize
    }

    /// `Perm`: the numbers from 0 to below `count` in random order.
    pub fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut order = Vec::with_capacity(count);
        for next in 0..count {
            let place = self.below(next + 1);
            order.push(next);
            order.swap(place, next);
        }
        order
    }
}
