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
    drayage_crds::read::documents(text).map_err(|misread| {
        let name = source::name(path);
        let place = match misread.place {
            Some((line, column)) => Place::in_line(name, line, column, &misread.text),
            None => Place::file(name),
        };
        Failure::input(Complaint { hint: misread.hint, ..Complaint::new(misread.message).at(place) })
    })
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
