//! Errors of an evaluation.

/// Why an evaluation has no value. The texts are those of cel-go and the API server where they have one.
///
/// `&&` and `||` absorb an error if the other operand decides; [`EvaluationError::CostLimitExceeded`],
/// [`EvaluationError::Internal`] and [`EvaluationError::TooLarge`] end the whole evaluation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// A map has no such key. The text is the key as CEL prints it.
    #[error("no such key: {0}")]
    NoSuchKey(String),
    /// A list has no such index.
    #[error("index out of bounds: {0}")]
    IndexOutOfBounds(String),
    /// No implementation of the function takes values of these types.
    #[error("no such overload{}{function}", if function.is_empty() { "" } else { ": " })]
    NoSuchOverload {
        /// The function, or an empty text where cel-go does not say.
        function: String,
    },
    /// The run-time cost went above the limit (1,000,000 for device selectors).
    #[error("operation cancelled: actual cost limit exceeded")]
    CostLimitExceeded,
    /// A value would become larger than we allow. Upstream has no such limit and would use the memory.
    #[error("operation cancelled: a value becomes too large")]
    TooLarge,
    /// Upstream's code panics here, for example at `distinct()` of an error. cel-go makes that the error of the whole
    /// evaluation.
    #[error("internal error: {0}")]
    Internal(String),
    /// The device itself cannot be presented to CEL, for example because of a malformed version.
    #[error("attribute {name}: {reason}")]
    Attribute {
        /// Name of the attribute as the slice has it.
        name: String,
        /// What is wrong with its value.
        reason: String,
    },
    /// The selector gave a value that is not a bool.
    #[error("CEL result of type {0} could not be converted to bool")]
    NotBool(&'static str),
    /// Everything else: conversion, parse, range and arithmetic errors.
    #[error("{0}")]
    Other(String),
}

impl EvaluationError {
    /// An error with a text of its own.
    pub fn other(text: impl Into<String>) -> Self {
        Self::Other(text.into())
    }

    /// No overload of `function` takes the values it was given. Pass an empty name where cel-go gives none.
    pub fn no_such_overload(function: impl Into<String>) -> Self {
        Self::NoSuchOverload { function: function.into() }
    }

    /// Whether the evaluation ends here, whatever `&&` and `||` say.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::CostLimitExceeded | Self::Internal(_) | Self::TooLarge)
    }
}
