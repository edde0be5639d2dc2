//! Parts of timestamps and durations.

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

/// A timestamp in the zone of the second operand, UTC without one.
fn zoned(values: &[Value]) -> Result<jiff::Zoned, EvaluationError> {
    match values {
        [Value::Timestamp(moment)] => Ok(moment.to_zoned(jiff::tz::TimeZone::UTC)),
        [Value::Timestamp(moment), Value::String(zone)] => Ok(moment.to_zoned(time_zone(zone)?)),
        _ => Err(EvaluationError::no_such_overload("")),
    }
}

/// A zone of the IANA database, or an offset such as `-07:30` or `2:00`.
fn time_zone(name: &str) -> Result<jiff::tz::TimeZone, EvaluationError> {
    let unknown = || EvaluationError::other(format!("unknown time zone {name}"));
    let Some((hours, minutes)) = name.split_once(':') else {
        return match name {
            "" | "UTC" => Ok(jiff::tz::TimeZone::UTC),
            _ => jiff::tz::TimeZoneDatabase::bundled().get(name).map_err(|_| unknown()),
        };
    };
    let (hours, minutes): (i32, i32) =
        (hours.parse().map_err(|_| unknown())?, minutes.parse().map_err(|_| unknown())?);
    let minutes = if name.starts_with('-') { minutes.checked_neg() } else { Some(minutes) };
    let seconds = hours
        .checked_mul(60)
        .and_then(|total| total.checked_add(minutes?))
        .and_then(|total| total.checked_mul(60))
        .ok_or_else(unknown)?;
    jiff::tz::Offset::from_seconds(seconds).map(jiff::tz::Offset::to_time_zone).map_err(|_| unknown())
}

fn part(values: &[Value], part: fn(&jiff::Zoned) -> i64) -> Evaluated {
    zoned(values).map(|moment| Value::Int(part(&moment)))
}

/// A part of a duration, cut off towards zero, or of a timestamp.
fn part_or_duration(values: &[Value], unit: i64, of: fn(&jiff::Zoned) -> i64) -> Evaluated {
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
