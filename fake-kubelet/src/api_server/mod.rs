//! An API server over HTTP, as far as a driver goes: discovery, a node, claims, events, and ResourceSlices with watches,
//! resource versions and preconditions; and what goes wrong with all of that.
//!
//! It stores what it gets, in any version that it serves, and validates hardly anything. Chance follows from a seed; what
//! requests come when does not.

mod state;

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
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
    time::sleep,
};

pub use state::{Faults, State};
use state::{matches, parameter, status};

type Body = BoxBody<Bytes, Infallible>;
type Stream =
    std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + Sync>>;

/// The server; it stops with the Tokio runtime in which it was started.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    turn: Arc<Turn<()>>,
}

impl Server {
    /// Starts a server that serves these versions of `resource.k8s.io` and has the node `node-1`.
    ///
    /// # Errors
    ///
    /// No port can be had.
    pub async fn start(versions: &[&'static str]) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::new(versions)));
        let server = Self { address, state, changed: watch::channel(0).0, turn: Arc::default() };
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
        Ok(server)
    }

    /// A kubeconfig for it.
    pub fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": { "server": format!("http://{}", self.address) } }],
            "users": [{ "name": "test", "user": { "token": "secret" } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        })
        .to_string()
    }

    /// What the server has, to look at and to change.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the slices of a node, or those of one driver there, as kubelets do.
    pub fn wipe(&self, node: &str, driver: Option<&str>) {
        let version = self.state().wipe(node, driver);
        self.changed.send_replace(version);
    }

    /// Ends every watch. With `forgotten` no client can go on from where it was: it is told `410 Gone`.
    pub fn end_watches(&self, forgotten: bool) {
        let version = self.state().end_watches(forgotten);
        self.changed.send_replace(version);
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return response(400, Vec::new()) };
        let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
        let query = head.uri.query().unwrap_or_default().to_owned();
        let path = head.uri.path().to_owned();
        let latency = self.state().faults.latency;
        if latency > Duration::ZERO {
            sleep(latency).await;
        }
        while self.state().faults.stalled.is_some_and(|part| path.contains(part)) {
            sleep(Duration::from_millis(20)).await;
        }
        let pace = self.state().faults.pace;
        if query.contains("watch=true") {
            self.state().requests.push(format!("WATCH {path}"));
            return self.watch(&query);
        }
        if pace > Duration::ZERO {
            // The first to come is the first to be answered.
            let turn = self.turn.lock().await;
            sleep(pace).await;
            drop(turn);
        }
        let (code, answer, version) = {
            let mut state = self.state();
            state.requests.push(format!("{} {path}", head.method));
            let (code, answer) = state.answer_with_faults(head.method.as_str(), &path, &query, body);
            (code, answer, state.version())
        };
        self.changed.send_replace(version);
        match answer {
            Value::String(text) => response(code, text.into_bytes()),
            answer => response(code, answer.to_string().into_bytes()),
        }
    }

    fn watch(&self, query: &str) -> Response<Body> {
        let from: u64 = parameter(query, "resourceVersion").parse().unwrap_or_default();
        let selector = parameter(query, "fieldSelector").to_owned();
        let (era, gone) = {
            let state = self.state();
            if state.outage {
                let (code, answer) = status(503, "ServiceUnavailable", "the server is not there", "");
                return response(code, answer.to_string().into_bytes());
            }
            (state.era(), state.is_forgotten(from))
        };
        if gone {
            let (code, answer) = status(410, "Expired", "too old resource version", "");
            return response(code, answer.to_string().into_bytes());
        }
        let start = (from, Arc::clone(&self.state), self.changed.subscribe(), (selector, era));
        let events =
            futures_util::stream::unfold(start, async |(mut from, state, mut changed, (selector, era))| {
                loop {
                    let _ = changed.borrow_and_update();
                    let next = {
                        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
                        if state.outage || state.era() != era {
                            return None;
                        }
                        state.change_after(from)
                    };
                    if let Some((version, event)) = next {
                        if !matches(&selector, &event["object"]) {
                            from = version;
                            continue;
                        }
                        // Clients read an object while it comes, which they can if they know what it is about.
                        let (kind, object) = (&event["type"], &event["object"]);
                        let frame =
                            Frame::data(Bytes::from(format!("{{\"type\":{kind},\"object\":{object}}}\n")));
                        return Some((
                            Ok::<_, Infallible>(frame),
                            (version, state, changed, (selector, era)),
                        ));
                    }
                    changed.changed().await.ok()?;
                }
            });
        let mut response = Response::new(BodyExt::boxed(StreamBody::new(Box::pin(events) as Stream)));
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        response
    }
}

fn response(code: u16, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}
