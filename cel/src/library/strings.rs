//! cel-go's `ext.Strings` in version 2, from 1.29 (version 0 before, which no release here has).
//!
//! Positions count characters.

use super::arguments::{MAX_TEXT, int, list, string, text_result};
use super::costs::{
    actual_size, estimate_text, estimate_text_result, estimate_value, size, traverse_text,
    traverse_text_twice, traverse_value,
};
use crate::declarations::{
    CallEstimate, CostEstimate, Evaluate, Function, Operand, Overload, STRING_TRAVERSAL, SizeEstimate,
    Window, scale,
};
use crate::error::EvaluationError;
use crate::types::Type;
use crate::value::Value;

type Answer = Result<Value, EvaluationError>;

pub(super) fn functions() -> Vec<Function> {
    use Type::{Int, String};
    let function = |name, overloads| Function::new(name, Window::since(29), overloads);
    let strings = || Type::list(String);
    let changing = |overload: Overload| overload.costing_by_name(estimate_text_result, traverse_text);
    let replacing = |overload: Overload| overload.costing_by_name(estimate_replace, traverse_text_twice);
    let splitting = |overload: Overload| overload.costing_by_name(estimate_split, traverse_text_twice);
    let joining = |overload: Overload| overload.costing_by_name(estimate_join, cost_of_join);
    let mut all = searches();
    all.extend([
        function("charAt", vec![Overload::member("string_char_at_int", vec![String, Int], String, char_at)]),
        function(
            "lowerAscii",
            vec![changing(Overload::member("string_lower_ascii", vec![String], String, lower))],
        ),
        function(
            "replace",
            vec![
                replacing(Overload::member(
                    "string_replace_string_string",
                    vec![String, String, String],
                    String,
                    replace,
                )),
                replacing(Overload::member(
                    "string_replace_string_string_int",
                    vec![String, String, String, Int],
                    String,
                    replace,
                )),
            ],
        ),
        function(
            "split",
            vec![
                splitting(Overload::member("string_split_string", vec![String, String], strings(), split)),
                splitting(Overload::member(
                    "string_split_string_int",
                    vec![String, String, Int],
                    strings(),
                    split,
                )),
            ],
        ),
        function(
            "substring",
            vec![
                changing(Overload::member("string_substring_int", vec![String, Int], String, substring)),
                changing(Overload::member(
                    "string_substring_int_int",
                    vec![String, Int, Int],
                    String,
                    substring,
                )),
            ],
        ),
        function("trim", vec![changing(Overload::member("string_trim", vec![String], String, trim))]),
        function(
            "upperAscii",
            vec![changing(Overload::member("string_upper_ascii", vec![String], String, upper))],
        ),
        function(
            "strings.quote",
            vec![
                Overload::global("strings_quote", vec![String], String, quote)
                    .costing(estimate_quote, traverse_text),
            ],
        ),
        function(
            "join",
            vec![
                joining(Overload::member("list_join", vec![strings()], String, join)),
                joining(Overload::member("list_join_string", vec![strings(), String], String, join)),
            ],
        ),
    ]);
    all
}

/// `indexOf` and `lastIndexOf`. An empty text is found at any position up to 1.36; from 1.37 on, with cel-go 0.29,
/// within the text only.
fn searches() -> Vec<Function> {
    let searching = |id, offset: bool, evaluate| {
        let mut parameters = vec![Type::String, Type::String];
        parameters.extend(offset.then_some(Type::Int));
        Overload::member(id, parameters, Type::Int, evaluate).costing_by_name(estimate_value, traverse_value)
    };
    let first = |evaluate| {
        vec![
            searching("string_index_of_string", false, evaluate),
            searching("string_index_of_string_int", true, evaluate),
        ]
    };
    let last = |evaluate| {
        vec![
            searching("string_last_index_of_string", false, evaluate),
            searching("string_last_index_of_string_int", true, evaluate),
        ]
    };
    // The first one that exists counts.
    vec![
        Function::new("indexOf", Window::since_0_29(), first(|values| within(values, index_of))),
        Function::new("lastIndexOf", Window::since_0_29(), last(|values| within(values, last_index_of))),
        Function::new("indexOf", Window::since(29), first(index_of)),
        Function::new("lastIndexOf", Window::since(29), last(last_index_of)),
    ]
}

/// Keeps the position of an empty text within the text that is searched.
fn within(values: &[Value], search: Evaluate) -> Answer {
    let text = string(values, 0)?;
    match search(values)? {
        Value::Int(found) if string(values, 1)?.is_empty() => {
            if found < 0 {
                return Err(out_of_range(found));
            }
            Ok(Value::Int(found.min(character_position(text, text.len()))))
        }
        other => Ok(other),
    }
}

