//! Exact decimal numbers of any size.

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};

/// Numbers whose exact form would need more decimal places than this beyond their own digits are left as
/// they are: nothing useful is that far from one, and hostile exponents must stay cheap.
const MAX_SHIFT: i64 = 1_000;

/// `digits` times 10 to the power of `exponent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    digits: Digits,
    exponent: i64,
}

/// An integer; `Long` only where `Short` does not hold it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Digits {
    Short(i128),
    Long(Box<BigInt>),
}

impl From<BigInt> for Digits {
    fn from(number: BigInt) -> Self {
        match i128::try_from(&number) {
            Ok(short) => Self::Short(short),
            Err(_) => Self::Long(Box::new(number)),
        }
    }
}

impl Digits {
    pub(super) fn to_big(&self) -> BigInt {
        match self {
            Self::Short(short) => BigInt::from(*short),
            Self::Long(long) => (**long).clone(),
        }
    }

    pub(super) fn sign(&self) -> i32 {
        match self {
            Self::Short(short) => i32::from(*short > 0) - i32::from(*short < 0),
            Self::Long(long) if long.sign() == Sign::Minus => -1,
            Self::Long(_) => 1,
        }
    }

    fn negated(&self) -> Self {
        match self {
            Self::Short(short) => match short.checked_neg() {
                Some(negated) => Self::Short(negated),
                None => Self::from(-self.to_big()),
            },
            Self::Long(long) => Self::from(-(**long).clone()),
        }
    }

    fn add(&self, other: &Self) -> Self {
        if let (Self::Short(left), Self::Short(right)) = (self, other)
            && let Some(sum) = left.checked_add(*right)
        {
            return Self::Short(sum);
        }
        Self::from(self.to_big() + other.to_big())
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Short(left), Self::Short(right)) => left.cmp(right),
            _ => self.to_big().cmp(&other.to_big()),
        }
    }

    /// Times 10 to the power of `places`.
    pub(super) fn scaled_up(&self, places: u32) -> Self {
        if let Self::Short(short) = self
            && let Some(power) = 10_i128.checked_pow(places)
            && let Some(scaled) = short.checked_mul(power)
        {
            return Self::Short(scaled);
        }
        Self::from(self.to_big() * BigInt::from(10).pow(places))
    }

    /// Divided by 10 to the power of `places` and cut towards zero; whether nothing was cut.
    fn scaled_down(&self, places: u32) -> (Self, bool) {
        if let Self::Short(short) = self
            && let Some(power) = 10_i128.checked_pow(places)
        {
            return (Self::Short(short / power), short % power == 0);
        }
        let power = BigInt::from(10).pow(places);
        let big = self.to_big();
        let quotient = &big / &power;
        let exact = &quotient * power == big;
        (Self::from(quotient), exact)
    }

    /// Times 2 to the power of `places`.
    pub(super) fn shifted_left(&self, places: u32) -> Self {
        Self::from(self.to_big() << places)
    }

    /// Lower and upper bound of the number of decimal digits; exact for short numbers.
    fn length(&self) -> (i64, i64) {
        match self {
            Self::Short(short) => {
                let length = i64::from(short.unsigned_abs().checked_ilog10().unwrap_or(0)) + 1;
                (length, length)
            }
            Self::Long(long) => {
                // log10(2) lies between 0.30102 and 0.30103.
                let bits = i64::try_from(long.bits()).unwrap_or(i64::MAX / 100_000);
                ((bits - 1) * 30_102 / 100_000, bits * 30_103 / 100_000 + 1)
            }
        }
    }

    /// Takes out factors as long as they divide the number: what is left and how many.
    pub(super) fn without_factors(&self, factor: u32) -> (Self, i64) {
        let mut count = 0;
        if let Self::Short(short) = self {
            let mut rest = *short;
            while rest != 0 && rest % i128::from(factor) == 0 {
                rest /= i128::from(factor);
                count += 1;
            }
            return (Self::Short(rest), count);
        }
        // Large steps first, so that a number of ten thousand zeros does not take ten thousand divisions.
        let mut rest = self.to_big();
        let zero = BigInt::ZERO;
        for step in [4096, 256, 16, 1_u32] {
            let power = BigInt::from(factor).pow(step);
            while rest != zero && &rest % &power == zero {
                rest /= &power;
                count += i64::from(step);
            }
        }
        (Self::from(rest), count)
    }

    /// The low 64 bits of the magnitude with the sign applied, as Go's `Int64` gives for any size.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "truncation is the contract"
    )]
    fn low_bits(&self) -> i64 {
        match self {
            Self::Short(short) => *short as i64,
            Self::Long(long) => {
                let low = long.iter_u64_digits().next().unwrap_or(0) as i64;
                if long.sign() == Sign::Minus { low.wrapping_neg() } else { low }
            }
        }
    }
}

