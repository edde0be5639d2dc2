//! How the command behaves as a process: pipes, full disks, signals, exit codes.

#![expect(clippy::print_stderr, reason = "a skipped test must be seen")]

use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};

fn dray(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dray"));
    command.args(arguments).env_remove("RUST_BACKTRACE").env_remove("CLICOLOR_FORCE");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(mut command: Command) -> Ended {
    let output = command.output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn with_stdin(mut command: Command, input: &[u8]) -> Ended {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    // The command may stop reading early, on bad input.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

const PROBLEM: &str = r#"{"name":"nothing to do","node":{"metadata":{"name":"n"}},"claims":[]}"#;

#[test]
fn help_and_version_are_data_and_wrong_usage_is_talk() {
    for arguments in [&["--help"][..], &["--version"], &["simulate", "--help"], &["help", "allocate"]] {
        let ended = run(dray(arguments));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(!ended.stdout.is_empty(), "{arguments:?}");
    }
    for arguments in [&[][..], &["simulat"], &["allocate"], &["simulate", "--k8s", "2.0"], &["cel", "eval"]] {
        let ended = run(dray(arguments));
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!ended.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn every_help_shows_an_example() {
    for arguments in [
        &["simulate"][..],
        &["allocate"],
        &["cel", "check"],
        &["cel", "eval"],
        &["import", "openb"],
        &["completions"],
    ] {
        for flag in ["-h", "--help"] {
            let ended = run(dray(&[arguments, &[flag]].concat()));
            let example = format!("  dray {}", arguments.join(" "));
            assert!(ended.stdout.contains("Example"), "{arguments:?}: {}", ended.stdout);
            assert!(ended.stdout.contains(&example), "{arguments:?}: {}", ended.stdout);
        }
    }
}

#[test]
fn a_page_written_to_a_link_or_a_pipe_does_not_replace_it() {
    let folder = tempfile::tempdir().unwrap();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/one-gpu");
    let (page, link, pipe) =
        (folder.path().join("page.html"), folder.path().join("link.html"), folder.path().join("pipe"));
    std::fs::write(&page, "old").unwrap();
    std::os::unix::fs::symlink("page.html", &link).unwrap();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let write_to = |path: &std::path::Path| {
        let path = path.to_str().unwrap();
        let ended = run(dray(&["simulate", "-f", example, "--html", path]));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended
    };
    write_to(&link);
    assert!(link.is_symlink());
    assert!(std::fs::read_to_string(&page).unwrap().starts_with("<!DOCTYPE html>"));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| std::fs::read_to_string(&pipe).unwrap());
        write_to(&pipe);
        assert!(reader.join().unwrap().starts_with("<!DOCTYPE html>"));
    });
    let ended = write_to(std::path::Path::new("/dev/fd/1"));
    assert!(ended.stdout.contains("<!DOCTYPE html>"), "{}", ended.stdout);
    let mut left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["link.html", "page.html", "pipe"]);
}

#[test]
fn a_full_disk_is_an_error_and_no_panic() {
    if !std::path::Path::new("/dev/full").exists() {
        eprintln!("SKIPPED: this system has no /dev/full");
        return;
    }
    for arguments in [&["--help"][..], &["--version"], &["completions", "bash"]] {
        let mut command = dray(arguments);
        command.stdout(File::options().write(true).open("/dev/full").unwrap());
        let ended = run(command);
        assert_eq!(ended.code, Some(4), "{arguments:?}");
        assert_eq!(ended.stderr, "error: cannot write to stdout: no space left on device\n");
    }
    let mut command = dray(&["allocate", "--problems", "-"]);
    command.stdout(File::options().write(true).open("/dev/full").unwrap());
    let ended = with_stdin(command, PROBLEM.as_bytes());
    assert_eq!(ended.code, Some(4));
    assert_eq!(ended.stderr, "error: cannot write to stdout: no space left on device\n");
}

#[test]
fn a_full_stderr_changes_nothing() {
    if !std::path::Path::new("/dev/full").exists() {
        eprintln!("SKIPPED: this system has no /dev/full");
        return;
    }
    let mut command = dray(&["allocate", "--problems", "no-such-file"]);
    command.stderr(File::options().write(true).open("/dev/full").unwrap());
    assert_eq!(run(command).code, Some(2));
}

#[test]
fn a_reader_that_leaves_ends_the_command_quietly() {
    let mut child = dray(&["allocate", "--problems", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    // Written until the command is gone: the first answer already has no reader.
    while writeln!(stdin, "{PROBLEM}").is_ok() {}
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn each_answer_is_written_before_the_next_problem_is_read() {
    let mut child = dray(&["allocate", "--problems", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..3 {
        assert_eq!(answer(&mut stdin, &mut stdout), "allocated");
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

fn answer(stdin: &mut impl std::io::Write, stdout: &mut impl std::io::BufRead) -> String {
    writeln!(stdin, "{PROBLEM}").unwrap();
    stdin.flush().unwrap();
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let answer: serde_json::Value = serde_json::from_str(&line).unwrap();
    answer["outcome"].as_str().unwrap().to_owned()
}

#[test]
fn a_malformed_line_names_its_number_after_the_answers_before_it() {
    let input = format!("{PROBLEM}\n\n{PROBLEM}\n{{\"name\": 7}}\n{PROBLEM}\n");
    let ended = with_stdin(dray(&["allocate", "--problems", "-"]), input.as_bytes());
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(2), 2), "{}", ended.stderr);
    assert!(ended.stderr.starts_with("error: line 4 is no problem: `name`"), "{}", ended.stderr);
    assert!(ended.stderr.contains("<stdin>:4:"), "{}", ended.stderr);
    let ended = with_stdin(dray(&["allocate", "--problems", "-"]), b"{\"name\":\"\xff\"}\n");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert!(ended.stderr.contains("not UTF-8"), "{}", ended.stderr);
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_with_a_message_and_code_130() {
    let mut child = dray(&["allocate", "--problems", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    // With the first answer here, the command is surely up and waits for the next problem.
    assert_eq!(answer(&mut stdin, &mut stdout), "allocated");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let (status, stderr) = ending(&mut child);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!((status.code(), stderr.as_str(), rest.as_str()), (Some(130), "interrupted\n", ""));
}

fn ending(child: &mut Child) -> (ExitStatus, String) {
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    (child.wait().unwrap(), stderr)
}

#[test]
fn colour_is_only_for_terminals_or_on_demand() {
    let bad = &["allocate", "--problems", "no-such-file"];
    assert!(!run(dray(bad)).stderr.contains('\u{1b}'));
    assert!(run(dray(&[&bad[..], &["--color", "always"]].concat())).stderr.contains("\u{1b}["));
    let mut command = dray(bad);
    command.env("NO_COLOR", "1");
    assert!(!run(command).stderr.contains('\u{1b}'));
}

#[test]
fn an_import_writes_whole_files_or_the_same_to_stdout() {
    let openb = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/openb");
    let (nodes, pods) = (format!("{openb}/nodes.csv"), format!("{openb}/pods.csv"));
    let import = ["import", "openb", "--nodes", &nodes, "--pods", &pods];
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a/b");
    let ended = run(dray(&[&import[..], &["-o", target.to_str().unwrap()]].concat()));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
    assert_eq!(ended.stderr, "note: 4 nodes with 14 GPUs, 6 pods with 4 claim templates\n");
    let mut names: Vec<_> =
        std::fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["cluster.yaml", "workload.yaml"]);
    let to_stdout = run(dray(&[&import[..], &["--quiet"]].concat()));
    assert_eq!((to_stdout.code, to_stdout.stderr.as_str()), (Some(0), ""));
    let documents = |text: &str| text.split("---\n").filter(|part| !part.is_empty()).count();
    let files: usize =
        names.iter().map(|name| documents(&std::fs::read_to_string(target.join(name)).unwrap())).sum();
    assert_eq!(documents(&to_stdout.stdout), files);
}

#[test]
fn scenarios_and_differences_have_a_page_of_before_and_after() {
    let example = |path: &str| format!("{}/../examples/{path}", env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    let html = page.to_str().unwrap();
    let scenario = example("scenario/rack-fails.yaml");
    let ended = run(dray(&["scenario", "run", &scenario, "--html", html]));
    let without = run(dray(&["scenario", "run", &scenario]));
    assert_eq!((ended.code, ended.stdout), (without.code, without.stdout));
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(text.contains(r#"["before","after: "#), "{}", text.len());
    std::fs::remove_file(&page).unwrap();
    let two = run(dray(&["scenario", "run", &scenario, &scenario, "--html", html]));
    assert_eq!((two.code, page.exists()), (Some(2), false));
    let (before, after) = (example("one-gpu"), example("why-pending"));
    assert!(matches!(run(dray(&["diff", &before, &after, "--html", html])).code, Some(0 | 1)));
    assert!(std::fs::read_to_string(&page).unwrap().contains(r#"["before","after: "#));
}

/// As the pods of an indexed Job run it, which count from 0.
#[test]
fn parts_of_an_indexed_job_merge_to_the_whole_sweep() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/fail");
    let (cluster, workload) = (format!("{example}/cluster.yaml"), format!("{example}/workload.yaml"));
    let sweep = ["fail", "-f", &cluster, &workload, "--sweep", "-o", "json"];
    let whole = run(dray(&sweep));
    let folder = tempfile::tempdir().unwrap();
    let parts = folder.path().join("made/by-the-command");
    let parts = parts.to_str().unwrap();
    let without = run(dray(&[&sweep[..], &["--shard", "/3"]].concat()));
    assert_eq!((without.code, without.stdout.as_str()), (Some(2), ""));
    assert!(without.stderr.contains("JOB_COMPLETION_INDEX"), "{}", without.stderr);
    assert!(
        without.stderr.contains("hint: outside of a Job write which part it is: `1/3`"),
        "{}",
        without.stderr
    );
    for index in ["0", "1", "2", "3"] {
        let mut command = dray(&[&sweep[..], &["--shard", "/3", "--save-in", parts]].concat());
        command.env("JOB_COMPLETION_INDEX", index);
        // A part is no answer, so it is not a "no" either; and there is no fourth one.
        assert_eq!(run(command).code, Some(if index == "3" { 2 } else { 0 }), "{index}");
    }
    let merged = run(dray(&["fail", "--merge", parts, "-o", "json"]));
    assert_eq!((merged.code, merged.stdout), (whole.code, whole.stdout));
    std::fs::remove_file(format!("{parts}/part-2-of-3.json")).unwrap();
    let lacking = run(dray(&["fail", "--merge", parts]));
    assert_eq!(lacking.code, Some(2));
    assert!(lacking.stderr.contains("shard 2 of 3 is there 0 times"), "{}", lacking.stderr);
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(run(dray(&["fail", "--merge", empty.path().to_str().unwrap()])).code, Some(2));
}
