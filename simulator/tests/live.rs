//! `dray snapshot --live` against an API server over HTTP, as far as reading goes.

#![cfg(feature = "live")]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};

use drayage_cluster::{Input, LoadOptions, load};
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// What the server has, and how it behaves.
#[derive(Debug, Default)]
struct State {
    /// Objects by the path of their list.
    objects: BTreeMap<String, Vec<Value>>,
    /// Kinds by `apiVersion`: name in paths, kind, whether it has namespaces.
    served: BTreeMap<&'static str, Vec<(&'static str, &'static str, bool)>>,
    /// Paths that may not be listed.
    forbidden: BTreeSet<String>,
    /// Whether nobody is known.
    unauthorized: bool,
    /// Whether lists of a certain moment are refused, as by a server that keeps a kind elsewhere.
    forgets: bool,
    /// How many tokens expire.
    expiring: usize,
    /// Paths whose answer never comes.
    silent: BTreeSet<String>,
    /// Every request, with its query.
    requests: Vec<String>,
}

struct Server {
    state: Arc<Mutex<State>>,
    folder: tempfile::TempDir,
    /// Stops with the test.
    _runtime: Runtime,
}

const MOMENT: &str = "4711";

impl Server {
    fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let state = Arc::new(Mutex::new(cluster()));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::clone(&state);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                let answer = service_fn(move |request: Request<Incoming>| {
                    let answer = answer(&mut state.lock().unwrap(), &request);
                    async move {
                        match answer {
                            Some((code, body)) => Ok::<_, Infallible>(response(code, &body)),
                            None => std::future::pending().await,
                        }
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let server = Self { state, folder, _runtime: runtime };
        std::fs::write(server.kubeconfig(), kubeconfig(address)).unwrap();
        server
    }

    fn kubeconfig(&self) -> String {
        self.folder.path().join("kubeconfig").display().to_string()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn dump(&self, more: &[&str]) -> Output {
        dray(&[&["snapshot", "--live", "--kubeconfig", &self.kubeconfig(), "-o", "json"], more].concat())
    }
}

fn kubeconfig(address: SocketAddr) -> String {
    let cluster = |name: &str, port: u16| json!({ "name": name, "cluster": { "server": format!("http://127.0.0.1:{port}") } });
    let context = |name: &str| json!({ "name": name, "context": { "cluster": name, "user": "test" } });
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [cluster("test", address.port()), cluster("nowhere", 1)],
        "users": [{ "name": "test", "user": { "token": "secret" } }],
        "contexts": [context("test"), context("nowhere")],
    })
    .to_string()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dray"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["KUBECONFIG", "HOME", "KUBERNETES_SERVICE_HOST", "RUST_BACKTRACE", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command
}

fn dray(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn response(code: u16, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = code.try_into().unwrap();
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}

fn status(code: u16, reason: &str, message: &str) -> (u16, Value) {
    let body = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message });
    (code, body)
}

fn parameter<'q>(query: &'q str, name: &str) -> &'q str {
    query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
}

