//! Figures that others published, to stand beside ours.

use std::collections::BTreeMap;
use std::io::Read;

use super::policy::Policy;
use crate::import::openb::Table;

/// Means by workload and policy: a table with the columns `workload` and the names of policies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Published {
    values: BTreeMap<(String, Policy), f64>,
}

/// What is wrong with a table of published figures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishedError {
    /// The table is not well-formed.
    #[error("{table}: {source}")]
    Csv {
        /// The table.
        table: String,
        /// The reader's error.
        source: csv::Error,
    },
    /// There is no column with the names of workloads.
    #[error("{table}:1: column `workload` is missing")]
    ColumnMissing {
        /// The table.
        table: String,
    },
    /// A value is no number.
    #[error("{table}:{line}: `{policy}` is not a number: `{value}`")]
    Value {
        /// The table.
        table: String,
        /// Line in it, counted from 1.
        line: u64,
        /// The column.
        policy: Policy,
        /// The value.
        value: String,
    },
}

impl Published {
    /// Reads a table. Columns that are not named after a policy have no influence.
    pub fn read(table: Table<impl Read>) -> Result<Self, PublishedError> {
        let Table { name, content } = table;
        let csv_error = |source| PublishedError::Csv { table: name.clone(), source };
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(content);
        let header = reader.headers().map_err(csv_error)?.clone();
        let workload = header
            .iter()
            .position(|column| column == "workload")
            .ok_or_else(|| PublishedError::ColumnMissing { table: name.clone() })?;
        let mut published = Self::default();
        for record in reader.records() {
            let record = record.map_err(csv_error)?;
            for (column, value) in header.iter().zip(&record) {
                let (Ok(policy), Some(workload)) = (column.parse::<Policy>(), record.get(workload)) else {
                    continue;
                };
                let number = value.parse::<f64>().ok().filter(|number| number.is_finite());
                let number = number.ok_or_else(|| PublishedError::Value {
                    table: name.clone(),
                    line: record.position().map_or(0, csv::Position::line),
                    policy,
                    value: value.chars().take(80).collect(),
                })?;
                published.values.insert((workload.to_owned(), policy), number);
            }
        }
        Ok(published)
    }

    /// The mean of a workload under a policy, if it was published.
    pub fn get(&self, workload: &str, policy: Policy) -> Option<f64> {
        self.values.get(&(workload.to_owned(), policy)).copied()
    }
}
