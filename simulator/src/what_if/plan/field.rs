//! What partitions can be taken: whole devices and their states, which of them are alike, and what pods want of them.

use std::collections::BTreeSet;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::stock::{Numbered, Stock, Takes};
use super::wants::{Requests, WantId};

/// What pods want that can be exchanged for each other: requests, and the nodes on which they can be at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    pub(super) requests: Requests,
    /// `None` is every node.
    pub(super) nodes: Option<Rc<BTreeSet<usize>>>,
}

/// Number of a state of a whole device. Equal numbers are states of devices that differ in nothing but their names.
pub(super) type StateId = u32;

/// Number of a bin's content: the states of its whole devices, in order.
pub(super) type ContentId = usize;

/// The structure of a whole device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Shape {
    amounts: Vec<i64>,
    /// What partitions of each form take, what they match, and how many there are.
    forms: Vec<(usize, usize, usize)>,
    /// The kinds that can be on its node.
    kinds: Vec<bool>,
}

/// What is left of a whole device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Left {
    shape: usize,
    amounts: Box<[i64]>,
    /// Partitions that are taken, by form.
    taken: Box<[usize]>,
}

/// A partition of a form taken, and the state after that.
pub(super) type Move = (usize, StateId);

/// Some partitions of a bin, taken one after the other: each by the state of its whole device before, and its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) taken: Vec<Move>,
    pub(super) after: ContentId,
}

/// All ways to meet a demand in a bin, and whether these are all.
pub(super) type Ways = (Rc<[Way]>, bool);

/// Whole devices in all their states, and bins: what a pod finds its partitions in. A bin is a whole device where each pod
/// wants one partition, else a node.
pub(super) struct Field<'s> {
    pub(super) stock: &'s Stock<'s>,
    pub(super) kinds: Vec<Kind>,
    shapes: Numbered<Shape>,
    lefts: Numbered<Left>,
    moves: Vec<Option<Rc<[Move]>>>,
    /// By whole device: its state when nothing is taken.
    pub(super) untouched: Vec<StateId>,
    pub(super) bins: Vec<Vec<usize>>,
    pub(super) bin_of: Vec<usize>,
    contents: Numbered<Vec<StateId>>,
    ways: FxHashMap<(usize, ContentId), Ways>,
}

/// More steps are not made to list the ways to meet a demand in one bin.
const MOST_STEPS: usize = 4096;

impl<'s> Field<'s> {
    pub(super) fn new(stock: &'s Stock<'s>, kinds: Vec<Kind>) -> Self {
        let is_single = |kind: &Kind| matches!(kind.requests.as_slice(), [alternatives] if alternatives.iter().all(|piece| piece.count == 1));
        let single = kinds.iter().all(is_single);
        let mut field = Self {
            stock,
            kinds,
            shapes: Numbered::default(),
            lefts: Numbered::default(),
            moves: Vec::new(),
            untouched: Vec::new(),
            bins: Vec::new(),
            bin_of: Vec::new(),
            contents: Numbered::default(),
            ways: FxHashMap::default(),
        };
        let mut nodes: Numbered<usize> = Numbered::default();
        for (number, whole) in stock.wholes.iter().enumerate() {
            let kinds = field.kinds.iter();
            let shape = Shape {
                amounts: whole.amounts.clone(),
                forms: whole
                    .forms
                    .iter()
                    .map(|form| (form.takes, form.wanted, form.partitions.len()))
                    .collect(),
                kinds: kinds
                    .map(|kind| kind.nodes.as_ref().is_none_or(|nodes| nodes.contains(&whole.node)))
                    .collect(),
            };
            let (amounts, taken) = (shape.amounts.clone().into(), vec![0; shape.forms.len()].into());
            let shape = field.shapes.number(shape);
            let untouched = field.lefts.number(Left { shape, amounts, taken });
            field.untouched.push(narrow(untouched));
            let bin = if single { number } else { nodes.number(whole.node) };
            if bin == field.bins.len() {
                field.bins.push(Vec::new());
            }
            if let Some(wholes) = field.bins.get_mut(bin) {
                wholes.push(number);
            }
            field.bin_of.push(bin);
        }
        field
    }

    /// The state after one more partition of a form is taken, or one less, whether or not that can be.
    pub(super) fn changed(&mut self, state: StateId, form: usize, sign: i64) -> StateId {
        let Some(left) = self.lefts.get(state as usize) else { return state };
        let mut left = left.clone();
        for &(counter, amount) in self.takes(left.shape, form) {
            if let Some(left) = left.amounts.get_mut(counter) {
                *left = left.saturating_sub(sign.saturating_mul(amount));
            }
        }
        if let Some(taken) = left.taken.get_mut(form) {
            *taken = if sign > 0 { *taken + 1 } else { taken.saturating_sub(1) };
        }
        narrow(self.lefts.number(left))
    }

