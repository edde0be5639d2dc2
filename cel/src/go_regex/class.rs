//! Character classes: `[..]`, `\d` and its kin, `\p{..}`, and the escapes that stand for one character.

use super::GoRegexError;
use super::parse::{Cursor, error};
use super::unicode::{self, NOTHING};

/// The ranges of `\d`, `\s`, `\w` as items of a class, negated for the upper-case letters.
pub(super) fn perl_class(letter: char) -> Option<&'static str> {
    Some(match letter {
        'd' => "0-9",
        'D' => "[^0-9]",
        's' => r"\t\n\f\r ",
        'S' => r"[^\t\n\f\r ]",
        'w' => "0-9A-Za-z_",
        'W' => "[^0-9A-Za-z_]",
        _ => return None,
    })
}

/// The classes `[:alpha:]` and so on, by name without a leading `^`.
fn posix_class(name: &str) -> Option<&'static str> {
    Some(match name {
        "alnum" => "0-9A-Za-z",
        "alpha" => "A-Za-z",
        "ascii" => r"\x00-\x7F",
        "blank" => r"\t ",
        "cntrl" => r"\x00-\x1F\x7F",
        "digit" => "0-9",
        "graph" => "!-~",
        "lower" => "a-z",
        "print" => " -~",
        "punct" => r"!-/:-@\[-`\{-~",
        "space" => r"\t\n\x0B\f\r ",
        "upper" => "A-Z",
        "word" => "0-9A-Za-z_",
        "xdigit" => "0-9A-Fa-f",
        _ => return None,
    })
}

/// One character written so that it means itself anywhere in the `regex` crate. A surrogate, which Go can write
/// as an escape, is no character.
pub(super) fn literal(code: u32) -> String {
    match char::from_u32(code) {
        Some(character) if character.is_ascii_alphanumeric() => character.to_string(),
        Some(character) => format!(r"\x{{{:X}}}", u32::from(character)),
        None => format!("[{NOTHING}]"),
    }
}

/// A range as an item of a class, without the surrogates.
fn range(low: u32, high: u32) -> String {
    let low = if (0xD800..=0xDFFF).contains(&low) { 0xE000 } else { low };
    let high = if (0xD800..=0xDFFF).contains(&high) { 0xD7FF } else { high };
    if low > high { NOTHING.to_owned() } else { format!(r"\x{{{low:X}}}-\x{{{high:X}}}") }
}

/// Reads `\pN` or `\p{Name}`, if there is one here, as an item of a class.
pub(super) fn unicode_class(cursor: &mut Cursor<'_>) -> Result<Option<String>, GoRegexError> {
    let start = cursor.position();
    let mut negated = match cursor.rest().get(..2) {
        Some(r"\p") => false,
        Some(r"\P") => true,
        _ => return Ok(None),
    };
    cursor.skip(2);
    let Some(first) = cursor.next() else {
        return Err(error("invalid character class range", cursor.since(start)));
    };
    let mut name = cursor.since(start + 2);
    if first == '{' {
        let Some(length) = cursor.rest().find('}') else {
            return Err(error("invalid character class range", cursor.all_from(start)));
        };
        name = &cursor.rest()[..length];
        cursor.skip(length + 1);
    }
    if let Some(stripped) = name.strip_prefix('^') {
        negated = !negated;
        name = stripped;
    }
    match unicode::class_item(name, negated) {
        Some(item) => Ok(Some(item)),
        None => Err(error("invalid character class range", cursor.since(start))),
    }
}

