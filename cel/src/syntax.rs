//! The syntax tree: our own, independent of the parser.
//!
//! Nodes lie in one vector and name each other by index, so that a tree of any depth is dropped without
//! recursion, and checker and estimator keep what they learn in vectors of the same length.

use crate::value::Value;

/// The name of the accumulator in the comprehensions that macros make. No user can write it.
pub(crate) const ACCUMULATOR: &str = "@result";
/// The iteration variable of a comprehension that only binds a name.
pub(crate) const UNUSED_VARIABLE: &str = "#unused";

/// Index of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(u32);

impl NodeId {
    /// Index into vectors that run along the nodes.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// One node and where its token starts in the source, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) offset: u32,
}

/// An entry of a map or a field of a message.
#[derive(Clone, Debug)]
pub(crate) struct Entry<K> {
    pub(crate) key: K,
    pub(crate) value: NodeId,
    pub(crate) optional: bool,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Literal(Value),
    Ident(String),
    Select { operand: NodeId, field: String, presence: bool },
    Call { function: String, target: Option<NodeId>, arguments: Vec<NodeId> },
    List { elements: Vec<NodeId>, optional: Vec<bool> },
    Map { entries: Vec<Entry<NodeId>> },
    Message { name: String, fields: Vec<Entry<String>> },
    Comprehension(Box<Comprehension>),
}

/// A loop over a range with an accumulator, the one form that all macros take.
#[derive(Clone, Debug)]
pub(crate) struct Comprehension {
    pub(crate) range: NodeId,
    pub(crate) variable: String,
    pub(crate) second_variable: Option<String>,
    pub(crate) accumulator: String,
    pub(crate) initial: NodeId,
    pub(crate) condition: NodeId,
    pub(crate) step: NodeId,
    pub(crate) result: NodeId,
}

/// A tree under construction or complete.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    pub(crate) fn push(&mut self, offset: u32, kind: Kind) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node { kind, offset });
        id
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn kind(&self, id: NodeId) -> &Kind {
        &self.nodes[id.index()].kind
    }

    pub(crate) fn offset(&self, id: NodeId) -> u32 {
        self.nodes[id.index()].offset
    }

    pub(crate) fn replace(&mut self, id: NodeId, kind: Kind) {
        self.nodes[id.index()].kind = kind;
    }

    /// The nodes a node is made of, in the order in which they are written or expanded.
    pub(crate) fn children(&self, id: NodeId) -> Vec<NodeId> {
        match self.kind(id) {
            Kind::Literal(_) | Kind::Ident(_) => Vec::new(),
            Kind::Select { operand, .. } => vec![*operand],
            Kind::Call { target, arguments, .. } => target.iter().chain(arguments).copied().collect(),
            Kind::List { elements, .. } => elements.clone(),
            Kind::Map { entries } => entries.iter().flat_map(|entry| [entry.key, entry.value]).collect(),
            Kind::Message { fields, .. } => fields.iter().map(|field| field.value).collect(),
            Kind::Comprehension(c) => vec![c.range, c.initial, c.condition, c.step, c.result],
        }
    }

    /// The dotted name that a chain of selections spells, `a.b.c`; none for anything else.
    pub(crate) fn qualified_name(&self, mut id: NodeId) -> Option<String> {
        let mut parts = Vec::new();
        loop {
            match self.kind(id) {
                Kind::Ident(name) => {
                    parts.push(name.as_str());
                    parts.reverse();
                    return Some(parts.join("."));
                }
                Kind::Select { operand, field, presence: false } => {
                    parts.push(field);
                    id = *operand;
                }
                _ => return None,
            }
        }
    }

    /// Whether this is the loop of `cel.bind`: over nothing, never entered, with a named accumulator.
    pub(crate) fn is_bind(&self, comprehension: &Comprehension) -> bool {
        matches!(self.kind(comprehension.range), Kind::List { elements, .. } if elements.is_empty())
            && matches!(self.kind(comprehension.condition), Kind::Literal(Value::Bool(false)))
            && comprehension.accumulator != "__result__"
    }
}
