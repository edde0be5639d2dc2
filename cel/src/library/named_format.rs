//! `k8s.io/apiserver/pkg/cel/library/format.go`, from 1.31: named formats of strings.
//!
//! The messages are values that expressions can read, so they are those of the API server.

use std::any::Any;
use std::fmt;

use super::arguments::{object, string};
use super::costs::{actual_size, size};
use super::url;
use crate::declarations::{
    CallEstimate, Evaluate, Function, Operand, Overload, REGEX_LENGTH, STRING_TRAVERSAL, Window, cost_one,
    scale,
};
use crate::error::EvaluationError;
use crate::types::{Type, names};
use crate::value::{Object, Value};

type Answer = Result<Value, EvaluationError>;

const FORMAT: Type = Type::Object(names::FORMAT);

/// `kubernetes.NamedFormat`
#[derive(Debug)]
struct Format {
    /// Name in the function `format.named`, and of the function that gives the format.
    key: &'static str,
    /// Name as the API server prints it.
    name: &'static str,
    function: &'static str,
    /// What is wrong with a text.
    validate: fn(&str) -> Vec<String>,
    /// Length of the regular expression the costs go by.
    regex_length: u64,
    constant: fn(&[Value]) -> Answer,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Object for &'static Format {
    fn type_name(&self) -> &'static str {
        names::FORMAT
    }

    fn equals(&self, other: &Value) -> Result<bool, EvaluationError> {
        Ok(self.name == object::<Self>(std::slice::from_ref(other), 0)?.name)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Declares the formats, each with the function that gives it.
macro_rules! formats {
    ($($key:literal, $name:literal, $length:literal, $validate:expr;)*) => {
        static FORMATS: &[Format] = &[$(Format {
            key: $key,
            name: $name,
            function: concat!("format.", $key),
            validate: $validate,
            regex_length: $length,
            constant: |_| named($key),
        }),*];
    };
}

formats! {
    "dns1123Label", "DNS1123Label", 30, dns1123_label;
    "dns1123Subdomain", "DNS1123Subdomain", 60, dns1123_subdomain;
    "dns1035Label", "DNS1035Label", 30, dns1035_label;
    "qualifiedName", "QualifiedName", 60, qualified_name;
    "dns1123LabelPrefix", "DNS1123LabelPrefix", 30, |text| dns1123_label(&without_trailing_dash(text));
    "dns1123SubdomainPrefix", "DNS1123SubdomainPrefix", 60, |text| dns1123_subdomain(&without_trailing_dash(text));
    "dns1035LabelPrefix", "DNS1035LabelPrefix", 30, |text| dns1035_label(&without_trailing_dash(text));
    "labelValue", "LabelValue", 40, label_value;
    "uri", "URI", 1103, |text| url::request_error(text).into_iter().collect();
    "uuid", "uuid", 70, |text| check(is_uuid(text), "does not match the UUID format");
    "byte", "byte", 84, |text| check(is_base64(text), "invalid base64");
    "date", "date", 71, |text| check(is_date(text), "invalid date");
    "datetime", "datetime", 71, |text| check(is_date_time(text), "invalid datetime");
}

pub(super) fn functions() -> Vec<Function> {
    let function = |name, overload| Function::new(name, Window::since(31), vec![overload]);
    let messages = Type::optional(Type::list(Type::String));
    let validation = |evaluate: Evaluate| {
        Overload::member("format-validate", vec![FORMAT, Type::String], messages.clone(), evaluate)
            .costing_by_name(estimate_validate, cost_of_validate)
    };
    let mut all = vec![
        // The first one that exists counts.
        Function::new("validate", Window::up_to_release(34), vec![validation(validate_in_1_34)]),
        function("validate", validation(validate)),
        function(
            "format.named",
            Overload::global("format-named", vec![Type::String], Type::optional(FORMAT), find)
                .costing_by_name(CallEstimate::one, cost_one),
        ),
    ];
    all.extend(FORMATS.iter().map(|format| {
        function(format.function, Overload::global(format.function, vec![], FORMAT, format.constant))
    }));
    all
}

fn lookup(key: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.key == key)
}

fn named(key: &str) -> Answer {
    let unknown = || EvaluationError::other(format!("unknown format: {key}"));
    lookup(key).map(Value::object).ok_or_else(unknown)
}

