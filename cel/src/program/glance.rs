//! Verdicts that need no evaluation: expressions that only compare attributes and the driver with constants.

use std::collections::BTreeMap;

use super::steps::{AttributeId, Base, By, Call, Step, StepId, Steps};
use crate::attribute::AttributeValue;
use crate::value::{Key, Value};

/// Expressions with more parts are left to the evaluation, which counts their cost.
const MOST_PARTS: usize = 64;

/// Comparisons of what a device publishes with constants, joined by `&&`, `||` and `!`.
#[derive(Debug)]
pub(super) enum Glance {
    And(Box<(Glance, Glance)>),
    Or(Box<(Glance, Glance)>),
    Not(Box<Glance>),
    Compare(Read, Relation, Constant),
    /// One of several constants.
    Among(Read, Vec<Constant>),
}

#[derive(Debug)]
pub(super) enum Read {
    Driver,
    /// The domain, the identifier in it, and both as slices write them.
    Attribute {
        domain: Box<str>,
        id: Box<str>,
        name: Box<str>,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug)]
pub(super) enum Constant {
    Bool(bool),
    Int(i64),
    Text(Box<str>),
}

impl Glance {
    /// `None` for an expression that does anything else.
    pub(super) fn new(steps: &Steps, root: StepId) -> Option<Self> {
        let mut left = MOST_PARTS;
        glance(steps, root, &mut left)
    }

    /// The verdict, `None` where only an evaluation tells: where an attribute is not there or of another type.
    pub(super) fn verdict(
        &self,
        driver: &str,
        attributes: &BTreeMap<String, AttributeValue>,
    ) -> Option<bool> {
        match self {
            Self::And(both) => {
                Some(both.0.verdict(driver, attributes)? && both.1.verdict(driver, attributes)?)
            }
            Self::Or(both) => {
                Some(both.0.verdict(driver, attributes)? || both.1.verdict(driver, attributes)?)
            }
            Self::Not(negated) => negated.verdict(driver, attributes).map(|verdict| !verdict),
            Self::Compare(read, relation, constant) => match read {
                Read::Driver => constant.compare_text(*relation, driver),
                Read::Attribute { domain, id, name } => {
                    constant.compare(*relation, published(driver, attributes, domain, id, name)?)
                }
            },
            Self::Among(read, constants) => {
                let mut among = false;
                for constant in constants {
                    among |= match read {
                        Read::Driver => constant.compare_text(Relation::Equal, driver)?,
                        Read::Attribute { domain, id, name } => {
                            let value = published(driver, attributes, domain, id, name)?;
                            constant.compare(Relation::Equal, value)?
                        }
                    };
                }
                Some(among)
            }
        }
    }
}

/// The value under the name with its domain, else, where the domain is the driver's, under the name without.
fn published<'a>(
    driver: &str,
    attributes: &'a BTreeMap<String, AttributeValue>,
    domain: &str,
    id: &str,
    name: &str,
) -> Option<&'a AttributeValue> {
    if domain != driver {
        return attributes.get(name);
    }
    // Mostly the names of a device have no domain, and all of them come after those that have this one.
    let id_value = attributes.get(id);
    if id_value.is_some() && attributes.first_key_value().is_some_and(|(first, _)| first.as_str() > name) {
        return id_value;
    }
    attributes.get(name).or(id_value)
}

impl Constant {
    fn new(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::Int(value) => Some(Self::Int(*value)),
            Value::String(text) => Some(Self::Text(text.as_ref().into())),
            _ => None,
        }
    }

    fn compare(&self, relation: Relation, value: &AttributeValue) -> Option<bool> {
        match (self, value) {
            (Self::Bool(constant), AttributeValue::Bool(value)) => relation.of_equality(value == constant),
            (Self::Int(constant), AttributeValue::Int(value)) => Some(match relation {
                Relation::Equal => value == constant,
                Relation::NotEqual => value != constant,
                Relation::Less => value < constant,
                Relation::LessOrEqual => value <= constant,
                Relation::Greater => value > constant,
                Relation::GreaterOrEqual => value >= constant,
            }),
            (Self::Text(_), AttributeValue::String(value)) => self.compare_text(relation, value),
            _ => None,
        }
    }

    fn compare_text(&self, relation: Relation, value: &str) -> Option<bool> {
        match self {
            Self::Text(constant) => relation.of_equality(value == constant.as_ref()),
            Self::Bool(_) | Self::Int(_) => None,
        }
    }
}

