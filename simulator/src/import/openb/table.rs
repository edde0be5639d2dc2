//! Rows of the two tables, checked.

use std::collections::BTreeSet;
use std::io::Read;

use csv::StringRecord;

use super::error::{ImportError, Place};
use super::{Table, WHOLE_GPU};

/// A node of the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeRow {
    pub(crate) name: String,
    pub(crate) cpu_milli: u64,
    pub(crate) memory_mib: u64,
    pub(crate) gpus: u32,
    pub(crate) model: String,
}

/// A pod of the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodRow {
    pub(crate) name: String,
    pub(crate) cpu_milli: u64,
    pub(crate) memory_mib: u64,
    pub(crate) demand: Option<Demand>,
    pub(crate) qos: Option<String>,
    pub(crate) phase: Option<String>,
    pub(crate) creation_second: Option<u64>,
    pub(crate) deletion_second: Option<u64>,
    pub(crate) scheduled_second: Option<u64>,
    /// `gpu_spec` as it is written: models in an order, perhaps one of them twice.
    pub(crate) gpu_spec: String,
}

/// What a pod wants of GPUs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Demand {
    /// Number of GPUs, at least one.
    pub(crate) gpus: u32,
    /// Thousandths of each.
    pub(crate) milli: u32,
    /// Models that will do; empty for any.
    pub(crate) models: BTreeSet<String>,
}

/// The API's limit on devices of one slice that have capacities but no taints or counters.
const MOST_GPUS_OF_A_NODE: u32 = 128;
/// The API's limit on results of one claim.
const MOST_GPUS_OF_A_POD: u32 = 32;
/// 2^40 of a unit: far above any machine, and small enough that sums stay exact.
const MOST_OF_A_RESOURCE: u64 = 1 << 40;
/// A hundred years.
const LATEST_SECOND: u64 = 100 * 366 * 86_400;

pub(crate) fn nodes(
    table: Table<impl Read>,
) -> Result<impl Iterator<Item = Result<(Place, NodeRow), ImportError>>, ImportError> {
    let rows = Rows::new(table)?;
    let [sn, cpu, memory, gpu, model] = rows.columns(["sn", "cpu_milli", "memory_mib", "gpu", "model"])?;
    Ok(rows.map(move |row| {
        let (place, record) = row?;
        let row = Row { place: &place, record: &record };
        let gpus = row.number(gpu, u64::from(MOST_GPUS_OF_A_NODE))?;
        let model_name = row.text(model);
        if gpus > 0 && !is_model(model_name) {
            return Err(place.invalid(
                model.name,
                model_name,
                "is not a model of at most 63 letters and digits",
            ));
        }
        let row = NodeRow {
            name: row.name(sn)?,
            cpu_milli: row.number(cpu, MOST_OF_A_RESOURCE)?,
            memory_mib: row.number(memory, MOST_OF_A_RESOURCE)?,
            gpus: u32::try_from(gpus).unwrap_or(MOST_GPUS_OF_A_NODE),
            model: model_name.to_owned(),
        };
        Ok((place, row))
    }))
}

pub(crate) fn pods(
    table: Table<impl Read>,
) -> Result<impl Iterator<Item = Result<(Place, PodRow), ImportError>>, ImportError> {
    let rows = Rows::new(table)?;
    let [name, cpu, memory, num_gpu, gpu_milli] =
        rows.columns(["name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli"])?;
    let [spec, qos, phase, creation, deletion, scheduled] =
        ["gpu_spec", "qos", "pod_phase", "creation_time", "deletion_time", "scheduled_time"]
            .map(|column| rows.optional_column(column));
    Ok(rows.map(move |row| {
        let (place, record) = row?;
        let row = Row { place: &place, record: &record };
        let demand = demand(&row, num_gpu, gpu_milli, spec)?;
        let filled =
            |column: Option<Column>| column.map(|column| row.text(column)).filter(|text| !text.is_empty());
        let second = |column: Option<Column>| match column {
            Some(column) if !row.text(column).is_empty() => row.number(column, LATEST_SECOND).map(Some),
            _ => Ok(None),
        };
        let row = PodRow {
            name: row.name(name)?,
            cpu_milli: row.number(cpu, MOST_OF_A_RESOURCE)?,
            memory_mib: row.number(memory, MOST_OF_A_RESOURCE)?,
            demand,
            qos: filled(qos).map(str::to_owned),
            phase: filled(phase).map(str::to_owned),
            creation_second: second(creation)?,
            deletion_second: second(deletion)?,
            scheduled_second: second(scheduled)?,
            gpu_spec: spec.map_or("", |column| row.text(column)).to_owned(),
        };
        Ok((place, row))
    }))
}