fn out_of_range(index: i64) -> EvaluationError {
    EvaluationError::other(format!("index out of range: {index}"))
}

/// The byte at which the character at `index` starts, the end of the text included.
fn byte_position(text: &str, index: i64) -> Option<usize> {
    let index = usize::try_from(index).ok()?;
    text.char_indices().map(|(position, _)| position).chain([text.len()]).nth(index)
}

/// The position in characters of a byte.
fn character_position(text: &str, byte: usize) -> i64 {
    let characters = text.get(..byte).unwrap_or(text).chars().count();
    i64::try_from(characters).unwrap_or(i64::MAX)
}

fn char_at(values: &[Value]) -> Answer {
    let (text, index) = (string(values, 0)?, int(values, 1)?);
    let position = byte_position(text, index).ok_or_else(|| out_of_range(index))?;
    let found = text.get(position..).and_then(|rest| rest.chars().next());
    Ok(Value::string(found.map(String::from).unwrap_or_default()))
}

fn index_of(values: &[Value]) -> Answer {
    let (text, part) = (string(values, 0)?, string(values, 1)?);
    let offset = if values.len() > 2 { int(values, 2)? } else { 0 };
    if part.is_empty() {
        return Ok(Value::Int(offset));
    }
    if offset < 0 {
        return Err(out_of_range(offset));
    }
    let found = byte_position(text, offset)
        .and_then(|start| Some(start + text.get(start..)?.find(part)?))
        .map_or(-1, |byte| character_position(text, byte));
    Ok(Value::Int(found))
}

fn last_index_of(values: &[Value]) -> Answer {
    let (text, part) = (string(values, 0)?, string(values, 1)?);
    let length = character_position(text, text.len());
    let offset = if values.len() > 2 { Some(int(values, 2)?) } else { None };
    if part.is_empty() {
        return Ok(Value::Int(offset.unwrap_or(length)));
    }
    let last = match offset {
        Some(offset) if offset < 0 => return Err(out_of_range(offset)),
        Some(offset) if offset >= length => return Ok(Value::Int(-1)),
        Some(offset) => offset,
        None => length,
    };
    // The match may start at `last`, so its end counts in.
    let end = byte_position(text, last).unwrap_or(text.len()).saturating_add(part.len());
    let found = text.get(..text.floor_char_boundary(end)).and_then(|searched| searched.rfind(part));
    Ok(Value::Int(found.map_or(-1, |byte| character_position(text, byte))))
}

fn lower(values: &[Value]) -> Answer {
    Ok(Value::string(string(values, 0)?.to_ascii_lowercase()))
}

fn upper(values: &[Value]) -> Answer {
    Ok(Value::string(string(values, 0)?.to_ascii_uppercase()))
}

fn trim(values: &[Value]) -> Answer {
    Ok(Value::string(string(values, 0)?.trim()))
}

fn replace(values: &[Value]) -> Answer {
    let (text, old, new) = (string(values, 0)?, string(values, 1)?, string(values, 2)?);
    let limit = if values.len() > 3 { int(values, 3)? } else { -1 };
    // A negative limit is none.
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let found = text.matches(old).take(limit).count() as u64;
    if found.saturating_mul(new.len() as u64) > MAX_TEXT {
        return Err(EvaluationError::TooLarge);
    }
    text_result(text.replacen(old, new, limit))
}

fn split(values: &[Value]) -> Answer {
    let (text, separator) = (string(values, 0)?, string(values, 1)?);
    let limit = if values.len() > 2 { int(values, 2)? } else { -1 };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if limit == 0 {
        return Value::list(vec![]);
    }
    if !separator.is_empty() {
        return Value::strings(text.splitn(limit, separator));
    }
    // An empty separator splits into characters; the last of a limited number keeps the rest.
    let mut parts = vec![];
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if parts.len() + 1 == limit { rest.len() } else { first.len_utf8() };
        let (part, after) = rest.split_at(length);
        parts.push(part);
        rest = after;
    }
    Value::strings(parts)
}

fn substring(values: &[Value]) -> Answer {
    let (text, start) = (string(values, 0)?, int(values, 1)?);
    if values.len() == 2 {
        let position = byte_position(text, start).ok_or_else(|| out_of_range(start))?;
        return Ok(Value::string(text.get(position..).unwrap_or_default()));
    }
    let end = int(values, 2)?;
    if start > end {
        return Err(EvaluationError::other(format!("invalid substring range. start: {start}, end: {end}")));
    }
    let from = byte_position(text, start).ok_or_else(|| out_of_range(start))?;
    let to = byte_position(text, end).ok_or_else(|| out_of_range(end))?;
    Ok(Value::string(text.get(from..to).unwrap_or_default()))
}

