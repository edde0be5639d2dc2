//! Compares the allocator with Kubernetes' own code: random allocation problems, the real allocator of each release as
//! a peer process, and a plain reference. Test-only; nothing that is shipped depends on it.
//!
//! - [`generate`] makes a random [`problem`] from a seed; [`random`] and [`selectors`] are its means.
//! - [`json`] writes problems and results as lines, in the form that `dray allocate --problems` reads.
//! - [`mod@reference`] answers problems plainly, [`shrink`] makes a problem small.
//! - [`peer`] runs the real allocator, [`compare`] compares its answers with ours, [`run`] does that many times with a
//!   [`mix`] of problems that [`fit`] a [`release`], and [`coverage`] counts what the problems used.
//! - [`record`] keeps answers for tests that need no Go, [`read`] reads them.
//! - [`mod@bench`] times both sides.
//! - [`expressions`] does the same for random CEL expressions.

pub mod bench;
pub mod compare;
pub mod coverage;
pub mod expressions;
pub mod fit;
pub mod generate;
pub mod hard;
pub mod json;
pub mod mix;
pub mod newer;
pub mod peer;
pub mod problem;
pub mod random;
pub mod read;
pub mod record;
pub mod reference;
mod reference_pools;
pub mod release;
pub mod run;
pub mod selectors;
pub mod shrink;