fn demand(
    row: &Row<'_>,
    num_gpu: Column,
    gpu_milli: Column,
    spec: Option<Column>,
) -> Result<Option<Demand>, ImportError> {
    let gpus = row.number(num_gpu, u64::from(MOST_GPUS_OF_A_POD))?;
    let milli = row.number(gpu_milli, u64::from(WHOLE_GPU))?;
    let invalid = |problem| Err(row.place.invalid(gpu_milli.name, row.text(gpu_milli), problem));
    match (gpus, milli) {
        (0, 0) => return Ok(None),
        (0, _) => return invalid("must be 0 for a pod without GPU"),
        (_, 0) => return invalid("must not be 0 for a pod with GPU"),
        (2.., milli) if milli != u64::from(WHOLE_GPU) => {
            return invalid("must be 1000 for a pod with several GPUs");
        }
        _ => {}
    }
    let mut models = BTreeSet::new();
    if let Some(column) = spec
        && !row.text(column).is_empty()
    {
        for model in row.text(column).split('|') {
            if !is_model(model) {
                return Err(row.place.invalid(
                    column.name,
                    row.text(column),
                    "is not a list of models joined by `|`",
                ));
            }
            models.insert(model.to_owned());
        }
    }
    let small = |number| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(Some(Demand { gpus: small(gpus), milli: small(milli), models }))
}

/// A model is written into an attribute, a CEL string and a name; letters, digits, `-` and `.` fit everywhere.
fn is_model(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

/// A column by position, with its name for errors.
#[derive(Clone, Copy)]
struct Column {
    index: usize,
    name: &'static str,
}

struct Rows<R> {
    table: String,
    header: StringRecord,
    records: csv::StringRecordsIntoIter<R>,
}

impl<R: Read> Rows<R> {
    fn new(table: Table<R>) -> Result<Self, ImportError> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(table.content);
        let header = reader.headers().cloned().map_err(|source| csv_error(&table.name, source))?;
        Ok(Self { table: table.name, header, records: reader.into_records() })
    }

    fn columns<const COUNT: usize>(
        &self,
        names: [&'static str; COUNT],
    ) -> Result<[Column; COUNT], ImportError> {
        let mut columns = [Column { index: 0, name: "" }; COUNT];
        for (column, name) in columns.iter_mut().zip(names) {
            *column = self.optional_column(name).ok_or_else(|| ImportError::ColumnMissing {
                table: self.table.clone(),
                column: name,
                header: self.header.iter().collect::<Vec<_>>().join(",").chars().take(200).collect(),
            })?;
            if self.header.iter().filter(|&found| found == name).count() > 1 {
                return Err(ImportError::ColumnTwice { table: self.table.clone(), column: name });
            }
        }
        Ok(columns)
    }

    fn optional_column(&self, name: &'static str) -> Option<Column> {
        self.header.iter().position(|found| found == name).map(|index| Column { index, name })
    }
}

impl<R: Read> Iterator for Rows<R> {
    type Item = Result<(Place, StringRecord), ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(match self.records.next()? {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                Ok((Place { table: self.table.clone(), line }, record))
            }
            Err(source) => Err(csv_error(&self.table, source)),
        })
    }
}

fn csv_error(table: &str, source: csv::Error) -> ImportError {
    let line = source.position().map_or(0, csv::Position::line);
    ImportError::Csv { table: table.to_owned(), line, source }
}

/// One record with its place.
struct Row<'a> {
    place: &'a Place,
    record: &'a StringRecord,
}

impl<'a> Row<'a> {
    fn text(&self, column: Column) -> &'a str {
        self.record.get(column.index).unwrap_or("")
    }

    fn number(&self, column: Column, most: u64) -> Result<u64, ImportError> {
        let text = self.text(column);
        let number: u64 =
            text.parse().map_err(|_| self.place.invalid(column.name, text, "is not a whole number"))?;
        if number > most {
            return Err(self.place.invalid(column.name, text, "is too large"));
        }
        Ok(number)
    }

    /// A name that is fit for an object: a DNS label, so that names can be made from it.
    fn name(&self, column: Column) -> Result<String, ImportError> {
        let text = self.text(column);
        let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = text.len() <= 63
            && text.bytes().all(|byte| alphanumeric(byte) || byte == b'-')
            && text.bytes().next().is_some_and(alphanumeric)
            && text.bytes().last().is_some_and(alphanumeric);
        if fits { Ok(text.to_owned()) } else { Err(self.place.invalid(column.name, text, "is not a name")) }
    }
}