impl Decimal {
    pub(super) fn new(digits: Digits, exponent: i64) -> Self {
        Self { digits, exponent }
    }

    pub(super) fn digits(&self) -> &Digits {
        &self.digits
    }

    pub(super) fn exponent(&self) -> i64 {
        self.exponent
    }

    pub(super) fn sign(&self) -> i32 {
        self.digits.sign()
    }

    pub(super) fn negated(&self) -> Self {
        Self::new(self.digits.negated(), self.exponent)
    }

    /// The number without trailing zeros: the one form all equal numbers share.
    pub(super) fn reduced(&self) -> (Digits, i64) {
        let (digits, count) = self.digits.without_factors(10);
        let exponent = if digits.sign() == 0 { 0 } else { self.exponent + count };
        (digits, exponent)
    }

    /// The same number written with a smaller exponent, unless that takes too many digits.
    fn digits_at(&self, exponent: i64) -> Option<Digits> {
        let places = self.exponent - exponent;
        if self.sign() == 0 || places == 0 {
            return Some(self.digits.clone());
        }
        if places > MAX_SHIFT {
            return None;
        }
        Some(self.digits.scaled_up(u32::try_from(places).ok()?))
    }

    pub(super) fn checked_add(&self, other: &Self) -> Option<Self> {
        // A zero adds nothing, but upstream's sum has the smaller exponent of the two all the same, which the
        // approximate float can show; far apart it makes no difference.
        let exponent = self.exponent.min(other.exponent);
        if self.sign() == 0 && other.digits_at(exponent).is_none() {
            return Some(other.clone());
        }
        if other.sign() == 0 && self.digits_at(exponent).is_none() {
            return Some(self.clone());
        }
        Some(Self::new(self.digits_at(exponent)?.add(&other.digits_at(exponent)?), exponent))
    }

    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let (sign, other_sign) = (self.sign(), other.sign());
        if sign != other_sign || sign == 0 {
            return sign.cmp(&other_sign);
        }
        if self.exponent == other.exponent {
            return self.digits.compare(&other.digits);
        }
        let ((low, high), (other_low, other_high)) = (self.digits.length(), other.digits.length());
        let magnitude = if low + self.exponent > other_high + other.exponent {
            Ordering::Greater
        } else if high + self.exponent < other_low + other.exponent {
            Ordering::Less
        } else {
            // Magnitudes overlap, so the exponents are no further apart than the digits are long.
            let shift = |places: i64| u32::try_from(places).unwrap_or(0);
            let exponent = self.exponent.min(other.exponent);
            return self
                .digits
                .scaled_up(shift(self.exponent - exponent))
                .compare(&other.digits.scaled_up(shift(other.exponent - exponent)));
        };
        if sign < 0 { magnitude.reverse() } else { magnitude }
    }

    /// The same number with exactly this exponent, rounded away from zero, and whether that lost nothing.
    /// Numbers far too large to be written so are left alone.
    pub(super) fn rounded(&self, exponent: i64) -> (Self, bool) {
        if self.exponent >= exponent {
            return match self.digits_at(exponent) {
                Some(digits) => (Self::new(digits, exponent), true),
                None => (self.clone(), true),
            };
        }
        let unit = Digits::Short(i128::from(self.sign()));
        let places = exponent - self.exponent;
        if self.digits.length().1 < places {
            return (Self::new(unit, exponent), self.sign() == 0);
        }
        let (cut, exact) = self.digits.scaled_down(u32::try_from(places).unwrap_or(u32::MAX));
        let digits = if exact { cut } else { cut.add(&unit) };
        (Self::new(digits, exponent), exact)
    }

    /// Upstream's way to an `i64` at a scale: rounds up by adding one to the quotient, also below zero, and
    /// cuts off what does not fit.
    pub(super) fn scaled_value(&self, scale: i64) -> i64 {
        let places = scale - self.exponent;
        if places <= 0 {
            let factor = go_int(power_of_ten(-places));
            return if places == 0 {
                self.digits.low_bits()
            } else {
                self.digits.low_bits().wrapping_mul(factor)
            };
        }
        let short = self.digits.compare(&Digits::Short(i128::from(i64::MAX))) == Ordering::Less;
        if short && places < 19 {
            let divisor = 10_i64.pow(u32::try_from(places).unwrap_or(0));
            let low = self.digits.low_bits();
            return low / divisor + i64::from(low % divisor != 0);
        }
        if self.digits.length().1 < places {
            // Between -1 and 1: the floor is -1 or 0, and a remainder adds one.
            return i64::from(self.sign() > 0);
        }
        let (cut, exact) = self.digits.scaled_down(u32::try_from(places).unwrap_or(u32::MAX));
        let up = !exact && self.sign() > 0;
        cut.low_bits().wrapping_add(i64::from(up))
    }

    pub(super) fn to_float(&self) -> f64 {
        let base = match &self.digits {
            #[expect(clippy::cast_precision_loss, reason = "approximate by contract")]
            Digits::Short(short) => *short as f64,
            Digits::Long(long) => num_to_float(long),
        };
        scale_float(base, self.exponent)
    }
}

