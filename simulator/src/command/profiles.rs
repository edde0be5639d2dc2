//! `dray profiles`: in what the allocators of the releases differ.

use std::collections::BTreeMap;

use drayage_allocator::Profile;
use drayage_allocator::profile::{SWITCHES, Switch, Table};
use serde::Serialize;

use super::arguments::{Profiles, ProfilesOutput};
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use super::terminal::Terminal;

#[derive(Serialize)]
struct Listed {
    profiles: Vec<ListedProfile>,
    #[serde(rename = "otherImplementations")]
    others: Vec<ListedProfile>,
    switches: Vec<ListedSwitch>,
}

#[derive(Serialize)]
struct ListedProfile {
    name: String,
    implementation: String,
    values: BTreeMap<&'static str, &'static str>,
    faults: Vec<&'static str>,
}

#[derive(Serialize)]
struct ListedSwitch {
    name: &'static str,
    about: &'static str,
    faults: &'static [&'static str],
    upstream: &'static [u32],
}

/// Prints the table.
pub(crate) fn run(typed: &Profiles, terminal: &Terminal) -> Result<Exit, Failure> {
    let table = Table::new();
    let text = match typed.output {
        ProfilesOutput::Text => table.to_string(),
        ProfilesOutput::Json => output::json(&Listed {
            profiles: table.profiles.iter().map(listed).collect(),
            others: table.others.iter().map(|other| listed(&other.profile)).collect(),
            switches: SWITCHES.iter().map(listed_switch).collect(),
        })?,
    };
    terminal.write(text.as_bytes())?;
    Ok(Exit::Yes)
}

fn listed(profile: &Profile) -> ListedProfile {
    ListedProfile {
        name: profile.name.to_string(),
        implementation: profile.implementation.to_string(),
        values: SWITCHES.iter().map(|switch| (switch.name, switch.value(profile))).collect(),
        faults: SWITCHES.iter().filter(|switch| switch.is_fault(profile)).map(|switch| switch.name).collect(),
    }
}

fn listed_switch(switch: &Switch) -> ListedSwitch {
    ListedSwitch {
        name: switch.name,
        about: switch.about.trim_start(),
        faults: switch.faults,
        upstream: switch.upstream,
    }
}