impl Relation {
    fn of_equality(self, equal: bool) -> Option<bool> {
        match self {
            Self::Equal => Some(equal),
            Self::NotEqual => Some(!equal),
            Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual => None,
        }
    }

    /// The relation with its sides exchanged.
    fn turned(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::NotEqual => Self::NotEqual,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}

fn glance(steps: &Steps, id: StepId, left: &mut usize) -> Option<Glance> {
    *left = left.checked_sub(1)?;
    match steps.step(id) {
        Step::And(one, other) => {
            Some(Glance::And(Box::new((glance(steps, *one, left)?, glance(steps, *other, left)?))))
        }
        Step::Or(one, other) => {
            Some(Glance::Or(Box::new((glance(steps, *one, left)?, glance(steps, *other, left)?))))
        }
        Step::Call(call) if call.function == "!_" => match call.arguments.as_slice() {
            [negated] => Some(Glance::Not(Box::new(glance(steps, *negated, left)?))),
            _ => None,
        },
        Step::Call(call) => comparison(steps, call),
        Step::Among { item, list: Value::List(list) } => {
            *left = left.checked_sub(list.len())?;
            let constants: Option<Vec<Constant>> = list.iter().map(Constant::new).collect();
            Some(Glance::Among(read(steps, *item)?, constants?))
        }
        _ => None,
    }
}

fn comparison(steps: &Steps, call: &Call) -> Option<Glance> {
    let relation = match call.function {
        "_==_" => Relation::Equal,
        "_!=_" => Relation::NotEqual,
        "_<_" => Relation::Less,
        "_<=_" => Relation::LessOrEqual,
        "_>_" => Relation::Greater,
        "_>=_" => Relation::GreaterOrEqual,
        _ => return None,
    };
    let [one, other] = call.arguments.as_slice() else { return None };
    match (steps.constant(*one), steps.constant(*other)) {
        (None, Some(constant)) => {
            Some(Glance::Compare(read(steps, *one)?, relation, Constant::new(constant)?))
        }
        (Some(constant), None) => {
            Some(Glance::Compare(read(steps, *other)?, relation.turned(), Constant::new(constant)?))
        }
        _ => None,
    }
}

fn read(steps: &Steps, id: StepId) -> Option<Read> {
    let Step::Attribute { attribute, presence: false } = steps.step(id) else { return None };
    let names = names(steps, *attribute)?;
    match names.as_slice() {
        ["driver"] => Some(Read::Driver),
        // A name with a slash would be taken for another one with a domain.
        ["attributes", domain, id] if !domain.contains('/') && !id.contains('/') => Some(Read::Attribute {
            domain: (*domain).into(),
            id: (*id).into(),
            name: format!("{domain}/{id}").into(),
        }),
        _ => None,
    }
}

/// The constant names by which an attribute leads into the device.
fn names(steps: &Steps, attribute: AttributeId) -> Option<Vec<&str>> {
    let attribute = steps.attribute(attribute);
    if !matches!(attribute.base, Base::Device) {
        return None;
    }
    let name = |qualifier: &'_ super::steps::Qualifier| match &qualifier.by {
        By::Constant(_, Some(Key::String(_))) => !qualifier.optional && !qualifier.presence,
        _ => false,
    };
    if !attribute.qualifiers.iter().all(name) {
        return None;
    }
    let names = attribute.qualifiers.iter().map(|qualifier| match &qualifier.by {
        By::Constant(_, Some(Key::String(name))) => Some(name.as_ref()),
        _ => None,
    });
    names.collect()
}
