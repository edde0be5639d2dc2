//! Text that came from the input, made fit for a terminal; and columns.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with control characters written as escapes, so that input cannot move the cursor or change colours.
/// Newlines stay.
pub(crate) fn printable(text: &str) -> String {
    escape(text, |character| character != '\n').into_owned()
}

/// As [`printable`], for text that must stay on one line; a tab becomes one space so that carets stay in place.
pub(crate) fn printable_line(text: &str) -> String {
    escape(&text.replace('\t', " "), |_| true).into_owned()
}

fn escape(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(|character| character.is_control() && is_escaped(character)) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if character.is_control() && is_escaped(character) {
            let _ = write!(escaped, "{}", character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// `1 pod`, `2 pods`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Rows of text in columns two spaces apart, as `kubectl get` prints them.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    rows: Vec<Vec<String>>,
}

impl Columns {
    /// Columns under these headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()] }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, cells: &[String]) {
        self.rows.push(cells.iter().map(|cell| printable_line(cell)).collect());
    }

    /// Writes every row, each ended by a newline, without blanks at the end of a line.
    pub(crate) fn render(&self, text: &mut String) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths = vec![0_usize; columns];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &self.rows {
            let start = text.len();
            for (cell, &width) in row.iter().zip(&widths) {
                let _ = write!(text, "{cell:<width$}  ");
            }
            let end = start + text[start..].trim_end().len();
            text.truncate(end);
            text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_end_without_blanks() {
        let mut columns = Columns::new(&["POD", "NODE"]);
        columns.push(&["ml/train-7".to_owned(), String::new()]);
        columns.push(&["a".to_owned(), "gpu-0".to_owned()]);
        let mut text = String::new();
        columns.render(&mut text);
        assert_eq!(text, "POD         NODE\nml/train-7\na           gpu-0\n");
    }
}
