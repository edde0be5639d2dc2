//! Moments in time, years 1 to 9999.

use std::cmp::Ordering;
use std::fmt;

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

/// Start of the year 1, in seconds since 1970.
const MIN: i64 = -62_135_596_800;
/// The last second of the year 9999.
const MAX: i64 = 253_402_300_799;
const SECONDS_OF_400_YEARS: i64 = 146_097 * 86_400;
const NANOSECONDS: i128 = 1_000_000_000;

/// A moment and the offset from UTC it was written with. Comparison is by the moment alone.
///
/// It covers a few hours more than `jiff::Timestamp`: `9999-12-31T23:59:59Z` is a popular "never".
#[derive(Clone, Copy, Debug)]
pub struct Timestamp {
    seconds: i64,
    nanoseconds: u32,
    offset: i32,
}

/// Date and time of day somewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local {
    /// All but the year.
    pub(crate) civil: DateTime,
    pub(crate) year: i64,
}

impl Timestamp {
    /// A moment in UTC by the seconds since 1970; none outside of the years 1 to 9999.
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        Self::new(seconds, 0, 0)
    }

    fn new(seconds: i64, nanoseconds: u32, offset: i32) -> Option<Self> {
        (MIN..=MAX).contains(&seconds).then_some(Self { seconds, nanoseconds, offset })
    }

    /// Seconds since 1970, rounded down.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    fn total_nanoseconds(self) -> i128 {
        i128::from(self.seconds) * NANOSECONDS + i128::from(self.nanoseconds)
    }

    /// The moment a number of nanoseconds later; none outside of the range.
    pub fn checked_add(self, nanoseconds: i64) -> Option<Self> {
        let total = self.total_nanoseconds() + i128::from(nanoseconds);
        let seconds = i64::try_from(total.div_euclid(NANOSECONDS)).ok()?;
        Self::new(seconds, u32::try_from(total.rem_euclid(NANOSECONDS)).ok()?, self.offset)
    }

    /// The nanoseconds since another moment; none where an `i64` cannot hold them (292 years), or, as in cel-go, those
    /// of the whole seconds, rounded down.
    pub fn checked_since(self, other: Self) -> Option<i64> {
        let seconds = self.seconds.checked_sub(other.seconds)?;
        let nanoseconds = i64::from(self.nanoseconds) - i64::from(other.nanoseconds);
        seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
    }

    /// Whether both are the same moment at the same offset.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self == other && self.offset == other.offset
    }

    /// Whether this is the start of the year 1 in UTC, which Go calls zero.
    pub(crate) fn is_zero(self) -> bool {
        self.seconds == MIN && self.nanoseconds == 0
    }

    /// Date and time of day at an offset from UTC in seconds.
    fn at_offset(self, offset: i32) -> Option<Local> {
        let seconds = self.seconds.checked_add(offset.into())?;
        // The end of the year 9999 is in the year 10000 elsewhere. The calendar repeats every 400 years.
        let beyond = seconds > MAX;
        let within = if beyond { seconds - SECONDS_OF_400_YEARS } else { seconds };
        let local = SignedDuration::new(within, self.nanoseconds.try_into().ok()?);
        let civil = DateTime::constant(1970, 1, 1, 0, 0, 0, 0).checked_add(local).ok()?;
        Some(Local { civil, year: i64::from(civil.year()) + if beyond { 400 } else { 0 } })
    }

    /// Date and time of day in a zone: a name of the IANA database, or an offset such as `-07:30` or `2:00`.
    /// The empty name is UTC.
    pub(crate) fn in_zone(self, zone: &str) -> Option<Local> {
        let offset = match zone.split_once(':') {
            None if zone.is_empty() || zone == "UTC" => 0,
            // The zone of the machine, which is UTC for us.
            None if zone == "Local" => 0,
            None => {
                let found = TimeZoneDatabase::bundled().get(zone).ok()?;
                // Go is strict about upper and lower case.
                if found.iana_name() != Some(zone) {
                    return None;
                }
                self.offset_in(&found).seconds()
            }
            Some((hours, minutes)) => {
                let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
                let minutes = if zone.starts_with('-') { minutes.checked_neg()? } else { minutes };
                hours.checked_mul(60)?.checked_add(minutes)?.checked_mul(60)?
            }
        };
        self.at_offset(offset)
    }

    fn offset_in(self, zone: &TimeZone) -> Offset {
        // Rules do not change in the hours that jiff leaves out.
        let known = jiff::Timestamp::MIN.as_second()..=jiff::Timestamp::MAX.as_second();
        let second = self.seconds.clamp(*known.start(), *known.end());
        jiff::Timestamp::from_second(second).map_or(Offset::UTC, |moment| zone.to_offset(moment))
    }

    /// Reads RFC 3339 as Go does: `2006-01-02T15:04:05`, an optional fraction, then `Z` or an offset.
    /// An error if this is a moment outside of the range.
    pub fn parse(text: &str) -> Option<Result<Self, OutOfRange>> {
        let bytes = text.as_bytes();
        let (date, rest) = bytes.split_at_checked(11)?;
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T'] = date else { return None };
        // Go takes an hour of one digit too.
        let (h1, rest) = match rest {
            [hour, b':', ..] if hour.is_ascii_digit() => (&b'0', rest),
            [tens, ..] => (tens, &rest[1..]),
            [] => return None,
        };
        let (time, mut rest) = rest.split_at_checked(7)?;
        let [h2, b':', n1, n2, b':', s1, s2] = time else { return None };
        let mut nanoseconds = 0;
        if let [b'.' | b',', after @ ..] = rest {
            let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            // Digits beyond nanoseconds are cut off.
            nanoseconds =
                after[..digits.min(9)].iter().fold(0, |sum, byte| sum * 10 + u32::from(byte - b'0'));
            nanoseconds *= 10_u32.pow(u32::try_from(9 - digits.min(9)).ok()?);
            rest = &after[digits..];
        }
        let offset = match rest {
            [b'Z'] => 0,
            [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
                let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
                // Go takes 24 hours and 60 minutes here.
                if hours > 24 || minutes > 60 {
                    return None;
                }
                let offset = i32::from(hours) * 3600 + i32::from(minutes) * 60;
                if *sign == b'-' { -offset } else { offset }
            }
            _ => return None,
        };
        let two = |a: &u8, b: &u8| i8::try_from(number(&[*a, *b])?).ok();
        let date = Date::new(number(&[*y1, *y2, *y3, *y4])?, two(m1, m2)?, two(d1, d2)?).ok()?;
        let time = Time::new(two(h1, h2)?, two(n1, n2)?, two(s1, s2)?, 0).ok()?;
        let seconds = DateTime::from_parts(date, time)
            .duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0))
            .as_secs()
            - i64::from(offset);
        Some(Self::new(seconds, nanoseconds, offset).ok_or(OutOfRange))
    }
}