fn find(values: &[Value]) -> Answer {
    Ok(lookup(string(values, 0)?).map_or(Value::NONE, |format| Value::some(Value::object(format))))
}

fn validate(values: &[Value]) -> Answer {
    messages(values, str::to_owned)
}

/// 1.34 spoke of qualified names where later releases speak of label keys.
fn validate_in_1_34(values: &[Value]) -> Answer {
    messages(values, |message| message.replace("a valid label key", "a qualified name"))
}

fn messages(values: &[Value], wording: fn(&str) -> String) -> Answer {
    let format: &&'static Format = object(values, 0)?;
    let messages = (format.validate)(string(values, 1)?);
    let messages: Vec<String> = messages.iter().map(|message| wording(message)).collect();
    Ok(if messages.is_empty() { Value::NONE } else { Value::some(Value::strings(messages)?) })
}

fn estimate_validate(operands: &[Operand<'_>]) -> CallEstimate {
    /// Longer than the expression of any format.
    const MAX_REGEX_LENGTH: f64 = 128.0;
    let text = size(operands, 1).scaled(STRING_TRAVERSAL);
    CallEstimate::of(text.scaled(MAX_REGEX_LENGTH * REGEX_LENGTH))
}

fn cost_of_validate(values: &[Value], _: &Value) -> u64 {
    let Ok(format) = object::<&'static Format>(values, 0) else { return 1 };
    let text = scale(actual_size(values, 1).saturating_add(1), STRING_TRAVERSAL);
    text.saturating_mul(scale(format.regex_length, REGEX_LENGTH))
}

fn check(valid: bool, message: &str) -> Vec<String> {
    if valid { vec![] } else { vec![message.to_owned()] }
}

const DNS1123_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS1123_SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS1035_LABEL: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const LABEL_NAME: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";

fn regex_message(message: &str, examples: &[&str], regex: &str) -> String {
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{message} (e.g. {}regex used for validation is '{regex}')", examples.join(" or "))
}

fn length_message(limit: usize, unit: &str) -> String {
    format!("must be no more than {limit} {unit}")
}

/// Non-empty, of the given inner bytes, with the given first and last ones.
fn is_word(text: &str, first: fn(u8) -> bool, inner: fn(u8) -> bool, last: fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|byte| first(*byte))
        && bytes.last().is_some_and(|byte| last(*byte))
        && bytes.iter().all(|byte| inner(*byte))
}

fn is_lower_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_label_byte(byte: u8) -> bool {
    is_lower_alphanumeric(byte) || byte == b'-'
}

fn is_dns1123_label(text: &str) -> bool {
    is_word(text, is_lower_alphanumeric, is_label_byte, is_lower_alphanumeric)
}

fn is_dns1123_subdomain(text: &str) -> bool {
    text.split('.').all(is_dns1123_label)
}

fn is_label_name(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_alphanumeric();
    is_word(text, alphanumeric, |byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte), alphanumeric)
}

/// A dash at the end of a prefix is fine; upstream puts a letter in place of it and the character before.
fn without_trailing_dash(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(before) if !before.is_empty() => {
            let end = before.len() - before.chars().next_back().map_or(0, char::len_utf8);
            format!("{}a", before.get(..end).unwrap_or_default())
        }
        _ => text.to_owned(),
    }
}

fn dns1123_label(text: &str) -> Vec<String> {
    let mut messages = vec![];
    if text.len() > 63 {
        messages.push(length_message(63, "characters"));
    }
    if !is_dns1123_label(text) {
        messages.push(if is_dns1123_subdomain(text) {
            "must not contain dots".to_owned()
        } else {
            let message = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and \
                           must start and end with an alphanumeric character";
            regex_message(message, &["my-name", "123-abc"], DNS1123_LABEL)
        });
    }
    messages
}

fn dns1123_subdomain_in(text: &str, unit: &str) -> Vec<String> {
    let mut messages = vec![];
    if text.len() > 253 {
        messages.push(length_message(253, unit));
    }
    if !is_dns1123_subdomain(text) {
        let message = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
                       '.', and must start and end with an alphanumeric character";
        messages.push(regex_message(message, &["example.com"], DNS1123_SUBDOMAIN));
    }
    messages
}

fn dns1123_subdomain(text: &str) -> Vec<String> {
    dns1123_subdomain_in(text, "characters")
}

