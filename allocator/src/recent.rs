//! The latest answer about a node, for the next one who asks the same.
//!
//! An answer follows from what the node sees, what other claims hold there, and what the claims of the question ask
//! for. Their names are in errors only, and errors are not kept. Neither are answers with identities of shares, which
//! the caller makes for each question anew.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::answer::{Answer, Outcome};
use crate::held::{Era, HeldDevices};
use crate::objects::ResourceClaim;

/// What the claims of a question ask for.
#[derive(Debug)]
pub(crate) struct Question(Vec<ResourceClaim>);

impl Question {
    pub(crate) fn new(claims: &[&ResourceClaim]) -> Self {
        Self(claims.iter().map(|claim| (*claim).clone()).collect())
    }

    /// Whether other claims ask for the same.
    pub(crate) fn is_same(&self, claims: &[&ResourceClaim]) -> bool {
        self.0.len() == claims.len()
            && self.0.iter().zip(claims).all(|(one, other)| {
                // Field by field, so that a new one is thought of here.
                let ResourceClaim { namespace: _, name: _, requests, constraints, config } = *other;
                one.requests == *requests && one.constraints == *constraints && one.config == *config
            })
    }
}

/// The circumstances of an answer. Equal pointers mean equal content.
#[derive(Clone, Debug)]
pub(crate) struct Circumstances {
    pub(crate) question: Arc<Question>,
    /// What other claims hold of the node's devices, if they hold anything.
    pub(crate) held: Option<Weak<HeldDevices>>,
    /// Whether the kubelet of the node can skip operations.
    pub(crate) skips_operations: bool,
}

impl Circumstances {
    fn are_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.question, &other.question)
            && self.skips_operations == other.skips_operations
            && match (&self.held, &other.held) {
                (Some(one), Some(other)) => Weak::ptr_eq(one, other),
                (None, None) => true,
                _ => false,
            }
    }
}

/// The latest answer about a node.
#[derive(Debug, Default)]
pub(crate) struct LastAnswer(Mutex<Option<(Circumstances, Answer)>>);

impl LastAnswer {
    /// The answer, if it was given in these circumstances with no more steps than the budget allows.
    pub(crate) fn find(&self, circumstances: &Circumstances, budget: u64) -> Option<Answer> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |(known, answer): &&(Circumstances, Answer)| {
            answer.steps <= budget && known.are_same(circumstances)
        };
        last.as_ref().filter(known).map(|(_, answer)| answer.clone())
    }

    /// Keeps an answer if the next one who asks can have the same.
    pub(crate) fn keep(&self, circumstances: Circumstances, answer: &Answer) {
        let same_for_all = match &answer.outcome {
            Outcome::Allocated(results) => {
                results.iter().flat_map(|result| &result.results).all(|result| result.share_id.is_none())
            }
            Outcome::Unsatisfiable { .. } => true,
            Outcome::Error(_) | Outcome::Undecided => false,
        };
        if same_for_all {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((circumstances, answer.clone()));
        }
    }
}

/// The first device of a view that is of use for the first request of a question, found out in an earlier search. Those
/// before it are refused for themselves, which stays so as long as devices are only taken.
#[derive(Debug, Default)]
pub(crate) struct LastFloor(Mutex<Option<Floor>>);

#[derive(Debug)]
struct Floor {
    question: Arc<Question>,
    era: Era,
    position: u32,
}

impl LastFloor {
    /// The position of that device; the first where nothing is known.
    pub(crate) fn find(&self, question: &Arc<Question>, era: &Era) -> u32 {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |floor: &&Floor| Arc::ptr_eq(&floor.question, question) && floor.era.is(era);
        last.as_ref().filter(known).map_or(0, |floor| floor.position)
    }

    pub(crate) fn keep(&self, question: &Arc<Question>, era: Era, position: u32) {
        if position > 0 {
            let question = question.clone();
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Floor { question, era, position });
        }
    }
}
