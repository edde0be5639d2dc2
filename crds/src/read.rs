//! Our own kinds from text: what is wrong with it, and in which line.

use std::fmt;

use serde::de::DeserializeOwned;

/// Shorter names are like too many others.
const LEAST: usize = 3;
/// The most of a line that is shown.
const SHOWN: usize = 100;

/// Text that does not say what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misread {
    /// What is wrong, without a place.
    pub message: String,
    /// Line and column, both from 1, if the fault has a place.
    pub place: Option<(usize, usize)>,
    /// That line.
    pub text: String,
    /// What may be meant instead.
    pub hint: Option<String>,
}

impl fmt::Display for Misread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        if let Some((line, column)) = self.place {
            write!(formatter, " (line {line}, column {column}")?;
            let text: String = self.text.trim().chars().take(SHOWN).collect();
            if !text.is_empty() {
                write!(formatter, ": `{}`", text.escape_debug())?;
            }
            formatter.write_str(")")?;
        }
        self.hint.iter().try_for_each(|hint| write!(formatter, "; {hint}"))
    }
}

impl std::error::Error for Misread {}

/// The objects in YAML or JSON, one a document. Fields that the kind does not have are refused.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn documents<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, Misread> {
    serde_saphyr::from_multiple(text).map_err(|error| misread(text, &error))
}

/// The one object in YAML or JSON.
///
/// # Errors
///
/// The first thing that is wrong; none and several objects are wrong, too.
pub fn document<T: DeserializeOwned>(text: &str) -> Result<T, Misread> {
    serde_saphyr::from_str(text).map_err(|error| misread(text, &error))
}

fn misread(text: &str, error: &serde_saphyr::Error) -> Misread {
    let place = error.location().map(|location| {
        let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).max(1);
        (number(location.line()), number(location.column()))
    });
    let line = place.and_then(|(line, _)| text.lines().nth(line - 1)).unwrap_or_default();
    let message = error.without_snippet().to_string();
    let message = message.lines().next().unwrap_or_default();
    // The place is told for itself.
    let message = message.split(" at line ").next().unwrap_or(message);
    Misread { message: message.to_owned(), place, text: line.to_owned(), hint: near(message) }
}

/// The field that may be meant by one that nobody knows.
fn near(message: &str) -> Option<String> {
    let (unknown, expected) = message.strip_prefix("unknown field `")?.split_once("`, expected ")?;
    let known = expected.trim_start_matches("one of ").split(", ").map(|name| name.trim_matches('`'));
    let alike = |name: &&str| {
        let (unknown, name) = (unknown.to_ascii_lowercase(), name.to_ascii_lowercase());
        unknown == name || unknown.starts_with(&name) || name.starts_with(&unknown)
    };
    let known = known.filter(|name| name.len() >= LEAST && unknown.len() >= LEAST);
    known.into_iter().find(alike).map(|name| format!("did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceInventory;

    fn refused(text: &str) -> Misread {
        document::<DeviceInventory>(text).expect_err("it is wrong")
    }

    #[test]
    fn a_misread_field_is_named_with_its_line_and_what_may_be_meant() {
        let text = "apiVersion: drayage.dev/v1alpha1\nkind: DeviceInventory\nmetadata: {name: a}\nspec:\n  pool: []\n";
        let misread = refused(text);
        assert_eq!(misread.place.map(|(line, _)| line), Some(5));
        assert_eq!(misread.hint.as_deref(), Some("did you mean `pools`?"));
        let shown = misread.to_string();
        assert!(shown.starts_with("unknown field `pool`, expected "), "{shown}");
        assert!(shown.ends_with(": `pool: []`); did you mean `pools`?"), "{shown}");
        assert!(!shown.contains('\n'), "it fits a line of a log");
    }

    #[test]
    fn nothing_and_no_yaml_are_told_in_one_line() {
        for text in ["", "# nothing\n", "{", "a: [\u{1b}\n", "- a\n"] {
            let shown = refused(text).to_string();
            assert!(!shown.is_empty() && !shown.contains(['\n', '\u{1b}']), "{text:?}: {shown}");
        }
    }
}
