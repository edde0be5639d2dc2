//! The table of differences between profiles.

use std::fmt;

use super::{Implementation, Profile, ProfileName, SWITCHES, Switch};

/// What profiles differ in: a row for each switch. Prints as Markdown.
#[derive(Clone, Debug)]
pub struct Table {
    /// The columns, with the switches for the default gates of each release.
    pub profiles: Vec<Profile>,
    /// Where the other implementations of a release differ from the one in its column.
    pub others: Vec<OtherImplementation>,
}

/// An implementation that runs with other than the default gates.
#[derive(Clone, Debug)]
pub struct OtherImplementation {
    /// Its profile.
    pub profile: Profile,
    /// The switches in which it differs from the release's profile for default gates.
    pub differences: Vec<&'static Switch>,
}

impl Table {
    /// All profiles and all switches.
    pub fn new() -> Self {
        let profiles: Vec<Profile> = ProfileName::ALL.into_iter().map(Profile::named).collect();
        let others = profiles.iter().filter(|usual| usual.name != ProfileName::Fixed).flat_map(|usual| {
            let others = Implementation::ALL.into_iter().filter(|other| *other != usual.implementation);
            others.map(|implementation| {
                let profile = Profile::of(usual.name, implementation);
                let differences =
                    SWITCHES.iter().filter(|switch| switch.value(&profile) != switch.value(usual)).collect();
                OtherImplementation { profile, differences }
            })
        });
        Self { others: others.collect(), profiles }
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Differences between releases\n")?;
        writeln!(
            f,
            "Printed by `dray profiles`. Each column is a profile with the default gates of its release;"
        )?;
        writeln!(
            f,
            "`fixed` is the newest behaviour without known faults. Values with * are known faults.\n"
        )?;
        write!(f, "| Switch |")?;
        for profile in &self.profiles {
            write!(f, " {} |", profile.name)?;
        }
        write!(f, "\n|---|")?;
        for _ in &self.profiles {
            write!(f, "---|")?;
        }
        write!(f, "\n| implementation |")?;
        for profile in &self.profiles {
            if profile.name == ProfileName::Fixed {
                write!(f, " |")?;
            } else {
                write!(f, " {} |", profile.implementation)?;
            }
        }
        writeln!(f)?;
        for switch in SWITCHES {
            write!(f, "| `{}` |", switch.name)?;
            for profile in &self.profiles {
                write!(f, " {} |", Marked(switch, profile))?;
            }
            writeln!(f)?;
        }
        writeln!(f, "\n## Other implementations\n")?;
        writeln!(
            f,
            "Upstream takes the most stable implementation that supports all features that are on.\n"
        )?;
        for other in &self.others {
            write!(f, "- {} {}: ", other.profile.name, other.profile.implementation)?;
            if other.differences.is_empty() {
                write!(f, "no difference")?;
            }
            for (index, switch) in other.differences.iter().enumerate() {
                let separator = if index == 0 { "" } else { "; " };
                write!(f, "{separator}`{}` {}", switch.name, Marked(switch, &other.profile))?;
            }
            writeln!(f)?;
        }
        writeln!(f, "\n## Switches\n")?;
        for switch in SWITCHES {
            write!(f, "- `{}`:{}", switch.name, switch.about)?;
            for (index, number) in switch.upstream.iter().enumerate() {
                write!(f, "{}#{number}", if index == 0 { " Upstream: " } else { ", " })?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A value with the mark of a fault.
struct Marked<'a>(&'a Switch, &'a Profile);

impl fmt::Display for Marked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(switch, profile) = self;
        write!(f, "{}{}", switch.value(profile), if switch.is_fault(profile) { " *" } else { "" })
    }
}
