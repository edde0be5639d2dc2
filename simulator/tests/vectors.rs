//! The whole command against recorded answers of kube-scheduler and the API server.

use std::path::{Path, PathBuf};
use std::process::Command;

use drayage_cluster::problems;
use drayage_cluster::write::results_equal;
use serde_json::Value;

/// A recorded file of another crate.
fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The lines that `dray` prints for these arguments.
fn lines(arguments: &[&str]) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_dray")).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let stdout = String::from_utf8(output.stdout).unwrap();
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn recorded_problems_have_the_recorded_answers() {
    let path = fixture("allocator/tests/fixtures/allocator-1.36.3.jsonl");
    let answers = lines(&["allocate", "--problems", path.to_str().unwrap(), "--k8s", "1.36"]);
    let text = std::fs::read_to_string(&path).unwrap();
    let problems: Vec<_> = text.lines().map(|line| problems::read_line(line).unwrap()).collect();
    assert_eq!(answers.len(), problems.len());
    let mut compared = 0;
    let mut wrong = Vec::new();
    for (problem, answer) in
        problems.iter().zip(&answers).filter(|(problem, _)| problem.channel == "incubating")
    {
        compared += 1;
        assert_eq!(answer["name"], problem.name.as_str());
        let expected = match (&problem.recorded.results, &problem.recorded.error) {
            (_, Some(_)) => "error",
            (Some(_), None) => "allocated",
            (None, None) => "unsatisfiable",
        };
        // Read back by the reader of problems, so that both sides are compared as the API means them.
        let results = problems::read_line(&serde_json::json!({"results": answer["results"]}).to_string())
            .unwrap()
            .recorded
            .results;
        let equal = match (&results, &problem.recorded.results) {
            (Some(results), Some(recorded)) => results_equal(results, recorded),
            (None, None) => true,
            _ => false,
        };
        let error_told = answer["error"].is_object() == (expected == "error");
        if answer["outcome"] != expected || !equal || !error_told {
            wrong.push(format!("{}: {answer}", problem.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(compared, 204);
}

/// The devices that the recorded verdicts are about. The second has attributes that are lists as well, which
/// make every selector fail in releases that do not know them.
const DEVICES: &str = r"
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: slice}
spec:
  driver: gpu.example.com
  nodeName: node
  pool: {name: node, generation: 1, resourceSliceCount: 1}
  devices:
  - name: plain
    allowMultipleAllocations: true
    attributes:
      model: {string: A100}
      memory: {int: 80}
      a: {int: 1}
      b: {bool: true}
      services: {string: some_example_value}
      cuda: {version: 12.4.0}
    capacity:
      memory: {value: 80Gi}
  - name: lists
    allowMultipleAllocations: true
    attributes:
      model: {string: A100}
      memory: {int: 80}
      a: {int: 1}
      b: {bool: true}
      services: {string: some_example_value}
      cuda: {version: 12.4.0}
      names: {strings: [fish, bird]}
      nums: {ints: [3, 1, 2]}
      vers: {versions: [1.0.0]}
    capacity:
      memory: {value: 80Gi}
";

#[test]
fn recorded_verdicts_on_expressions_agree() {
    let path = fixture("cel/tests/fixtures/cel-selectors.json");
    let folder = tempfile::tempdir().unwrap();
    let slice = folder.path().join("slice.yaml");
    std::fs::write(&slice, DEVICES).unwrap();
    let corpus: Vec<(String, String, String)> =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    // The verdicts are those of 1.34, but for list attributes, which came with 1.36.
    let at = |arguments: &[&str]| {
        let files = ["--corpus", path.to_str().unwrap(), "--slice", slice.to_str().unwrap()];
        lines(&[&["cel", "eval"][..], &files, arguments].concat())
    };
    let lists = ["--feature-gates", "DRAListTypeAttributes=true", "--device", "lists"];
    let releases = [
        at(&["--k8s", "1.34", "--feature-gates", "DRAConsumableCapacity=true", "--device", "plain"]),
        at(&[&["--k8s", "1.36"], &lists[..]].concat()),
        at(&[&["--k8s", "1.37"], &lists[..]].concat()),
    ];
    let mut wrong = Vec::new();
    for (index, (group, expression, verdict)) in corpus.iter().enumerate() {
        let outcomes: Vec<&str> =
            releases.iter().map(|answers| answers[index]["outcome"].as_str().unwrap()).collect();
        assert!(releases.iter().all(|answers| answers[index]["expression"] == expression.as_str()));
        let agrees = |outcome: &&str| {
            matches!(
                (verdict.as_str(), *outcome),
                ("T", "true")
                    | ("F", "false")
                    | ("CE" | "RE_OR_CE", "compile-error")
                    | ("RE" | "RE_OR_CE", "runtime-error")
            )
        };
        if !outcomes.iter().any(agrees) {
            wrong.push(format!("[{group}] {expression}: {outcomes:?}, recorded {verdict}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), corpus.len(), wrong.join("\n"));
    assert_eq!(corpus.len(), 105);
}
