//! What is to be said about one expression.

use drayage_cel::{CompileError, Compiler, CostEstimate, Device, Program, Value};
use serde::Serialize;

/// How an expression fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// It compiles; nothing was evaluated.
    Compiles,
    /// The bool `true`.
    True,
    /// The bool `false`.
    False,
    /// Another value.
    Value,
    /// It does not compile.
    CompileError,
    /// Evaluation failed.
    RuntimeError,
}

/// The cost that the API server expects, as a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Estimate {
    pub(crate) min: u64,
    pub(crate) max: u64,
}

/// Everything there is to know about an expression, on a device or without one.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Judgement {
    pub(crate) expression: String,
    pub(crate) outcome: Outcome,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) value_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) estimate: Option<Estimate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cost: Option<u64>,
    /// The value in CEL's own syntax.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// The error with the expression's line and a caret, for people.
    #[serde(skip)]
    pub(crate) rendered: Option<String>,
}

/// How an expression is compiled: as a selector or as a derived attribute.
pub(crate) type Compile = fn(&Compiler, &str) -> Result<Program, CompileError>;

/// Compiles the expression and, with a device, evaluates it.
pub(crate) fn judge(
    compiler: &Compiler,
    compile: Compile,
    expression: &str,
    device: Option<&Device>,
) -> Judgement {
    let mut judgement = Judgement {
        expression: expression.to_owned(),
        outcome: Outcome::Compiles,
        value_type: None,
        estimate: None,
        cost: None,
        value: None,
        message: None,
        rendered: None,
    };
    let program = match compile(compiler, expression) {
        Ok(program) => program,
        Err(error) => {
            judgement.outcome = Outcome::CompileError;
            judgement.message = Some(error.to_string());
            judgement.rendered = Some(error.render());
            return judgement;
        }
    };
    judgement.value_type = Some(program.output_type().to_string());
    let CostEstimate { min, max } = program.cost_estimate();
    judgement.estimate = Some(Estimate { min, max });
    let Some(device) = device else { return judgement };
    let evaluation = program.evaluate(device);
    judgement.cost = Some(evaluation.cost);
    match evaluation.value {
        Ok(value) => {
            judgement.outcome = match value {
                Value::Bool(true) => Outcome::True,
                Value::Bool(false) => Outcome::False,
                _ => Outcome::Value,
            };
            judgement.value = Some(value.to_string());
        }
        Err(error) => {
            judgement.outcome = Outcome::RuntimeError;
            judgement.message = Some(error.to_string());
        }
    }
    judgement
}
