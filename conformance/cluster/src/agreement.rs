//! Part `api`: what the API server says to objects, and what `dray lint` says.
//!
//! Every object is sent with a dry run and strict field validation. Drayage refuses an object if lint has a finding
//! about it of a rule that is about the API: other rules are about what an object leads to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use drayage_cluster::lint::{LintOptions, lint};
use drayage_cluster::{Input, LoadOptions, load_with_faults};
use drayage_simulator::schedule::Options;
use serde_json::{Value, json};

use crate::api::{Api, ApiError};
use crate::rows::Rows;
use crate::{costs, kinds, mutate, ours};

/// Rules whose findings say that the API server refuses the object.
const REFUSING: [&str; 11] = [
    "DRA001", "DRA002", "DRA003", "DRA004", "DRA103", "DRA106", "DRA108", "DRA113", "DRA201", "DRA202",
    "DRA204",
];

/// What one side says to an object: nothing, or why not.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) refused: Option<String>,
    /// The fields that are complained about, without indices and keys.
    fields: BTreeSet<String>,
}

/// An object and where it comes from.
pub(crate) struct Sample {
    pub(crate) from: String,
    pub(crate) object: Value,
}

/// Compares files, recorded problems, mutants of both, and costs of expressions.
pub(crate) fn run(api: &Api, rows: &mut Rows, mutants: usize) -> Result<(), ApiError> {
    let options = ours::options().map_err(ApiError::Nowhere)?;
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut samples = from_files(&repository);
    samples.extend(from_problems(&repository));
    namespaces(api, &samples)?;
    let (devices, others): (Vec<Sample>, Vec<Sample>) = samples.into_iter().partition(is_about_devices);
    compare(
        api,
        rows,
        &options,
        "objects of `resource.k8s.io` in examples, lint fixtures and recorded problems",
        &devices,
    )?;
    let known: Vec<Sample> =
        others.into_iter().filter(|sample| kinds::of(&sample.object).is_some()).collect();
    refused_by_us_only(api, rows, &options, &known)?;
    let changed = mutate::mutants(&devices, mutants);
    compare(api, rows, &options, "the same with one random change each", &changed)?;
    let expressions = costs::samples(|object| judge(object, &options).refused.is_some());
    compare(
        api,
        rows,
        &options,
        "expressions just below and above the limit of the estimated cost",
        &expressions,
    )
}

fn is_about_devices(sample: &Sample) -> bool {
    let version = sample.object["apiVersion"].as_str().unwrap_or_default();
    version.starts_with("resource.k8s.io/") && kinds::of(&sample.object).is_some()
}

/// Objects of YAML files in examples and fixtures. What cannot be parsed is no object that could be sent.
fn from_files(repository: &Path) -> Vec<Sample> {
    let mut paths = Vec::new();
    for folder in ["examples", "cluster/tests/lint", "simulator/tests/command"] {
        yaml_files(&repository.join(folder), &mut paths);
    }
    paths.sort();
    let mut samples = Vec::new();
    for path in paths {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let documents = serde_saphyr::from_multiple::<Value>(&text).unwrap_or_default();
        let from = path.strip_prefix(repository).unwrap_or(&path).display().to_string();
        for document in documents {
            let items = match document["items"].as_array() {
                Some(items) => items.clone(),
                None => vec![document],
            };
            samples.extend(items.into_iter().map(|object| Sample { from: from.clone(), object }));
        }
    }
    samples
}

fn yaml_files(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            yaml_files(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            paths.push(path);
        }
    }
}

