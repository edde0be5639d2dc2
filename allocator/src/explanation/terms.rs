//! The terms of a selector: the operands of its outermost `&&`.
//!
//! A selector is true exactly where all its terms are, also where some of them fail, because `&&` of CEL does not
//! mind the order of its operands. So each term refuses devices by itself.

/// The terms of an expression as they are written, in order; the whole expression where it is no conjunction.
pub(super) fn terms(expression: &str) -> Vec<&str> {
    let mut found = Vec::new();
    collect(expression, &mut found);
    found
}

fn collect<'e>(expression: &'e str, found: &mut Vec<&'e str>) {
    let text = expression.trim();
    let Some(operators) = outer_operators(text) else {
        found.push(text);
        return;
    };
    if operators.is_empty() {
        match inside_parentheses(text) {
            Some(inner) => collect(inner, found),
            None => found.push(text),
        }
        return;
    }
    let mut start = 0;
    for at in operators.into_iter().chain([text.len()]) {
        if let Some(part) = text.get(start..at) {
            collect(part, found);
        }
        start = at + 2;
    }
}

/// Where the `&&` stand that no bracket and no literal encloses. `None` where an operator that binds less tightly
/// stands beside them, or the brackets do not match.
fn outer_operators(text: &str) -> Option<Vec<usize>> {
    let mut found = Vec::new();
    let mut depth = 0_i32;
    let mut rest = Scanner { text, at: 0 };
    while let Some((at, byte)) = rest.next_token() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            b'&' if depth == 0 && text.get(at..at + 2) == Some("&&") => {
                found.push(at);
                rest.at = at + 2;
            }
            // `a[?0]` and `{?k: v}` are inside brackets; an `a.?b` has a dot before it.
            b'?' if depth == 0 && !text.get(..at).is_some_and(|before| before.trim_end().ends_with('.')) => {
                return None;
            }
            b'|' if depth == 0 => return None,
            _ => {}
        }
        if depth < 0 {
            return None;
        }
    }
    (depth == 0).then_some(found)
}

/// What is inside, if one pair of parentheses encloses the whole text.
fn inside_parentheses(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('(')?.strip_suffix(')')?;
    // In `(a) || (b)` the first parenthesis closes before the end, and the inside does not balance.
    let mut depth = 0_i32;
    let mut rest = Scanner { text: inner, at: 0 };
    while let Some((_, byte)) = rest.next_token() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return None;
        }
    }
    (depth == 0).then_some(inner)
}

/// Goes over the bytes of an expression that are in no literal and no comment.
struct Scanner<'e> {
    text: &'e str,
    at: usize,
}

impl Scanner<'_> {
    fn next_token(&mut self) -> Option<(usize, u8)> {
        let bytes = self.text.as_bytes();
        loop {
            let at = self.at;
            let byte = *bytes.get(at)?;
            let rest = self.text.get(at..).unwrap_or_default();
            if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if byte == b'"' || byte == b'\'' {
                self.skip_literal(byte);
            } else {
                self.at += 1;
                return Some((at, byte));
            }
        }
    }

    fn skip_literal(&mut self, quote: u8) {
        let bytes = self.text.as_bytes();
        let prefix = |back: usize| self.at.checked_sub(back).and_then(|at| bytes.get(at));
        let is_raw = |byte: Option<&u8>| matches!(byte, Some(b'r' | b'R'));
        let is_bytes = |byte: Option<&u8>| matches!(byte, Some(b'b' | b'B'));
        let raw = is_raw(prefix(1)) || (is_bytes(prefix(1)) && is_raw(prefix(2)));
        let triple = bytes.get(self.at..self.at + 3).is_some_and(|start| start.iter().all(|b| *b == quote));
        let width = if triple { 3 } else { 1 };
        self.at += width;
        while let Some(byte) = bytes.get(self.at) {
            let closing = bytes.get(self.at..self.at + width);
            if *byte == b'\\' && !raw {
                self.at += 2;
            } else if closing.is_some_and(|end| end.iter().all(|byte| *byte == quote)) {
                self.at += width;
                return;
            } else {
                self.at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conjunctions_fall_apart_and_nothing_else_does() {
        for (expression, expected) in [
            ("a", vec!["a"]),
            (" a  && b ", vec!["a", "b"]),
            ("a && (b && c) && d", vec!["a", "b", "c", "d"]),
            ("((a && b))", vec!["a", "b"]),
            ("a && b || c", vec!["a && b || c"]),
            ("a && (b || c)", vec!["a", "b || c"]),
            ("(a) || (b)", vec!["(a) || (b)"]),
            ("a ? b && c : d", vec!["a ? b && c : d"]),
            ("a.?b.orValue(true) && c", vec!["a.?b.orValue(true)", "c"]),
            ("x.exists(y, y && z) && c", vec!["x.exists(y, y && z)", "c"]),
            (r#"a == "b && c" && d"#, vec![r#"a == "b && c""#, "d"]),
            (r#"a == "\"&&" && d"#, vec![r#"a == "\"&&""#, "d"]),
            (r#"a == r"\" && d"#, vec![r#"a == r"\""#, "d"]),
            ("a == '''it's && so''' && d", vec!["a == '''it's && so'''", "d"]),
            ("a // x && y\n&& b", vec!["a // x && y", "b"]),
            ("a && b)", vec!["a && b)"]),
            ("a & b", vec!["a & b"]),
            ("", vec![""]),
        ] {
            assert_eq!(terms(expression), expected, "{expression}");
        }
    }
}
