//! The API server: claims are read, slices are kept.
//!
//! Objects are plain JSON in the version that the server has; only what this driver owns is ever written.

mod claims;
mod events;
mod slices;

use std::{
    error::Error as _,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::Request;
// kube leaves it to us to choose the release of its types. None of them is used.
use k8s_openapi as _;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use crate::publish::{ApiError, ApiVersion, Served};

/// The group that everything is about.
const GROUP: &str = "resource.k8s.io";
/// How long one request may take. The kubelet gives a prepare 45 seconds, and what fails here is tried again within.
const PATIENCE: Duration = Duration::from_secs(5);

/// The API server, as the driver of one node sees it.
#[derive(Clone)]
pub struct ApiServer {
    client: Client,
    driver: String,
    node: String,
    found: std::sync::Arc<Found>,
}

/// What was found out about the server.
#[derive(Debug, Default)]
struct Found {
    version: Mutex<Option<ApiVersion>>,
    /// UID of the node's object, which owns the slices.
    node: Mutex<Option<String>>,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ApiServer")
            .field("driver", &self.driver)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// No way to the API server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig is missing or wrong.
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// Neither a kubeconfig nor a service account.
    #[error("there is neither a kubeconfig nor a service account: {0}")]
    Nowhere(#[from] kube::config::InferConfigError),
    /// The settings make no client.
    #[error("cannot make a client of these settings: {0}")]
    Client(#[from] kube::Error),
}

impl ApiServer {
    /// The server of a kubeconfig, or else what the environment says: `KUBECONFIG`, then the pod's service account.
    /// Must be called in a Tokio runtime. Asks nothing yet.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`].
    pub async fn connect(kubeconfig: Option<&Path>, driver: &str, node: &str) -> Result<Self, ConnectError> {
        let mut config = match kubeconfig {
            Some(path) => {
                let read = Kubeconfig::read_from(path)?;
                Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?
            }
            None => Config::infer().await?,
        };
        config.connect_timeout = Some(PATIENCE);
        // Who asks knows better when to ask again, and tells the kubelet meanwhile why it waits.
        config.default_retry = false;
        let agent = concat!("dray-driver/", env!("CARGO_PKG_VERSION"));
        config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(agent)));
        Ok(Self::new(Client::try_from(config)?, driver, node))
    }

    /// The server behind a client.
    pub fn new(client: Client, driver: &str, node: &str) -> Self {
        Self { client, driver: driver.to_owned(), node: node.to_owned(), found: std::sync::Arc::default() }
    }

    /// What the server is and has, in one sentence, from reading all that the driver needs to read.
    ///
    /// # Errors
    ///
    /// The first request that the server did not answer as it should.
    pub async fn examine(&self) -> Result<String, ApiError> {
        let Served { version, minor } = self.served().await?;
        self.node_uid().await?;
        let (slices, _) = self.list(version).await?;
        let (version, slices) = (version.as_str(), slices.len());
        Ok(format!("Kubernetes 1.{minor}, `{GROUP}/{version}`, {slices} slices of this driver on this node"))
    }

    /// What the server is, asked anew.
    async fn served(&self) -> Result<Served, ApiError> {
        let group: Value = self.ask(get(&format!("/apis/{GROUP}"))?).await.map_err(|error| match error {
            ApiError::NotFound => {
                ApiError::Unavailable(format!("the API server does not serve the group `{GROUP}`"))
            }
            error => error,
        })?;
        let names = group["versions"].as_array().into_iter().flatten();
        let version = ApiVersion::newest(names.filter_map(|version| version["version"].as_str()));
        let version = version.ok_or_else(|| {
            ApiError::Unavailable(format!("the API server serves no version of `{GROUP}` that is known here"))
        })?;
        let about: Value = self.ask(get("/version")?).await?;
        let digits: String =
            about["minor"].as_str().unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
        *self.found.version.lock().unwrap_or_else(PoisonError::into_inner) = Some(version);
        Ok(Served { version, minor: digits.parse().unwrap_or_default() })
    }

    /// The newest version, asked once.
    async fn version(&self) -> Result<ApiVersion, ApiError> {
        let known = *self.found.version.lock().unwrap_or_else(PoisonError::into_inner);
        match known {
            Some(version) => Ok(version),
            None => self.served().await.map(|served| served.version),
        }
    }

    /// Forgets the version: the server has changed.
    fn forget(&self) {
        *self.found.version.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// UID of the node, asked once: a node that is made anew takes its driver's pod with it.
    async fn node_uid(&self) -> Result<String, ApiError> {
        let known = self.found.node.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(uid) = known {
            return Ok(uid);
        }
        let node: Value =
            self.ask(get(&format!("/api/v1/nodes/{}", self.node))?).await.map_err(|error| match error {
                ApiError::NotFound => ApiError::Unavailable(format!("there is no node `{}`", self.node)),
                error => error,
            })?;
        let uid = node["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        *self.found.node.lock().unwrap_or_else(PoisonError::into_inner) = Some(uid.clone());
        Ok(uid)
    }

    async fn ask<T: DeserializeOwned>(&self, request: Request<Vec<u8>>) -> Result<T, ApiError> {
        answer(&self.client, request).await?.map_err(|error| failure(&error))
    }
}

/// What the server says to a request, or that it says nothing in time.
async fn answer<T: DeserializeOwned>(
    client: &Client,
    request: Request<Vec<u8>>,
) -> Result<Result<T, kube::Error>, ApiError> {
    timeout(PATIENCE, client.request(request)).await.map_err(|_| {
        ApiError::Unavailable(format!("the API server did not answer within {} s", PATIENCE.as_secs()))
    })
}

/// What an error of the client means.
fn failure(error: &kube::Error) -> ApiError {
    if let kube::Error::Api(status) = error {
        return refusal(status.code, &status.message);
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Many errors repeat what they come from.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    ApiError::Unavailable(text)
}

/// What a status of the server means.
fn refusal(code: u16, message: &str) -> ApiError {
    match code {
        404 => ApiError::NotFound,
        409 => ApiError::Conflict,
        410 => ApiError::Expired,
        400 | 413 | 422 => ApiError::Invalid(message.to_owned()),
        _ => ApiError::Unavailable(format!("{code}: {message}")),
    }
}

fn get(path: &str) -> Result<Request<Vec<u8>>, ApiError> {
    request("GET", path, "application/json", Vec::new())
}

/// A request. What cannot be an address is refused as invalid: names come from other objects.
fn request(method: &str, path: &str, content: &str, body: Vec<u8>) -> Result<Request<Vec<u8>>, ApiError> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::CONTENT_TYPE, content)
        .header(http::header::ACCEPT, "application/json")
        .body(body)
        .map_err(|error| ApiError::Invalid(format!("`{path}`: {error}")))
}
