//! The compiler: one environment, any number of expressions.

use std::sync::Arc;

use crate::check;
use crate::compile_error::CompileError;
use crate::environment::Environment;
use crate::estimate;
use crate::frontend;
use crate::program::{Inner, Program, plan, references};
use crate::registry::{Registry, Signature};
use crate::types::Type;

/// Compiles expressions for one environment. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Compiler {
    environment: Environment,
    registry: Arc<Registry>,
}

impl Compiler {
    /// A compiler for an environment. Building the table takes some hundred microseconds; keep it.
    pub fn new(environment: Environment) -> Self {
        Self { environment, registry: Arc::new(Registry::new(environment)) }
    }

    /// The environment.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Compiles a device selector: an expression that gives a bool, or an attribute that may be one.
    ///
    /// Takes any text on any stack: what is too long, too deep or too large is an error.
    pub fn compile_selector(&self, expression: &str) -> Result<Program, CompileError> {
        self.compile(
            expression,
            |type_| *type_ == Type::Bool || *type_ == self.environment.attribute_type(),
            || "must evaluate to bool or the unknown type".to_owned(),
        )
    }

    /// Compiles the expression of a derived attribute (KEP-6080): a scalar, a version, a list of one of these, or
    /// something unknown.
    pub fn compile_attribute(&self, expression: &str) -> Result<Program, CompileError> {
        let scalar = |type_: &Type| {
            type_.is_dynamic()
                || matches!(type_, Type::Bool | Type::Int | Type::String)
                || *type_ == Type::SEMVER
        };
        self.compile(
            expression,
            |type_| {
                let lists = self.environment.derives_lists();
                scalar(type_) || matches!(type_, Type::List(element) if lists && scalar(element))
            },
            || {
                let types = if self.environment.derives_lists() {
                    "bool, int, string, a semantic version or a list of these"
                } else {
                    "bool, int, string or a semantic version"
                };
                format!("must evaluate to {types}")
            },
        )
    }

    /// Compiles an expression of any type, as no field of the API takes it: for tools and tests.
    pub fn compile_value(&self, expression: &str) -> Result<Program, CompileError> {
        self.compile(expression, |_| true, String::new)
    }

    /// Every overload of every function of the environment, by the name of the function. Operators have cel-go's
    /// internal names, such as `_==_`.
    pub fn signatures(&self) -> impl Iterator<Item = Signature<'_>> {
        self.registry.signatures()
    }

    fn compile(
        &self,
        expression: &str,
        accepts: impl Fn(&Type) -> bool,
        expected: impl Fn() -> String,
    ) -> Result<Program, CompileError> {
        frontend::on_large_stack(|| {
            let (mut tree, root) = frontend::parse(expression, self.environment.library_minor())?;
            let checked = check::check(expression, &mut tree, root, &self.registry)?;
            let output_type = checked.types[root.index()].clone();
            if !accepts(&output_type) {
                let message = format!("{}, not {output_type}", expected());
                return Err(CompileError::at(expression, tree.offset(root) as usize, message));
            }
            let (steps, step) = plan(expression, &tree, root, &checked, &self.registry)?;
            Ok(Program::new(Inner {
                expression: expression.to_owned(),
                output_type,
                cost_estimate: estimate::estimate(&tree, root, &checked, &self.registry),
                references: references(&steps),
                steps,
                root: step,
                has_lists: self.environment.has_lists(),
            }))
        })
    }
}
