//! Literals of every type, and texts that the functions of the libraries understand.

use drayage_cel::Type;

use super::pools::{
    BOOLS, CLAUSES, DOUBLES, DURATIONS, FORMATS, FORMATTED, INTS, IPS, NUMBERS, PATTERNS, PREFIXES,
    QUANTITIES, TEXTS, TIMESTAMPS, UINTS, URLS, VERSIONS, ZONES,
};
use super::tree::Expression;
use crate::random::Random;

/// What a text is for, which decides from where it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing in particular.
    Any,
    /// A decimal number.
    Number,
    /// `true` and the like.
    Bool,
    /// A resource quantity.
    Quantity,
    /// A semantic version.
    Version,
    /// A URL.
    Url,
    /// An IP address.
    Ip,
    /// An IP prefix.
    Prefix,
    /// A regular expression.
    Pattern,
    /// A duration.
    Duration,
    /// A timestamp.
    Timestamp,
    /// A time zone.
    Zone,
    /// The name of a named format.
    Format,
    /// A text that named formats judge.
    Formatted,
    /// A format string.
    Clauses,
    /// A small int: an index, a count.
    Small,
}

impl Meaning {
    /// What the parameter of an overload takes, receiver first.
    pub fn of(function: &str, overload: &str, parameter: usize) -> Self {
        match (function, parameter) {
            ("quantity" | "isQuantity", 0) => Self::Quantity,
            ("semver" | "isSemver", 0) => Self::Version,
            ("url" | "isURL", 0) => Self::Url,
            ("ip" | "isIP" | "ip.isCanonical", 0) | ("containsIP", 1) => Self::Ip,
            ("cidr" | "isCIDR", 0) | ("containsCIDR", 1) => Self::Prefix,
            ("duration", 0) => Self::Duration,
            ("timestamp", 0) => Self::Timestamp,
            ("matches" | "find" | "findAll", 1) => Self::Pattern,
            ("format.named", 0) => Self::Format,
            ("validate", 1) => Self::Formatted,
            ("format", 0) => Self::Clauses,
            ("int" | "uint" | "double", 0) if overload.starts_with("string") => Self::Number,
            ("bool", 0) => Self::Bool,
            (
                "charAt" | "substring" | "slice" | "flatten" | "lists.range" | "split" | "replace"
                | "findAll" | "_[_]" | "_[?_]",
                _,
            )
            | ("indexOf" | "lastIndexOf", 2) => Self::Small,
            (name, 1) if name.starts_with("get") => Self::Zone,
            _ => Self::Any,
        }
    }

    fn texts(self) -> &'static [&'static str] {
        match self {
            Self::Any | Self::Small => TEXTS,
            Self::Number => NUMBERS,
            Self::Bool => BOOLS,
            Self::Quantity => QUANTITIES,
            Self::Version => VERSIONS,
            Self::Url => URLS,
            Self::Ip => IPS,
            Self::Prefix => PREFIXES,
            Self::Pattern => PATTERNS,
            Self::Duration => DURATIONS,
            Self::Timestamp => TIMESTAMPS,
            Self::Zone => ZONES,
            Self::Format => FORMATS,
            Self::Formatted => FORMATTED,
            Self::Clauses => CLAUSES,
        }
    }
}

/// A text, more often one that is valid: they come first in each list.
pub(super) fn text(random: &mut Random, meaning: Meaning) -> &'static str {
    let texts = meaning.texts();
    if random.percent(60) {
        texts[random.below(texts.len().div_ceil(2))]
    } else {
        texts[random.below(texts.len())]
    }
}

/// A literal of a type; none for types that have none.
pub(super) fn literal(random: &mut Random, type_: &Type, meaning: Meaning) -> Option<Expression> {
    let text = match type_ {
        Type::Null => "null".to_owned(),
        Type::Bool => random.pick(&["true", "false"]).to_string(),
        Type::Int if meaning == Meaning::Small => random.below(5).to_string(),
        Type::Int => int(random),
        Type::Uint => format!("{}u", random.pick(UINTS)),
        Type::Double => random.pick(DOUBLES).to_string(),
        Type::String => {
            let text = self::text(random, meaning);
            if meaning == Meaning::Pattern { format!("\"{text}\"") } else { quoted(random, text) }
        }
        Type::Bytes => {
            let texts = [
                "b\"\"",
                "b\"a\"",
                "b\"abc\"",
                "b'\\xff'",
                "b\"é\"",
                "b\"\\000\\x7f\"",
                "br\"\\x\"",
                "b'\\u00e9'",
            ];
            random.pick(&texts).to_string()
        }
        _ => return None,
    };
    Some(Expression::leaf(text, type_.clone()))
}

fn int(random: &mut Random) -> String {
    match random.below(10) {
        0 => format!("{:#x}", random.below(1000)),
        1..=5 => random.below(8).to_string(),
        _ => random.pick(INTS).to_string(),
    }
}

/// A string literal in one of the ways in which CEL writes them.
pub(super) fn quoted(random: &mut Random, text: &str) -> String {
    let plain = !text.contains(['\\', '"', '\'', '\n', '\t']);
    match random.below(12) {
        0 if plain => format!("'{text}'"),
        1 if plain => format!("r\"{text}\""),
        2 if plain => format!("\"\"\"{text}\"\"\""),
        3 => {
            let escaped: String = text
                .chars()
                .map(|c| {
                    if u32::from(c) < 0x1_0000 {
                        format!("\\u{:04x}", u32::from(c))
                    } else {
                        format!("\\U{:08x}", u32::from(c))
                    }
                })
                .collect();
            format!("\"{escaped}\"")
        }
        _ => {
            let escaped =
                text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t");
            format!("\"{escaped}\"")
        }
    }
}
