//! Random expressions by grammar, over the table of functions of an environment.
//!
//! Generation goes from a wanted type to an expression of it, so that most expressions compile; a few parts are of
//! another type on purpose.

use std::collections::BTreeMap;

use drayage_cel::{AttributeValue, Compiler, Type};

use super::device::{DRIVER, Described, OTHER_DOMAIN};
use super::literals::{self, Meaning};
use super::tree::Expression;
use crate::random::Random;

/// An overload as the generator keeps it.
#[derive(Clone, Debug)]
pub struct Overload {
    /// Name of the function.
    pub function: String,
    /// Name of the overload.
    pub id: String,
    member: bool,
    parameters: Vec<Type>,
    result: Type,
}

/// Functions that only macros call; what they are called with cannot be written.
const INTERNAL: &[&str] = &["@not_strictly_false", "@sortByAssociatedKeys", "cel.@mapInsert"];

/// The overloads of an environment that expressions can call.
pub fn overloads(compiler: &Compiler) -> Vec<Overload> {
    compiler
        .signatures()
        .filter(|signature| !INTERNAL.contains(&signature.function))
        .map(|signature| Overload {
            function: signature.function.to_owned(),
            id: signature.overload.to_owned(),
            member: signature.member,
            parameters: signature.parameters.to_vec(),
            result: signature.result.clone(),
        })
        .collect()
}

/// Makes one expression.
pub struct Grammar<'a> {
    pub(super) random: &'a mut Random,
    pub(super) overloads: &'a [Overload],
    pub(super) device: &'a Described,
    /// Variables in scope.
    pub(super) scope: Vec<(String, Type)>,
    /// How many more parts there may be.
    budget: usize,
    /// How many of a thousand parts are of a wrong type.
    wrong: usize,
    pub(super) names: usize,
}

impl<'a> Grammar<'a> {
    /// A generator over the overloads of an environment and the attributes of a device.
    pub fn new(random: &'a mut Random, overloads: &'a [Overload], device: &'a Described) -> Self {
        let budget = *random.pick(&[3, 6, 10, 20, 40, 80]);
        let wrong = if random.percent(15) { 40 } else { 0 };
        Self { random, overloads, device, scope: Vec::new(), budget, wrong, names: 0 }
    }

    /// An expression of a type, or of one that may be it at run time.
    pub fn expression(&mut self, type_: &Type, depth: usize) -> Expression {
        self.meaning(type_, depth, Meaning::Any)
    }

    pub(super) fn meaning(&mut self, type_: &Type, depth: usize, meaning: Meaning) -> Expression {
        if self.wrong > 0 && self.random.per_mille(self.wrong) {
            let other = self.type_(1);
            return self.leaf(&other, Meaning::Any);
        }
        self.budget = self.budget.saturating_sub(1);
        let leaf = if matches!(meaning, Meaning::Any) { 12 } else { 70 };
        if depth == 0 || self.budget == 0 || self.random.percent(leaf) {
            return self.leaf(type_, meaning);
        }
        for _ in 0..8 {
            let made = match self.random.below(100) {
                0..10 => Some(self.dynamic(type_, depth)),
                10..28 => self.macro_(type_, depth),
                28..36 => self.special(type_, depth),
                _ => self.call(type_, depth),
            };
            if let Some(made) = made {
                return made;
            }
        }
        self.leaf(type_, meaning)
    }

    /// A random type.
    pub fn type_(&mut self, depth: usize) -> Type {
        let count = if depth == 0 { 10 } else { 24 };
        match self.random.below(count) {
            0 | 1 => Type::Bool,
            2 | 3 => Type::Int,
            4 => Type::Uint,
            5 => Type::Double,
            6 | 7 => Type::String,
            8 => Type::Bytes,
            9 => Type::Dyn,
            10 => Type::Duration,
            11 => Type::Timestamp,
            12 => Type::QUANTITY,
            13 => Type::SEMVER,
            14 => Type::Opaque("net.IP"),
            15 => Type::Opaque("net.CIDR"),
            16 => Type::Object("kubernetes.URL"),
            17 => Type::Object("kubernetes.NamedFormat"),
            18 => Type::Null,
            19 => Type::map(self.key_type(), self.type_(depth - 1)),
            20 => Type::optional(self.type_(depth - 1)),
            21 => Type::type_of(Type::Int),
            _ => Type::list(self.type_(depth - 1)),
        }
    }

