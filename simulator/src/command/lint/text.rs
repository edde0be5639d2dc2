//! Findings and rules for people.

use std::fmt::Write as _;

use drayage_cluster::lint::{Finding, LintReport, RULES};
use drayage_simulator::report::LintAnswer;

use crate::command::failure::Complaint;
use crate::command::text::{count, printable, printable_line};

/// Every finding like an error message, then how many there are.
pub(crate) fn render(report: &LintReport, answer: &LintAnswer) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        one(finding, &mut text);
    }
    for (code, omitted) in &report.omitted {
        let _ = writeln!(text, "{code}: {} not shown\n", count(*omitted, "more finding"));
    }
    let summary = answer.summary;
    let counts = [(summary.errors, "error"), (summary.warnings, "warning"), (summary.notes, "note")];
    let counts: Vec<String> =
        counts.iter().filter(|(number, _)| *number > 0).map(|(number, noun)| count(*number, noun)).collect();
    let _ = if counts.is_empty() {
        writeln!(text, "no findings, Kubernetes {}", answer.release)
    } else {
        writeln!(text, "{}, Kubernetes {}", counts.join(", "), answer.release)
    };
    text
}

fn one(finding: &Finding, text: &mut String) {
    let mut message = String::new();
    if let Some(object) = &finding.object {
        let _ = write!(message, "{object}: ");
    }
    message.push_str(&finding.message);
    if finding.alike > 0 {
        let _ = write!(message, " (and {} alike)", finding.alike);
    }
    let complaint =
        Complaint { message, place: finding.place.clone().map(Into::into), detail: None, hint: None };
    let _ = writeln!(text, "{}[{}]: {}", finding.severity, finding.rule.code, complaint.render());
    for detail in &finding.details {
        let _ = writeln!(text, "  {}", printable_line(detail));
    }
    let _ = writeln!(text, "fix: {}\n", printable(&finding.fix));
}

/// All rules as a Markdown document.
pub(crate) fn rules() -> String {
    let mut text = "\
# Rules of `dray lint`

`dray lint --rules` prints this document. A code is never given to another rule; `--ignore` takes codes, groups of
codes (`DRA1`) and names. The severity is that of most findings of the rule: some are milder where the circumstances
are.

| code | name | severity | finds |
|---|---|---|---|
"
    .to_owned();
    for rule in RULES {
        let _ = writeln!(text, "| {} | `{}` | {} | {} |", rule.code, rule.name, rule.severity, rule.summary);
    }
    for rule in RULES {
        let _ = write!(
            text,
            "\n## {} `{}`\n\n{}: {}.\n\n{}\n\nFix: {}\n",
            rule.code,
            rule.name,
            rule.severity,
            rule.summary,
            wrapped(rule.meaning),
            wrapped(rule.fix)
        );
    }
    text
}

/// The text in lines of at most 110 characters.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 110;
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let length = lines.last().map_or(0, |line| line.chars().count());
        if length > 0 && length + 1 + word.chars().count() > WIDTH {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}
