//! Any bytes as a file of Kubernetes objects, YAML or JSON: loading ends with a snapshot or with errors that can
//! be shown.

#![no_main]

use drayage_cluster::{Input, LoadOptions, load};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    let name = if choice & 1 == 0 { "input.yaml" } else { "input.json" };
    let options = LoadOptions { strict: choice & 2 != 0, ..LoadOptions::default() };
    let input = || [Input::Bytes { name: name.to_owned(), bytes: bytes.to_vec() }];
    match (load(&input(), options), load(&input(), options)) {
        (Ok(first), Ok(second)) => assert_eq!(first.object_count(), second.object_count()),
        (Err(first), Err(second)) => assert_eq!(first.render(), second.render()),
        _ => panic!("the same bytes load and do not load"),
    }
});
