//! From texts to objects, one document at a time.

use crate::decode::{ResourceVersion, disruption, group, node, pod, resource, volume, workload};
use crate::fields::{Finding, FindingKind, Findings, Item};
use crate::json::{self, SyntaxError};
use crate::objects::{Metadata, ObjectReference, Origin};
use crate::path::{FieldPath, Segment};
use crate::snapshot::{IgnoredReason, ScaleFromZero, Snapshot};
use crate::source::{Notation, Source, SourceRange, follow};
use crate::tree::{Node, Value};
use crate::validate::{self, Issue, Severity};
use crate::yaml;

use super::kinds::{Kind, KindError, classify, element_kind};
use super::{LoadOptions, Pending, Report};

/// Reads sources one after the other.
pub(super) struct Reader {
    options: LoadOptions,
    snapshot: Snapshot,
    pub(super) report: Report,
}

/// The `apiVersion` and `kind` that elements of a typed list leave out.
#[derive(Clone, Copy)]
struct Inherited<'i> {
    api_version: &'i str,
    kind: &'i str,
}

/// What is known of a JSON document without reading it whole.
#[derive(Default)]
struct Header {
    api_version: Option<String>,
    kind: Option<String>,
    /// Ranges of the elements of `items`.
    items: Option<Vec<(usize, usize)>>,
}

impl Reader {
    pub(super) fn new(options: LoadOptions) -> Self {
        Self { options, snapshot: Snapshot::default(), report: Report::default() }
    }

    pub(super) fn finish(self) -> (Snapshot, Report) {
        (self.snapshot, self.report)
    }

    /// Reads one text. What begins like JSON is read as JSON, and if that fails and YAML does not, as YAML.
    pub(super) fn read_source(&mut self, name: String, text: String) {
        let source = self.snapshot.sources.list.len();
        let is_json_name =
            [".json", ".jsonl"].iter().any(|extension| name.to_ascii_lowercase().ends_with(extension));
        self.snapshot.sources.list.push(Source { name, text: text.into() });
        let Some(text) = self.snapshot.sources.list.last().map(Source::shared_text) else { return };
        let looks_like_json = is_json_name || text.trim_start().starts_with(['{', '[']);
        if !looks_like_json || (!is_json_name && begins_flow_yaml(&text)) {
            self.yaml_source(&text, source);
        } else {
            self.json_source(&text, source);
        }
    }

    fn syntax(&mut self, error: SyntaxError, source: usize) {
        self.report.error(Pending::at(source, error.at, error.message).hint(error.hint));
    }

    fn json_source(&mut self, text: &str, source: usize) {
        let mut parser = json::Parser::new(text, 0, text.len());
        while let Some(start) = parser.next_value_at() {
            let header = match header(&mut parser) {
                Ok(header) => header,
                Err(error) => return self.syntax(precise(text, start, error), source),
            };
            let end = parser.position();
            match header {
                Header { api_version: Some(api_version), kind: Some(kind), items: Some(items) }
                    if matches!(classify(&api_version, &kind), Ok(Kind::List)) =>
                {
                    let inherited =
                        element_kind(&kind).map(|kind| Inherited { api_version: &api_version, kind });
                    for (item_start, item_end) in items {
                        self.json_object(text, source, (item_start, item_end), inherited);
                    }
                }
                _ => self.json_object(text, source, (start, end), None),
            }
        }
    }

    fn json_object(
        &mut self,
        text: &str,
        source: usize,
        (start, end): (usize, usize),
        inherited: Option<Inherited<'_>>,
    ) {
        match json::Parser::new(text, start, end).value() {
            Ok(node) => {
                let range = range_of(source, (start, end), Notation::Json, node.at);
                self.object(&node, range, inherited);
            }
            Err(error) => self.syntax(error, source),
        }
    }

    fn yaml_source(&mut self, text: &str, source: usize) {
        for (start, end) in yaml::documents(text, 0) {
            if end - start > self.options.max_yaml_document_bytes {
                let limit = self.options.max_yaml_document_bytes >> 20;
                self.report.error(
                    Pending::at(
                        source,
                        start,
                        format!("this YAML document is larger than the limit of {limit} MiB"),
                    )
                    .hint(Some("use JSON for large snapshots: `kubectl get ... -o json`")),
                );
                continue;
            }
            match yaml::parse_document(text, start, end) {
                Ok(node) => {
                    let range = range_of(source, (start, end), Notation::Yaml, node.at);
                    self.object(&node, range, None);
                }
                Err(error) => self.syntax(error, source),
            }
        }
    }

