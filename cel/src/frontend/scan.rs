//! A look at the text before the parser sees it.

/// The place where brackets and conditionals nest deeper than `limit`, not counting those in strings and
/// comments. `a ? b : c ? d : e` nests to the right.
pub(super) fn too_deep(source: &str, limit: usize) -> Option<usize> {
    let bytes = source.as_bytes();
    // The conditionals that are open at each level of brackets, and all of them together with the brackets.
    let mut open = vec![0_usize];
    let mut depth = 0_usize;
    let mut previous = b' ';
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'(' | b'[' | b'{' => {
                open.push(0);
                depth += 1;
            }
            // `.?` and `[?` select what may be missing.
            b'?' if !matches!(previous, b'.' | b'[' | b'{' | b',') => {
                if let Some(level) = open.last_mut() {
                    *level += 1;
                }
                depth += 1;
            }
            b',' => {
                if let Some(level) = open.last_mut() {
                    depth -= std::mem::take(level);
                }
            }
            b')' | b']' | b'}' if open.len() > 1 => depth -= open.pop().unwrap_or(0) + 1,
            b'"' | b'\'' => {
                at = end_of_string(bytes, at);
                previous = byte;
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                while bytes.get(at).is_some_and(|&b| b != b'\n') {
                    at += 1;
                }
            }
            _ => {}
        }
        if depth > limit {
            return Some(at);
        }
        if !byte.is_ascii_whitespace() {
            previous = byte;
        }
        at += 1;
    }
    None
}

/// The index after the string that starts with the quote at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let raw = start > 0 && matches!(bytes[start - 1], b'r' | b'R');
    let triple = [quote; 3];
    let delimiter: &[u8] = if bytes[start..].starts_with(&triple) { &triple } else { &triple[..1] };
    let mut at = start + delimiter.len();
    while at < bytes.len() {
        if bytes[at] == b'\\' && !raw {
            at += 2;
        } else if bytes[at..].starts_with(delimiter) {
            return at + delimiter.len();
        } else {
            at += 1;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::too_deep;

    #[test]
    fn brackets_in_strings_and_comments_do_not_count() {
        assert_eq!(too_deep(r#"(("((((" + '[[[' + r"\" + """(("(" """))"#, 2), None);
        assert_eq!(too_deep("(( // ((((\n))", 2), None);
        assert_eq!(too_deep("((( ", 2), Some(2));
        assert_eq!(too_deep("\"((( ", 2), None);
    }

    #[test]
    fn conditionals_nest_until_their_bracket_or_comma_ends() {
        assert_eq!(too_deep("a ? b : c ? d : e ? f : g", 2), Some(18));
        assert_eq!(too_deep("[a ? b : c, a ? b : c, a ? b : c]", 2), None);
        assert_eq!(too_deep("(a ? b : c) + (a ? b : c)", 2), None);
        assert_eq!(too_deep("a.?b.?c[?d] == {?e: f}", 2), None);
        assert_eq!(too_deep(")))(((", 2), Some(5));
    }
}
