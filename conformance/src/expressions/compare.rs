//! Whether two answers agree.

use super::answer::Answer;
use super::case::Case;

/// What two answers disagree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Difference {
    /// One compiles, the other does not.
    Compilation,
    /// The static type of the result.
    Type,
    /// The estimated cost.
    Estimate,
    /// One has a value, the other an error; or the values are not equal.
    Value,
    /// The kind of the error.
    Error,
    /// The cost at run time.
    Cost,
}

/// The first thing that two answers disagree on.
pub fn difference(ours: &Answer, theirs: &Answer) -> Option<Difference> {
    if ours.compile_error.is_some() || theirs.compile_error.is_some() {
        return (ours.compile_error.is_some() != theirs.compile_error.is_some())
            .then_some(Difference::Compilation);
    }
    if ours.type_ != theirs.type_ {
        return Some(Difference::Type);
    }
    if ours.estimate != theirs.estimate {
        return Some(Difference::Estimate);
    }
    if ours.value != theirs.value {
        return Some(Difference::Value);
    }
    if let (Some(ours), Some(theirs)) = (&ours.error, &theirs.error)
        && error_kind(ours) != error_kind(theirs)
    {
        return Some(Difference::Error);
    }
    (ours.cost != theirs.cost).then_some(Difference::Cost)
}

/// The kind of an error at run time, from its text.
pub fn error_kind(text: &str) -> &'static str {
    const KINDS: &[(&str, &str)] = &[
        ("actual cost limit exceeded", "cost limit"),
        ("no such key", "no such key"),
        ("no such overload", "no such overload"),
        ("index out of bounds", "index out of bounds"),
        ("could not be converted to bool", "not a bool"),
        ("no such attribute", "no such attribute"),
        ("division by zero", "division by zero"),
        ("modulus by zero", "modulus by zero"),
        ("unsupported attribute value", "attribute"),
        ("parse semantic version", "attribute"),
        ("overflow", "overflow"),
    ];
    KINDS.iter().find(|(part, _)| text.contains(part)).map_or("other", |(_, kind)| kind)
}

/// Why a difference is known and deliberate; none if it is not.
pub fn explanation(_case: &Case, our: &Answer, their: &Answer) -> Option<&'static str> {
    let ours = our.error.as_deref().or(our.compile_error.as_deref()).unwrap_or_default();
    let theirs = their.error.as_deref().unwrap_or_default();
    if ours.contains("a value becomes too large") {
        return Some("a value is larger than Drayage allows");
    }
    if theirs.starts_with("panic: ") || theirs.contains("internal error") {
        return Some(match our.value {
            None => "the real code panics, ours is an error",
            // A panic ends the evaluation, while `&&` and `||` absorb our error.
            Some(_) => "the real code panics, ours has a value",
        });
    }
    None
}
