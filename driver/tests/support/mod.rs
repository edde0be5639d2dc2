//! What tests of the state machine share.

#![allow(dead_code, reason = "every test file that includes this uses a part of it")]

pub(crate) mod disk;
pub(crate) mod plugin;
pub(crate) mod runtime;
pub(crate) mod schedules;
pub(crate) mod slices;
