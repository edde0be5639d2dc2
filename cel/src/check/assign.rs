//! Unification of types, as cel-go's checker does it.

use crate::types::Type;

/// What is known of the type variables of one check.
#[derive(Debug, Default)]
pub(super) struct Substitutions {
    bound: Vec<Option<Type>>,
    /// What to undo where an attempt fails: variable and former binding.
    trail: Vec<(u32, Option<Type>)>,
}

impl Substitutions {
    /// A fresh variable.
    pub(super) fn variable(&mut self) -> Type {
        self.bound.push(None);
        Type::Variable(u32::try_from(self.bound.len() - 1).unwrap_or(u32::MAX))
    }

    fn find(&self, type_: &Type) -> Option<&Type> {
        match type_ {
            Type::Variable(number) => self.bound.get(*number as usize)?.as_ref(),
            _ => None,
        }
    }

    fn bind(&mut self, variable: &Type, to: Type) {
        if let Type::Variable(number) = variable
            && let Some(slot) = self.bound.get_mut(*number as usize)
        {
            self.trail.push((*number, slot.replace(to)));
        }
    }

    /// Whether a value of type `from` may stand where `to` is expected. Bindings that this needs stay if so.
    pub(super) fn assignable(&mut self, from: &Type, to: &Type) -> bool {
        self.attempt(|this| this.assign(from, to))
    }

    /// The same for several pairs, all or none.
    pub(super) fn all_assignable(&mut self, from: &[Type], to: &[Type]) -> bool {
        from.len() == to.len()
            && self.attempt(|this| from.iter().zip(to).all(|(from, to)| this.assign(from, to)))
    }

    fn attempt(&mut self, try_: impl FnOnce(&mut Self) -> bool) -> bool {
        self.trail.clear();
        if try_(self) {
            return true;
        }
        while let Some((number, former)) = self.trail.pop() {
            if let Some(slot) = self.bound.get_mut(number as usize) {
                *slot = former;
            }
        }
        false
    }

    fn assign(&mut self, from: &Type, to: &Type) -> bool {
        if to.is_parameter() {
            match self.substitute_for(from, to) {
                Fit::Yes => return true,
                Fit::Bound => return false,
                Fit::No => {}
            }
        }
        if from.is_parameter() {
            return matches!(self.substitute_for(to, from), Fit::Yes);
        }
        if from.is_dynamic_or_error() || to.is_dynamic_or_error() {
            return true;
        }
        match (from, to) {
            (Type::Null, other) | (other, Type::Null) => nullable(other),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => self.assign(a, b),
            (Type::Map(ka, va), Type::Map(kb, vb)) => self.assign(ka, kb) && self.assign(va, vb),
            (a, b) => a == b,
        }
    }

    /// Tries to make `variable` stand for `type_`.
    fn substitute_for(&mut self, type_: &Type, variable: &Type) -> Fit {
        if type_ == variable {
            return Fit::Yes;
        }
        if let Some(bound) = self.find(variable).cloned() {
            if *type_ == bound {
                return Fit::Yes;
            }
            if self.assign(type_, &bound) {
                let general = most_general(type_, &bound);
                if self.absent(variable, &general) {
                    self.bind(variable, general);
                }
                return Fit::Yes;
            }
            return Fit::Bound;
        }
        if self.absent(variable, type_) {
            self.bind(variable, type_.clone());
            return Fit::Yes;
        }
        Fit::No
    }

    /// Whether a variable occurs nowhere within a type.
    fn absent(&self, variable: &Type, within: &Type) -> bool {
        if variable == within {
            return false;
        }
        match within {
            Type::Variable(_) => self.find(within).is_none_or(|bound| self.absent(variable, bound)),
            Type::Type(Some(of)) | Type::List(of) | Type::Optional(of) => self.absent(variable, of),
            Type::Map(key, value) => self.absent(variable, key) && self.absent(variable, value),
            _ => true,
        }
    }

    /// A type with all bound variables replaced; the unbound become `dyn` where asked for.
    pub(super) fn resolve(&self, type_: &Type, unbound_to_dyn: bool) -> Type {
        match type_ {
            Type::Variable(_) => match self.find(type_) {
                Some(bound) => self.resolve(bound, unbound_to_dyn),
                None if unbound_to_dyn => Type::Dyn,
                None => type_.clone(),
            },
            Type::Parameter(_) if unbound_to_dyn => Type::Dyn,
            Type::Type(Some(of)) => Type::type_of(self.resolve(of, unbound_to_dyn)),
            Type::List(element) => Type::list(self.resolve(element, unbound_to_dyn)),
            Type::Optional(value) => Type::optional(self.resolve(value, unbound_to_dyn)),
            Type::Map(key, value) => {
                Type::map(self.resolve(key, unbound_to_dyn), self.resolve(value, unbound_to_dyn))
            }
            other => other.clone(),
        }
    }
}

/// Whether a variable can stand for a type.
enum Fit {
    Yes,
    /// No, and it already stands for another.
    Bound,
    No,
}

fn nullable(type_: &Type) -> bool {
    matches!(
        type_,
        Type::Null
            | Type::Any
            | Type::Duration
            | Type::Timestamp
            | Type::Object(_)
            | Type::Opaque(_)
            | Type::Optional(_)
    )
}

/// The more general of two types that unify.
pub(super) fn most_general(a: &Type, b: &Type) -> Type {
    if less_specific(a, b) { a.clone() } else { b.clone() }
}

fn less_specific(a: &Type, b: &Type) -> bool {
    if a.is_dynamic() || a.is_parameter() {
        return true;
    }
    if b.is_dynamic() || b.is_parameter() {
        return false;
    }
    match (a, b) {
        (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => less_specific(a, b),
        (Type::Map(ka, va), Type::Map(kb, vb)) => less_specific(ka, kb) && less_specific(va, vb),
        (Type::Type(_), Type::Type(_)) => true,
        (a, b) => a == b,
    }
}

/// Replaces the parameters of a declaration by variables.
pub(super) fn instantiate(type_: &Type, fresh: &[(&'static str, Type)]) -> Type {
    match type_ {
        Type::Parameter(name) => {
            fresh.iter().find(|(known, _)| known == name).map_or(Type::Dyn, |(_, variable)| variable.clone())
        }
        Type::Type(Some(of)) => Type::type_of(instantiate(of, fresh)),
        Type::List(element) => Type::list(instantiate(element, fresh)),
        Type::Optional(value) => Type::optional(instantiate(value, fresh)),
        Type::Map(key, value) => Type::map(instantiate(key, fresh), instantiate(value, fresh)),
        other => other.clone(),
    }
}

/// The names of the parameters in a type, added to those already found.
pub(super) fn parameter_names(type_: &Type, found: &mut Vec<&'static str>) {
    match type_ {
        Type::Parameter(name) if !found.contains(name) => found.push(name),
        other => other.parameters().into_iter().for_each(|part| parameter_names(part, found)),
    }
}

/// The number of types a type is made of, counted up to `limit`.
pub(super) fn weight(type_: &Type, limit: usize) -> usize {
    let mut total = 1;
    for part in type_.parameters() {
        if total > limit {
            break;
        }
        total += weight(part, limit - total);
    }
    total
}