    /// One object, or a list of objects.
    fn object(&mut self, node: &Node<'_>, range: SourceRange, inherited: Option<Inherited<'_>>) {
        let source = range.source;
        if matches!(node.value, Value::Null) {
            return;
        }
        if !matches!(node.value, Value::Map(_)) {
            let message = format!("expected a Kubernetes object, found {}", node.value.describe());
            self.report.error(
                Pending::at(source, node.at, message)
                    .hint(Some("an object has `apiVersion`, `kind` and `metadata`")),
            );
            return;
        }
        let text_of = |key: &str| node.value.get(key).and_then(|node| node.value.as_text());
        let api_version = text_of("apiVersion").or(inherited.map(|inherited| inherited.api_version));
        let kind = text_of("kind").or(inherited.map(|inherited| inherited.kind));
        let (Some(api_version), Some(kind)) = (api_version, kind) else {
            let missing = if kind.is_none() { "kind" } else { "apiVersion" };
            let message = match node.value.get(missing) {
                Some(other) => format!("`{missing}` must be a string, found {}", other.value.describe()),
                None => format!("this object has no `{missing}`"),
            };
            let at = node.value.get(missing).map_or(node.at, |node| node.at);
            self.report.error(
                Pending::at(source, at, message).hint(Some("every object needs `apiVersion` and `kind`")),
            );
            return;
        };
        match classify(api_version, kind) {
            Ok(Kind::List) => self.list(node, range, api_version, kind),
            Ok(known) => self.known_object(node, range, known, api_version, kind),
            Err(error) => self.kind_error(node, range, kind, error),
        }
    }

    fn list(&mut self, node: &Node<'_>, range: SourceRange, api_version: &str, kind: &str) {
        let items = match node.value.get("items").map(|items| &items.value) {
            Some(Value::List(items)) => items.as_slice(),
            Some(Value::Null) | None => &[],
            Some(other) => {
                let message = format!("`items` must be a list, found {}", other.describe());
                self.report.error(Pending::at(range.source, node.at, message));
                return;
            }
        };
        let inherited = element_kind(kind).map(|kind| Inherited { api_version, kind });
        for (index, item) in items.iter().enumerate() {
            if range.item.is_some() {
                self.report.error(Pending::at(range.source, item.at, "a list stands inside a list"));
                return;
            }
            self.object(item, SourceRange { item: Some(index), at: item.at, ..range }, inherited);
        }
    }

    fn kind_error(&mut self, node: &Node<'_>, range: SourceRange, kind: &str, error: KindError) {
        let key = if error.in_kind { "kind" } else { "apiVersion" };
        let at = node.value.get(key).map_or(node.at, |node| node.at);
        self.report.error(
            Pending::at(range.source, at, error.message).object(reference(node, kind)).hint(Some(error.hint)),
        );
    }

