//! Writes the first inputs of the targets into `corpus/`, from the fixtures and examples of the repository.

use std::fs;
use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fixtures = fuzz.join("../cel/tests/fixtures");
    let quantities = field(&fixtures.join("quantity-1.36.3.jsonl"), "text")?;
    let pairs: Vec<String> = quantities.windows(2).map(|pair| pair.join("\n")).collect();
    write(&fuzz.join("corpus/quantity"), pairs.iter().map(String::as_bytes))?;
    // The byte in front chooses the environment; 10 is 1.36 with stored expressions.
    let expressions = field(&fixtures.join("library-1.36.3.jsonl"), "expression")?;
    let expressions: Vec<Vec<u8>> =
        expressions.iter().map(|text| [&[10], text.as_bytes()].concat()).collect();
    write(&fuzz.join("corpus/cel"), expressions.iter().map(Vec::as_slice))?;
    let mut objects = vec![];
    collect(&fuzz.join("../examples"), &mut objects)?;
    let objects: Vec<Vec<u8>> = objects
        .iter()
        .map(|path| {
            let choice = u8::from(path.extension().is_some_and(|extension| extension == "json"));
            fs::read(path).map(|bytes| [&[choice], bytes.as_slice()].concat())
        })
        .collect::<Result<_, _>>()?;
    write(&fuzz.join("corpus/objects"), objects.iter().map(Vec::as_slice))
}

/// One string field of every line of a JSON lines file that has it.
fn field(path: &Path, name: &str) -> std::io::Result<Vec<String>> {
    let text = fs::read_to_string(path)?;
    let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    Ok(lines.filter_map(|line| line.get(name)?.as_str().map(str::to_owned)).collect())
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "json") {
            found.push(path);
        }
    }
    Ok(())
}

fn write<'s>(folder: &Path, seeds: impl Iterator<Item = &'s [u8]>) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    for (number, seed) in seeds.enumerate() {
        fs::write(folder.join(format!("seed-{number}")), seed)?;
    }
    Ok(())
}