    /// A type that derived attributes can have.
    pub fn attribute_type(&mut self) -> Type {
        let scalar =
            self.random.pick(&[Type::Bool, Type::Int, Type::String, Type::SEMVER, Type::Dyn]).clone();
        if self.random.percent(30) { Type::list(scalar) } else { scalar }
    }

    pub(super) fn key_type(&mut self) -> Type {
        match self.random.below(20) {
            0..10 => Type::String,
            10..15 => Type::Int,
            15..17 => Type::Bool,
            17..19 => Type::Uint,
            _ => self.type_(1),
        }
    }

    /// The simplest expression of a type.
    pub fn leaf(&mut self, type_: &Type, meaning: Meaning) -> Expression {
        let variables: Vec<String> =
            self.scope.iter().filter(|(_, of)| of == type_).map(|(name, _)| name.clone()).collect();
        if !variables.is_empty() && self.random.percent(50) {
            return Expression::leaf(self.random.pick(&variables).clone(), type_.clone());
        }
        if *type_ == Type::String && self.random.percent(4) {
            return Expression::leaf("device.driver", Type::String);
        }
        if *type_ == Type::Bool && self.random.percent(4) {
            return Expression::leaf("device.allowMultipleAllocations", Type::Bool);
        }
        if *type_ == Type::QUANTITY && self.random.percent(40) {
            return self.capacity();
        }
        if let Some(literal) = literals::literal(self.random, type_, meaning) {
            return literal;
        }
        let made = |pattern: &str, text: Expression, overload: &str| {
            Expression::of(pattern, [text], type_.clone()).using(overload)
        };
        let mut text = |meaning| self.leaf(&Type::String, meaning);
        match type_ {
            Type::Duration => made("duration($)", text(Meaning::Duration), "string_to_duration"),
            Type::Timestamp => made("timestamp($)", text(Meaning::Timestamp), "string_to_timestamp"),
            Type::Object("kubernetes.Quantity") => {
                made("quantity($)", text(Meaning::Quantity), "string_to_quantity")
            }
            Type::Object("kubernetes.Semver") => {
                made("semver($)", text(Meaning::Version), "string_to_semver")
            }
            Type::Object("kubernetes.URL") => made("url($)", text(Meaning::Url), "string_to_url"),
            Type::Opaque("net.IP") => made("ip($)", text(Meaning::Ip), "string_to_ip"),
            Type::Opaque("net.CIDR") => made("cidr($)", text(Meaning::Prefix), "string_to_cidr"),
            Type::Object("kubernetes.NamedFormat") => {
                let names = [
                    "dns1123Label",
                    "dns1123Subdomain",
                    "qualifiedName",
                    "uri",
                    "uuid",
                    "byte",
                    "date",
                    "datetime",
                ];
                Expression::leaf(format!("format.{}()", self.random.pick(&names)), type_.clone())
            }
            Type::List(element) => {
                let count = *self.random.pick(&[0, 1, 1, 2, 2, 3, 4]);
                self.list(element, count, 0)
            }
            Type::Map(key, value) => {
                let count = *self.random.pick(&[0, 1, 1, 2]);
                self.map(key, value, count, 0)
            }
            Type::Optional(inner) => {
                if self.random.percent(30) {
                    return Expression::leaf("optional.none()", type_.clone()).using("optional_none");
                }
                let inner = self.leaf(inner, Meaning::Any);
                Expression::of("optional.of($)", [inner], type_.clone()).using("optional_of")
            }
            Type::Type(_) => {
                let names = [
                    "int",
                    "string",
                    "bool",
                    "double",
                    "uint",
                    "bytes",
                    "list",
                    "map",
                    "null_type",
                    "type",
                    "google.protobuf.Duration",
                    "google.protobuf.Timestamp",
                    "optional_type",
                    "kubernetes.Quantity",
                    "net.IP",
                    "dyn",
                ];
                let count = if self.random.percent(10) { names.len() } else { 13 };
                Expression::leaf(names[self.random.below(count)], type_.clone())
            }
            _ => self.attribute(None, false),
        }
    }

