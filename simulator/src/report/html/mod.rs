//! A report as one HTML file that needs no network and no server.
//!
//! A [`Page`] shows nodes and devices as a map coloured by state, a timeline of the scheduling cycle or of a change,
//! and every pod with its explanation. Everything is in the file: data as JSON, a style sheet, and a script that
//! draws. The file has a content security policy that forbids it to load anything. Text of the input is only ever
//! put into the page as text.

mod collect;
mod counters;
mod data;
#[cfg(test)]
mod tests;

use data::PageData;
use drayage_cluster::Snapshot;

use super::{ReplayReport, SimulationReport};

/// The page without its data.
const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A report that can be written as HTML.
#[derive(Clone, Debug)]
pub struct Page {
    data: PageData,
}

/// One state of a cluster: the objects, and what a simulation made of them.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The objects that were simulated.
    pub snapshot: &'a Snapshot,
    /// The answer.
    pub report: &'a SimulationReport,
}

impl Page {
    /// The page of one simulation. Its timeline has one step for each pod that was tried, in the order of the queue.
    pub fn of_simulation(scene: Scene<'_>) -> Self {
        Self { data: collect::simulation(scene) }
    }

    /// The page of a what-if: two steps, before and after. `title` says what changes.
    pub fn of_change(title: &str, before: Scene<'_>, after: Scene<'_>) -> Self {
        Self { data: collect::change(title, before, after) }
    }

    /// The page of a replay. Its timeline has one step for each second in which a pod comes to its node or leaves.
    pub fn of_replay(snapshot: &Snapshot, report: &ReplayReport) -> Self {
        Self { data: collect::replay(snapshot, report) }
    }

    /// The whole file.
    pub fn render(&self) -> String {
        // Serialising plain data into memory cannot fail.
        let json = serde_json::to_string(&self.data).unwrap_or_default();
        // The only way out of the element with the data would be an end tag.
        let json = json.replace('<', "\\u003c");
        let mut page = String::with_capacity(PAGE.len() + STYLE.len() + SCRIPT.len() + json.len());
        let mut rest = PAGE;
        for (mark, content) in [("/*STYLE*/", STYLE), ("/*DATA*/", json.as_str()), ("/*SCRIPT*/", SCRIPT)] {
            if let Some((before, after)) = rest.split_once(mark) {
                page.push_str(before);
                page.push_str(content);
                rest = after;
            }
        }
        page.push_str(rest);
        page
    }
}
