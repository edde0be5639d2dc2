//! Which release and which stage an expression is compiled for.

use crate::declarations::{CallEstimate, CostEstimate, Overload};
use crate::error::EvaluationError;
use crate::library;
use crate::release::Release;
use crate::types::Type;
use crate::value::Value;

/// Longest list that a device may publish, KEP-5491. `includes` refuses to look further.
const MAX_LIST: usize = 48;

/// Where an expression comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExpressionStage {
    /// An expression that a user is about to store: the API server accepts only what the previous release
    /// knows too, so that a rollback is possible, and what enabled gates add.
    New,
    /// An expression that is stored already, as the scheduler compiles it: everything the release knows.
    Stored,
}

/// The environment of the device selectors: a release, a stage and two feature gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Environment {
    /// The release whose libraries exist.
    pub release: Release,
    /// New or stored expressions.
    pub stage: ExpressionStage,
    /// Gate DRAConsumableCapacity: `device.allowMultipleAllocations`.
    pub consumable_capacity: bool,
    /// Gate DRAListTypeAttributes: attributes may be lists, and `includes`.
    pub list_type_attributes: bool,
}

/// Stored expressions as the scheduler of 1.36 compiles them with default gates.
impl Default for Environment {
    fn default() -> Self {
        Self {
            release: Release::V1_36,
            stage: ExpressionStage::Stored,
            consumable_capacity: true,
            list_type_attributes: false,
        }
    }
}

impl Environment {
    /// The minor version up to which libraries count.
    pub(crate) fn library_minor(self) -> u32 {
        match self.stage {
            ExpressionStage::Stored => self.release.minor(),
            ExpressionStage::New => self.release.minor() - 1,
        }
    }

    /// The static type of an attribute value.
    pub(crate) fn attribute_type(self) -> Type {
        let lists = match self.stage {
            _ if self.release < Release::V1_36 => false,
            ExpressionStage::Stored if self.release >= Release::V1_37 => true,
            _ => self.list_type_attributes,
        };
        if lists { Type::Dyn } else { Type::Any }
    }

    /// Whether list values of attributes are values; in 1.36 they are an error while the gate is off.
    pub(crate) fn has_lists(self) -> bool {
        self.release >= Release::V1_37 || self.attribute_type() == Type::Dyn
    }

    /// Whether derived attributes may be lists.
    pub(crate) fn derives_lists(self) -> bool {
        self.stage == ExpressionStage::Stored || self.list_type_attributes
    }

    /// Whether `device.allowMultipleAllocations` exists. Stored expressions do not ask the gate.
    pub(crate) fn has_multiple_allocations(self) -> bool {
        match self.stage {
            ExpressionStage::Stored => true,
            ExpressionStage::New => self.consumable_capacity,
        }
    }

    /// `includes`, of the device selectors in 1.36 and of the list library from 1.37 on.
    pub(crate) fn includes_overload(self) -> Option<Overload> {
        let exists = match self.stage {
            ExpressionStage::Stored => self.release >= Release::V1_36,
            ExpressionStage::New => self.release >= Release::V1_36 && self.list_type_attributes,
        };
        exists.then(|| {
            if self.release >= Release::V1_37 {
                return library::includes_overload();
            }
            let overload =
                Overload::member("dra_includes_dyn_dyn", vec![Type::Dyn, Type::Dyn], Type::Bool, includes);
            overload.costing(|_| CallEstimate::of(CostEstimate { min: 0, max: MAX_LIST as u64 }), |_, _| 1)
        })
    }
}

fn includes(values: &[Value]) -> Result<Value, EvaluationError> {
    match values {
        [Value::List(list), item] => {
            for (at, element) in list.iter().enumerate() {
                if at >= MAX_LIST {
                    return Err(EvaluationError::other(format!(
                        "'includes' function cannot be applied to lists longer than {MAX_LIST} values"
                    )));
                }
                if element.equals(item) == Ok(true) {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        [value, item] => Ok(Value::Bool(value.equals(item) == Ok(true))),
        _ => Err(EvaluationError::no_such_overload("includes")),
    }
}