fn dns1035_label(text: &str) -> Vec<String> {
    let mut messages = vec![];
    if text.len() > 63 {
        messages.push(length_message(63, "characters"));
    }
    if !is_word(text, |byte| byte.is_ascii_lowercase(), is_label_byte, is_lower_alphanumeric) {
        let message = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                       alphabetic character, and end with an alphanumeric character";
        messages.push(regex_message(message, &["my-name", "abc-123"], DNS1035_LABEL));
    }
    messages
}

/// A label key: a name with an optional DNS subdomain in front of it.
fn qualified_name(text: &str) -> Vec<String> {
    let message = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                   alphanumeric character";
    let examples = ["MyName", "my.name", "123-abc"];
    let mut messages = vec![];
    let name = match text.split('/').collect::<Vec<_>>()[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                messages.push("prefix part must be non-empty".to_owned());
            } else {
                let wrong = dns1123_subdomain_in(prefix, "bytes");
                messages.extend(wrong.iter().map(|message| format!("prefix part {message}")));
            }
            name
        }
        _ => {
            let message = regex_message(message, &examples, LABEL_NAME);
            return vec![format!(
                "a valid label key {message} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        messages.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        messages.push(format!("name part {}", length_message(63, "bytes")));
    }
    if !is_label_name(name) {
        messages.push(format!("name part {}", regex_message(message, &examples, LABEL_NAME)));
    }
    messages
}

fn label_value(text: &str) -> Vec<String> {
    let mut messages = vec![];
    if text.len() > 63 {
        messages.push(length_message(63, "bytes"));
    }
    if !text.is_empty() && !is_label_name(text) {
        let message = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
                       '.', and must start and end with an alphanumeric character";
        messages.push(regex_message(message, &["MyValue", "my_value", "12345"], LABEL_VALUE));
    }
    messages
}

/// 32 hexadecimal digits, in groups of 8, 4, 4, 4 and 12 with or without a dash between any two.
fn is_uuid(text: &str) -> bool {
    let mut rest = text;
    for (group, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if group > 0 {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        match rest.split_at_checked(length) {
            Some((digits, after)) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => rest = after,
            _ => return false,
        }
    }
    rest.is_empty()
}

/// Groups of four characters, of which the last may be padded; at least one group.
fn is_base64(text: &str) -> bool {
    let padding = text.len() - text.trim_end_matches('=').len();
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    !text.is_empty()
        && text.len().is_multiple_of(4)
        && padding <= 2
        && text.bytes().take(text.len() - padding).all(inner)
}

/// A day of the calendar, `2006-01-02`.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 10
        && bytes.iter().enumerate().all(|(position, byte)| match position {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
        && text.parse::<jiff::civil::Date>().is_ok()
}

/// Date and time with a zone. As upstream, hours, minutes and seconds may not exceed 23, 59 and 59, while any
/// offset and any character before the fraction is taken.
fn is_date_time(text: &str) -> bool {
    let lower = text.to_lowercase();
    let mut parts = lower.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else { return false };
    is_date(date) && is_time(time).unwrap_or(false)
}

fn is_time(text: &str) -> Option<bool> {
    let (time, rest) = text.split_at_checked(8)?;
    let [hour, minute, second] = time.split(':').collect::<Vec<_>>()[..] else { return None };
    let valid = |number: &str, limit: &str| number.len() == 2 && is_digits(number) && number <= limit;
    let rest = match rest.find(['z', '+', '-']) {
        // The separator of a fraction may itself be one of these characters.
        Some(0) if is_zone(rest) => rest,
        _ => {
            let mut characters = rest.chars();
            characters.next().filter(|separator| *separator != '\n')?;
            let after = characters.as_str();
            let end = after.find(|digit: char| !digit.is_ascii_digit()).filter(|end| *end > 0)?;
            after.get(end..)?
        }
    };
    Some(is_zone(rest) && valid(hour, "23") && valid(minute, "59") && valid(second, "59"))
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_zone(text: &str) -> bool {
    let Some(offset) = text.strip_prefix(['+', '-']) else { return text == "z" };
    let two_digits = |part: &str| part.len() == 2 && is_digits(part);
    offset.split_once(':').is_some_and(|(hours, minutes)| two_digits(hours) && two_digits(minutes))
}
