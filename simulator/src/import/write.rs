//! Writes objects one by one, so that an import needs no memory for its output.

use std::io::{self, Write};

use serde_json::Value;

/// How objects are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One YAML document an object.
    #[default]
    Yaml,
    /// One `v1` List as JSON, an item a line.
    Json,
}

/// Writes objects as they come.
#[derive(Debug)]
pub struct ObjectWriter<W> {
    output: W,
    format: Format,
    written: usize,
}

impl<W: Write> ObjectWriter<W> {
    /// A writer of no objects yet.
    pub fn new(output: W, format: Format) -> Self {
        Self { output, format, written: 0 }
    }

    /// Writes one object.
    pub fn write(&mut self, object: &Value) -> io::Result<()> {
        match self.format {
            Format::Yaml => {
                if self.written > 0 {
                    self.output.write_all(b"---\n")?;
                }
                let text = serde_saphyr::to_string(object).map_err(io::Error::other)?;
                self.output.write_all(text.as_bytes())?;
                if !text.ends_with('\n') {
                    self.output.write_all(b"\n")?;
                }
            }
            Format::Json => {
                self.output.write_all(if self.written == 0 { LIST_HEAD } else { b",\n" })?;
                serde_json::to_writer(&mut self.output, object)?;
            }
        }
        self.written += 1;
        Ok(())
    }

    /// Ends the output and gives the writer back, flushed.
    pub fn finish(mut self) -> io::Result<W> {
        if self.format == Format::Json {
            if self.written == 0 {
                self.output.write_all(LIST_HEAD)?;
            }
            self.output.write_all(b"\n]}\n")?;
        }
        self.output.flush()?;
        Ok(self.output)
    }
}

const LIST_HEAD: &[u8] = b"{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[\n";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(format: Format, objects: &[Value]) -> String {
        let mut writer = ObjectWriter::new(Vec::new(), format);
        for object in objects {
            writer.write(object).unwrap();
        }
        String::from_utf8(writer.finish().unwrap()).unwrap()
    }

    #[test]
    fn json_is_one_list_with_an_item_a_line() {
        let text = written(Format::Json, &[json!({"kind": "A"}), json!({"kind": "B"})]);
        assert_eq!(text.lines().count(), 4);
        let list: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(list["items"], json!([{"kind": "A"}, {"kind": "B"}]));
        let empty: Value = serde_json::from_str(&written(Format::Json, &[])).unwrap();
        assert_eq!(empty["items"], json!([]));
    }

    #[test]
    fn yaml_keeps_texts_that_look_like_numbers() {
        let objects =
            [json!({"cpu": "64", "flag": "true", "time": "2023-01-01T00:00:00Z", "n": 3}), json!({})];
        let text = written(Format::Yaml, &objects);
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        assert_eq!(documents, objects);
    }
}
