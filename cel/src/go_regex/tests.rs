//! Tests of the translation of Go's regular expressions.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use super::GoRegex;

/// What Go 1.26 says: for each pattern its error, or all matches in those of [`TEXTS`] that have any.
const RECORDED: &str = include_str!("../../tests/fixtures/regexp-go1.26.jsonl");

const TEXTS: [&str; 36] = [
    "",
    "a",
    "aab",
    "baaab",
    "foo.bar",
    "Foo BAR",
    "aXb\nc",
    "\n",
    "a\n",
    "é",
    "日本語 text",
    "K k ſ s",
    "a-b",
    "a&&b",
    "]",
    "^",
    "{1}",
    "a{,2}",
    "{",
    "0123 456",
    "_x9",
    "\0A\u{B}\t",
    "a.b",
    "\\",
    "aaaaaaaaaa",
    "abcabc",
    "ab12cd",
    "x\ny\nz",
    "٣3",
    "ﬀ",
    "Σσς",
    "a|b",
    "()",
    "--",
    "naïve café",
    "\u{7f}",
];

fn matches(regex: &GoRegex) -> BTreeMap<String, Vec<String>> {
    let mut matches = BTreeMap::new();
    for text in TEXTS {
        let all: Vec<String> = regex.find_all(text).map(str::to_owned).collect();
        assert_eq!(regex.is_match(text), !all.is_empty());
        assert_eq!(regex.find(text), all.first().map(String::as_str));
        if !all.is_empty() {
            matches.insert(text.to_owned(), all);
        }
    }
    matches
}

#[test]
fn recorded_answers_of_go_agree() {
    let mut differences = vec![];
    let mut count = 0;
    for line in RECORDED.lines() {
        let line: Value = serde_json::from_str(line).expect("the fixture is JSON");
        let pattern = line["pattern"].as_str().expect("a pattern");
        count += 1;
        match (GoRegex::new(pattern), line["error"].as_str()) {
            (Ok(regex), None) => {
                let recorded = line.get("matches").cloned().unwrap_or_else(|| serde_json::json!({}));
                let recorded: BTreeMap<String, Vec<String>> =
                    serde_json::from_value(recorded).expect("matches by text");
                let ours = matches(&regex);
                if ours != recorded {
                    differences.push(format!("`{pattern}` matches {ours:?}, recorded {recorded:?}"));
                }
            }
            (Err(_), Some(_)) => {}
            (Ok(_), Some(error)) => differences.push(format!("`{pattern}` compiles, recorded {error}")),
            (Err(error), None) => differences.push(format!("`{pattern}` is refused: {error}")),
        }
    }
    assert!(count > 300, "the fixture has only {count} patterns");
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn deep_and_long_patterns_are_errors_on_a_small_stack() {
    std::thread::Builder::new()
        .stack_size(256 * 1024)
        .spawn(|| {
            for depth in [100, 900, 5000] {
                let nested = format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
                assert_eq!(GoRegex::new(&nested).is_ok(), depth < 1000, "{depth}");
                let starred = format!("{}a{}", "(?:".repeat(depth), "b)*".repeat(depth));
                assert_eq!(GoRegex::new(&starred).is_ok(), depth < 500, "{depth}");
                let alternatives = format!("{}a{}", "(?:".repeat(depth), "|b)".repeat(depth));
                let _ = GoRegex::new(&alternatives);
                assert!(GoRegex::new(&"(".repeat(depth)).is_err());
                assert!(GoRegex::new(&"[".repeat(depth)).is_err());
            }
            assert!(GoRegex::new(&"a{1000}".repeat(1000)).is_err());
        })
        .expect("a thread")
        .join()
        .expect("no panic");
}

proptest! {
    #[test]
    fn any_pattern_compiles_or_is_refused(pattern in "([a-c.^$|*+?(){}\\[\\]\\\\QEpPLdwbzAxisU0-3:<>=!,é-]){0,24}") {
        if let Ok(regex) = GoRegex::new(&pattern) {
            let _ = matches(&regex);
        }
    }

    #[test]
    fn quoted_text_matches_itself(text in "[^\\\\]{0,20}") {
        let regex = GoRegex::new(&format!(r"\A\Q{text}\E\z")).expect("quoted text is a pattern");
        prop_assert_eq!(regex.find(&text), Some(text.as_str()));
    }
}
