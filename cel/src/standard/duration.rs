//! Durations as Go reads and writes them.

/// Reads a duration such as `1h30m`, `-1.5s` or `300ms`, as Go's `time.ParseDuration` does: its nanoseconds, or
/// nothing where that is an error.
pub fn parse(text: &str) -> Option<i64> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    let mut rest = rest;
    while !rest.is_empty() {
        let whole_end = digits(rest);
        let (whole, after) = rest.split_at(whole_end);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(digits(after)),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let unit_end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let scale: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        total += if whole.is_empty() { 0 } else { i128::from(whole.parse::<u64>().ok()?) * scale };
        total += part_of(fraction, scale);
        if total > i128::from(i64::MAX) + i128::from(negative) {
            return None;
        }
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

fn digits(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())
}

/// `0.fraction` of a unit, cut off below a nanosecond.
fn part_of(fraction: &str, scale: i128) -> i128 {
    let (mut value, mut divisor) = (0_i128, 1_i128);
    // Eighteen digits are more than nanoseconds of an hour need.
    for digit in fraction.bytes().take(18) {
        value = value * 10 + i128::from(digit - b'0');
        divisor *= 10;
    }
    value * scale / divisor
}

/// Writes a duration in seconds, as CEL's `string` does: `5400s`, `0.3s`.
#[expect(clippy::cast_precision_loss, reason = "upstream converts to a double")]
pub(crate) fn to_text(nanoseconds: i64) -> String {
    let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    format!("{}s", seconds as f64 + rest as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::{parse, to_text};

    #[test]
    fn durations_read_as_go_reads_them() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1s", Some(1_000_000_000)),
            ("-1.5h", Some(-5_400_000_000_000)),
            ("1h2m3s4ms5us6ns", Some(3_723_004_005_006)),
            (".5m", Some(30_000_000_000)),
            ("1.s", Some(1_000_000_000)),
            ("+3µs", Some(3_000)),
            ("", None),
            ("-", None),
            (".", None),
            (".s", None),
            ("1", None),
            ("1d", None),
            ("1 s", None),
            ("s", None),
            ("9223372036854775807ns", Some(i64::MAX)),
            ("-9223372036854775808ns", Some(i64::MIN)),
            ("9223372036854775808ns", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn durations_print_in_seconds() {
        assert_eq!(to_text(5_400_000_000_000), "5400s");
        assert_eq!(to_text(-300_000_000), "-0.3s");
        assert_eq!(to_text(1), "0.000000001s");
    }
}
