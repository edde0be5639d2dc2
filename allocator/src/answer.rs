//! What an allocation answers.

use std::sync::Arc;

use crate::error::AllocationError;
use crate::objects::AllocationResult;

/// The answer to one [`Allocator::allocate`](crate::Allocator::allocate).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What came out.
    pub outcome: Outcome,
    /// How many search nodes were visited. This is our own measure: with accelerations the search visits fewer
    /// nodes than upstream's, so the numbers cannot be compared with upstream's statistics.
    pub steps: u64,
}

impl Answer {
    /// The error upstream's call returns, if it returns one: that of [`Outcome::Error`], or the error of a node
    /// where nothing fits and a pool is invalid.
    pub fn error(&self) -> Option<AllocationError> {
        match &self.outcome {
            Outcome::Error(error) => Some(error.clone()),
            Outcome::Unsatisfiable { invalid_pools: true } => Some(AllocationError::invalid_pools()),
            _ => None,
        }
    }
}

/// What came out of an allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// One result for each claim, in the order of the claims. Empty where there were no claims.
    Allocated(Arc<Vec<AllocationResult>>),
    /// No solution on this node.
    Unsatisfiable {
        /// Whether some pool of the node is invalid. Upstream then reports an error for the node
        /// (`invalid resource pools were encountered`) and goes on with other nodes.
        invalid_pools: bool,
    },
    /// Allocation ended with an error, for all nodes.
    Error(AllocationError),
    /// The budget of search steps ran out before there was an answer.
    Undecided,
}
