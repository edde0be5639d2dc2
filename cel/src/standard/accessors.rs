//! Parts of timestamps and durations.

use jiff::civil::DateTime;

use crate::declarations::{Evaluate, Function, Overload, Window};
use crate::error::EvaluationError;
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
fn zoned(values: &[Value]) -> Result<DateTime, EvaluationError> {
    let (moment, zone) = match values {
        [Value::Timestamp(moment)] => (moment, ""),
        [Value::Timestamp(moment), Value::String(zone)] => (moment, zone.as_ref()),
        _ => return Err(EvaluationError::no_such_overload("")),
    };
    moment.in_zone(zone).ok_or_else(|| EvaluationError::other(format!("unknown time zone {zone}")))
}

fn part(values: &[Value], part: fn(&DateTime) -> i64) -> Evaluated {
    zoned(values).map(|moment| Value::Int(part(&moment)))
}

/// A part of a duration, cut off towards zero, or of a timestamp.
fn part_or_duration(values: &[Value], unit: i64, of: fn(&DateTime) -> i64) -> Evaluated {
    match values {
        [Value::Duration(nanoseconds)] => Ok(Value::Int(nanoseconds / unit)),
        _ => part(values, of),
    }
}

fn full_year(values: &[Value]) -> Evaluated {
    part(values, |moment| i64::from(moment.year()))
}

fn month(values: &[Value]) -> Evaluated {
    part(values, |moment| i64::from(moment.month()) - 1)
}

fn day_of_year(values: &[Value]) -> Evaluated {
    part(values, |moment| i64::from(moment.day_of_year()) - 1)
}

fn day_of_month(values: &[Value]) -> Evaluated {
    part(values, |moment| i64::from(moment.day()) - 1)
}

fn date_of_month(values: &[Value]) -> Evaluated {
    part(values, |moment| i64::from(moment.day()))
}

fn day_of_week(values: &[Value]) -> Evaluated {
    part(values, |moment| i64::from(moment.weekday().to_sunday_zero_offset()))
}

fn hours(values: &[Value]) -> Evaluated {
    part_or_duration(values, 3_600_000_000_000, |moment| i64::from(moment.hour()))
}

fn minutes(values: &[Value]) -> Evaluated {
    part_or_duration(values, 60_000_000_000, |moment| i64::from(moment.minute()))
}

fn seconds(values: &[Value]) -> Evaluated {
    part_or_duration(values, 1_000_000_000, |moment| i64::from(moment.second()))
}

fn milliseconds(values: &[Value]) -> Evaluated {
    part_or_duration(values, 1_000_000, |moment| i64::from(moment.millisecond()))
}
