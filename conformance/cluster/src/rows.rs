//! Rows of the table of results.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use serde_json::Value;

/// What a part found out, written as it goes.
pub(crate) struct Rows {
    file: Option<PathBuf>,
    kept: PathBuf,
    failed: bool,
}

impl Rows {
    /// Rows go into the file that `DRAYAGE_CLUSTER_ROWS` names, differences into `kept`.
    pub(crate) fn new(kept: PathBuf) -> Self {
        Self { file: std::env::var_os("DRAYAGE_CLUSTER_ROWS").map(PathBuf::from), kept, failed: false }
    }

    /// Whether anything differs.
    pub(crate) fn failed(&self) -> bool {
        self.failed
    }

    /// Adds a row about a comparison. `shows` is false if it could not have found a difference.
    pub(crate) fn add<D: std::fmt::Display>(
        &mut self,
        what: &str,
        compared: &str,
        different: &[D],
        shows: bool,
    ) {
        let mut result = if different.is_empty() { "all agree".to_owned() } else { String::new() };
        if !different.is_empty() {
            let _ = write!(result, "**{} differ**: ", different.len());
            let names: Vec<String> = different.iter().take(8).map(ToString::to_string).collect();
            result += &names.join(", ");
        }
        if !shows {
            "**compared too little**".clone_into(&mut result);
        }
        self.failed |= !different.is_empty() || !shows;
        self.write(what, compared, &result);
    }

    /// Adds a row with a measurement.
    pub(crate) fn write(&mut self, what: &str, compared: &str, result: &str) {
        let line = format!("{what} | {compared} | {result}");
        eprintln!("{line}");
        let Some(file) = &self.file else { return };
        let opened = OpenOptions::new().create(true).append(true).open(file);
        if let Err(error) = opened.and_then(|mut file| writeln!(file, "{line}")) {
            eprintln!("error: {}: {error}", file.display());
            self.failed = true;
        }
    }

    /// Keeps what shows a difference, for those who look into it.
    pub(crate) fn keep(&self, name: &str, shown: &Value) {
        let path = self.kept.join(format!("{name}.json"));
        let written = fs::create_dir_all(&self.kept).and_then(|()| fs::write(&path, format!("{shown:#}\n")));
        match written {
            Ok(()) => eprintln!("kept in {}", path.display()),
            Err(error) => eprintln!("error: {}: {error}", path.display()),
        }
    }
}