/// The nearest float, infinite where it is too large.
fn num_to_float(number: &BigInt) -> f64 {
    // Reading the decimal text is correctly rounded; long digits are rare enough not to mind the detour.
    number.to_string().parse().unwrap_or(f64::NAN)
}

/// `value` times 10 to the power of `places`; for negative `places` rounded away from zero, with whether it
/// was exact. `None` if it does not fit.
pub(super) fn scale_integer(value: i64, places: i64) -> Option<(i64, bool)> {
    if value == 0 {
        return Some((0, true));
    }
    if let Ok(places) = u32::try_from(places) {
        let power = 10_i64.checked_pow(places)?;
        return value.checked_mul(power).map(|scaled| (scaled, true));
    }
    let power = u32::try_from(-places).ok().and_then(|places| 10_i64.checked_pow(places));
    let Some(power) = power else { return Some((value.signum(), false)) };
    let exact = value % power == 0;
    Some((value / power + if exact { 0 } else { value.signum() }, exact))
}

/// `base` times 10 to the power of `exponent` as upstream multiplies it.
pub(super) fn scale_float(base: f64, exponent: i64) -> f64 {
    if exponent == 0 { base } else { base * power_of_ten(exponent) }
}

/// Go's `math.Pow10`: made of two table values, so not always the nearest float.
fn power_of_ten(exponent: i64) -> f64 {
    const STEPS: [f64; 11] = [1e0, 1e32, 1e64, 1e96, 1e128, 1e160, 1e192, 1e224, 1e256, 1e288, f64::INFINITY];
    const NEGATIVE_STEPS: [f64; 11] =
        [1e0, 1e-32, 1e-64, 1e-96, 1e-128, 1e-160, 1e-192, 1e-224, 1e-256, 1e-288, 1e-320];
    const UNITS: [f64; 32] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
        1e18, 1e19, 1e20, 1e21, 1e22, 1e23, 1e24, 1e25, 1e26, 1e27, 1e28, 1e29, 1e30, 1e31,
    ];
    if exponent > 308 {
        return f64::INFINITY;
    }
    if exponent < -323 {
        return 0.0;
    }
    let magnitude = usize::try_from(exponent.unsigned_abs()).unwrap_or(0);
    let (step, unit) = (magnitude / 32, magnitude % 32);
    if exponent >= 0 { STEPS[step] * UNITS[unit] } else { NEGATIVE_STEPS[step] / UNITS[unit] }
}

/// Go's conversion of a float to `int64` on amd64: the least integer where it does not fit.
#[expect(clippy::cast_possible_truncation, reason = "the range is tested")]
fn go_int(number: f64) -> i64 {
    if number < 9_223_372_036_854_775_808.0 { number as i64 } else { i64::MIN }
}
