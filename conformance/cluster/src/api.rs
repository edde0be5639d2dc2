//! The API server of the cluster that the environment names.

use std::time::{Duration, Instant};

use http::Request;
// kube leaves it to us to choose the release of its types. None of them is used.
use k8s_openapi as _;
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::kinds::{self, Kind};

/// What went wrong with a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The server refused it.
    #[error("{method} {path}: {code}: {message}")]
    Refused { method: String, path: String, code: u16, message: String },
    /// It was not answered.
    #[error("{path}: {source}")]
    Unanswered { path: String, source: Box<kube::Error> },
    /// The answer is no JSON.
    #[error("{path}: the answer is no JSON: {source}")]
    Json { path: String, source: serde_json::Error },
    /// There is no cluster.
    #[error("no cluster in the environment: {0}")]
    Nowhere(String),
    /// The object has no kind or name that is known here.
    #[error("cannot tell where in the API {0} is")]
    Unplaced(String),
    /// What was waited for did not happen.
    #[error("waited {0} s in vain for {1}")]
    InVain(u64, String),
}

/// The API server, asked one thing after the other.
pub(crate) struct Api {
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Api {
    /// The server of `KUBECONFIG`, as `cluster` sets it for its parts.
    pub(crate) fn connect() -> Result<Self, ApiError> {
        let nowhere = |error: &dyn std::fmt::Display| ApiError::Nowhere(error.to_string());
        if std::env::var_os("DRAYAGE_CLUSTER").is_none() {
            return Err(ApiError::Nowhere("`DRAYAGE_CLUSTER` is not set".to_owned()));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| nowhere(&error))?;
        let client = runtime.block_on(async {
            let mut config = Config::infer().await.map_err(|error| nowhere(&error))?;
            // A refused eviction is an answer, not to be asked for again.
            config.default_retry = false;
            Client::try_from(config).map_err(|error| nowhere(&error))
        })?;
        Ok(Self { client, runtime })
    }

    /// Sends a request. `body` is `Value::Null` where there is none.
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.runtime.block_on(send(&self.client, method, path, body))
    }

    /// Sends many requests, `at_once` at a time; answers are in the order of the requests.
    pub(crate) fn send_many(
        &self,
        requests: Vec<(&'static str, String, Value)>,
        at_once: usize,
    ) -> Vec<Result<Value, ApiError>> {
        let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(at_once));
        self.runtime.block_on(async {
            let tasks: Vec<_> = requests
                .into_iter()
                .map(|(method, path, body)| {
                    let (gate, client) = (gate.clone(), self.client.clone());
                    tokio::spawn(async move {
                        let _turn = gate.acquire().await;
                        send(&client, method, &path, &body).await
                    })
                })
                .collect();
            let mut answers = Vec::with_capacity(tasks.len());
            for task in tasks {
                let lost = |error: tokio::task::JoinError| Err(ApiError::Nowhere(error.to_string()));
                answers.push(task.await.unwrap_or_else(lost));
            }
            answers
        })
    }

    /// Reads one object or list.
    pub(crate) fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.send("GET", path, &Value::Null)
    }

    /// Creates an object; gives what the server made of it.
    pub(crate) fn create(&self, object: &Value) -> Result<Value, ApiError> {
        let (kind, version) = kinds::of(object).ok_or_else(|| unplaced(object))?;
        self.send("POST", &kinds::path(kind, version, Some(kinds::namespace(object))), object)
    }

    /// Merges `change` into an object or, where `subresource` is not empty, into that of it.
    pub(crate) fn merge(&self, object: &Value, subresource: &str, change: &Value) -> Result<Value, ApiError> {
        let path = kinds::object_path(object).ok_or_else(|| unplaced(object))?;
        self.send("PATCH", &format!("{path}{subresource}"), change)
    }

    /// Every object of a kind, with kind and API version written into each, and without bookkeeping.
    pub(crate) fn list(&self, kind: Kind) -> Result<Vec<Value>, ApiError> {
        let mut list = self.get(&kinds::path(kind, kind.api_version, None))?;
        let Value::Array(mut items) = list["items"].take() else { return Ok(Vec::new()) };
        for item in &mut items {
            item["apiVersion"] = kind.api_version.into();
            item["kind"] = kind.name.into();
            if let Some(metadata) = item["metadata"].as_object_mut() {
                metadata.remove("managedFields");
            }
        }
        Ok(items)
    }

    /// Every object that a decision can depend on.
    pub(crate) fn snapshot(&self) -> Result<Vec<Value>, ApiError> {
        let mut objects = Vec::new();
        for kind in kinds::in_snapshots() {
            objects.append(&mut self.list(kind)?);
        }
        Ok(objects)
    }

    /// Deletes all objects that a decision can depend on, of namespaces other than the system's, except namespaces.
    pub(crate) fn clear(&self) -> Result<(), ApiError> {
        let now = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
            "propagationPolicy": "Background"});
        let mut left = Vec::new();
        // First what would make pods anew, then pods: what they hold goes with them.
        let makers = |kind: &Kind| matches!(kind.name, "ReplicaSet" | "StatefulSet");
        let others = kinds::in_snapshots().rev().filter(|kind| !makers(kind) && kind.name != "Namespace");
        for kind in kinds::in_snapshots().filter(makers).chain(others) {
            let ours = self.list(kind)?.into_iter().filter(|object| !is_systems(object));
            let requests: Vec<_> = ours
                .filter_map(|object| Some(("DELETE", kinds::object_path(&object)?, now.clone())))
                .collect();
            left.extend(requests.iter().map(|(_, path, _)| path.clone()));
            self.send_many(requests, 20);
        }
        // Claims go when the controller has taken the pods off them.
        for path in left {
            Self::wait(30, &format!("the end of {path}"), || match self.get(&path) {
                Err(ApiError::Refused { code: 404, .. }) => Ok(Some(())),
                Ok(_) => Ok(None),
                Err(error) => Err(error),
            })?;
        }
        Ok(())
    }

    /// Asks again and again until there is an answer.
    pub(crate) fn wait<T>(
        seconds: u64,
        what: &str,
        mut ask: impl FnMut() -> Result<Option<T>, ApiError>,
    ) -> Result<T, ApiError> {
        let end = Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(found) = ask()? {
                return Ok(found);
            }
            if Instant::now() > end {
                return Err(ApiError::InVain(seconds, what.to_owned()));
            }
            std::thread::sleep(Duration::from_millis(15));
        }
    }
}

/// Whether the control plane made it for itself.
fn is_systems(object: &Value) -> bool {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    namespace.starts_with("kube-")
        || name.starts_with("system-")
        || (namespace == "default" && name == "kubernetes")
}

fn unplaced(object: &Value) -> ApiError {
    ApiError::Unplaced(format!("{} {}", object["kind"], object["metadata"]["name"]))
}

async fn send(client: &Client, method: &str, path: &str, body: &Value) -> Result<Value, ApiError> {
    let content = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request = Request::builder().method(method).uri(path).header("content-type", content).body(bytes);
    let request = request.map_err(|error| ApiError::Nowhere(error.to_string()))?;
    match client.request_text(request).await {
        Ok(text) => {
            serde_json::from_str(&text).map_err(|source| ApiError::Json { path: path.to_owned(), source })
        }
        Err(kube::Error::Api(status)) => Err(ApiError::Refused {
            method: method.to_owned(),
            path: path.to_owned(),
            code: status.code,
            message: status.message.clone(),
        }),
        Err(error) => Err(ApiError::Unanswered { path: path.to_owned(), source: Box::new(error) }),
    }
}