    fn known_object(
        &mut self,
        node: &Node<'_>,
        range: SourceRange,
        kind: Kind,
        api_version: &str,
        kind_name: &str,
    ) {
        if kind == Kind::Ignored {
            let key = (IgnoredReason::Kind, format!("{api_version} {kind_name}"), String::new());
            let reference = reference(node, kind_name);
            self.report.ignore(key, &reference, (range.source, node.at));
            self.scale_from_zero(node, range, reference);
            return;
        }
        let findings = Findings::default();
        let Some(fields) = Item::root(node, &findings).fields() else { return };
        fields.skip(&["apiVersion", "kind"]);
        let version = api_version.strip_prefix("resource.k8s.io/").and_then(ResourceVersion::from_text);
        let origin = Origin { range: Some(SourceRange { version, ..range }), within: FieldPath::root() };
        let snapshot = &mut self.snapshot;
        /// Reads, validates, completes the metadata and keeps.
        macro_rules! keep {
            ($list:ident, $object:expr, $validate:expr) => {{
                let mut object = $object;
                let issues = $validate(&object);
                complete(&mut object.metadata, kind, kind_name);
                let reference = ObjectReference {
                    kind: kind_name.to_owned(),
                    namespace: object.metadata.namespace.clone(),
                    name: object.metadata.name.clone(),
                };
                snapshot.$list.push(object.into());
                (reference, issues)
            }};
        }
        let (reference, issues) = match kind {
            Kind::Node => keep!(nodes, node::node(&fields, origin), validate::node),
            Kind::Pod => keep!(pods, pod::pod(&fields, origin), validate::pod),
            Kind::Namespace => keep!(namespaces, node::namespace(&fields, origin), validate::namespace),
            Kind::Service => keep!(services, node::service(&fields, origin), validate::service),
            Kind::PriorityClass => {
                keep!(priority_classes, node::priority_class(&fields, origin), validate::priority_class)
            }
            Kind::DisruptionBudget => {
                keep!(
                    disruption_budgets,
                    disruption::disruption_budget(&fields, origin),
                    validate::disruption_budget
                )
            }
            Kind::PodGroup => keep!(pod_groups, group::pod_group(&fields, origin), validate::named),
            Kind::GangWorkload => {
                keep!(gang_workloads, group::gang_workload(&fields, origin), validate::named)
            }
            Kind::PersistentVolume => {
                keep!(persistent_volumes, volume::persistent_volume(&fields, origin), validate::named)
            }
            Kind::PersistentVolumeClaim => {
                keep!(
                    persistent_volume_claims,
                    volume::persistent_volume_claim(&fields, origin),
                    validate::named
                )
            }
            Kind::StorageClass => {
                keep!(storage_classes, volume::storage_class(&fields, origin), validate::named)
            }
            Kind::CsiNode => keep!(csi_nodes, volume::csi_node(&fields, origin), validate::named),
            Kind::CsiDriver => keep!(csi_drivers, volume::csi_driver(&fields, origin), validate::named),
            Kind::StorageCapacity => {
                keep!(storage_capacities, volume::storage_capacity(&fields, origin), validate::named)
            }
            Kind::Workload(workload) => {
                keep!(workloads, workload::workload(&fields, origin, workload), validate::workload)
            }
            Kind::Claim(version) => {
                keep!(claims, resource::resource_claim(&fields, origin, version), validate::claim)
            }
            Kind::ClaimTemplate(version) => {
                keep!(
                    claim_templates,
                    resource::claim_template(&fields, origin, version),
                    validate::claim_template
                )
            }
            Kind::Class => keep!(classes, resource::device_class(&fields, origin), validate::class),
            Kind::Slice(version) => {
                keep!(slices, resource::resource_slice(&fields, origin, version), validate::slice)
            }
            Kind::TaintRule => {
                keep!(taint_rules, resource::taint_rule(&fields, origin), validate::taint_rule)
            }
            Kind::List | Kind::Ignored => return,
        };
        fields.finish();
        let findings = findings.take();
        // what could not be read would be reported as missing once more
        let readable = !findings.iter().any(|finding| matches!(finding.kind, FindingKind::Wrong { .. }));
        for finding in findings {
            self.finding(finding, range.source, &reference, api_version);
        }
        for issue in issues.into_iter().filter(|_| readable) {
            self.issue(issue, node, range.source, &reference);
        }
    }

    /// Notes node groups whose devices an autoscaler is told by annotation; nothing else of them has a meaning here.
    fn scale_from_zero(&mut self, node: &Node<'_>, range: SourceRange, object: ObjectReference) {
        let annotations = node.value.get("metadata").and_then(|metadata| metadata.value.get("annotations"));
        let annotation = annotations.and_then(|annotations| annotations.value.get(ScaleFromZero::ANNOTATION));
        if let Some(driver) = annotation.and_then(|annotation| annotation.value.as_text()) {
            let origin = Origin { range: Some(range), within: FieldPath::root() };
            self.snapshot.scale_from_zero.push(ScaleFromZero { object, driver: driver.to_owned(), origin });
        }
    }