/// Classes, claims and slices of the recorded problems for the allocator, without repetitions.
fn from_problems(repository: &Path) -> Vec<Sample> {
    let release = std::env::var("DRAYAGE_CLUSTER_RELEASE").unwrap_or_default();
    let patch = if release == "1.37" { "1.37.2" } else { "1.36.6" };
    let mut seen = BTreeSet::new();
    let mut samples = Vec::new();
    for name in
        [format!("random-{patch}.jsonl"), format!("features-{patch}.jsonl"), format!("faults-{patch}.jsonl")]
    {
        let text =
            fs::read_to_string(repository.join("conformance/fixtures").join(&name)).unwrap_or_default();
        for line in text.lines() {
            let Ok(problem) = serde_json::from_str::<Value>(line) else { continue };
            for (list, kind) in
                [("classes", "DeviceClass"), ("claims", "ResourceClaim"), ("slices", "ResourceSlice")]
            {
                for object in problem[list].as_array().into_iter().flatten() {
                    let mut object = object.clone();
                    object["apiVersion"] = "resource.k8s.io/v1".into();
                    object["kind"] = kind.into();
                    if seen.insert(object.to_string()) {
                        let from = format!("{name} {}", problem["name"].as_str().unwrap_or_default());
                        samples.push(Sample { from, object });
                    }
                }
            }
        }
    }
    samples
}

/// Objects are refused in namespaces that do not exist.
fn namespaces(api: &Api, samples: &[Sample]) -> Result<(), ApiError> {
    let mut known: BTreeMap<&str, Value> = BTreeMap::new();
    for Sample { object, .. } in samples {
        let labels = json!({"resource.kubernetes.io/admin-access": "true"});
        known.entry(kinds::namespace(object)).or_insert(labels);
    }
    for (name, labels) in known {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        match api.create(&namespace) {
            Ok(_) => {}
            Err(ApiError::Refused { code: 409 | 422, .. }) => {
                let change = json!({"metadata": {"labels": labels}});
                let _ = api.merge(&namespace, "", &change);
            }
            Err(error) => return Err(error),
        }
        let path = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        let _ = Api::wait(5, &path, || Ok(api.get(&path).ok()));
    }
    Ok(())
}

/// What lint says.
pub(crate) fn judge(object: &Value, options: &Options) -> Verdict {
    let input = Input::Bytes { name: "object.json".to_owned(), bytes: object.to_string().into_bytes() };
    let (snapshot, errors) = load_with_faults(&[input], LoadOptions::default());
    let lint_options = LintOptions {
        profile: options.gates.profile(),
        features: options.gates.features(),
        list_type_attributes: options.gates.enabled("DRAListTypeAttributes"),
        taint_rules: true,
        step_budget: 1_000,
    };
    let report = lint(&snapshot, &errors, lint_options);
    let refusing = report.findings.iter().filter(|finding| REFUSING.contains(&finding.rule.code));
    // An old version that is still served is none to refuse.
    let refusing = refusing.filter(|finding| {
        finding.rule.code != "DRA004" || finding.severity == drayage_cluster::lint::Severity::Error
    });
    let mut fields = BTreeSet::new();
    let mut texts = Vec::new();
    for finding in refusing {
        fields.insert(plain(&finding.field.to_string()));
        texts.push(format!("{} {}", finding.rule.code, finding.message));
    }
    Verdict { refused: (!texts.is_empty()).then(|| texts.join("; ")), fields }
}

/// What the API server says.
fn ask(api: &Api, objects: &[&Value]) -> Vec<Result<Verdict, ApiError>> {
    let requests = objects
        .iter()
        .map(|object| {
            let (kind, version) = kinds::of(object).unwrap_or((kinds::KINDS[0], "v1"));
            let path = kinds::path(kind, version, Some(kinds::namespace(object)));
            ("POST", format!("{path}?dryRun=All&fieldValidation=Strict"), sent(object))
        })
        .collect();
    let answers = api.send_many(requests, 8).into_iter();
    answers
        .map(|answer| match answer {
            // It exists already, which says that it was fine.
            Ok(_) | Err(ApiError::Refused { code: 409, .. }) => {
                Ok(Verdict { refused: None, fields: BTreeSet::new() })
            }
            Err(ApiError::Refused { message, code: 400..=422, .. }) => {
                let fields = fields_of(&message);
                Ok(Verdict { refused: Some(message), fields })
            }
            Err(error) => Err(error),
        })
        .collect()
}

/// Without what a client never sends.
fn sent(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in ["resourceVersion", "managedFields"] {
            metadata.remove(field);
        }
    }
    object
}

/// The fields that a refusal names: `spec.devices[0].name: Invalid value: …`.
fn fields_of(message: &str) -> BTreeSet<String> {
    let words = message.split_whitespace().filter_map(|word| {
        let word = word.trim_start_matches('[').strip_suffix(':')?;
        (word.starts_with("spec") || word.starts_with("metadata")).then(|| plain(word))
    });
    words.collect()
}

