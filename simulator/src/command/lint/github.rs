//! Findings as annotations of a GitHub workflow: commands on stdout that the runner shows beside the line.

use std::fmt::Write as _;

use drayage_cluster::lint::{Finding, LintReport, Severity};

/// One line for each finding.
pub(crate) fn render(report: &LintReport) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        one(finding, &mut text);
    }
    text
}

fn one(finding: &Finding, text: &mut String) {
    let command = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    let mut properties = Vec::new();
    if let Some(place) = &finding.place {
        properties.push(format!("file={}", property(&place.source)));
        properties.push(format!("line={},col={}", place.line, place.column));
    }
    properties.push(format!("title={}", property(&format!("{} {}", finding.rule.code, finding.rule.name))));
    let mut message = String::new();
    if let Some(object) = &finding.object {
        let _ = write!(message, "{object}: ");
    }
    message.push_str(&finding.message);
    for detail in &finding.details {
        let _ = write!(message, "\n{detail}");
    }
    let _ = write!(message, "\nfix: {}", finding.fix);
    let _ = writeln!(text, "::{command} {}::{}", properties.join(","), data(&message));
}

/// What the runner would take for the end of the message.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// What the runner would take for the end of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_a_command_early() {
        assert_eq!(property("a,b:c%\n"), "a%2Cb%3Ac%25%0A");
        assert_eq!(data("a::b\n::error::c"), "a::b%0A::error::c");
    }
}
