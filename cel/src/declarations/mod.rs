//! The one table of functions: what exists since when, its types, its costs and what it does.
//!
//! The checker, the estimator and the evaluator all read it. A function is a name with overloads; the operators
//! are functions with cel-go's internal names such as `_==_`.

mod size;

use crate::error::EvaluationError;
use crate::types::Type;
use crate::value::Value;

pub use size::CostEstimate;
pub(crate) use size::{REGEX_LENGTH, STRING_TRAVERSAL, SizeEstimate, scale};

/// The releases in which something exists, by their minor version.
///
/// Of the libraries, stored expressions see what exists in the release itself. New expressions see what was
/// introduced up to the release before, because the API server must be able to roll back by one. What cel-go itself
/// does is that of the release for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// The minor version of the first release; 0 for what was always there.
    pub introduced: u32,
    /// The minor version of the first release without it.
    pub removed: Option<u32>,
    /// Whether cel-go's own release decides, whatever the stage of the expression.
    pub engine: bool,
}

/// The minor version of the first release with cel-go 0.29; those before have 0.26.
pub(crate) const CEL_0_29: u32 = 37;

impl Window {
    /// In every release.
    pub(crate) const ALWAYS: Self = Self { introduced: 0, removed: None, engine: false };

    /// From this minor version on.
    pub(crate) const fn since(minor: u32) -> Self {
        Self { introduced: minor, removed: None, engine: false }
    }

    /// Up to this release, whatever the stage.
    pub(crate) const fn up_to_release(minor: u32) -> Self {
        Self { introduced: 0, removed: Some(minor + 1), engine: true }
    }

    /// With cel-go 0.26.
    pub(crate) const fn before_0_29() -> Self {
        Self { introduced: 0, removed: Some(CEL_0_29), engine: true }
    }

    /// With cel-go 0.29.
    pub(crate) const fn since_0_29() -> Self {
        Self { introduced: CEL_0_29, removed: None, engine: true }
    }

    /// Whether it exists where the libraries are of one minor version and cel-go is that of another.
    pub(crate) fn contains(self, library: u32, engine: u32) -> bool {
        let minor = if self.engine { engine } else { library };
        self.introduced <= minor && self.removed.is_none_or(|removed| minor < removed)
    }
}

/// Computes the result. The values match the declared parameter types (see [`Type::admits`]), receiver first,
/// in the declared number; an implementation still answers "no such overload" rather than panic if not.
pub(crate) type Evaluate = fn(&[Value]) -> Result<Value, EvaluationError>;

/// The run-time cost of one call, from its values (receiver first) and its result. An operand or result that is
/// an error is shown as `Value::Null`. The cost of evaluating the operands is not part of it.
pub(crate) type CallCost = fn(&[Value], &Value) -> u64;

/// The static estimate of one call from what is known of its operands (receiver first). The cost of evaluating
/// the operands is not part of it.
pub(crate) type EstimateCall = fn(&[Operand<'_>]) -> CallEstimate;

/// What the estimator knows of an operand.
#[derive(Clone, Debug)]
pub(crate) struct Operand<'a> {
    /// Its static type.
    pub type_: &'a Type,
    /// How large it may be; none where nothing is known.
    pub known_size: Option<SizeEstimate>,
    /// For types with parameters (lists above all): the first parameter, and how large an element may be.
    pub element: Option<(&'a Type, Option<SizeEstimate>)>,
    /// The value, if it is an int literal.
    pub int_literal: Option<i64>,
}

impl Operand<'_> {
    /// How large it may be, from nothing to everything if not known.
    pub(crate) fn size(&self) -> SizeEstimate {
        self.known_size.unwrap_or(SizeEstimate::UNKNOWN)
    }
}

/// The estimate of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallEstimate {
    /// Cost of the call alone.
    pub cost: CostEstimate,
    /// Size of the result, where the rules give one.
    pub result_size: Option<SizeEstimate>,
}

impl CallEstimate {
    /// A cost, and nothing said of the size.
    pub(crate) fn of(cost: CostEstimate) -> Self {
        Self { cost, result_size: None }
    }

