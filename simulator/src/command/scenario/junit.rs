//! Expectations as test cases, in the XML that CI systems read.

use std::fmt::Write as _;

use drayage_simulator::report::{ExpectationReport, ExpectationSummary, ScenarioResults, Verdict};

/// One `testsuite` for each scenario, one `testcase` for each expectation. What is undecided is an `error`, so that no
/// reader takes it for a sure no.
pub(super) fn render(results: &ScenarioResults) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(text, "<testsuites name=\"dray scenario\" {}>", counts(results.summary));
    for report in &results.scenarios {
        let name = escaped(&report.name);
        let _ = writeln!(text, "  <testsuite name=\"{name}\" {}>", counts(report.summary));
        let _ = writeln!(
            text,
            "    <properties>\n      <property name=\"kubernetes\" value=\"{}\"/>\n    </properties>",
            escaped(&report.assumptions.release)
        );
        for (step, expectation) in report.all_expectations() {
            let class = match step {
                Some(step) => format!("{}.{} {}", report.name, step.number, step.name),
                None => format!("{}.end", report.name),
            };
            test_case(&mut text, &class, expectation);
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn counts(summary: ExpectationSummary) -> String {
    format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"0\"",
        summary.expectations, summary.failed, summary.undecided
    )
}

fn test_case(text: &mut String, class: &str, expectation: &ExpectationReport) {
    let _ = write!(
        text,
        "    <testcase name=\"{}\" classname=\"{}\"",
        escaped(&expectation.name),
        escaped(class)
    );
    if let Some(file) = &expectation.file {
        let _ = write!(text, " file=\"{}\"", escaped(file));
    }
    if let Some(line) = expectation.line {
        let _ = write!(text, " line=\"{line}\"");
    }
    let element = match expectation.verdict {
        Verdict::Held => {
            text.push_str("/>\n");
            return;
        }
        Verdict::Failed => "failure",
        Verdict::Undecided => "error",
    };
    let first = expectation.found.first().map(String::as_str).unwrap_or_default();
    let _ = writeln!(
        text,
        ">\n      <{element} message=\"{}\" type=\"{}\">{}</{element}>\n    </testcase>",
        escaped(first),
        expectation.verdict.as_str(),
        escaped(&expectation.found.join("\n"))
    );
}

/// Text as XML has it. Characters that XML 1.0 cannot hold become `?`.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => {
                let _ = write!(escaped, "&#{};", u32::from(character));
            }
            '\u{0}'..='\u{1f}' | '\u{7f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('?'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn text_cannot_leave_its_attribute() {
        assert_eq!(escaped("a\"/><x b='1'>&\u{1b}\n"), "a&quot;/&gt;&lt;x b='1'&gt;&amp;?&#10;");
    }
}
