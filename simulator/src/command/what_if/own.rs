//! Objects of our own kinds from files.

use std::path::{Path, PathBuf};

use drayage_crds::NodeGroup;
use drayage_simulator::schedule::Prepared;
use drayage_simulator::what_if::node_groups::Group;
use serde::de::DeserializeOwned;

use crate::command::failure::{Complaint, Failure, Place};
use crate::command::source;

/// The objects of a file, one a document.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, Failure> {
    parse(path, &source::text(path)?)
}

/// The objects of a file whose text was read already.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<Vec<T>, Failure> {
    serde_saphyr::from_multiple::<T>(text).map_err(|error| {
        let name = source::name(path);
        let place = error.location().map_or_else(
            || Place::file(name.clone()),
            |location| {
                let (line, column) = (number(location.line()), number(location.column()));
                let shown = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
                Place::in_line(name.clone(), line, column.max(1), shown)
            },
        );
        let message = error.without_snippet().to_string();
        let message = message.lines().next().unwrap_or_default();
        // The place is told below it.
        let message = message.split(" at line ").next().unwrap_or(message);
        Failure::input(Complaint { hint: near(message), ..Complaint::new(message).at(place) })
    })
}

/// The field that may be meant by one that nobody knows.
fn near(message: &str) -> Option<String> {
    let (unknown, expected) = message.strip_prefix("unknown field `")?.split_once("`, expected ")?;
    let known = expected.trim_start_matches("one of ").split(", ").map(|name| name.trim_matches('`'));
    let alike = |name: &&str| {
        let (unknown, name) = (unknown.to_ascii_lowercase(), name.to_ascii_lowercase());
        unknown == name || unknown.starts_with(&name) || name.starts_with(&unknown)
    };
    known.filter(|name| !name.is_empty()).find(alike).map(|name| format!("did you mean `{name}`?"))
}

fn number(of_location: impl TryInto<usize>) -> usize {
    of_location.try_into().unwrap_or(1)
}

/// The node groups of files.
pub(crate) fn node_groups(paths: &[PathBuf], prepared: &Prepared) -> Result<Vec<Group>, Failure> {
    let mut groups: Vec<Group> = Vec::new();
    for path in paths {
        for group in read::<NodeGroup>(path)? {
            let place = Place::file(source::name(path));
            let read = Group::new(&group, &prepared.snapshot)
                .map_err(|error| Failure::input(Complaint::new(error.to_string()).at(place.clone())))?;
            if groups.iter().any(|other| other.name == read.name) {
                let message = format!("node group `{}` is given twice", read.name);
                return Err(Failure::input(Complaint::new(message).at(place)));
            }
            groups.push(read);
        }
    }
    Ok(groups)
}