    fn takes(&self, shape: usize, form: usize) -> &'s Takes {
        static NOTHING: Takes = Takes::new();
        let shape = self.shapes.get(shape);
        let form = shape.and_then(|shape| shape.forms.get(form));
        form.and_then(|(takes, _, _)| self.stock.takes.get(*takes)).unwrap_or(&NOTHING)
    }

    /// The partitions that can be taken in a state, one of each form that anybody wants.
    pub(super) fn moves(&mut self, state: StateId) -> Rc<[Move]> {
        if let Some(known) = self.moves.get(state as usize).and_then(Option::as_ref) {
            return Rc::clone(known);
        }
        let mut forms = Vec::new();
        if let Some(left) = self.lefts.get(state as usize)
            && let Some(shape) = self.shapes.get(left.shape)
        {
            for (form, &(takes, wanted, count)) in shape.forms.iter().enumerate() {
                let is_wanted = self.stock.wanted.get(wanted).is_some_and(|wanted| !wanted.is_empty());
                let is_free = left.taken.get(form).is_some_and(|taken| *taken < count);
                let fits = |&(counter, amount): &(usize, i64)| {
                    left.amounts.get(counter).is_some_and(|left| *left >= amount)
                };
                if is_wanted
                    && is_free
                    && self.stock.takes.get(takes).is_some_and(|takes| takes.iter().all(fits))
                {
                    forms.push(form);
                }
            }
        }
        let moves: Rc<[Move]> = forms.into_iter().map(|form| (form, self.changed(state, form, 1))).collect();
        if self.moves.len() <= state as usize {
            self.moves.resize(self.lefts.len(), None);
        }
        if let Some(known) = self.moves.get_mut(state as usize) {
            *known = Some(Rc::clone(&moves));
        }
        moves
    }

    pub(super) fn shape_of(&self, state: StateId) -> usize {
        self.lefts.get(state as usize).map_or(0, |left| left.shape)
    }

    pub(super) fn shapes(&self) -> usize {
        self.shapes.len()
    }

    pub(super) fn forms(&self, shape: usize) -> usize {
        self.shapes.get(shape).map_or(0, |shape| shape.forms.len())
    }

    /// Whether a kind of demand can have partitions of a form for a want.
    pub(super) fn may_have(&self, shape: usize, form: usize, kind: usize, want: WantId) -> bool {
        let Some(shape) = self.shapes.get(shape) else { return false };
        let wanted = shape.forms.get(form).and_then(|(_, wanted, _)| self.stock.wanted.get(*wanted));
        shape.kinds.get(kind) == Some(&true) && wanted.is_some_and(|wanted| wanted.contains(&want))
    }

    /// How many more partitions of a form there are in a state, and of each counter what is left and what one takes.
    pub(super) fn still(&self, state: StateId, form: usize) -> usize {
        let Some(left) = self.lefts.get(state as usize) else { return 0 };
        let Some(shape) = self.shapes.get(left.shape) else { return 0 };
        let count = shape.forms.get(form).map_or(0, |(_, _, count)| *count);
        let taken = left.taken.get(form).copied().unwrap_or(0);
        let needed = self.takes(left.shape, form).iter().filter(|(_, amount)| *amount > 0);
        let fitting = needed.filter_map(|(counter, amount)| {
            usize::try_from(left.amounts.get(*counter)?.max(&0) / amount).ok()
        });
        fitting.min().unwrap_or(usize::MAX).min(count.saturating_sub(taken))
    }

    /// What is left of the counters in a state.
    pub(super) fn left(&self, state: StateId) -> &[i64] {
        self.lefts.get(state as usize).map_or(&[], |left| &left.amounts)
    }

    /// What partitions of a form take in a state.
    pub(super) fn taken_by(&self, state: StateId, form: usize) -> &'s Takes {
        self.takes(self.shape_of(state), form)
    }

    /// What part of the counters of an untouched device a partition of a form takes on average, in millionths.
    pub(super) fn part(&self, shape: usize, form: usize) -> i64 {
        let Some(of) = self.shapes.get(shape) else { return 0 };
        let takes = self.takes(shape, form);
        if of.amounts.is_empty() {
            return 1_000_000;
        }
        let parts = takes.iter().filter_map(|(counter, amount)| {
            let whole = of.amounts.get(*counter).filter(|whole| **whole > 0)?;
            Some(i128::from(*amount) * 1_000_000 / i128::from(*whole))
        });
        // The counters of a divided device are parts of it: what takes all of half of them takes half of it.
        let mean = parts.sum::<i128>() / i128::try_from(of.amounts.len()).unwrap_or(1).max(1);
        i64::try_from(mean).unwrap_or(i64::MAX).max(1)
    }

    pub(super) fn content(&mut self, bin: usize, states: &[StateId]) -> ContentId {
        let wholes = self.bins.get(bin).map_or(&[][..], Vec::as_slice);
        let mut content: Vec<StateId> =
            wholes.iter().filter_map(|&whole| states.get(whole).copied()).collect();
        content.sort_unstable();
        self.contents.number(content)
    }

    pub(super) fn states_of(&self, content: ContentId) -> &[StateId] {
        self.contents.get(content).map_or(&[], Vec::as_slice)
    }

    /// All ways to meet a demand in a bin, up to what is alike; false if they were too many to list.
    pub(super) fn ways(&mut self, kind: usize, content: ContentId) -> Ways {
        if let Some((ways, complete)) = self.ways.get(&(kind, content)) {
            return (Rc::clone(ways), *complete);
        }
        let mut listing = Listing::new(MOST_STEPS, None);
        listing.start(self, kind, content);
        let (ways, complete) = (Rc::from(listing.found), listing.left > 0);
        self.ways.insert((kind, content), (Rc::clone(&ways), complete));
        (ways, complete)
    }

    /// A way that loses little: of each partition that is needed the one that loses least.
    pub(super) fn cheap_way(
        &mut self,
        kind: usize,
        content: ContentId,
        loss: &mut dyn FnMut(&mut Field<'_>, StateId, StateId) -> i64,
    ) -> Option<Way> {
        let mut listing = Listing::new(MOST_STEPS / 16, Some(loss));
        listing.start(self, kind, content);
        listing.found.into_iter().next()
    }
}