    /// A cost and the size of the result.
    pub(crate) fn sized(cost: CostEstimate, result_size: SizeEstimate) -> Self {
        Self { cost, result_size: Some(result_size) }
    }

    /// The cost of a call that has no rule of its own: 1.
    pub(crate) fn one(_: &[Operand<'_>]) -> Self {
        Self::of(CostEstimate::fixed(1))
    }
}

/// The cost of a call that has no rule of its own: 1.
pub(crate) fn cost_one(_: &[Value], _: &Value) -> u64 {
    1
}

/// One overload of a function.
#[derive(Clone, Debug)]
pub(crate) struct Overload {
    /// cel-go's name of it, unique in the environment.
    pub id: &'static str,
    /// Called on a receiver, `x.f(y)`, which is then the first parameter.
    pub member: bool,
    /// Parameter types, receiver first.
    pub parameters: Vec<Type>,
    /// Result type.
    pub result: Type,
    /// What it does.
    pub evaluate: Evaluate,
    /// Static estimate.
    pub estimate: EstimateCall,
    /// Whether values are compared with the parameter types before the call; the implementations of operators
    /// look at the values themselves.
    pub guarded: bool,
    /// Run-time cost, where the checker settled on this overload.
    pub cost: CallCost,
    /// Run-time cost where operands of type `dyn` left several overloads possible; Kubernetes' rules go by the
    /// name of the function and apply then too, cel-go's do not.
    pub cost_by_name: Option<CallCost>,
    /// Where upstream computes the run-time cost as if an operand had the right type: whether it has. It panics
    /// otherwise, at operands that are errors too.
    pub cost_takes: Option<CostTakes>,
}

/// Whether a cost can be computed from these values. Operands that are errors are null here.
pub(crate) type CostTakes = fn(&[Value]) -> bool;

impl Overload {
    fn new(id: &'static str, member: bool, parameters: Vec<Type>, result: Type, evaluate: Evaluate) -> Self {
        Self {
            id,
            member,
            parameters,
            result,
            evaluate,
            guarded: true,
            estimate: CallEstimate::one,
            cost: cost_one,
            cost_by_name: None,
            cost_takes: None,
        }
    }

    /// An overload that is called as `f(x, y)`; costs 1.
    pub(crate) fn global(id: &'static str, parameters: Vec<Type>, result: Type, evaluate: Evaluate) -> Self {
        Self::new(id, false, parameters, result, evaluate)
    }

    /// An overload that is called as `x.f(y)`, with the type of `x` as first parameter; costs 1.
    pub(crate) fn member(id: &'static str, parameters: Vec<Type>, result: Type, evaluate: Evaluate) -> Self {
        Self::new(id, true, parameters, result, evaluate)
    }

    /// Takes values of any type.
    pub(crate) fn unguarded(self) -> Self {
        Self { guarded: false, ..self }
    }

    /// With cost rules that cel-go attaches to this overload.
    pub(crate) fn costing(self, estimate: EstimateCall, cost: CallCost) -> Self {
        Self { estimate, cost, ..self }
    }

    /// See [`Overload::cost_takes`].
    pub(crate) fn whose_cost_takes(self, takes: CostTakes) -> Self {
        Self { cost_takes: Some(takes), ..self }
    }

    /// With cost rules that Kubernetes attaches to the name of the function.
    pub(crate) fn costing_by_name(self, estimate: EstimateCall, cost: CallCost) -> Self {
        Self { estimate, cost, cost_by_name: Some(cost), ..self }
    }
}

/// A function: overloads that share a name. Several libraries may add to the same name.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    /// The name, with its namespace if it has one: `sets.contains`.
    pub name: &'static str,
    /// When these overloads exist.
    pub window: Window,
    /// The overloads, in cel-go's order of declaration.
    pub overloads: Vec<Overload>,
}

impl Function {
    /// A function of these overloads.
    pub(crate) fn new(name: &'static str, window: Window, overloads: Vec<Overload>) -> Self {
        Self { name, window, overloads }
    }
}
