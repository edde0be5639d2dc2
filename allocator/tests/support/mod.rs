//! Random allocation problems, a plain reference to answer them, and tools to shrink and write them.

#![allow(dead_code, reason = "each test and example uses another part")]
#![allow(unreachable_pub, reason = "shared by several test binaries")]

pub mod generate;
pub mod json;
pub mod problem;
pub mod random;
pub mod reference;
pub mod reference_pools;
pub mod selectors;
pub mod shrink;
