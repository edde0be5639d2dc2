//! The selectors of a question, compiled once.

use std::collections::BTreeMap;

use drayage_cel::{Compiler, Environment, ExpressionStage, Program};

use crate::objects::{AttributeValue, DeviceSelector};

use super::Question;
use super::claim::asks;
use super::reach::Reached;

/// Programs by expression; `None` for one that does not compile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Programs {
    by_expression: BTreeMap<String, Option<Program>>,
    /// Those of derived attributes.
    derivations: BTreeMap<String, Option<Program>>,
    /// Whether selectors see no device as shareable, as the profile has it.
    hide_sharing: bool,
}

impl Programs {
    /// Compiles every selector of the question's claims and of the classes they use.
    pub(crate) fn new(question: &Question<'_>) -> Self {
        let mut programs = Self::default();
        programs.add(question);
        programs
    }

    /// Adds what the question's claims and classes select by and is not there yet. Release and features must be
    /// those of the questions before.
    pub(crate) fn add(&mut self, question: &Question<'_>) {
        self.hide_sharing = !question.profile.selectors_see_sharing;
        let mut compiler = None;
        for claim in question.claims {
            for ask in (0..claim.requests.len()).flat_map(|index| asks(claim, index)) {
                let class = question.classes.iter().find(|class| class.name == ask.class);
                let of_class = class.into_iter().flat_map(|class| &class.selectors);
                for expression in of_class.chain(ask.selectors).filter_map(|selector| selector.cel.as_ref()) {
                    if !self.by_expression.contains_key(expression) {
                        let compiler = compiler.get_or_insert_with(|| compiler_for(question));
                        self.by_expression
                            .insert(expression.clone(), compiler.compile_selector(expression).ok());
                    }
                }
                for derived in ask.derived_attributes {
                    if !self.derivations.contains_key(&derived.expression) {
                        let compiler = compiler.get_or_insert_with(|| compiler_for(question));
                        let program = compiler.compile_attribute(&derived.expression).ok();
                        self.derivations.insert(derived.expression.clone(), program);
                    }
                }
            }
        }
    }

    /// Adds an expression, if it is not there yet. Whether it compiles.
    pub(crate) fn compile(&mut self, expression: &str, question: &Question<'_>) -> bool {
        self.hide_sharing = !question.profile.selectors_see_sharing;
        if let Some(known) = self.by_expression.get(expression) {
            return known.is_some();
        }
        let program = compiler_for(question).compile_selector(expression).ok();
        let compiles = program.is_some();
        self.by_expression.insert(expression.to_owned(), program);
        compiles
    }

    /// The program of an expression that was added and compiles.
    pub(crate) fn program(&self, expression: &str) -> Option<&Program> {
        self.by_expression.get(expression)?.as_ref()
    }

    /// Whether the selector holds for the device; `None` where it fails.
    pub(crate) fn matches(&self, selector: &DeviceSelector, reached: &Reached<'_>) -> Option<bool> {
        self.verdict(selector.cel.as_deref()?, reached)
    }

    /// What a derived attribute that was added is on the device; `None` where it fails.
    pub(crate) fn derived(&self, expression: &str, reached: &Reached<'_>) -> Option<AttributeValue> {
        self.derivations.get(expression)?.as_ref()?.attribute(&self.input(reached)).ok()
    }

    /// Whether an expression that was added holds for the device; `None` where it fails.
    pub(crate) fn verdict(&self, expression: &str, reached: &Reached<'_>) -> Option<bool> {
        self.program(expression)?.matches(&self.input(reached)).ok()
    }

    fn input(&self, reached: &Reached<'_>) -> drayage_cel::Device {
        let device = reached.device;
        let capacity = device.capacity.iter().map(|(name, capacity)| (name.as_str(), &capacity.value));
        let shareable = !self.hide_sharing && device.allow_multiple_allocations == Some(true);
        drayage_cel::Device::new(&reached.slice.driver, &device.attributes, capacity, shareable)
    }
}

fn compiler_for(question: &Question<'_>) -> Compiler {
    Compiler::new(Environment {
        release: question.profile.release,
        stage: ExpressionStage::Stored,
        consumable_capacity: question.features.consumable_capacity,
        list_type_attributes: question.features.list_type_attributes,
    })
}
