//! Parts of timestamps and durations.

use crate::declarations::{Evaluate, Function, Overload, Window};
use crate::error::EvaluationError;
use crate::timestamp::Local;
use crate::types::Type;
use crate::value::Value;

type Evaluated = Result<Value, EvaluationError>;

pub(super) fn functions() -> Vec<Function> {
    let date = |name, utc, zoned, evaluate: Evaluate| {
        Function::new(name, Window::ALWAYS, overloads(utc, zoned, None, evaluate))
    };
    let time = |name, utc, zoned, duration, evaluate: Evaluate| {
        Function::new(name, Window::ALWAYS, overloads(utc, zoned, Some(duration), evaluate))
    };
    vec![
        date("getFullYear", "timestamp_to_year", "timestamp_to_year_with_tz", full_year),
        date("getMonth", "timestamp_to_month", "timestamp_to_month_with_tz", month),
        date("getDayOfYear", "timestamp_to_day_of_year", "timestamp_to_day_of_year_with_tz", day_of_year),
        date("getDayOfMonth", "timestamp_to_day_of_month", "timestamp_to_day_of_month_with_tz", day_of_month),
        date(
            "getDate",
            "timestamp_to_day_of_month_1_based",
            "timestamp_to_day_of_month_1_based_with_tz",
            date_of_month,
        ),
        date("getDayOfWeek", "timestamp_to_day_of_week", "timestamp_to_day_of_week_with_tz", day_of_week),
        time("getHours", "timestamp_to_hours", "timestamp_to_hours_with_tz", "duration_to_hours", hours),
        time(
            "getMinutes",
            "timestamp_to_minutes",
            "timestamp_to_minutes_with_tz",
            "duration_to_minutes",
            minutes,
        ),
        time("getSeconds", "timestamp_to_seconds", "timestamp_to_seconds_tz", "duration_to_seconds", seconds),
        time(
            "getMilliseconds",
            "timestamp_to_milliseconds",
            "timestamp_to_milliseconds_with_tz",
            "duration_to_milliseconds",
            milliseconds,
        ),
    ]
}

fn overloads(
    utc: &'static str,
    zoned: &'static str,
    duration: Option<&'static str>,
    evaluate: Evaluate,
) -> Vec<Overload> {
    let mut all = vec![
        Overload::member(utc, vec![Type::Timestamp], Type::Int, evaluate),
        Overload::member(zoned, vec![Type::Timestamp, Type::String], Type::Int, evaluate),
    ];
    all.extend(duration.map(|id| Overload::member(id, vec![Type::Duration], Type::Int, evaluate)));
    all
}

/// Date and time of a timestamp in the zone of the second operand, UTC without one.
fn zoned(values: &[Value]) -> Result<Local, EvaluationError> {
    let (moment, zone) = match values {
        [Value::Timestamp(moment)] => (moment, ""),
        [Value::Timestamp(moment), Value::String(zone)] => (moment, zone.as_ref()),
        _ => return Err(EvaluationError::no_such_overload("")),
    };
    moment.in_zone(zone).ok_or_else(|| EvaluationError::other(format!("unknown time zone {zone}")))
}

fn part(values: &[Value], part: fn(&Local) -> i64) -> Evaluated {
    zoned(values).map(|moment| Value::Int(part(&moment)))
}

/// A part of a duration, computed as a double and cut off towards zero, or of a timestamp.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the rounding is upstream's; whole and rest are far within the range"
)]
fn part_or_duration(values: &[Value], unit: i64, of: fn(&Local) -> i64) -> Evaluated {
    match values {
        [Value::Duration(nanoseconds)] => {
            let (whole, rest) = (nanoseconds / unit, nanoseconds % unit);
            Ok(Value::Int((whole as f64 + rest as f64 / unit as f64) as i64))
        }
        _ => part(values, of),
    }
}

fn full_year(values: &[Value]) -> Evaluated {
    part(values, |moment| moment.year)
}

fn month(values: &[Value]) -> Evaluated {
    part(values, |moment| i64::from(moment.civil.month()) - 1)
}

fn day_of_year(values: &[Value]) -> Evaluated {
    part(values, |moment| i64::from(moment.civil.day_of_year()) - 1)
}

fn day_of_month(values: &[Value]) -> Evaluated {
    part(values, |moment| i64::from(moment.civil.day()) - 1)
}

fn date_of_month(values: &[Value]) -> Evaluated {
    part(values, |moment| i64::from(moment.civil.day()))
}

fn day_of_week(values: &[Value]) -> Evaluated {
    part(values, |moment| i64::from(moment.civil.weekday().to_sunday_zero_offset()))
}

fn hours(values: &[Value]) -> Evaluated {
    part_or_duration(values, 3_600_000_000_000, |moment| i64::from(moment.civil.hour()))
}

fn minutes(values: &[Value]) -> Evaluated {
    part_or_duration(values, 60_000_000_000, |moment| i64::from(moment.civil.minute()))
}

fn seconds(values: &[Value]) -> Evaluated {
    part_or_duration(values, 1_000_000_000, |moment| i64::from(moment.civil.second()))
}

fn milliseconds(values: &[Value]) -> Evaluated {
    if let [Value::Duration(nanoseconds)] = values {
        return Ok(Value::Int(nanoseconds / 1_000_000));
    }
    part(values, |moment| i64::from(moment.civil.millisecond()))
}
