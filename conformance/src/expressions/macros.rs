//! Macros: comprehensions, bindings, optionals.

use drayage_cel::Type;

use super::grammar::Grammar;
use super::literals::Meaning;
use super::tree::Expression;

impl Grammar<'_> {
    /// A macro that gives the wanted type.
    pub(super) fn macro_(&mut self, type_: &Type, depth: usize) -> Option<Expression> {
        let depth = depth - 1;
        if self.random.percent(15) {
            return Some(self.bind(type_, depth));
        }
        match type_ {
            Type::Bool => Some(self.quantified(depth)),
            Type::List(element) => Some(self.collected(element, depth)),
            Type::Map(key, value) => Some(self.transformed(key, value, depth)),
            Type::Optional(inner) => {
                let from = self.type_(1);
                let target = self.expression(&Type::optional(from.clone()), depth);
                let flat = self.random.percent(40);
                let wanted = if flat { type_ } else { inner.as_ref() };
                let (name, body) = self.within(&from, |this| this.expression(wanted, depth));
                let macro_name = if flat { "optFlatMap" } else { "optMap" };
                Some(
                    Expression::of(&format!("$.{macro_name}({name}, $)"), [target, body], type_.clone())
                        .using(format!("{macro_name}()")),
                )
            }
            _ => None,
        }
    }

    /// A part in which a new variable is in scope, and the name of the variable.
    fn within(&mut self, type_: &Type, body: impl FnOnce(&mut Self) -> Expression) -> (String, Expression) {
        self.names += 1;
        // Now and then a variable hides an outer one.
        let name = if self.random.percent(10) { "x".to_owned() } else { format!("v{}", self.names) };
        self.scope.push((name.clone(), type_.clone()));
        let body = body(self);
        self.scope.pop();
        (name, body)
    }

    fn bind(&mut self, type_: &Type, depth: usize) -> Expression {
        let of = self.type_(2);
        let value = self.expression(&of, depth);
        let (name, body) = self.within(&of, |this| this.expression(type_, depth));
        Expression::of(&format!("cel.bind({name}, $, $)"), [value, body], type_.clone()).using("bind()")
    }

    /// Something to iterate over, with the types of the first and the second variable.
    fn range(&mut self, two: bool, depth: usize) -> (Expression, Type, Type) {
        match self.random.below(10) {
            0 => {
                let text = *self.random.pick(&["device.attributes", "device.capacity"]);
                let inner = if text == "device.attributes" { Type::Dyn } else { Type::QUANTITY };
                let value = Type::map(Type::String, inner);
                let type_ = Type::map(Type::String, value.clone());
                (Expression::leaf(text, type_), Type::String, value)
            }
            1 => {
                let element = self.type_(0);
                let range = self.attribute(Some(&Type::list(element)), true);
                (range, if two { Type::Int } else { Type::Dyn }, Type::Dyn)
            }
            2 => {
                let count = *self.random.pick(&[2, 10, 10, 60, 300]);
                let range = Expression::leaf(format!("lists.range({count})"), Type::list(Type::Int))
                    .using("lists_range");
                (range, Type::Int, Type::Int)
            }
            3 | 4 => {
                let (key, value) = (self.key_type(), self.type_(1));
                let count = *self.random.pick(&[0, 1, 1, 1, 2]);
                let range = if self.random.percent(50) {
                    self.map(&key, &value, count, depth)
                } else {
                    self.expression(&Type::map(key.clone(), value.clone()), depth)
                };
                (range, key, value)
            }
            _ => {
                let element = self.type_(1);
                let range = self.expression(&Type::list(element.clone()), depth);
                (range, if two { Type::Int } else { element.clone() }, element)
            }
        }
    }

    fn quantified(&mut self, depth: usize) -> Expression {
        let two = self.random.percent(30);
        let names: &[&str] = if two {
            &["all", "exists", "existsOne", "exists_one"]
        } else {
            &["all", "exists", "exists_one", "existsOne"]
        };
        let name = *self.random.pick(names);
        let (range, first, second) = self.range(two, depth);
        let (variable, body) = self.within(&first, |this| {
            if !two {
                return this.expression(&Type::Bool, depth);
            }
            let (other, body) = this.within(&second, |this| this.expression(&Type::Bool, depth));
            Expression::of(&format!("{other}, $"), [body], Type::Bool)
        });
        Expression::of(&format!("$.{name}({variable}, $)"), [range, unwrapped(body)], Type::Bool)
            .using(format!("{name}({})", if two { 3 } else { 2 }))
    }

    fn collected(&mut self, element: &Type, depth: usize) -> Expression {
        let list = Type::list(element.clone());
        match self.random.below(10) {
            0..4 => {
                let (range, first, _) = self.range(false, depth);
                let filter = self.random.percent(40);
                let (variable, body) = self.within(&first, |this| {
                    let value = this.expression(element, depth);
                    if filter {
                        let condition = this.expression(&Type::Bool, depth);
                        Expression::of("$, $", [condition, value], element.clone())
                    } else {
                        value
                    }
                });
                Expression::of(&format!("$.map({variable}, $)"), [range, unwrapped(body)], list)
                    .using(format!("map({})", if filter { 3 } else { 2 }))
            }
            4..6 => {
                let range = self.expression(&list, depth);
                let (variable, body) = self.within(element, |this| this.expression(&Type::Bool, depth));
                Expression::of(&format!("$.filter({variable}, $)"), [range, body], list).using("filter()")
            }
            6..8 => {
                let range = self.expression(&list, depth);
                let key = self.random.pick(&[Type::Int, Type::String, Type::Double, Type::Bool]).clone();
                let (variable, body) = self.within(element, |this| this.expression(&key, depth));
                Expression::of(&format!("$.sortBy({variable}, $)"), [range, body], list).using("sortBy()")
            }
            _ => {
                let (range, first, second) = self.range(true, depth);
                let filter = self.random.percent(40);
                let (variable, body) = self.within(&first, |this| {
                    let (other, body) = this.within(&second, |this| {
                        let value = this.expression(element, depth);
                        if filter {
                            let condition = this.expression(&Type::Bool, depth);
                            Expression::of("$, $", [condition, value], element.clone())
                        } else {
                            value
                        }
                    });
                    Expression::of(&format!("{other}, $"), [unwrapped(body)], element.clone())
                });
                Expression::of(&format!("$.transformList({variable}, $)"), [range, unwrapped(body)], list)
                    .using(format!("transformList({})", if filter { 4 } else { 3 }))
            }
        }
    }

    fn transformed(&mut self, key: &Type, value: &Type, depth: usize) -> Expression {
        let map = Type::map(key.clone(), value.clone());
        let entries = self.random.percent(50);
        let filter = self.random.percent(40);
        let (range, first, second) = if entries || *key == Type::Int {
            self.range(true, depth)
        } else {
            let of = self.type_(1);
            let range = self.expression(&Type::map(key.clone(), of.clone()), depth);
            (range, key.clone(), of)
        };
        let (variable, body) = self.within(&first, |this| {
            let (other, body) = this.within(&second, |this| {
                let made = if entries {
                    let key = this.meaning(key, depth, Meaning::Any);
                    let value = this.expression(value, depth);
                    Expression::of("{$: $}", [key, value], map.clone())
                } else {
                    this.expression(value, depth)
                };
                if filter {
                    let condition = this.expression(&Type::Bool, depth);
                    Expression::of("$, $", [condition, made], map.clone())
                } else {
                    made
                }
            });
            Expression::of(&format!("{other}, $"), [unwrapped(body)], map.clone())
        });
        let name = if entries { "transformMapEntry" } else { "transformMap" };
        Expression::of(&format!("$.{name}({variable}, $)"), [range, unwrapped(body)], map.clone())
            .using(format!("{name}({})", if filter { 4 } else { 3 }))
    }
}

/// Arguments of a macro stand without brackets.
fn unwrapped(body: Expression) -> Expression {
    Expression { atomic: true, ..body }
}
