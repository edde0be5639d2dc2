//! What is asked: an expression, where it stands, and the device.

use drayage_cel::{Environment, ExpressionStage, Release};
use serde_json::{Value, json};

use super::device::Described;
use super::tree::Expression;

/// What an expression is compiled as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// A device selector.
    Selector,
    /// A derived attribute, from 1.37 on.
    Attribute,
    /// Of any type, which no field of the API takes: compares the values themselves.
    Value,
}

impl Mode {
    /// Its name in the lines that the peers read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Selector => "selector",
            Self::Attribute => "attribute",
            Self::Value => "value",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Selector, Self::Attribute, Self::Value].into_iter().find(|mode| mode.name() == name)
    }
}

/// One question.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The expression.
    pub expression: Expression,
    /// What it is compiled as.
    pub mode: Mode,
    /// The environment.
    pub environment: Environment,
    /// Limit of the cost at run time; that of the API where absent.
    pub limit: Option<u64>,
    /// The device.
    pub device: Described,
}

impl Case {
    /// The line that the peer of the release reads.
    pub fn to_json(&self) -> Value {
        let environment = self.environment;
        let mut gates = Vec::new();
        if environment.consumable_capacity {
            gates.push("ConsumableCapacity");
        }
        if environment.list_type_attributes {
            gates.push("ListTypeAttributes");
        }
        let mut json = json!({
            "expression": self.expression.text(),
            "mode": self.mode.name(),
            "stage": if environment.stage == ExpressionStage::New { "new" } else { "stored" },
            "gates": gates,
            "device": self.device.to_json(),
        });
        if let Some(limit) = self.limit {
            json["limit"] = json!(limit);
        }
        json
    }

    /// Reads what [`Case::to_json`] wrote, for a release.
    pub fn from_json(json: &Value, release: Release) -> Option<Self> {
        let gates = json["gates"].as_array()?;
        let has = |gate: &str| gates.iter().any(|one| one == gate);
        Some(Self {
            expression: Expression::leaf(json["expression"].as_str()?, drayage_cel::Type::Dyn),
            mode: Mode::from_name(json["mode"].as_str()?)?,
            environment: Environment {
                release,
                stage: if json["stage"] == "new" { ExpressionStage::New } else { ExpressionStage::Stored },
                consumable_capacity: has("ConsumableCapacity"),
                list_type_attributes: has("ListTypeAttributes"),
            },
            limit: json["limit"].as_u64(),
            device: Described::from_json(&json["device"])?,
        })
    }
}