/// Reads `\d` and its kin, if there is one here, as an item of a class.
pub(super) fn perl_class_here(cursor: &mut Cursor<'_>) -> Option<&'static str> {
    let letter = cursor.rest().strip_prefix('\\')?.chars().next()?;
    let class = perl_class(letter)?;
    cursor.skip(2);
    Some(class)
}

/// Reads `[:alpha:]`, if there is one here, as an item of a class.
fn named_class(cursor: &mut Cursor<'_>) -> Result<Option<String>, GoRegexError> {
    let Some(inner) = cursor.rest().strip_prefix("[:") else { return Ok(None) };
    let Some(length) = inner.find(":]") else { return Ok(None) };
    let start = cursor.position();
    let name = &inner[..length];
    cursor.skip(length + 4);
    let (name, negated) = name.strip_prefix('^').map_or((name, false), |name| (name, true));
    match posix_class(name) {
        Some(class) if negated => Ok(Some(format!("[^{class}]"))),
        Some(class) => Ok(Some(class.to_owned())),
        None => Err(error("invalid character class range", cursor.since(start))),
    }
}

/// Reads a class from its `[` on.
pub(super) fn bracketed(cursor: &mut Cursor<'_>) -> Result<String, GoRegexError> {
    let start = cursor.position();
    cursor.skip(1);
    let negated = cursor.take("^");
    let mut items = String::new();
    let mut first = true;
    while first || !cursor.rest().starts_with(']') {
        first = false;
        if cursor.rest().len() > 2
            && let Some(class) = named_class(cursor)?
        {
            items.push_str(&class);
        } else if let Some(class) = unicode_class(cursor)? {
            items.push_str(&class);
        } else if let Some(class) = perl_class_here(cursor) {
            items.push_str(class);
        } else {
            let range_start = cursor.position();
            let low = class_character(cursor, start)?;
            let mut high = low;
            if cursor.rest().len() >= 2 && cursor.rest().starts_with('-') && !cursor.rest().starts_with("-]")
            {
                cursor.skip(1);
                high = class_character(cursor, start)?;
                if high < low {
                    return Err(error("invalid character class range", cursor.since(range_start)));
                }
            }
            items.push_str(&range(low, high));
        }
    }
    cursor.skip(1);
    Ok(format!("[{}{items}]", if negated { "^" } else { "" }))
}

fn class_character(cursor: &mut Cursor<'_>, class_start: usize) -> Result<u32, GoRegexError> {
    if cursor.rest().starts_with('\\') {
        return escape(cursor);
    }
    match cursor.next() {
        Some(character) => Ok(u32::from(character)),
        None => Err(error("missing closing ]", cursor.all_from(class_start))),
    }
}

/// Reads an escape that stands for one character, from its backslash on.
pub(super) fn escape(cursor: &mut Cursor<'_>) -> Result<u32, GoRegexError> {
    let start = cursor.position();
    cursor.skip(1);
    let Some(character) = cursor.next() else {
        return Err(error("trailing backslash at end of expression", ""));
    };
    let code = match character {
        '0'..='7' => octal(cursor, character),
        'x' => hexadecimal(cursor),
        'a' => Some(0x07),
        'f' => Some(0x0C),
        'n' => Some(0x0A),
        'r' => Some(0x0D),
        't' => Some(0x09),
        'v' => Some(0x0B),
        other if other.is_ascii() && !other.is_ascii_alphanumeric() => Some(u32::from(other)),
        _ => None,
    };
    code.ok_or_else(|| error("invalid escape sequence", cursor.since(start)))
}

/// Up to three octal digits; one alone would be a back reference, but for 0.
fn octal(cursor: &mut Cursor<'_>, first: char) -> Option<u32> {
    let digit = |cursor: &Cursor<'_>| cursor.rest().chars().next().and_then(|next| next.to_digit(8));
    if first != '0' && digit(cursor).is_none() {
        return None;
    }
    let mut code = first.to_digit(8)?;
    for _ in 0..2 {
        let Some(digit) = digit(cursor) else { break };
        cursor.skip(1);
        code = code * 8 + digit;
    }
    Some(code)
}

/// Two digits, or any number of them in braces.
fn hexadecimal(cursor: &mut Cursor<'_>) -> Option<u32> {
    let first = cursor.next()?;
    if first != '{' {
        let second = cursor.next();
        return Some(first.to_digit(16)? * 16 + second?.to_digit(16)?);
    }
    let mut code = 0_u32;
    let mut digits = 0;
    loop {
        let next = cursor.next()?;
        if next == '}' {
            return (digits > 0).then_some(code);
        }
        code = code * 16 + next.to_digit(16)?;
        if code > u32::from(char::MAX) {
            return None;
        }
        digits += 1;
    }
}