    /// A list literal.
    pub(super) fn list(&mut self, element: &Type, count: usize, depth: usize) -> Expression {
        let mut pattern = String::from("[");
        let mut parts = Vec::new();
        for at in 0..count {
            if at > 0 {
                pattern.push_str(", ");
            }
            if self.random.percent(4) {
                pattern.push('?');
                parts.push(self.expression(&Type::optional(element.clone()), depth));
            } else {
                parts.push(self.expression(element, depth));
            }
            pattern.push('$');
        }
        if count > 0 && self.random.percent(5) {
            pattern.push(',');
        }
        pattern.push(']');
        Expression::of(&pattern, parts, Type::list(element.clone()))
    }

    /// A map literal.
    pub(super) fn map(&mut self, key: &Type, value: &Type, count: usize, depth: usize) -> Expression {
        let mut pattern = String::from("{");
        let mut parts = Vec::new();
        for at in 0..count {
            if at > 0 {
                pattern.push_str(", ");
            }
            let optional = self.random.percent(4);
            parts.push(self.expression(key, depth.saturating_sub(1)));
            let value = if optional { Type::optional(value.clone()) } else { value.clone() };
            parts.push(self.expression(&value, depth));
            pattern.push_str(if optional { "?$: $" } else { "$: $" });
        }
        pattern.push('}');
        Expression::of(&pattern, parts, Type::map(key.clone(), value.clone()))
    }

    /// An expression whose type is known at run time only.
    fn dynamic(&mut self, type_: &Type, depth: usize) -> Expression {
        if self.random.percent(75) && self.budget < 70 {
            return self.attribute(Some(type_), true);
        }
        let inner = self.expression(type_, depth - 1);
        Expression::of("dyn($)", [inner], Type::Dyn).using("to_dyn")
    }

    /// An attribute of the device, more often one that can be of the wanted type.
    pub(super) fn attribute(&mut self, wanted: Option<&Type>, must: bool) -> Expression {
        let fits = |value: &AttributeValue| {
            wanted.is_none_or(|wanted| match value {
                AttributeValue::Int(_) => matches!(wanted, Type::Int | Type::Uint | Type::Double | Type::Dyn),
                AttributeValue::Bool(_) => matches!(wanted, Type::Bool | Type::Dyn),
                AttributeValue::String(_) => matches!(wanted, Type::String | Type::Dyn),
                AttributeValue::Version(_) => *wanted == Type::SEMVER,
                AttributeValue::Unset => false,
                _ => matches!(wanted, Type::List(_) | Type::Dyn),
            })
        };
        let fitting: Vec<&String> =
            self.device.attributes.iter().filter(|(_, value)| fits(value)).map(|(name, _)| name).collect();
        if fitting.is_empty()
            && must
            && self.random.percent(90)
            && let Some(wanted) = wanted
        {
            let inner = self.leaf(wanted, Meaning::Any);
            return Expression::of("dyn($)", [inner], Type::Dyn).using("to_dyn");
        }
        let name = if fitting.is_empty() || self.random.percent(6) {
            (*self.random.pick(&[
                "model",
                "nope",
                "nums",
                "dra.example.com/name",
                "other.io/x",
                "flag",
                "memory",
            ]))
            .to_owned()
        } else {
            (*self.random.pick(&fitting)).clone()
        };
        let (domain, id) = name.split_once('/').unwrap_or((DRIVER, &name));
        let text = match self.random.below(10) {
            0 => format!("device.attributes[\"{domain}\"][\"{id}\"]"),
            1 if domain == DRIVER => format!("device.attributes[device.driver].{id}"),
            2 => format!("device.attributes['{domain}'].{id}"),
            _ => format!("device.attributes[\"{domain}\"].{id}"),
        };
        Expression::leaf(text, Type::Dyn).using("index_map")
    }

    fn capacity(&mut self) -> Expression {
        let names: Vec<&String> = self.device.capacity.keys().collect();
        let name =
            if names.is_empty() || self.random.percent(10) { "memory" } else { *self.random.pick(&names) };
        let (domain, id) = name.split_once('/').unwrap_or((DRIVER, name));
        Expression::leaf(format!("device.capacity[\"{domain}\"].{id}"), Type::QUANTITY).using("index_map")
    }