/// A moment outside of the years 1 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timestamp overflow")]
pub struct OutOfRange;

fn number(digits: &[u8]) -> Option<i16> {
    digits
        .iter()
        .try_fold(0_i16, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i16::from(byte - b'0')))
}

/// RFC 3339 with the offset it was written with and as many digits of the fraction as needed.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.at_offset(self.offset).or_else(|| self.at_offset(0)).ok_or(fmt::Error)?;
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            local.year,
            local.civil.month(),
            local.civil.day(),
            local.civil.hour(),
            local.civil.minute(),
            local.civil.second()
        )?;
        if self.nanoseconds > 0 {
            let digits = format!("{:09}", self.nanoseconds);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        if self.offset == 0 {
            return f.write_str("Z");
        }
        let sign = if self.offset < 0 { '-' } else { '+' };
        let minutes = self.offset.abs() / 60;
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

impl PartialEq for Timestamp {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Timestamp {}

impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timestamp {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.seconds, self.nanoseconds).cmp(&(other.seconds, other.nanoseconds))
    }
}

#[cfg(test)]
mod tests {
    use super::{OutOfRange, Timestamp};

    fn read(text: &str) -> Option<String> {
        Timestamp::parse(text).map(|moment| moment.map_or_else(|error| error.to_string(), |t| t.to_string()))
    }

    #[test]
    fn moments_read_and_print() {
        for text in [
            "1970-01-01T00:00:00Z",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999999999Z",
            "2024-02-29T23:59:59.5+02:30",
            "2024-02-29T23:59:59-11:00",
        ] {
            assert_eq!(read(text).as_deref(), Some(text));
        }
        assert_eq!(read("2024-01-01T00:00:00,50Z").as_deref(), Some("2024-01-01T00:00:00.5Z"));
        assert_eq!(Timestamp::parse("0001-01-01T00:00:00+01:00"), Some(Err(OutOfRange)));
        for text in [
            "",
            "2024-01-01",
            "2024-01-01T00:00:00",
            "2024-01-01 00:00:00Z",
            "2024-02-30T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:60Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00z",
            "2024-01-01T00:00:00+1:00",
            "+024-01-01T00:00:00Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn arithmetic_stays_in_range() {
        let last = Timestamp::parse("9999-12-31T23:59:59Z").and_then(Result::ok).expect("in range");
        assert_eq!(last.checked_add(1_000_000_000), None);
        assert_eq!(
            last.checked_add(-1).map(|t| t.to_string()).as_deref(),
            Some("9999-12-31T23:59:58.999999999Z")
        );
        assert_eq!(last.checked_since(last), Some(0));
        assert_eq!(last.checked_since(Timestamp::from_seconds(0).expect("in range")), None);
    }
}