fn answer(state: &mut State, request: &Request<Incoming>) -> Option<(u16, Value)> {
    let (path, query) =
        (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
    state.requests.push(format!("{} {path}?{query}", request.method()));
    assert_eq!(request.method(), Method::GET);
    if state.silent.contains(&path) {
        return None;
    }
    if state.unauthorized
        || request.headers().get("authorization").is_none_or(|token| token != "Bearer secret")
    {
        return Some(status(401, "Unauthorized", "Unauthorized"));
    }
    if state.forbidden.contains(&path) {
        return Some(status(403, "Forbidden", &format!("you may not list {path}")));
    }
    if path == "/version" {
        return Some((200, json!({ "major": "1", "minor": "37", "gitVersion": "v1.37.2" })));
    }
    if let Some(group) = path.strip_prefix("/apis/").filter(|rest| !rest.contains('/')) {
        let versions: Vec<Value> = state
            .served
            .keys()
            .filter_map(|version| version.split_once('/').filter(|(of, _)| *of == group))
            .map(|(_, version)| json!({ "version": version }))
            .collect();
        if versions.is_empty() {
            return Some(status(404, "NotFound", "the server could not find the requested resource"));
        }
        return Some((200, json!({ "kind": "APIGroup", "versions": versions })));
    }
    let api_version = path.strip_prefix("/apis/").or_else(|| path.strip_prefix("/api/")).unwrap_or_default();
    if let Some(kinds) = state.served.get(api_version) {
        let mut resources = Vec::new();
        for (name, kind, namespaced) in kinds {
            resources.push(json!({ "name": format!("{name}/status"), "kind": kind, "namespaced": namespaced, "verbs": ["get"] }));
            resources.push(
                json!({ "name": name, "kind": kind, "namespaced": namespaced, "verbs": ["list", "get"] }),
            );
        }
        return Some((
            200,
            json!({ "kind": "APIResourceList", "groupVersion": api_version, "resources": resources }),
        ));
    }
    list(state, &path, &query)
}

fn list(state: &mut State, path: &str, query: &str) -> Option<(u16, Value)> {
    let (all, namespace) = match path.split_once("/namespaces/") {
        Some((base, rest)) => {
            let (namespace, plural) = rest.split_once('/')?;
            (format!("{base}/{plural}"), Some(namespace.to_owned()))
        }
        None => (path.to_owned(), None),
    };
    let Some(objects) = state.objects.get(&all) else { return Some(status(404, "NotFound", "no such list")) };
    let exact = parameter(query, "resourceVersionMatch") == "Exact";
    if exact {
        assert_eq!(parameter(query, "resourceVersion"), MOMENT);
        if state.forgets {
            return Some(status(410, "Expired", "too old resource version"));
        }
    }
    let token = parameter(query, "continue");
    if !token.is_empty() && state.expiring > 0 {
        state.expiring -= 1;
        return Some(status(410, "Expired", "The provided continue parameter is too old"));
    }
    let limit = match parameter(query, "limit").parse().unwrap() {
        0 => usize::MAX,
        // A server may give less than it is asked for.
        asked => std::cmp::min(asked, 2),
    };
    let start: usize = token.strip_prefix("from%3D").map_or(0, |number| number.parse().unwrap());
    let of_namespace = |object: &&Value| {
        namespace.is_none() || object["metadata"]["namespace"].as_str() == namespace.as_deref()
    };
    let found: Vec<&Value> = objects.iter().filter(of_namespace).collect();
    let end = start.saturating_add(limit).min(found.len());
    let next = if end < found.len() { format!("from={end}") } else { String::new() };
    let metadata = json!({ "resourceVersion": MOMENT, "continue": next });
    Some((200, json!({ "metadata": metadata, "items": found[start..end] })))
}

/// A cluster of 1.36: taint rules are not in the newest version, pod groups not there at all.
fn cluster() -> State {
    let served = BTreeMap::from([
        (
            "v1",
            vec![
                ("nodes", "Node", false),
                ("pods", "Pod", true),
                ("namespaces", "Namespace", false),
                ("services", "Service", true),
                ("secrets", "Secret", true),
                ("persistentvolumes", "PersistentVolume", false),
                ("persistentvolumeclaims", "PersistentVolumeClaim", true),
            ],
        ),
        ("apps/v1", vec![("deployments", "Deployment", true), ("replicasets", "ReplicaSet", true)]),
        (
            "resource.k8s.io/v1",
            vec![
                ("resourceslices", "ResourceSlice", false),
                ("resourceclaims", "ResourceClaim", true),
                ("resourceclaimtemplates", "ResourceClaimTemplate", true),
                ("deviceclasses", "DeviceClass", false),
            ],
        ),
        ("resource.k8s.io/v1beta1", vec![("resourceslices", "ResourceSlice", false)]),
        ("resource.k8s.io/v1beta2", vec![("devicetaintrules", "DeviceTaintRule", false)]),
        ("scheduling.k8s.io/v1", vec![("priorityclasses", "PriorityClass", false)]),
    ]);
    let mut objects: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (api_version, kinds) in &served {
        let base = if api_version.contains('/') { "/apis" } else { "/api" };
        for (name, _, _) in kinds {
            objects.insert(format!("{base}/{api_version}/{name}"), Vec::new());
        }
    }
    let mut put = |path: &str, object: Value| objects.get_mut(path).unwrap().push(object);
    for number in 0..5 {
        let name = format!("node-{number}");
        put(
            "/api/v1/nodes",
            json!({
                "metadata": { "name": name, "managedFields": [{ "manager": "kubelet" }] },
                "status": { "allocatable": { "cpu": "4", "memory": "8Gi", "pods": "110" } },
            }),
        );
        put(
            "/apis/resource.k8s.io/v1/resourceslices",
            json!({
                "metadata": { "name": format!("{name}-gpus") },
                "spec": {
                    "driver": "gpu.example.com", "nodeName": name,
                    "pool": { "name": name, "generation": 1, "resourceSliceCount": 1 },
                    "devices": [{ "name": "gpu-0" }],
                },
            }),
        );
    }
    put("/apis/resource.k8s.io/v1/deviceclasses", json!({ "metadata": { "name": "gpu" }, "spec": {} }));
    put(
        "/apis/resource.k8s.io/v1beta2/devicetaintrules",
        json!({
            "metadata": { "name": "broken" },
            "spec": { "deviceSelector": { "pool": "node-4" }, "taint": { "key": "broken", "effect": "NoSchedule" } },
        }),
    );
    for (namespace, name, devices) in [("ml", "train", 1), ("ml", "big", 9), ("web", "front", 1)] {
        put(
            "/apis/resource.k8s.io/v1/resourceclaims",
            json!({
                "metadata": { "name": name, "namespace": namespace },
                "spec": { "devices": { "requests": [{ "name": "gpu", "exactly": { "deviceClassName": "gpu", "count": devices } }] } },
            }),
        );
        put(
            "/api/v1/pods",
            json!({
                "metadata": { "name": name, "namespace": namespace },
                "spec": {
                    "containers": [{ "name": "main", "image": "main", "resources": { "claims": [{ "name": "gpu" }] } }],
                    "resourceClaims": [{ "name": "gpu", "resourceClaimName": name }],
                },
            }),
        );
    }
    put(
        "/api/v1/secrets",
        json!({ "metadata": { "name": "key", "namespace": "ml" }, "data": { "key": "c2VjcmV0" } }),
    );
    State { objects, served, ..State::default() }
}

fn kinds(dump: &Output) -> BTreeMap<String, usize> {
    let list: Value = serde_json::from_slice(&dump.stdout).unwrap();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for item in list["items"].as_array().unwrap() {
        let name = format!("{} {}", item["apiVersion"].as_str().unwrap(), item["kind"].as_str().unwrap());
        *kinds.entry(name).or_default() += 1;
    }
    kinds
}

fn whole() -> BTreeMap<String, usize> {
    [
        ("v1 Node", 5),
        ("v1 Pod", 3),
        ("resource.k8s.io/v1 DeviceClass", 1),
        ("resource.k8s.io/v1 ResourceClaim", 3),
        ("resource.k8s.io/v1 ResourceSlice", 5),
        ("resource.k8s.io/v1beta2 DeviceTaintRule", 1),
    ]
    .map(|(kind, count)| (kind.to_owned(), count))
    .into()
}

#[test]
fn a_cluster_is_read_whole_and_other_commands_read_the_dump() {
    let server = Server::start();
    let dump = server.dump(&[]);
    let talk = text(&dump.stderr);
    assert_eq!(dump.status.code(), Some(0), "{talk}");
    assert_eq!(kinds(&dump), whole());
    assert!(!text(&dump.stdout).contains("managedFields"));
    assert!(
        talk.contains("18 objects of Kubernetes v1.37.2: 3 Pod, 3 ResourceClaim, 5 ResourceSlice"),
        "{talk}"
    );
    assert!(
        talk.contains("does not serve StatefulSet.apps, DaemonSet.apps")
            && talk.contains("PodGroup.scheduling.k8s.io"),
        "{talk}"
    );
    assert!(!talk.contains("warning"), "{talk}");

    let input = Input::Bytes { name: "dump".to_owned(), bytes: dump.stdout.clone() };
    let snapshot = load(&[input], LoadOptions { strict: true, ..LoadOptions::default() }).unwrap();
    assert_eq!((snapshot.nodes.len(), snapshot.pods.len(), snapshot.slices.len()), (5, 3, 5));
    let path = server.folder.path().join("dump.json");
    std::fs::write(&path, &dump.stdout).unwrap();
    let simulated = dray(&["simulate", "-f", &path.display().to_string()]);
    assert!(text(&simulated.stdout).contains("scheduled 2  pending 1"), "{}", text(&simulated.stdout));
}

#[test]
fn lists_show_one_moment_page_by_page_and_nothing_else_is_asked() {
    let server = Server::start();
    assert_eq!(server.dump(&[]).status.code(), Some(0));
    let requests = server.state().requests.clone();
    assert!(
        requests.iter().all(|request| request.starts_with("GET ") && !request.contains("secrets")),
        "{requests:?}"
    );
    assert!(!requests.iter().any(|request| request.contains("v1beta1/")), "{requests:?}");
    let of_nodes: Vec<&str> =
        requests.iter().filter_map(|request| request.strip_prefix("GET /api/v1/nodes?")).collect();
    let exact = format!("limit=500&resourceVersion={MOMENT}&resourceVersionMatch=Exact");
    assert_eq!(of_nodes, [exact.as_str(), "limit=500&continue=from%3D2", "limit=500&continue=from%3D4"]);
    let lists: Vec<&String> = requests.iter().filter(|request| request.contains("limit=")).collect();
    assert_eq!(lists[0], "GET /api/v1/pods?limit=500");
    assert!(lists[2..].iter().all(|list| list.contains("Exact") || list.contains("continue")), "{lists:?}");
}

#[test]
fn a_server_that_forgets_is_read_as_it_is_now_and_that_is_said() {
    let server = Server::start();
    server.state().forgets = true;
    let dump = server.dump(&[]);
    assert_eq!((dump.status.code(), kinds(&dump)), (Some(0), whole()));
    let talk = text(&dump.stderr);
    assert!(
        talk.contains("lists of a later moment than the others: ResourceClaim.resource.k8s.io"),
        "{talk}"
    );
}

#[test]
fn a_list_that_expires_between_pages_is_read_at_once() {
    let server = Server::start();
    // The first list is that of pods, the only one without a moment to hold on to.
    server.state().expiring = 1;
    let dump = server.dump(&[]);
    assert_eq!((dump.status.code(), kinds(&dump)), (Some(0), whole()), "{}", text(&dump.stderr));
    let requests = server.state().requests.clone();
    assert!(requests.contains(&"GET /api/v1/pods?limit=0".to_owned()), "{requests:?}");
}

#[test]
fn what_may_not_be_listed_is_left_out_and_told() {
    let server = Server::start();
    server.state().forbidden.insert("/api/v1/nodes".to_owned());
    server.state().forbidden.insert("/apis/apps".to_owned());
    let dump = server.dump(&[]);
    let (talk, mut expected) = (text(&dump.stderr), whole());
    expected.remove("v1 Node");
    assert_eq!((dump.status.code(), kinds(&dump)), (Some(0), expected));
    assert!(
        talk.contains("warning: Node is left out, the user may not list it: you may not list /api/v1/nodes"),
        "{talk}"
    );
    assert!(
        talk.contains(
            "warning: Deployment.apps is left out, the user may not list it: you may not list /apis/apps"
        ),
        "{talk}"
    );
}

#[test]
fn namespaces_narrow_what_has_one() {
    let server = Server::start();
    // As for a user with a role in two namespaces only.
    server.state().forbidden.insert("/api/v1/pods".to_owned());
    let dump = server.dump(&["-n", "web", "--namespace", "other"]);
    let (talk, kinds) = (text(&dump.stderr), kinds(&dump));
    assert_eq!(dump.status.code(), Some(0), "{talk}");
    assert_eq!((kinds["v1 Pod"], kinds["resource.k8s.io/v1 ResourceClaim"], kinds["v1 Node"]), (1, 1, 5));
    assert!(talk.contains("look emptier than they are"), "{talk}");
}

#[test]
fn pseudonyms_and_shrinking_compose() {
    let server = Server::start();
    let dump = server.dump(&["-q", "--shrink-to-pod", "ml/big", "--anonymise"]);
    assert_eq!((dump.status.code(), text(&dump.stderr).as_str()), (Some(0), ""));
    let found = text(&dump.stdout);
    assert!(!found.contains("\"big\"") && !found.contains("\"ml\""), "{found}");
    let left = kinds(&dump);
    assert_eq!((left["v1 Pod"], left["resource.k8s.io/v1 ResourceClaim"]), (1, 1), "{left:?}");
    assert!(left.values().sum::<usize>() < 6, "{left:?}");
}

/// Code, stderr; stdout must be empty.
fn failed(output: &Output) -> (Option<i32>, String) {
    assert_eq!(text(&output.stdout), "");
    (output.status.code(), text(&output.stderr))
}

#[test]
fn errors_say_what_is_wrong_and_print_no_half_of_a_dump() {
    let server = Server::start();
    let (code, talk) = failed(&dray(&["snapshot", "--live"]));
    assert_eq!(code, Some(2));
    assert!(
        talk.starts_with("error: there is no way to a cluster: ") && talk.contains("hint: name a kubeconfig"),
        "{talk}"
    );

    let missing = server.folder.path().join("missing").display().to_string();
    let (code, talk) = failed(&dray(&["snapshot", "--live", "--kubeconfig", &missing]));
    assert!(code == Some(2) && talk.contains("missing") && talk.contains("failed to read"), "{talk}");

    let (code, talk) = failed(&server.dump(&["--context", "other"]));
    assert!(code == Some(2) && talk.contains("other"), "{talk}");

    let (code, talk) = failed(&server.dump(&["--context", "nowhere"]));
    assert_eq!(code, Some(2));
    assert!(
        talk.contains("the API server at http://127.0.0.1:1 does not answer")
            && talk.to_lowercase().contains("refused"),
        "{talk}"
    );

    server.state().expiring = 2;
    server.state().objects.get_mut("/api/v1/pods").unwrap().reverse();
    server.state().unauthorized = true;
    let (code, talk) = failed(&server.dump(&[]));
    assert!(code == Some(2) && talk.contains("does not accept the credentials (401)"), "{talk}");
    assert!(!talk.contains("secret"), "{talk}");

    server.state().unauthorized = false;
    let all: Vec<String> = server.state().objects.keys().cloned().collect();
    server.state().forbidden.extend(all);
    let (code, talk) = failed(&server.dump(&[]));
    assert!(
        code == Some(2) && talk.contains("list nothing that is needed (403): you may not list"),
        "{talk}"
    );

    for arguments in
        [&["snapshot", "--context", "test", "-f", "-"][..], &["snapshot"], &["snapshot", "--live", "-f", "-"]]
    {
        assert_eq!(failed(&dray(arguments)).0, Some(2), "{arguments:?}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_a_request_that_hangs() {
    let server = Server::start();
    server.state().silent.insert("/api/v1/nodes".to_owned());
    let child = command(&["snapshot", "--live", "--kubeconfig", &server.kubeconfig()]).spawn().unwrap();
    while !server.state().requests.iter().any(|request| request.starts_with("GET /api/v1/nodes")) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(
        (ended.status.code(), text(&ended.stdout).as_str(), text(&ended.stderr).as_str()),
        (Some(130), "", "interrupted\n")
    );
}