/// A field without indices and keys.
fn plain(field: &str) -> String {
    let mut depth = 0;
    let keep = |letter: &char| match letter {
        '[' => {
            depth += 1;
            false
        }
        ']' => {
            depth -= 1;
            false
        }
        _ => depth == 0,
    };
    field.chars().filter(keep).collect()
}

fn compare(
    api: &Api,
    rows: &mut Rows,
    options: &Options,
    what: &str,
    samples: &[Sample],
) -> Result<(), ApiError> {
    let objects: Vec<&Value> = samples.iter().map(|sample| &sample.object).collect();
    let (mut refused, mut alike, mut located, mut differences) = (0, 0, 0, BTreeMap::new());
    for (sample, real) in samples.iter().zip(ask(api, &objects)) {
        let real = real?;
        let ours = judge(&sample.object, options);
        refused += usize::from(real.refused.is_some());
        if real.refused.is_some() == ours.refused.is_some() {
            if real.refused.is_some() && !real.fields.is_empty() {
                located += 1;
                alike += usize::from(!real.fields.is_disjoint(&ours.fields));
            }
            continue;
        }
        let class = match (&real.refused, &ours.refused) {
            (Some(message), _) => format!("refused: {}", kind_of_reason(message)),
            (None, ours) => format!("accepted: {}", kind_of_reason(ours.as_deref().unwrap_or_default())),
        };
        let shown = json!({"from": sample.from, "object": sample.object, "server": real.refused, "dray": ours.refused});
        differences.entry(class).or_insert_with(Vec::new).push(shown);
    }
    for (class, shown) in &differences {
        eprintln!("{} × {class}", shown.len());
    }
    if !differences.is_empty() {
        let name: String = what.chars().filter(char::is_ascii_alphabetic).take(24).collect();
        rows.keep(&format!("api-{name}"), &json!(differences));
    }
    let compared = format!(
        "{} objects, {refused} refused; the same field is named in {alike} of {located}",
        samples.len()
    );
    let shows = refused > 0 && refused < samples.len();
    let different: Vec<String> = differences
        .iter()
        .map(|(class, shown)| format!("{} × `{}`", shown.len(), class.replace('|', "/").replace('`', "'")))
        .collect();
    rows.add(what, &compared, &different, shows);
    Ok(())
}

/// A message without names and values, so that differences of one kind are counted together.
fn kind_of_reason(message: &str) -> String {
    let message = message.split_once(" is invalid: ").map_or(message, |(_, reason)| reason);
    let mut kind = String::new();
    let mut quoted = false;
    for letter in plain(message).chars() {
        if letter == '"' || letter == '`' {
            quoted = !quoted;
            kind.push(letter);
        } else if !quoted && !letter.is_ascii_digit() {
            kind.push(letter);
        }
        if kind.len() > 140 {
            break;
        }
    }
    kind
}

/// Of other kinds Drayage looks at what matters to it; what it refuses the API server must refuse too.
fn refused_by_us_only(
    api: &Api,
    rows: &mut Rows,
    options: &Options,
    samples: &[Sample],
) -> Result<(), ApiError> {
    let objects: Vec<&Value> = samples.iter().map(|sample| &sample.object).collect();
    let (mut both, mut server_only, mut different) = (0, 0, Vec::new());
    for (sample, real) in samples.iter().zip(ask(api, &objects)) {
        let (real, ours) = (real?, judge(&sample.object, options));
        match (&real.refused, &ours.refused) {
            (Some(_), Some(_)) => both += 1,
            (Some(message), None) => {
                server_only += 1;
                eprintln!("{}: only the server refuses: {message}", sample.from);
            }
            (None, Some(message)) => different.push(format!("{}: {message}", sample.from)),
            (None, None) => {}
        }
    }
    let compared = format!(
        "{} objects, {both} refused by both, {server_only} for what has no meaning here",
        samples.len()
    );
    rows.add(
        "pods, nodes, workloads and others: what is refused here is refused there",
        &compared,
        &different,
        both > 0,
    );
    Ok(())
}
