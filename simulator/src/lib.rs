//! The `dray` command as a library.
