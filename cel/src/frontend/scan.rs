//! A look at the text before the parser sees it.

/// The place where brackets nest deeper than `limit`, not counting those in strings and comments.
pub(super) fn too_deep(source: &str, limit: usize) -> Option<usize> {
    let bytes = source.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'(' | b'[' | b'{' => {
                depth += 1;
                if depth > limit {
                    return Some(at);
                }
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' | b'\'' => {
                at = end_of_string(bytes, at);
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                while bytes.get(at).is_some_and(|&b| b != b'\n') {
                    at += 1;
                }
            }
            _ => {}
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
}
