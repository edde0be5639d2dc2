//! Generated expressions: text with holes, so that parts can be exchanged.

use drayage_cel::Type;

/// An expression made of text and of other expressions.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    /// What it is made of, in the order of the text.
    pub pieces: Vec<Piece>,
    /// The type it is meant to have.
    pub type_: Type,
    /// Whether it can stand anywhere without brackets.
    pub atomic: bool,
    /// The overload or macro that it uses itself, without those of its parts.
    pub uses: Option<String>,
}

/// A piece of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Text as it stands.
    Text(String),
    /// Another expression.
    Part(Expression),
}

impl Expression {
    /// Text without parts.
    pub fn leaf(text: impl Into<String>, type_: Type) -> Self {
        let text = text.into();
        let atomic = !text.starts_with('-');
        Self { pieces: vec![Piece::Text(text)], type_, atomic, uses: None }
    }

    /// A pattern in which each `$` stands for the next of the parts.
    pub fn of(pattern: &str, parts: impl IntoIterator<Item = Self>, type_: Type) -> Self {
        let mut parts = parts.into_iter();
        let mut pieces = Vec::new();
        for (at, text) in pattern.split('$').enumerate() {
            if at > 0 {
                pieces.extend(parts.next().map(Piece::Part));
            }
            if !text.is_empty() {
                pieces.push(Piece::Text(text.to_owned()));
            }
        }
        Self { pieces, type_, atomic: true, uses: None }
    }

    /// The same, which needs brackets where it is a part.
    pub fn operation(pattern: &str, parts: impl IntoIterator<Item = Self>, type_: Type) -> Self {
        Self { atomic: false, ..Self::of(pattern, parts, type_) }
    }

    /// The same, which uses an overload or a macro.
    #[must_use]
    pub fn using(self, name: impl Into<String>) -> Self {
        Self { uses: Some(name.into()), ..self }
    }

    /// The source text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, to: &mut String) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => to.push_str(text),
                Piece::Part(part) if part.atomic => part.write(to),
                Piece::Part(part) => {
                    to.push('(');
                    part.write(to);
                    to.push(')');
                }
            }
        }
    }

    fn parts(&self) -> impl Iterator<Item = &Self> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Part(part) => Some(part),
            Piece::Text(_) => None,
        })
    }

    /// The names of all overloads and macros used.
    pub fn uses(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.visit(&mut |expression| names.extend(expression.uses.as_deref()));
        names
    }

    /// The number of expressions it is made of, itself included.
    pub fn len(&self) -> usize {
        let mut count = 0;
        self.visit(&mut |_| count += 1);
        count
    }

    /// Never: an expression counts itself.
    pub fn is_empty(&self) -> bool {
        false
    }

    fn visit<'e>(&'e self, look: &mut impl FnMut(&'e Self)) {
        look(self);
        for part in self.parts() {
            part.visit(look);
        }
    }

    /// The expression at a place in the order of [`Expression::len`].
    pub fn at(&self, place: usize) -> Option<&Self> {
        let mut found = None;
        let mut count = 0;
        self.visit(&mut |expression| {
            if count == place {
                found = Some(expression);
            }
            count += 1;
        });
        found
    }

    /// The same with the expression at a place replaced.
    #[must_use]
    pub fn with(&self, place: usize, by: &Self) -> Self {
        let mut count = 0;
        self.replaced(place, by, &mut count)
    }

    fn replaced(&self, place: usize, by: &Self, count: &mut usize) -> Self {
        let here = *count;
        *count += 1;
        if here == place {
            *count += self.len() - 1;
            return by.clone();
        }
        let pieces = self
            .pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => Piece::Text(text.clone()),
                Piece::Part(part) => Piece::Part(part.replaced(place, by, count)),
            })
            .collect();
        Self { pieces, ..self.clone() }
    }
}
