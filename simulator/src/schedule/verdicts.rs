//! Verdicts on demands, remembered by node, or once for all nodes that see the same devices.

use drayage_allocator::persistent::{List, Map};

use super::devices::ShapeId;

/// How often something changed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Changes {
    pub(crate) all: u32,
    /// Changes after which what failed before need not fail: devices are given back, slices come or go.
    pub(crate) relief: u32,
}

impl Changes {
    pub(crate) fn note(&mut self, relief: bool) {
        self.all = self.all.wrapping_add(1);
        self.relief = self.relief.wrapping_add(u32::from(relief));
    }

    /// Both parts only grow, so that an equal sum means no change.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { all: self.all.wrapping_add(other.all), relief: self.relief.wrapping_add(other.relief) }
    }
}

/// What is remembered of a shape on a node.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Cell {
    #[default]
    Unknown,
    /// True while the count of changes is this; with what the chosen alternatives are worth.
    Fits(u32, u16),
    /// As before.
    Unsatisfiable(u32, bool),
    /// True until this count of changes that may help changes.
    Hopeless(u32, bool),
}

impl Cell {
    /// Whether it is true still.
    pub(crate) fn holds(self, changes: Changes) -> bool {
        match self {
            Self::Unknown => false,
            Self::Fits(when, _) | Self::Unsatisfiable(when, _) => when == changes.all,
            Self::Hopeless(when, _) => when == changes.relief,
        }
    }
}

/// Whether a node sees the same as others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sight {
    /// That was not found out.
    #[default]
    Unknown,
    /// It has slices of its own, or is told apart otherwise.
    Own,
    /// It sees what all nodes with this number see.
    Shared(u32),
}

/// Cells by shape, then by node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdicts {
    /// Shorter where the last nodes were not looked at.
    by_node: List<List<Cell>>,
    /// Those of nodes that see the same, by shape and the number that they have in common.
    shared: Map<(ShapeId, u32), Cell>,
    /// By node.
    sights: List<Sight>,
}

impl Verdicts {
    /// A new shape.
    pub(crate) fn add_shape(&mut self) -> u32 {
        self.by_node.push(List::default())
    }

    /// Forgets all verdicts. Shapes stay valid; only nothing is remembered under the old ones any more.
    pub(crate) fn clear(&mut self) {
        let shapes = self.by_node.len();
        (self.by_node, self.shared) = (List::default(), Map::default());
        for _ in 0..shapes {
            self.add_shape();
        }
    }

    /// Forgets with which others a node sees the same, after its slices changed, or that of all nodes.
    pub(crate) fn forget_sights(&mut self, at: Option<usize>) {
        if let Some(at) = at {
            set(&mut self.sights, at, Sight::Unknown);
        } else {
            (self.sights, self.shared) = (List::default(), Map::default());
        }
    }

    pub(crate) fn sight(&self, at: usize) -> Sight {
        let found = u32::try_from(at).ok().and_then(|at| self.sights.get(at));
        found.copied().unwrap_or_default()
    }

    pub(crate) fn set_sight(&mut self, at: usize, sight: Sight) {
        set(&mut self.sights, at, sight);
    }

    /// The cell of a node for itself.
    pub(crate) fn of_node(&self, shape: ShapeId, at: usize) -> Cell {
        let of_shape = self.by_node.get(shape.0).zip(u32::try_from(at).ok());
        of_shape.and_then(|(cells, at)| cells.get(at)).copied().unwrap_or_default()
    }

    /// The cell of all nodes with a number.
    pub(crate) fn of_number(&self, shape: ShapeId, number: u32) -> Cell {
        self.shared.get(&(shape, number)).copied().unwrap_or_default()
    }

    pub(crate) fn set_of_node(&mut self, shape: ShapeId, at: usize, cell: Cell) {
        if let Some(cells) = self.by_node.get_mut(shape.0) {
            set(cells, at, cell);
        }
    }

    pub(crate) fn set_of_number(&mut self, shape: ShapeId, number: u32, cell: Cell) {
        self.shared.insert((shape, number), cell);
    }
}

fn set<T: Clone + Default>(list: &mut List<T>, at: usize, value: T) {
    let Ok(at) = u32::try_from(at) else { return };
    while list.len() <= at {
        list.push(T::default());
    }
    if let Some(place) = list.get_mut(at) {
        *place = value;
    }
}
