//! Threads that ask the allocator about several nodes at once.

use std::fmt;
use std::sync::Arc;

use drayage_allocator::Allocator;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::devices::{Question, Verdict};

/// Threads, each with an allocator of its own, which remembers the nodes it was asked about. Copies share the
/// threads.
#[derive(Clone)]
pub(crate) struct Workers {
    threads: Arc<ThreadPool>,
    allocators: Vec<Allocator>,
}

/// Neighbouring nodes go to one allocator, so that each sees the same nodes every time.
const NEIGHBOURS: usize = 8;

impl Workers {
    /// `None` for one thread, or where there are no threads to be had.
    pub(crate) fn new(threads: usize) -> Option<Self> {
        if threads < 2 {
            return None;
        }
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().ok()?;
        Some(Self { threads: Arc::new(pool), allocators: Vec::new() })
    }

    /// Forgets the allocators, after slices changed.
    pub(crate) fn forget(&mut self) {
        self.allocators.clear();
    }

    /// Asks all questions. The verdicts come in an order that depends on the questions and the number of threads only.
    pub(crate) fn ask<'q, 'a>(
        &mut self,
        allocator: &Allocator,
        questions: &'q [Question<'a>],
        ask: impl Fn(&mut Allocator, &Question<'a>) -> Verdict + Sync,
    ) -> Vec<(&'q Question<'a>, Verdict)> {
        let threads = self.threads.current_num_threads();
        self.allocators.resize_with(threads, || allocator.clone());
        let mut groups: Vec<Vec<&'q Question<'a>>> = vec![Vec::new(); threads];
        for question in questions {
            if let Some(group) = groups.get_mut(question.at / NEIGHBOURS % threads) {
                group.push(question);
            }
        }
        let allocators = &mut self.allocators;
        let answers: Vec<Vec<(&'q Question<'a>, Verdict)>> = self.threads.install(|| {
            let pairs = allocators.par_iter_mut().zip(groups);
            let answers = pairs.map(|(allocator, group)| {
                group.into_iter().map(|question| (question, ask(allocator, question))).collect()
            });
            answers.collect()
        });
        answers.into_iter().flatten().collect()
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("threads", &self.threads.current_num_threads())
            .finish_non_exhaustive()
    }
}
