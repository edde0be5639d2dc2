//! Profiles and the table of their differences.

use drayage_allocator::profile::{Implementation, SWITCHES, Table};
use drayage_allocator::{Features, Profile, ProfileName};

#[test]
fn the_committed_table_is_the_one_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/PROFILES.md");
    let table = Table::new().to_string();
    if std::env::var_os("DRAYAGE_UPDATE").is_some() {
        std::fs::write(path, &table).expect("the table can be written");
    }
    let committed = std::fs::read_to_string(path).expect("the table is committed");
    assert!(committed == table, "allocator/PROFILES.md is old: run this test with DRAYAGE_UPDATE=1");
}

#[test]
fn the_fixed_profile_has_no_known_fault() {
    for switch in SWITCHES {
        assert!(!switch.is_fault(&Profile::FIXED), "{}", switch.name);
    }
}

#[test]
fn faults_are_values_that_some_profile_has() {
    let profiles: Vec<Profile> = ProfileName::ALL
        .into_iter()
        .flat_map(|name| Implementation::ALL.map(|implementation| Profile::of(name, implementation)))
        .collect();
    for switch in SWITCHES {
        for fault in switch.faults {
            assert!(
                profiles.iter().any(|profile| switch.value(profile) == *fault),
                "{}: {fault}",
                switch.name
            );
        }
    }
}

#[test]
fn names_are_read_as_they_are_printed() {
    for name in ProfileName::ALL {
        assert_eq!(name.to_string().parse(), Ok(name));
        assert_eq!(Profile::named(name).name, name);
    }
    assert_eq!("1.36".parse(), Ok(ProfileName::V1_36_6));
    assert_eq!("v1.36.3".parse(), Ok(ProfileName::V1_36_3));
    assert_eq!("1.34.2".parse(), Ok(ProfileName::V1_34_13));
    assert!("1.33".parse::<ProfileName>().is_err());
}

#[test]
fn the_implementation_follows_the_features() {
    let few = Features { admin_access: true, prioritized_list: true, ..Features::NONE };
    let status = Features { device_status: true, ..few };
    let implementation = |profile: Profile, features| profile.for_features(features).implementation;
    assert_eq!(implementation(Profile::V1_34, Features::NONE), Implementation::Stable);
    assert_eq!(implementation(Profile::V1_34, few), Implementation::Incubating);
    assert_eq!(implementation(Profile::V1_34, status), Implementation::Experimental);
    assert_eq!(implementation(Profile::V1_35, status), Implementation::Incubating);
    assert_eq!(implementation(Profile::V1_36, few), Implementation::Stable);
    assert_eq!(implementation(Profile::V1_36, Features::default()), Implementation::Incubating);
    assert_eq!(implementation(Profile::V1_36.pinned(), few), Implementation::Incubating);
}
