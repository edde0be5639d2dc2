//! Solves device claims against ResourceSlice pools, with kube-scheduler's own answer.

pub mod objects;
