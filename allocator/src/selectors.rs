//! Results of selectors on devices, remembered over nodes and pods.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use drayage_cel::{Compiler, Environment, ExpressionStage, Program};
use rustc_hash::FxHashMap;

use crate::features::Features;
use crate::inventory::{Agreement, Inventory, NodeView};
use crate::objects::{AttributeValue, DeviceSelector, ResourceSlice};
use crate::profile::Profile;

/// Compiled expressions by their text.
#[derive(Clone, Debug)]
pub(crate) struct Selectors {
    compiler: Arc<Compiler>,
    /// Whether expressions see that a device allows multiple allocations.
    with_sharing: bool,
    by_text: FxHashMap<Arc<str>, Arc<Expression>>,
    derivations: FxHashMap<Arc<str>, Arc<Derivation>>,
}

/// The expression of an attribute that a request derives from devices (KEP-6080).
#[derive(Debug)]
pub(crate) struct Derivation {
    pub(crate) text: Arc<str>,
    program: Result<Program, String>,
}

impl Derivation {
    /// What it gives on a device.
    pub(crate) fn value(&self, device: &drayage_cel::Device) -> Result<AttributeValue, SelectorError> {
        let program = self.program.as_ref().map_err(|error| SelectorError::Compile(error.clone()))?;
        program.attribute(device).map_err(|error| SelectorError::Runtime(error.to_string()))
    }
}

/// A compiled expression and its results so far.
///
/// A result depends on nothing but what the expression reads of a device, so it is computed once for all devices
/// that agree in that.
#[derive(Debug)]
pub(crate) struct Expression {
    program: Result<Program, String>,
    with_sharing: bool,
    agreement: Option<Agreement>,
    /// Results by fingerprint of what is read, each with a device that has it.
    results: Mutex<FxHashMap<u64, Vec<(Example, Verdict)>>>,
}

/// The devices whose results fit into one word.
const FEW: u32 = u64::BITS / CELL;
/// Bits of a cell.
const CELL: u32 = 2;

/// Results by position.
#[derive(Debug)]
enum Cells {
    Few(AtomicU64),
    Many(Box<[AtomicU8]>),
}

/// A device of a slice, by its place there.
type Example = (Arc<ResourceSlice>, u32);

/// The results of an expression on the devices of a view, by position, as far as they are known.
#[derive(Debug)]
pub(crate) struct VerdictColumn {
    pub(crate) expression: Arc<Expression>,
    cells: Cells,
    /// Whether there is a verdict on every device, once somebody asks.
    free_of_errors: OnceLock<bool>,
}

/// Where the results of an expression on the devices of a view are from.
#[derive(Clone, Debug)]
pub(crate) enum Verdicts<'v> {
    /// Each device is looked at when it is asked about.
    Each(Arc<Expression>),
    Column(&'v VerdictColumn),
}

impl Verdicts<'_> {
    pub(crate) fn expression(&self) -> &Expression {
        match self {
            Self::Each(expression) => expression,
            Self::Column(column) => &column.expression,
        }
    }

    /// Identifies the column.
    pub(crate) fn column(&self) -> Option<*const VerdictColumn> {
        match self {
            Self::Each(_) => None,
            Self::Column(column) => Some(std::ptr::from_ref(*column)),
        }
    }

    /// Whether the expression selects the device at a position.
    pub(crate) fn verdict(&self, inventory: &Inventory, view: &NodeView, position: u32) -> Verdict {
        match self {
            Self::Each(expression) => expression.verdict(inventory, view, position),
            Self::Column(column) => column.verdict(inventory, view, position),
        }
    }
}

/// What an expression says of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    True,
    False,
    /// See [`Expression::error`].
    Error,
}

/// Why a selector gives no verdict on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SelectorError {
    Compile(String),
    Runtime(String),
}

impl Selectors {
    pub(crate) fn new(features: Features, profile: Profile) -> Self {
        let compiler = Compiler::new(Environment {
            release: profile.release,
            stage: ExpressionStage::Stored,
            consumable_capacity: features.consumable_capacity,
            list_type_attributes: features.list_type_attributes,
        });
        Self {
            compiler: Arc::new(compiler),
            with_sharing: profile.selectors_see_sharing,
            by_text: FxHashMap::default(),
            derivations: FxHashMap::default(),
        }
    }

    /// The same expressions, compiled, without any result.
    pub(crate) fn without_results(&self) -> Self {
        let expressions = self.by_text.iter();
        let by_text = expressions.map(|(text, known)| (text.clone(), Arc::new(known.without_results())));
        Self { by_text: by_text.collect(), ..self.clone() }
    }

    /// The expression of a derived attribute.
    pub(crate) fn intern_derivation(&mut self, text: &str) -> Arc<Derivation> {
        if let Some(known) = self.derivations.get(text) {
            return known.clone();
        }
        let program = self.compiler.compile_attribute(text).map_err(|error| error.to_string());
        let derivation = Arc::new(Derivation { text: text.into(), program });
        self.derivations.insert(derivation.text.clone(), derivation.clone());
        derivation
    }

