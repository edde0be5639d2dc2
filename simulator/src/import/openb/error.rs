//! What can be wrong with a table.

use std::io;

/// Why a trace cannot be converted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A needed column is not in the header.
    #[error("{table}:1: column `{column}` is missing, the header is `{header}`")]
    ColumnMissing {
        /// The table.
        table: String,
        /// The column.
        column: &'static str,
        /// The header line as found.
        header: String,
    },
    /// The header names a column twice.
    #[error("{table}:1: column `{column}` is there twice")]
    ColumnTwice {
        /// The table.
        table: String,
        /// The column.
        column: &'static str,
    },
    /// A value is not usable.
    #[error("{table}:{line}: `{column}` {problem}: `{value}`")]
    Value {
        /// The table.
        table: String,
        /// Line in it, counted from 1.
        line: u64,
        /// The column.
        column: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The table is not well-formed.
    #[error("{table}:{line}: {source}")]
    Csv {
        /// The table.
        table: String,
        /// Line in it, counted from 1; 0 where it is not known.
        line: u64,
        /// The reader's error.
        source: csv::Error,
    },
    /// The output cannot be written.
    #[error("cannot write the objects: {0}")]
    Output(#[from] io::Error),
}

/// A line of a table.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(super) table: String,
    pub(super) line: u64,
}

impl Place {
    /// An error about one value of this line.
    pub(super) fn invalid(&self, column: &'static str, value: &str, problem: &'static str) -> ImportError {
        // A value may be as long as the file; an error message may not.
        let value = value.chars().take(80).collect();
        ImportError::Value { table: self.table.clone(), line: self.line, column, value, problem }
    }
}
