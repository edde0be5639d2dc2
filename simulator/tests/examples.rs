//! Every folder in `examples/` is run as its README says, and must answer what it says.
//!
//! A folder's `expected.txt` is a transcript: a line `$ dray …` for each command, then what the command wrote to
//! stdout, then, where there is any, `[stderr]` with what it wrote there, and `[exit code]` where it is not 0.
//! `DRAYAGE_UPDATE_EXAMPLES=1` writes the transcripts anew from their commands.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

use snapbox::Data;
use snapbox::report::{Palette, write_diff};

/// The root of the repository; commands run here, so that their paths are those of the READMEs.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The example folders, in the order of their names.
fn folders() -> Vec<PathBuf> {
    let entries =
        fs::read_dir(root().join("examples")).expect("the folder examples is part of the repository");
    let mut folders: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a readable folder").path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// Splits a command line at blanks; single quotes keep blanks.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().expect("never empty").push(character),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn dray(arguments: &[String]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dray"))
        .args(arguments)
        .current_dir(root())
        .env_remove("DRAY_LOG")
        .env("NO_COLOR", "1")
        .output()
        .expect("the binary was built for this test")
}

/// One command of a transcript with everything it says.
fn transcript(command: &str) -> String {
    let arguments = words(command.strip_prefix("$ dray").expect("a command of a transcript"));
    let output = dray(&arguments);
    let mut text = format!("{command}\n{}", String::from_utf8_lossy(&output.stdout));
    if !text.ends_with('\n') {
        text.push('\n');
    }
    if !output.stderr.is_empty() {
        write!(text, "[stderr]\n{}", String::from_utf8_lossy(&output.stderr)).expect("a string takes all");
    }
    match output.status.code() {
        Some(0) => {}
        Some(code) => writeln!(text, "[exit code] {code}").expect("a string takes all"),
        None => panic!("{command}: ended by a signal"),
    }
    text
}

fn commands(transcript: &str) -> Vec<&str> {
    transcript.lines().filter(|line| line.starts_with("$ dray ")).collect()
}

#[test]
fn examples_answer_as_expected() {
    let update = env::var_os("DRAYAGE_UPDATE_EXAMPLES").is_some();
    let folders = folders();
    assert!(folders.len() >= 12, "only {} examples found", folders.len());
    let mut differences = String::new();
    for folder in folders {
        let path = folder.join("expected.txt");
        let expected = read(&path);
        let actual: Vec<String> = commands(&expected).into_iter().map(transcript).collect();
        assert!(!actual.is_empty(), "{}: no command", path.display());
        let actual = actual.join("\n");
        if actual == expected {
            continue;
        }
        if update {
            fs::write(&path, &actual).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        } else {
            let name = path.display();
            write_diff(
                &mut differences,
                &Data::text(expected),
                &Data::text(actual),
                Some(&name),
                Some(&"the answer"),
                Palette::plain(),
            )
            .expect("a string takes all");
        }
    }
    assert!(differences.is_empty(), "{differences}\nDRAYAGE_UPDATE_EXAMPLES=1 accepts the new answers");
}

/// The blocks of a README that start with ```` ```console ````.
fn console_blocks(readme: &str) -> Vec<&str> {
    readme
        .split("```console\n")
        .skip(1)
        .map(|rest| rest.split("```").next().expect("a split has a first part"))
        .collect()
}

/// Whether a block is in a transcript, where a line `…` stands for any lines left out.
fn quotes(block: &str, transcript: &str) -> bool {
    let mut rest = transcript;
    for part in block.split("…\n") {
        let Some(place) = rest.find(part.trim_end()) else { return false };
        rest = rest.get(place..).unwrap_or_default();
    }
    true
}

#[test]
fn readmes_quote_the_expected_answers() {
    for folder in folders() {
        let readme = read(&folder.join("README.md"));
        let expected = read(&folder.join("expected.txt"));
        let blocks = console_blocks(&readme);
        for command in commands(&expected) {
            assert!(
                blocks.iter().any(|block| block.lines().any(|line| line == command)),
                "{}: the README does not show `{command}`",
                folder.display()
            );
        }
        for block in blocks {
            assert!(quotes(block, &expected), "{}: expected.txt lacks\n{block}", folder.display());
        }
    }
}

#[test]
fn main_readme_quotes_an_example() {
    let readme = read(&root().join("README.md"));
    let expected: String = folders().iter().map(|folder| read(&folder.join("expected.txt"))).collect();
    let blocks = console_blocks(&readme);
    assert!(!blocks.is_empty(), "README.md shows no answer");
    for block in blocks {
        assert!(quotes(block, &expected), "no expected.txt has\n{block}");
    }
}

#[test]
fn list_of_examples_is_complete() {
    let list = read(&root().join("examples/README.md"));
    for folder in folders() {
        let name = folder.file_name().expect("a folder has a name").to_string_lossy();
        assert!(list.contains(&format!("[{name}]({name}/)")), "examples/README.md does not list {name}");
    }
}
