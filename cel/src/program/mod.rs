//! Compiled expressions.

mod derived;
mod evaluate;
mod glance;
mod plan;
mod references;
mod steps;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::attribute::AttributeValue;
use crate::declarations::CostEstimate;
use crate::device::Device;
use crate::error::EvaluationError;
use crate::frontend;
use crate::types::Type;
use crate::value::Value;
use evaluate::Evaluator;
use glance::Glance;
pub(crate) use plan::plan;
pub(crate) use references::references;
pub use references::{Reads, References};
pub(crate) use steps::{StepId, Steps};

/// The highest run-time cost of a device selector, `CELSelectorExpressionMaxCost` of the API.
pub const MAX_COST: u64 = 1_000_000;
/// Programs that nest deeper are evaluated on a stack of their own.
const DEEP: usize = 40;

/// A compiled expression. Cheap to clone and independent of any device.
#[derive(Clone, Debug)]
pub struct Program(Arc<Planned>);

#[derive(Debug)]
struct Planned {
    inner: Inner,
    glance: Option<Glance>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) expression: String,
    pub(crate) output_type: Type,
    pub(crate) cost_estimate: CostEstimate,
    pub(crate) references: References,
    pub(crate) steps: Steps,
    pub(crate) root: StepId,
    pub(crate) has_lists: bool,
}

/// What an evaluation gave, and the cost that cel-go would have counted until then.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The value or why there is none.
    pub value: Result<Value, EvaluationError>,
    /// Run-time cost in cel-go's units.
    pub cost: u64,
}

impl Program {
    pub(crate) fn new(inner: Inner) -> Self {
        let glance = Glance::new(&inner.steps, inner.root);
        Self(Arc::new(Planned { inner, glance }))
    }

    /// The source.
    pub fn expression(&self) -> &str {
        &self.0.inner.expression
    }

    /// The static type of the result.
    pub fn output_type(&self) -> &Type {
        &self.0.inner.output_type
    }

    /// The cost estimate of the API server, which refuses a new expression with a maximum above [`MAX_COST`].
    pub fn cost_estimate(&self) -> CostEstimate {
        self.0.inner.cost_estimate
    }

    /// What of a device the result can depend on.
    pub fn references(&self) -> &References {
        &self.0.inner.references
    }

    /// Whether [`matches_at_a_glance`](Self::matches_at_a_glance) ever has a verdict.
    pub fn is_seen_at_a_glance(&self) -> bool {
        self.0.glance.is_some()
    }

    /// What [`matches`](Self::matches) says of a device, where that follows from comparing what it publishes with
    /// constants, which takes no preparation of the device. `None` where only an evaluation tells. To be asked only
    /// about devices of which CEL takes every attribute.
    pub fn matches_at_a_glance(
        &self,
        driver: &str,
        attributes: &BTreeMap<String, AttributeValue>,
    ) -> Option<bool> {
        self.0.glance.as_ref()?.verdict(driver, attributes)
    }

    /// Evaluates the expression on a device, up to a cost of [`MAX_COST`].
    pub fn evaluate(&self, device: &Device) -> Evaluation {
        self.evaluate_up_to(device, MAX_COST)
    }

    /// Evaluates the expression on a device, up to a cost of the caller's choice: several derived attributes of
    /// one claim share one budget.
    pub fn evaluate_up_to(&self, device: &Device, limit: u64) -> Evaluation {
        let root = match device.presented(self.0.inner.has_lists) {
            Ok(root) => root,
            Err(error) => return Evaluation { value: Err(error.clone()), cost: 0 },
        };
        let run = || {
            let mut evaluator = Evaluator::new(&self.0.inner.steps, root, limit);
            let value = evaluator.evaluate(self.0.inner.root);
            Evaluation { value, cost: evaluator.cost() }
        };
        if self.0.inner.steps.depth > DEEP { frontend::on_large_stack(run) } else { run() }
    }

    /// Whether the device satisfies the selector. Any error aborts the allocation upstream, not only for this
    /// device.
    pub fn matches(&self, device: &Device) -> Result<bool, EvaluationError> {
        self.evaluate(device).value.and_then(|value| verdict(&value))
    }
}

/// The verdict that the value of a selector is. An optional value counts as what it holds.
fn verdict(value: &Value) -> Result<bool, EvaluationError> {
    let mut held = value;
    while let Value::Optional(Some(inner)) = held {
        held = inner;
    }
    match held {
        Value::Bool(matches) => Ok(*matches),
        _ => Err(EvaluationError::NotBool(value.type_name())),
    }
}
