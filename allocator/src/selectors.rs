//! Results of selectors on devices, remembered over nodes and pods.

use std::collections::BTreeMap;

use drayage_cel::{Compiler, Environment, ExpressionStage, Program};
use rustc_hash::FxHashMap;

use crate::features::Features;
use crate::inventory::Inventory;
use crate::objects::DeviceSelector;
use crate::profile::Profile;

/// An expression that is known to [`Selectors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ExpressionId(u32);

/// Compiled expressions and their results on the devices of one inventory.
///
/// A result depends on nothing but the expression and the device, so it is computed once.
#[derive(Debug)]
pub(crate) struct Selectors {
    compiler: Compiler,
    expressions: Vec<Expression>,
    by_text: FxHashMap<String, ExpressionId>,
}

#[derive(Debug)]
struct Expression {
    program: Result<Program, String>,
    /// Results in pages of [`PAGE`] devices, allocated when first needed.
    pages: Vec<Option<Box<[Verdict; PAGE]>>>,
    /// Texts of the errors, by device.
    errors: BTreeMap<u32, String>,
}

const PAGE: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Unknown,
    True,
    False,
    Error,
}

/// Why a selector gives no verdict on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SelectorError<'a> {
    Compile(&'a str),
    Runtime(&'a str),
}

impl Selectors {
    pub(crate) fn new(features: Features, profile: Profile) -> Self {
        let compiler = Compiler::new(Environment {
            release: profile.release,
            stage: ExpressionStage::Stored,
            consumable_capacity: features.consumable_capacity,
            list_type_attributes: features.list_type_attributes,
        });
        Self { compiler, expressions: Vec::new(), by_text: FxHashMap::default() }
    }

    /// The identity of a selector's expression, `None` for a selector that is not CEL.
    pub(crate) fn intern(&mut self, selector: &DeviceSelector) -> Option<ExpressionId> {
        let text = selector.cel.as_deref()?;
        if let Some(id) = self.by_text.get(text) {
            return Some(*id);
        }
        let id = ExpressionId(u32::try_from(self.expressions.len()).ok()?);
        self.expressions.push(Expression {
            program: self.compiler.compile_selector(text).map_err(|error| error.to_string()),
            pages: Vec::new(),
            errors: BTreeMap::new(),
        });
        self.by_text.insert(text.to_owned(), id);
        Some(id)
    }

    /// Whether the expression selects the device.
    pub(crate) fn matches(
        &mut self,
        id: ExpressionId,
        inventory: &Inventory,
        device: u32,
    ) -> Result<bool, SelectorError<'_>> {
        let expression = &mut self.expressions[id.0 as usize];
        let Ok(program) = &expression.program else {
            return Err(expression.compile_error());
        };
        let (page, slot) = (device as usize / PAGE, device as usize % PAGE);
        if expression.pages.is_empty() {
            expression.pages.resize(inventory.device_count().div_ceil(PAGE), None);
        }
        let page = expression.pages[page].get_or_insert_with(|| Box::new([Verdict::Unknown; PAGE]));
        if page[slot] == Verdict::Unknown {
            page[slot] = match program.matches(&inventory.entry(device).cel) {
                Ok(true) => Verdict::True,
                Ok(false) => Verdict::False,
                Err(error) => {
                    expression.errors.insert(device, error.to_string());
                    Verdict::Error
                }
            };
        }
        match page[slot] {
            Verdict::True => Ok(true),
            Verdict::False => Ok(false),
            _ => Err(SelectorError::Runtime(expression.errors.get(&device).map_or("", String::as_str))),
        }
    }
}

impl Expression {
    fn compile_error(&self) -> SelectorError<'_> {
        SelectorError::Compile(self.program.as_ref().err().map_or("", String::as_str))
    }
}