fn narrow(number: usize) -> StateId {
    StateId::try_from(number).unwrap_or(StateId::MAX)
}

/// Where in a demand a listing is: the request, and of its alternative which it is and how many devices are missing.
type Position = (usize, Option<(usize, usize)>);

/// What a partition loses, by the state of its whole device before and after.
type Loss<'l> = &'l mut dyn FnMut(&mut Field<'_>, StateId, StateId) -> i64;

struct Listing<'l> {
    left: usize,
    /// With it, only the first way is found, and cheap ones come first.
    loss: Option<Loss<'l>>,
    seen: BTreeSet<(Position, Vec<StateId>)>,
    taken: Vec<Move>,
    found: Vec<Way>,
    contents: BTreeSet<ContentId>,
}

impl<'l> Listing<'l> {
    fn new(left: usize, loss: Option<Loss<'l>>) -> Self {
        Self {
            left,
            loss,
            seen: BTreeSet::new(),
            taken: Vec::new(),
            found: Vec::new(),
            contents: BTreeSet::new(),
        }
    }

    fn start(&mut self, field: &mut Field<'_>, kind: usize, content: ContentId) {
        let Some(requests) = field.kinds.get(kind).map(|kind| kind.requests.clone()) else { return };
        let states = field.states_of(content).to_vec();
        self.go_on(field, (kind, &requests), (0, None), states);
    }

    fn go_on(
        &mut self,
        field: &mut Field<'_>,
        demand: (usize, &Requests),
        position: Position,
        states: Vec<StateId>,
    ) {
        let is_enough = |listing: &Self| listing.loss.is_some() && !listing.found.is_empty();
        if self.left == 0 || is_enough(self) || !self.seen.insert((position, states.clone())) {
            return;
        }
        self.left -= 1;
        let (kind, requests) = demand;
        let Some(alternatives) = requests.get(position.0) else {
            let after = field.contents.number(states);
            if self.contents.insert(after) {
                self.found.push(Way { taken: self.taken.clone(), after });
            }
            return;
        };
        let Some((alternative, missing)) = position.1 else {
            let mut order: Vec<(i64, usize, usize)> = Vec::new();
            for (number, piece) in alternatives.iter().enumerate() {
                let cheapest = match self.loss {
                    None => Some(0),
                    Some(_) => {
                        self.candidates(field, kind, piece.want, &states).first().map(|(loss, ..)| *loss)
                    }
                };
                let count = i64::try_from(piece.count).unwrap_or(i64::MAX);
                order.extend(cheapest.map(|loss| (loss.saturating_mul(count), number, piece.count)));
            }
            order.sort_unstable();
            for (_, number, count) in order {
                self.go_on(field, demand, (position.0, Some((number, count))), states.clone());
            }
            return;
        };
        if missing == 0 {
            return self.go_on(field, demand, (position.0 + 1, None), states);
        }
        let Some(piece) = alternatives.get(alternative) else { return };
        for (_, at, form, after) in self.candidates(field, kind, piece.want, &states) {
            let mut next = states.clone();
            let Some(state) = next.get_mut(at) else { continue };
            self.taken.push((form, *state));
            *state = after;
            next.sort_unstable();
            self.go_on(field, demand, (position.0, Some((alternative, missing - 1))), next);
            self.taken.pop();
            if is_enough(self) || self.left == 0 {
                return;
            }
        }
    }

    /// The partitions of some whole devices that a want matches, those that lose least first: loss, number of the device, form,
    /// state after.
    fn candidates(
        &mut self,
        field: &mut Field<'_>,
        kind: usize,
        want: WantId,
        states: &[StateId],
    ) -> Vec<(i64, usize, usize, StateId)> {
        let mut candidates = Vec::new();
        for (at, &state) in states.iter().enumerate() {
            if at > 0 && states.get(at - 1) == Some(&state) {
                continue;
            }
            let shape = field.shape_of(state);
            for &(form, after) in field.moves(state).iter() {
                if field.may_have(shape, form, kind, want) {
                    let loss = self.loss.as_mut().map_or(0, |loss| loss(field, state, after));
                    candidates.push((loss, at, form, after));
                }
            }
        }
        candidates.sort_unstable();
        candidates
    }
}