    /// A call of a given function of the table, whatever it gives; compared with another value where a bool is wanted.
    pub fn call_of(&mut self, overload: &Overload, bool_wanted: bool, depth: usize) -> Expression {
        let mut bound = BTreeMap::new();
        let result = self.instance(&overload.result, &mut bound);
        let call = self.arguments(overload, bound, result.clone(), depth);
        if !bool_wanted || result == Type::Bool {
            return call;
        }
        let other = self.expression(&result, 1);
        Expression::operation("$ == $", [call, other], Type::Bool).using("equals")
    }

    fn arguments(
        &mut self,
        overload: &Overload,
        mut bound: BTreeMap<&'static str, Type>,
        type_: Type,
        depth: usize,
    ) -> Expression {
        let mut parts = Vec::new();
        for (at, parameter) in overload.parameters.iter().enumerate() {
            let wanted = self.instance(parameter, &mut bound);
            let meaning = Meaning::of(&overload.function, &overload.id, at);
            if overload.function == "lists.range" {
                // Upstream has no limit up to 1.36 and uses the memory.
                let count = *self.random.pick(&["0", "1", "3", "10", "60", "300", "-1"]);
                parts.push(Expression::leaf(count, Type::Int));
                continue;
            }
            parts.push(self.meaning(&wanted, depth - 1, meaning));
        }
        emit(overload, parts, type_).using(&overload.id)
    }

    /// A call of a function of the table.
    fn call(&mut self, type_: &Type, depth: usize) -> Option<Expression> {
        let overloads = self.overloads;
        let mut fitting = Vec::new();
        for overload in overloads {
            let mut bound = BTreeMap::new();
            // What gives anything fits everything, and would crowd out the rest.
            let anything = matches!(overload.result, Type::Parameter(_));
            if unify(&overload.result, type_, &mut bound) && (!anything || self.random.percent(8)) {
                fitting.push((overload, bound));
            }
        }
        if fitting.is_empty() {
            return None;
        }
        let (overload, bound) = fitting.swap_remove(self.random.below(fitting.len()));
        Some(self.arguments(overload, bound, type_.clone(), depth))
    }

    /// The type with its parameters replaced by what they stand for, or else by a random type.
    fn instance(&mut self, type_: &Type, bound: &mut BTreeMap<&'static str, Type>) -> Type {
        match type_ {
            Type::Parameter(name) => {
                if let Some(known) = bound.get(name) {
                    return known.clone();
                }
                let random = self.type_(1);
                bound.insert(name, random.clone());
                random
            }
            Type::List(of) => Type::list(self.instance(of, bound)),
            Type::Optional(of) => Type::optional(self.instance(of, bound)),
            Type::Map(key, value) => Type::map(self.instance(key, bound), self.instance(value, bound)),
            Type::Type(Some(of)) => Type::type_of(self.instance(of, bound)),
            Type::Dyn | Type::Any => self.type_(1),
            other => other.clone(),
        }
    }

