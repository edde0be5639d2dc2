//! Places in files of other kinds than Kubernetes' own.

use crate::path::FieldPath;
use crate::source::{Place, follow, place_in};
use crate::yaml;

/// The place of a field in one of the documents of a YAML or JSON text, or of the nearest field around it that is
/// there. Documents without content do not count. `None` where the text has no such document.
pub fn locate(name: &str, text: &str, document: usize, field: &FieldPath) -> Option<Place> {
    let (start, end) = *yaml::documents(text, 0).get(document)?;
    let node = yaml::parse_document(text, start, end).ok()?;
    Some(place_in(name, text, follow(&node, field.segments())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_any_document_are_found() {
        let text = "a: 1\n---\n# nothing\n---\nspec:\n  steps:\n  - fail: {nodes: [x]}\n";
        let place = |field: &FieldPath| locate("f", text, 1, field).map(|place| (place.line, place.column));
        let steps = FieldPath::fields("spec.steps");
        assert_eq!(place(&steps.clone().index(0).field("fail").field("nodes").index(0)), Some((7, 20)));
        assert_eq!(place(&steps.field("none")), Some((6, 3)));
        assert_eq!(locate("f", text, 2, &FieldPath::root()), None);
    }
}
