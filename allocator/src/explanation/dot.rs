//! Explanations as a graph in the language of Graphviz.

use std::fmt::Write as _;

use super::fact::Fact;
use super::{Explained, Explanation, NoSolution};

impl Explanation {
    /// The tree as a directed graph in DOT: from the answer over claims, requests and alternatives to facts. Facts
    /// of the core have a bold border.
    pub fn dot(&self) -> String {
        let mut graph = Graph { text: String::from("digraph explanation {\n") };
        graph.line("  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];");
        graph.node("answer", &self.headline(), "shape=oval");
        match &self.outcome {
            Explained::Unsatisfiable(no) => self.no_solution(no, &mut graph),
            Explained::Error(error) => {
                if let Some(claim) = &error.claim {
                    graph.node("claim", &format!("claim {claim}"), "");
                    graph.edge("answer", "claim", error.field.as_deref().unwrap_or_default());
                }
            }
            Explained::Allocated(_) | Explained::Undecided(_) => {}
        }
        graph.text.push_str("}\n");
        graph.text
    }

    fn no_solution(&self, no: &NoSolution, graph: &mut Graph) {
        for (at, fact) in no.facts.iter().enumerate() {
            let style = if fact.in_core { "style=bold" } else { "color=gray" };
            graph.node(&format!("fact{at}"), &self.sentence(&fact.fact), style);
        }
        if let [fact @ Fact::NotFound { .. }] = no.core.facts.as_slice() {
            graph.node("notfound", &self.sentence(fact), "style=bold");
            graph.edge("answer", "notfound", "");
        }
        for (at, claim) in no.claims.iter().enumerate() {
            let claim_id = format!("claim{at}");
            graph.node(&claim_id, &format!("claim {}", claim.claim), "");
            graph.edge("answer", &claim_id, "");
            for (place, request) in claim.requests.iter().enumerate().filter(|(_, request)| request.in_core) {
                let request_id = format!("request{at}_{place}");
                graph.node(&request_id, &format!("request {}", request.request), "style=bold");
                graph.edge(&claim_id, &request_id, "");
                for (number, form) in request.forms.iter().enumerate() {
                    let mut form_id = request_id.clone();
                    if request.forms.len() > 1 {
                        form_id = format!("form{at}_{place}_{number}");
                        graph.node(&form_id, &format!("alternative {}", form.form.request), "");
                        graph.edge(&request_id, &form_id, "");
                    }
                    for group in &form.refused {
                        graph.edge(&form_id, &format!("fact{}", group.fact), &group.devices.to_string());
                    }
                    for fact in &form.together {
                        // Some facts refuse single devices and are about several together as well.
                        if form.refused.iter().all(|group| group.fact != *fact) {
                            graph.edge(&form_id, &format!("fact{fact}"), "together");
                        }
                    }
                }
            }
        }
    }
}

struct Graph {
    text: String,
}

impl Graph {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn node(&mut self, id: &str, label: &str, more: &str) {
        let more = if more.is_empty() { String::new() } else { format!(", {more}") };
        let _ = writeln!(self.text, "  {id} [label=\"{}\"{more}];", escaped(&wrapped(label)));
    }

    fn edge(&mut self, from: &str, to: &str, label: &str) {
        let label = if label.is_empty() { String::new() } else { format!(" [label=\"{}\"]", escaped(label)) };
        let _ = writeln!(self.text, "  {from} -> {to}{label};");
    }
}

/// Text for between quotation marks: only these have a meaning there.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\\' => escaped.extend(['\\', character]),
            '\n' => escaped.push_str("\\n"),
            other if other.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Lines of about 60 characters.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut length = 0;
    for word in text.split(' ') {
        if length > 0 && length + word.chars().count() > 60 {
            lines.push('\n');
            length = 0;
        } else if length > 0 {
            lines.push(' ');
        }
        lines.push_str(word);
        length += word.chars().count() + 1;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_break_out() {
        let mut graph = Graph { text: String::new() };
        graph.node("one", "a \"quoted\" \\ and\u{7} a\nline", "");
        assert_eq!(graph.text, "  one [label=\"a \\\"quoted\\\" \\\\ and\u{fffd} a\\nline\"];\n");
    }
}