    /// What is neither in the table nor a macro.
    fn special(&mut self, type_: &Type, depth: usize) -> Option<Expression> {
        let depth = depth - 1;
        Some(match (type_, self.random.below(6)) {
            (Type::Bool, 0) => {
                let attribute = self.attribute(None, false);
                Expression::of("has($)", [attribute], Type::Bool).using("has")
            }
            (Type::Bool, 1) => {
                let (domain, id) = (self.domain(), self.identifier());
                Expression::operation(&format!("{id} in device.attributes[{domain}]"), [], Type::Bool)
                    .using("in_map")
            }
            (Type::Bool, 2) => {
                let domain = self.domain();
                let text = *self.random.pick(&["device.attributes", "device.capacity"]);
                Expression::operation(&format!("{domain} in {text}"), [], Type::Bool).using("in_map")
            }
            (Type::Bool, 3) => {
                let key = self.expression(&Type::String, depth);
                let value = self.expression(&Type::Int, depth);
                let map = Expression::of("{$: $}", [key, value], Type::map(Type::String, Type::Int));
                Expression::of("has($.a)", [map], Type::Bool).using("has")
            }
            (Type::Optional(inner), 0 | 1) if inner.is_dynamic() => {
                let (domain, id) = (self.domain(), self.identifier());
                let id = id.trim_matches('"').to_owned();
                let texts = [
                    format!("device.attributes[{domain}].?{id}"),
                    format!("device.attributes[?{domain}].{id}"),
                    format!("device.attributes[{domain}][?\"{id}\"]"),
                    format!("device.?attributes[{domain}].{id}"),
                ];
                Expression::leaf(self.random.pick(&texts).clone(), type_.clone())
                    .using("select_optional_field")
            }
            (Type::Optional(inner), _) => {
                let map = self.map(&Type::String, inner, 1, depth);
                Expression::of("$.?a", [map], type_.clone()).using("select_optional_field")
            }
            (Type::Map(key, value), 0) if **key == Type::String && value.is_dynamic() => {
                let domain = self.domain();
                Expression::leaf(format!("device.attributes[{domain}]"), type_.clone())
            }
            (Type::List(element), 0 | 1) => {
                let element = element.as_ref().clone();
                let count = *self.random.pick(&[1, 2, 3, 5]);
                self.list(&element, count, depth)
            }
            (Type::List(element), 2) if **element == Type::Int => {
                let count = *self.random.pick(&[30, 47, 48, 49, 60]);
                let numbers: Vec<String> = (0..count).map(|number: usize| number.to_string()).collect();
                Expression::leaf(format!("[{}]", numbers.join(", ")), type_.clone())
            }
            (Type::Map(key, value), _) => {
                let count = *self.random.pick(&[1, 1, 2, 3]);
                self.map(key, value, count, depth)
            }
            (_, 0) => {
                let map = Expression::of(
                    "{\"a\": $}",
                    [self.expression(type_, depth)],
                    Type::map(Type::String, type_.clone()),
                );
                Expression::of("$.a", [map], type_.clone())
            }
            (_, 1) => {
                let list = self.list(type_, 2, depth);
                let index = self.meaning(&Type::Int, depth, Meaning::Small);
                Expression::of("$[$]", [list, index], type_.clone()).using("index_list")
            }
            (_, 2) => {
                let [condition, a, b] =
                    [&Type::Bool, type_, type_].map(|type_| self.expression(type_, depth));
                Expression::operation("$ ? $ : $", [condition, a, b], type_.clone()).using("conditional")
            }
            _ => return None,
        })
    }

    fn domain(&mut self) -> String {
        match self.random.below(10) {
            0 => "\"nope.example.com\"".to_owned(),
            1 => "device.driver".to_owned(),
            2..5 => format!("\"{OTHER_DOMAIN}\""),
            _ => format!("\"{DRIVER}\""),
        }
    }

    fn identifier(&mut self) -> String {
        let names: Vec<&String> = self.device.attributes.keys().collect();
        let name =
            if names.is_empty() || self.random.percent(20) { "nope" } else { *self.random.pick(&names) };
        let id = name.rsplit('/').next().unwrap_or(name);
        format!("\"{id}\"")
    }
}

/// Whether the result of an overload can be of a type; binds the parameters that this needs.
fn unify(pattern: &Type, type_: &Type, bound: &mut BTreeMap<&'static str, Type>) -> bool {
    match (pattern, type_) {
        (Type::Parameter(name), _) => *bound.entry(name).or_insert_with(|| type_.clone()) == *type_,
        (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => unify(a, b, bound),
        (Type::Map(ka, va), Type::Map(kb, vb)) => unify(ka, kb, bound) && unify(va, vb, bound),
        (Type::Type(_), Type::Type(_)) => true,
        (a, b) => a == b,
    }
}

/// The call in the syntax of its function.
fn emit(overload: &Overload, parts: Vec<Expression>, type_: Type) -> Expression {
    let name = overload.function.as_str();
    let pattern = match name {
        "_?_:_" => "$ ? $ : $".to_owned(),
        "!_" => "!$".to_owned(),
        "-_" => "-$".to_owned(),
        "@in" => "$ in $".to_owned(),
        "_[_]" => return Expression::of("$[$]", parts, type_),
        "_[?_]" => return Expression::of("$[?$]", parts, type_),
        _ => match name.strip_prefix('_').and_then(|name| name.strip_suffix('_')) {
            Some(operator) if !operator.starts_with('_') && operator != "in" => format!("$ {operator} $"),
            _ => {
                let holes = vec!["$"; parts.len() - usize::from(overload.member)].join(", ");
                let receiver = if overload.member { "$." } else { "" };
                return Expression::of(&format!("{receiver}{name}({holes})"), parts, type_);
            }
        },
    };
    Expression::operation(&pattern, parts, type_)
}
