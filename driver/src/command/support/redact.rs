//! What a bundle may not have: values of environment variables, which users choose.

use serde_json::Value;

/// In place of a value.
const REDACTED: &str = "REDACTED";

/// A JSON file, or a record of a claim (a line, then JSON), without values of environment variables. None for anything
/// else: what cannot be read might hold anything.
pub(super) fn redacted(content: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(content).ok()?;
    let (first, body) = match text.split_once('\n') {
        Some((line, body)) if line.starts_with("drayage-claim/") => (format!("{line}\n"), body),
        _ => (String::new(), text),
    };
    let mut documents = Vec::new();
    for document in serde_json::Deserializer::from_str(body).into_iter::<Value>() {
        let mut document = document.ok()?;
        redact(&mut document);
        documents.push(document.to_string());
    }
    (!documents.is_empty()).then(|| format!("{first}{}\n", documents.join("\n")).into_bytes())
}

/// Takes values out of `env`, wherever it is: `NAME=VALUE` in a list, or values of an object. Texts that are JSON
/// themselves, such as a CDI file in a record, are looked into.
pub(super) fn redact(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "env" {
                    hide(value);
                } else {
                    redact(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(redact),
        Value::String(text) if text.trim_start().starts_with(['{', '[']) => {
            let mut documents = Vec::new();
            for document in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
                match document {
                    Ok(mut document) => {
                        redact(&mut document);
                        documents.push(document.to_string());
                    }
                    Err(_) => documents.push(REDACTED.to_owned()),
                }
            }
            *text = documents.join("\n");
        }
        _ => {}
    }
}

fn hide(value: &mut Value) {
    match value {
        Value::Array(values) => {
            for value in values {
                let name = value.as_str().and_then(|text| text.split_once('=')).map(|(name, _)| name);
                *value = Value::String(format!("{}={REDACTED}", name.unwrap_or_default()));
            }
        }
        Value::Object(fields) => fields.values_mut().for_each(|value| *value = Value::from(REDACTED)),
        other => *other = Value::from(REDACTED),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_value_of_a_variable_is_left() {
        let cdi = json!({"devices": [{"containerEdits": {"env": ["TOKEN=secret", "secret"]}}]});
        let record = json!({
            "claim": {"name": "a"}, "cdi": cdi.to_string(), "broken": "{\"env\": \"secret",
            "holds": [{"configuration": [{"env": {"TOKEN": "secret"}, "sharing": 1}, {"env": "secret"}]}],
        });
        for content in
            [record.to_string(), format!("drayage-claim/1 0123\n{record}"), format!("{cdi}\n{record}")]
        {
            let text = String::from_utf8(redacted(content.as_bytes()).expect("JSON")).expect("text");
            assert!(!text.contains("secret"), "{text}");
            assert!(text.contains("TOKEN") && text.contains("sharing"), "{text}");
        }
        for content in ["", "TOKEN=secret", "drayage-claim/1 0123\n{\"env\": [\"TOKEN=secr", "{} secret"] {
            assert_eq!(redacted(content.as_bytes()), None, "{content}");
        }
    }
}
