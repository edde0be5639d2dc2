//! An API server over HTTP, as far as a driver goes: discovery, a node, claims, ResourceSlices with watches, resource
//! versions and preconditions.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Bytes, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Mutex as Turn, watch},
    time::{Duration, sleep},
};

type Body = BoxBody<Bytes, Infallible>;

/// What the server has.
#[derive(Debug)]
pub(crate) struct State {
    /// Versions of `resource.k8s.io`.
    pub(crate) served: Vec<&'static str>,
    /// Slices by name, as they were written.
    pub(crate) slices: BTreeMap<String, Value>,
    /// Claims by `NAMESPACE/NAME`.
    pub(crate) claims: BTreeMap<String, Value>,
    /// Events as they were written.
    pub(crate) events: Vec<Value>,
    /// Whether every request fails.
    pub(crate) outage: bool,
    /// Method and path of every request.
    pub(crate) requests: Vec<String>,
    /// The most objects in a page.
    pub(crate) page: usize,
    /// Time between two answers: requests wait for their turn. Watches do not.
    pub(crate) pace: Duration,
    version: u64,
    changes: Vec<(u64, Value)>,
}

/// The server; it stops with the test's runtime.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    turn: Arc<Turn<()>>,
}

impl Server {
    pub(crate) async fn start(versions: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = State {
            served: versions.to_vec(),
            slices: BTreeMap::new(),
            claims: BTreeMap::new(),
            events: Vec::new(),
            outage: false,
            requests: Vec::new(),
            page: 1000,
            pace: Duration::ZERO,
            version: 100,
            changes: Vec::new(),
        };
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(state));
        let server = Self { address, state, changed: watch::channel(100).0, turn: Arc::default() };
        let shared = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = shared.clone();
                let answer = service_fn(move |request| {
                    let server = server.clone();
                    async move { Ok::<_, Infallible>(server.answer(request).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        server
    }

    /// A kubeconfig for it.
    pub(crate) fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": { "server": format!("http://{}", self.address) } }],
            "users": [{ "name": "test", "user": { "token": "secret" } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        })
        .to_string()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Removes all slices, as a kubelet does that lost its driver.
    pub(crate) fn wipe(&self) {
        let mut state = self.state();
        for slice in std::mem::take(&mut state.slices).into_values() {
            state.tell("DELETED", slice);
        }
        self.changed.send_replace(state.version);
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let query = head.uri.query().unwrap_or_default().to_owned();
        let path = head.uri.path().to_owned();
        if query.contains("watch=true") {
            self.state().requests.push(format!("WATCH {path}"));
            return self.watch(&query);
        }
        let pace = self.state().pace;
        if !pace.is_zero() {
            // The first to come is the first to be answered.
            let turn = self.turn.lock().await;
            sleep(pace).await;
            drop(turn);
        }
        let mut state = self.state();
        state.requests.push(format!("{} {path}", head.method));
        let (code, answer) = state.answer(&head.method, &path, &query, body);
        self.changed.send_replace(state.version);
        match answer {
            Value::String(text) => response(code, text.into_bytes()),
            answer => response(code, answer.to_string().into_bytes()),
        }
    }

    fn watch(&self, query: &str) -> Response<Body> {
        let from: u64 = parameter(query, "resourceVersion").parse().unwrap();
        let (state, changed) = (Arc::clone(&self.state), self.changed.subscribe());
        let events =
            futures_util::stream::unfold((from, state, changed), async |(from, state, mut changed)| {
                loop {
                    let _ = changed.borrow_and_update();
                    let next = {
                        let state = state.lock().unwrap();
                        if state.outage {
                            return None;
                        }
                        state.changes.iter().find(|(version, _)| *version > from).cloned()
                    };
                    if let Some((version, event)) = next {
                        let frame = Frame::data(Bytes::from(format!("{event}\n")));
                        return Some((Ok::<_, Infallible>(frame), (version, state, changed)));
                    }
                    changed.changed().await.ok()?;
                }
            });
        let mut response = Response::new(BodyExt::boxed(StreamBody::new(Box::pin(events) as Stream)));
        response.headers_mut().insert("content-type", "application/json".parse().unwrap());
        response
    }
}

type Stream =
    std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + Sync>>;

impl State {
    fn tell(&mut self, kind: &str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.changes.push((self.version, json!({ "type": kind, "object": object })));
    }

    fn answer(&mut self, method: &Method, path: &str, query: &str, body: Value) -> (u16, Value) {
        if self.outage {
            return status(503, "ServiceUnavailable", "the server is not there", "");
        }
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method.as_str(), parts.as_slice()) {
            ("GET", ["version"]) => (200, json!({ "major": "1", "minor": "36+" })),
            ("GET", ["apis", "resource.k8s.io"]) => {
                let versions = self.served.iter().map(|name| json!({ "version": name }));
                (200, json!({ "kind": "APIGroup", "versions": versions.collect::<Vec<_>>() }))
            }
            ("GET", ["api", "v1", "nodes", "node-1"]) => {
                (200, json!({ "metadata": { "name": "node-1", "uid": "uid-of-the-node" } }))
            }
            ("GET", ["api", "v1", "nodes", name]) => status(404, "NotFound", "no such node", name),
            (_, ["apis", "resource.k8s.io", version, ..]) if !self.served.contains(version) => {
                (404, json!("404 page not found\n"))
            }
            ("POST", ["apis", "events.k8s.io", "v1", "namespaces", namespace, "events"]) => {
                assert_eq!(body["metadata"]["namespace"], *namespace);
                self.events.push(body.clone());
                (201, body)
            }
            ("GET", ["apis", _, _, "namespaces", namespace, "resourceclaims", name]) => {
                match self.claims.get(&format!("{namespace}/{name}")) {
                    Some(claim) => (200, claim.clone()),
                    None => status(404, "NotFound", "no such claim", name),
                }
            }
            ("GET", ["apis", _, _, "resourceslices"]) => self.list(query),
            ("POST", ["apis", _, _, "resourceslices"]) => self.create(body),
            ("PATCH", ["apis", _, _, "resourceslices", name]) => self.patch(name, &body),
            ("DELETE", ["apis", _, _, "resourceslices", name]) => {
                let Some(slice) = self.slices.get(*name).cloned() else {
                    return status(404, "NotFound", "no such slice", name);
                };
                if body["preconditions"]["uid"] != slice["metadata"]["uid"] {
                    return status(409, "Conflict", "another UID", name);
                }
                self.slices.remove(*name);
                self.tell("DELETED", slice);
                (200, json!({ "kind": "Status", "status": "Success" }))
            }
            _ => (404, json!("404 page not found\n")),
        }
    }

    fn list(&self, query: &str) -> (u16, Value) {
        assert_eq!(
            parameter(query, "fieldSelector"),
            "spec.nodeName%3Dnode-1%2Cspec.driver%3Dgpu.example.com"
        );
        let limit = parameter(query, "limit").parse::<usize>().unwrap().min(self.page);
        let start: usize = parameter(query, "continue").parse().unwrap_or_default();
        let items: Vec<&Value> = self.slices.values().skip(start).take(limit).collect();
        let end = start + items.len();
        let next = if end < self.slices.len() { end.to_string() } else { String::new() };
        let metadata = json!({ "resourceVersion": self.version.to_string(), "continue": next });
        (200, json!({ "kind": "ResourceSliceList", "metadata": metadata, "items": items }))
    }

    fn create(&mut self, mut slice: Value) -> (u16, Value) {
        let prefix = slice["metadata"]["generateName"].as_str().unwrap().to_owned();
        let name = format!("{prefix}{:05}", self.version);
        slice["metadata"]["name"] = json!(name);
        slice["metadata"]["uid"] = json!(format!("uid-{}", self.version));
        self.store("ADDED", &name, slice)
    }

    fn patch(&mut self, name: &str, patch: &Value) -> (u16, Value) {
        let Some(mut slice) = self.slices.get(name).cloned() else {
            return status(404, "NotFound", "no such slice", name);
        };
        for step in patch.as_array().unwrap() {
            assert_eq!(step["op"], "replace");
            match step["path"].as_str().unwrap() {
                "/metadata/resourceVersion" if step["value"] != slice["metadata"]["resourceVersion"] => {
                    return status(409, "Conflict", "another resource version", name);
                }
                "/metadata/resourceVersion" => {}
                "/spec" => slice["spec"] = step["value"].clone(),
                other => panic!("{other}"),
            }
        }
        self.store("MODIFIED", name, slice)
    }

    fn store(&mut self, kind: &str, name: &str, slice: Value) -> (u16, Value) {
        self.tell(kind, slice);
        let stored = self.changes.last().unwrap().1["object"].clone();
        self.slices.insert(name.to_owned(), stored.clone());
        (200, stored)
    }
}

fn parameter<'q>(query: &'q str, name: &str) -> &'q str {
    let value = |pair: &'q str| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value);
    query.split('&').find_map(value).unwrap_or_default()
}

fn status(code: u16, reason: &str, message: &str, name: &str) -> (u16, Value) {
    let details = json!({ "name": name, "group": "resource.k8s.io" });
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code,
        "details": details,
    });
    (code, status)
}

fn response(code: u16, body: Vec<u8>) -> Response<Body> {
    let body = http_body_util::Full::new(Bytes::from(body)).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}
