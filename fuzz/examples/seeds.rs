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
    write(&fuzz.join("corpus/objects"), objects.iter().map(Vec::as_slice))?;
    write(&fuzz.join("corpus/transport"), connections().iter().map(Vec::as_slice))
}

/// Connections as kubelets begin them, with every way to write an authority. The byte in front is the size of pieces,
/// the one after it has the preface sent.
fn connections() -> Vec<Vec<u8>> {
    let path = b"%2Fvar%2Flib%2Fkubelet%2Fplugins_registry%2Fgpu.example.com-reg.sock";
    let literal =
        |first: &[u8], value: &[u8]| [first, &[u8::try_from(value.len()).unwrap_or(0)], value].concat();
    // `:method: POST`, `:scheme: http`, a literal path; then the authority, and fields after it.
    let start = [&[0x83, 0x86][..], &literal(&[0x44], b"/pluginregistration.Registration/GetInfo")].concat();
    let end =
        [&literal(&[0x5f], b"application/grpc")[..], &literal(&[0x40, 2, b't', b'e'], b"trailers")].concat();
    let authorities = [
        literal(&[0x41], path),
        literal(&[0x01], path),
        literal(&[0x11], path),
        literal(&[&[0x40, 10][..], b":authority"].concat(), path),
        literal(&[0x41], b"localhost"),
        // `localhost` in Huffman's code, as libraries send it.
        vec![0x41, 0x86, 0xa0, 0xe4, 0x1d, 0x13, 0x9d, 0x09],
        // The table is emptied and allowed again before it.
        [&[0x20, 0x3f, 0xe1, 0x1f][..], &literal(&[0x41], path)].concat(),
    ];
    let settings = frame(4, 0, 0, &[]);
    let mut seeds = Vec::new();
    for (size, authority) in [255, 9, 1, 64, 17, 128, 200].into_iter().zip(authorities) {
        let block = [&start[..], &authority, &end].concat();
        let (first, second) = block.split_at(block.len() / 2);
        let padded = [&[3], &block[..], &[0, 0, 0]].concat();
        let priority = [&[0, 0, 0, 0, 15], &block[..]].concat();
        let call = [
            frame(1, 4, 1, &block),
            frame(0, 1, 1, &[0, 0, 0, 0, 0]),
            // A second call names by index what the first has put into the table.
            frame(1, 4, 3, &[0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe]),
            [frame(1, 0, 5, first), frame(9, 4, 5, second)].concat(),
            frame(1, 0x0c, 7, &padded),
            frame(1, 0x24, 9, &priority),
        ];
        seeds.push([&[size, 1][..], &settings, &call.concat()].concat());
        seeds.extend(call.iter().map(|call| [&[size, 1][..], call].concat()));
    }
    seeds
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    [&[0, length[0], length[1], kind, flags, 0, 0, 0, stream], payload].concat()
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