fn quote(values: &[Value]) -> Answer {
    let mut quoted = String::from("\"");
    for character in string(values, 0)?.chars() {
        match character {
            '\u{7}' => quoted.push_str(r"\a"),
            '\u{8}' => quoted.push_str(r"\b"),
            '\u{C}' => quoted.push_str(r"\f"),
            '\n' => quoted.push_str(r"\n"),
            '\r' => quoted.push_str(r"\r"),
            '\t' => quoted.push_str(r"\t"),
            '\u{B}' => quoted.push_str(r"\v"),
            '\\' => quoted.push_str(r"\\"),
            '"' => quoted.push_str("\\\""),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    text_result(quoted)
}

fn join(values: &[Value]) -> Answer {
    let separator = if values.len() > 1 { string(values, 1)? } else { "" };
    let mut joined = String::new();
    for (position, item) in list(values, 0)?.iter().enumerate() {
        let Value::String(text) = item else {
            return Err(EvaluationError::other(format!("join: invalid input: {item}")));
        };
        if position > 0 {
            joined.push_str(separator);
        }
        joined.push_str(text);
        if joined.len() as u64 > MAX_TEXT {
            return Err(EvaluationError::TooLarge);
        }
    }
    Ok(Value::string(joined))
}

fn estimate_quote(operands: &[Operand<'_>]) -> CallEstimate {
    let text = size(operands, 0);
    // Two quotes, and at most every character escaped. An unknown size wraps around upstream too.
    let result =
        SizeEstimate { min: text.min.wrapping_add(2), max: text.max.wrapping_mul(2).wrapping_add(2) };
    CallEstimate { result_size: Some(result), ..estimate_text(operands) }
}

fn estimate_split(operands: &[Operand<'_>]) -> CallEstimate {
    let text = size(operands, 0);
    let limit = operands.get(2).and_then(|limit| limit.int_literal);
    // A negative literal, which means no limit, becomes a huge number upstream too.
    let max = limit.map_or(text.max, i64::cast_unsigned);
    CallEstimate::sized(text.scaled(2.0 * STRING_TRAVERSAL), SizeEstimate { min: 0, max })
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "computed in doubles upstream"
)]
fn divide_up(value: u64, divisor: u64) -> u64 {
    (value as f64 / divisor as f64).ceil() as u64
}

/// The result is longest if the shortest old text is replaced by the longest new one as often as it fits, and
/// shortest the other way round. Upstream leaves the rest of the text out of the sum.
fn estimate_replace(operands: &[Operand<'_>]) -> CallEstimate {
    let (text, old, new) = (size(operands, 0), size(operands, 1), size(operands, 2));
    let (max_count, max_retained) = if old.min == 0 {
        (text.max.saturating_add(1), text.max)
    } else if new.max <= old.min {
        (0, text.max)
    } else {
        (divide_up(text.max, old.min), 0)
    };
    let (min_count, min_retained) = if old.max == 0 {
        (text.min.saturating_add(1), text.min)
    } else if old.max <= new.min {
        (0, text.min)
    } else {
        (divide_up(text.min, old.max), 0)
    };
    let count = SizeEstimate { min: min_count, max: max_count };
    let retained = SizeEstimate { min: min_retained, max: max_retained };
    CallEstimate::sized(text.scaled(2.0 * STRING_TRAVERSAL), count.times(new).plus(retained))
}

fn estimate_join(operands: &[Operand<'_>]) -> CallEstimate {
    let list = size(operands, 0);
    let mut result = SizeEstimate::fixed(0);
    if let Some((_, element_size)) = operands.first().and_then(|operand| operand.element) {
        result = list.times(element_size.unwrap_or(SizeEstimate::UNKNOWN));
    }
    if operands.len() > 1 {
        let separators = CostEstimate { min: list.min.saturating_sub(1), max: list.max.saturating_sub(1) };
        result = result.plus(size(operands, 1).times(separators));
    }
    CallEstimate::sized(result.scaled(STRING_TRAVERSAL), result)
}

fn cost_of_join(_: &[Value], result: &Value) -> u64 {
    scale(actual_size(std::slice::from_ref(result), 0), 2.0 * STRING_TRAVERSAL)
}