    fn finding(&mut self, finding: Finding, source: usize, reference: &ObjectReference, api_version: &str) {
        let reason = match finding.kind {
            FindingKind::Wrong { message, hint } => {
                self.report.error(
                    Pending::at(source, finding.at, message)
                        .object(reference.clone())
                        .field(finding.path)
                        .hint(hint),
                );
                return;
            }
            FindingKind::Refused { message, hint } => {
                self.report.notice(
                    Pending::at(source, finding.at, message)
                        .object(reference.clone())
                        .field(finding.path)
                        .hint(Some(hint.to_owned())),
                );
                return;
            }
            FindingKind::UnknownField => IgnoredReason::UnknownField,
            FindingKind::NotConsidered { why } => IgnoredReason::NotConsidered(why.to_owned()),
        };
        let key = (reason, format!("{api_version} {}", reference.kind), generalised(&finding.path));
        self.report.ignore(key, reference, (source, finding.at));
    }

    fn issue(&mut self, issue: Issue, node: &Node<'_>, source: usize, reference: &ObjectReference) {
        let at = follow(node, issue.field.segments());
        let pending = Pending::at(source, at, issue.message)
            .object(reference.clone())
            .field(issue.field)
            .hint(issue.hint);
        match issue.severity {
            Severity::Error => self.report.error(pending),
            Severity::Notice => self.report.notice(pending),
        }
    }
}

/// The range of a document that is one object.
fn range_of(source: usize, (start, end): (usize, usize), notation: Notation, at: usize) -> SourceRange {
    SourceRange { source, start, end, notation, at, item: None, version: None }
}

/// Names an object before it is read.
fn reference(node: &Node<'_>, kind: &str) -> ObjectReference {
    let metadata = node.value.get("metadata");
    let text = |key: &str| {
        let value = metadata.and_then(|metadata| metadata.value.get(key));
        value.and_then(|node| node.value.as_text()).unwrap_or_default().to_owned()
    };
    ObjectReference { kind: kind.to_owned(), namespace: text("namespace"), name: text("name") }
}

/// Fills in what the API server fills in.
fn complete(metadata: &mut Metadata, kind: Kind, kind_name: &str) {
    if !kind.is_namespaced() {
        metadata.namespace.clear();
    } else if metadata.namespace.is_empty() {
        "default".clone_into(&mut metadata.namespace);
    }
    if metadata.uid.is_empty() {
        metadata.uid = format!("{kind_name}:{}", metadata.full_name());
    }
}

/// The path with `[*]` for every index and key, so that one line stands for all devices.
fn generalised(path: &FieldPath) -> String {
    let mut text = String::new();
    for segment in path.segments() {
        match segment {
            Segment::Field(name) if text.is_empty() => text.push_str(name),
            Segment::Field(name) => {
                text.push('.');
                text.push_str(name);
            }
            Segment::Key(_) | Segment::Index(_) => text.push_str("[*]"),
        }
    }
    text
}

/// Reads the fields of the next value's first level, skipping their content.
fn header(parser: &mut json::Parser<'_>) -> Result<Header, SyntaxError> {
    let mut header = Header::default();
    let is_object = parser.visit_object(|parser, key, _| {
        match key {
            "apiVersion" | "kind" => {
                let node = parser.value()?;
                let text = node.value.as_text().map(str::to_owned);
                if key == "kind" {
                    header.kind = text;
                } else {
                    header.api_version = text;
                }
            }
            "items" => {
                let mut items = Vec::new();
                let is_list = parser.visit_list(|parser| {
                    items.push(parser.skip()?);
                    Ok(())
                })?;
                if is_list {
                    header.items = Some(items);
                } else {
                    parser.skip()?;
                }
            }
            _ => {
                parser.skip()?;
            }
        }
        Ok(())
    })?;
    if !is_object {
        parser.skip()?;
    }
    Ok(header)
}

/// Skipping notices faults late; reading the same text finds the first one.
fn precise(text: &str, start: usize, error: SyntaxError) -> SyntaxError {
    json::Parser::new(text, start, text.len()).value().err().unwrap_or(error)
}

/// Flow-style YAML begins like JSON: what is not JSON but YAML. A large text is not worth the try.
fn begins_flow_yaml(text: &str) -> bool {
    let mut parser = json::Parser::new(text, 0, text.len());
    header(&mut parser).is_err()
        && text.len() < 1 << 20
        && yaml::documents(text, 0)
            .into_iter()
            .all(|(start, end)| yaml::parse_document(text, start, end).is_ok())
}