    /// The expression of a selector, `None` for a selector that is not CEL.
    pub(crate) fn intern(&mut self, selector: &DeviceSelector) -> Option<&Arc<Expression>> {
        let text = selector.cel.as_deref()?;
        // Not by `entry`, which needs the text as a key of its own.
        if !self.by_text.contains_key(text) {
            let program = self.compiler.compile_selector(text).map_err(|error| error.to_string());
            let agreement = program.as_ref().ok().and_then(|program| Agreement::new(program.references()));
            let expression =
                Expression { program, with_sharing: self.with_sharing, agreement, results: Mutex::default() };
            self.by_text.insert(text.into(), Arc::new(expression));
        }
        self.by_text.get(text)
    }
}

impl VerdictColumn {
    pub(crate) fn new(expression: Arc<Expression>, view: &NodeView) -> Self {
        let cells = if view.len() <= FEW {
            Cells::Few(AtomicU64::new(0))
        } else {
            Cells::Many((0..view.len()).map(|_| AtomicU8::new(UNKNOWN)).collect())
        };
        Self { expression, cells, free_of_errors: OnceLock::new() }
    }

    /// Whether there is a verdict on every device of the view.
    pub(crate) fn is_free_of_errors(&self, inventory: &Inventory, view: &NodeView) -> bool {
        *self.free_of_errors.get_or_init(|| {
            (0..view.len()).all(|position| self.verdict(inventory, view, position) != Verdict::Error)
        })
    }

    /// Whether the expression selects the device at a position.
    pub(crate) fn verdict(&self, inventory: &Inventory, view: &NodeView, position: u32) -> Verdict {
        // Every cell has one possible value, so nothing depends on the order in which threads see them.
        match self.cells.get(position) {
            TRUE => Verdict::True,
            FALSE => Verdict::False,
            ERROR => Verdict::Error,
            _ => {
                let verdict = self.expression.verdict(inventory, view, position);
                let code = match verdict {
                    Verdict::True => TRUE,
                    Verdict::False => FALSE,
                    Verdict::Error => ERROR,
                };
                self.cells.set(position, code);
                verdict
            }
        }
    }
}

impl Cells {
    fn get(&self, position: u32) -> u8 {
        match self {
            Self::Few(cells) => {
                let cell = cells.load(Ordering::Relaxed) >> (position * CELL) & 0b11;
                u8::try_from(cell).unwrap_or(UNKNOWN)
            }
            Self::Many(cells) => cells[position as usize].load(Ordering::Relaxed),
        }
    }

    /// Fills a cell that is empty or holds the same already.
    fn set(&self, position: u32, code: u8) {
        match self {
            Self::Few(cells) => {
                cells.fetch_or(u64::from(code) << (position * CELL), Ordering::Relaxed);
            }
            Self::Many(cells) => cells[position as usize].store(code, Ordering::Relaxed),
        }
    }
}

const UNKNOWN: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const ERROR: u8 = 3;

impl Expression {
    /// Whether most devices need no evaluation.
    pub(crate) fn is_seen_at_a_glance(&self) -> bool {
        self.program.as_ref().is_ok_and(Program::is_seen_at_a_glance)
    }

    fn without_results(&self) -> Self {
        Self {
            program: self.program.clone(),
            with_sharing: self.with_sharing,
            agreement: self.agreement.clone(),
            results: Mutex::default(),
        }
    }

    fn verdict(&self, inventory: &Inventory, view: &NodeView, position: u32) -> Verdict {
        let Ok(program) = &self.program else { return Verdict::Error };
        let device = view.device(position);
        if let Some(selected) = inventory.glance(program, device) {
            return if selected { Verdict::True } else { Verdict::False };
        }
        let evaluate = || match program.matches(&inventory.cel_device(device, self.with_sharing)) {
            Ok(true) => Verdict::True,
            Ok(false) => Verdict::False,
            Err(_) => Verdict::Error,
        };
        let Some((agreement, fingerprint)) = self
            .agreement
            .as_ref()
            .and_then(|agreement| Some((agreement, agreement.fingerprint(inventory, device)?)))
        else {
            return evaluate();
        };
        let known = self.results().get(&fingerprint).and_then(|similar| {
            let holds = |(slice, index): &Example| agreement.holds((slice, *index), inventory, device);
            similar.iter().find(|(example, _)| holds(example)).map(|(_, verdict)| *verdict)
        });
        known.unwrap_or_else(|| {
            let verdict = evaluate();
            let example = (inventory.shared_slice(device), device.index);
            self.results().entry(fingerprint).or_default().push((example, verdict));
            verdict
        })
    }

    fn results(&self) -> MutexGuard<'_, FxHashMap<u64, Vec<(Example, Verdict)>>> {
        // A panic elsewhere leaves the results as they are, which is as good as ever.
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why there is no verdict on a device.
    pub(crate) fn error(&self, inventory: &Inventory, view: &NodeView, position: u32) -> SelectorError {
        match &self.program {
            Err(error) => SelectorError::Compile(error.clone()),
            Ok(program) => {
                let result = program.matches(&inventory.cel_device(view.device(position), self.with_sharing));
                SelectorError::Runtime(result.err().map(|error| error.to_string()).unwrap_or_default())
            }
        }
    }
}
