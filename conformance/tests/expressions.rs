//! CEL of four releases, without Go: what the real packages declare and what they answered to random expressions.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use drayage_cel::{Compiler, Environment, ExpressionStage, Release};
use drayage_conformance::expressions::answer::{Answer, Ours, type_text};
use drayage_conformance::expressions::case::Case;
use drayage_conformance::expressions::compare::difference;
use serde_json::Value;

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn assert_answers(name: &str, text: &str, release: Release) {
    let mut ours = Ours::default();
    let mut wrong = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("the fixture is JSON");
        let case = Case::from_json(&line["case"], release).expect("a case");
        let theirs = Answer::from_json(&line["answer"]);
        let our = ours.answer(&case);
        if let Some(difference) = difference(&our, &theirs) {
            wrong.push(format!(
                "{difference:?}: {}\n    ours {}\n    Go   {}",
                case.expression.text(),
                our.to_json(),
                theirs.to_json(),
            ));
        }
    }
    let count = text.lines().count();
    assert!(wrong.is_empty(), "{name}: {} of {count} differ\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn recorded_answers_to_random_expressions_are_ours() {
    for release in Release::ALL {
        let name = format!("expressions-{release}.jsonl");
        let text = fixture(&name);
        assert!(text.lines().count() > 100, "{name}");
        assert_answers(&name, &text, release);
    }
}

#[test]
fn expressions_that_differed_once_agree() {
    let name = "expressions-regressions.jsonl";
    let text = fixture(name);
    for release in Release::ALL {
        let marker = format!("\"release\": \"{release}\"");
        let lines: Vec<&str> = text.lines().filter(|line| line.contains(&marker)).collect();
        assert!(!lines.is_empty(), "{release}");
        assert_answers(name, &lines.join("\n"), release);
    }
}

/// Parameters of types by the order in which they come, because their names differ.
fn renamed(line: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, (name, after))) =
        rest.split_once('<').and_then(|(before, after)| Some((before, after.split_once('>')?)))
        && name.chars().all(char::is_alphanumeric)
        && !name.is_empty()
    {
        let at = names.iter().position(|known| *known == name).unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        });
        text.push_str(before);
        text.push('<');
        text.push(char::from(b'A' + u8::try_from(at).expect("few parameters")));
        text.push('>');
        rest = after;
    }
    text + rest
}

#[test]
fn functions_are_those_of_the_real_packages() {
    let text = fixture("functions.txt");
    for release in Release::ALL {
        for (stage, name) in [(ExpressionStage::Stored, "stored"), (ExpressionStage::New, "new")] {
            for (list_type_attributes, suffix) in [(false, ""), (true, "-lists")] {
                let environment = Environment {
                    release,
                    stage,
                    list_type_attributes,
                    consumable_capacity: list_type_attributes,
                };
                let key = format!("{release}-{name}{suffix}");
                let expected: BTreeSet<String> = text
                    .lines()
                    .map(|line| line.split_once("\twithout ").unwrap_or((line, "")))
                    .filter(|(_, without)| !without.split(' ').any(|other| other == key))
                    .map(|(line, _)| line.to_owned())
                    .collect();
                let compiler = Compiler::new(environment);
                let found: BTreeSet<String> = compiler
                    .signatures()
                    .map(|signature| {
                        let parameters: Vec<String> = signature.parameters.iter().map(type_text).collect();
                        renamed(&format!(
                            "{} {} {} ({}) {}",
                            signature.function,
                            signature.overload,
                            if signature.member { "member" } else { "global" },
                            parameters.join(", "),
                            type_text(signature.result),
                        ))
                    })
                    .collect();
                let missing: Vec<_> = expected.difference(&found).collect();
                let surplus: Vec<_> = found.difference(&expected).collect();
                assert!(
                    missing.is_empty() && surplus.is_empty(),
                    "{key}: missing {missing:#?}, surplus {surplus:#?}"
                );
            }
        }
    }
}
