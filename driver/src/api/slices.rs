//! ResourceSlices of one driver on one node.

use std::{future::Future, pin::pin};

use futures_util::TryStreamExt as _;
use kube::core::WatchEvent as ServerEvent;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{ApiServer, GROUP, get, request};
use crate::{
    devices::Fields,
    publish::{ApiError, ApiVersion, Served, Slice, SliceApi, Watch, WatchEvent},
};

/// Objects in one page of a list.
const PAGE: usize = 500;
/// The server ends a watch after this many seconds, and the controller lists again.
const WATCH_SECONDS: u32 = 300;
/// Changes that wait for the controller.
const WAITING: usize = 64;

#[derive(Deserialize)]
struct List {
    metadata: ListMetadata,
    #[serde(default)]
    items: Vec<Object>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: String,
}

#[derive(Clone, Deserialize)]
struct Object {
    metadata: Metadata,
    /// As text at once: a page has hundreds.
    #[serde(default)]
    spec: Fields,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    resource_version: String,
}

impl Object {
    fn slice(self, version: ApiVersion) -> Slice {
        let Metadata { name, uid, resource_version } = self.metadata;
        let spec = match version {
            ApiVersion::V1Beta1 => version.decode(self.spec.map()).into(),
            ApiVersion::V1Beta2 | ApiVersion::V1 => self.spec,
        };
        Slice { name, uid, resource_version, spec }
    }
}

/// A specification as a version has it.
fn encoded(version: ApiVersion, spec: Fields) -> Fields {
    match version {
        ApiVersion::V1Beta1 => version.encode(spec.map()).into(),
        ApiVersion::V1Beta2 | ApiVersion::V1 => spec,
    }
}

impl ApiServer {
    fn slices_path(version: ApiVersion) -> String {
        format!("/apis/{GROUP}/{}/resourceslices", version.as_str())
    }

    /// Only this driver's slices on this node: with the permissions of a node, others are none of our business.
    fn own(&self) -> String {
        format!("fieldSelector=spec.nodeName%3D{}%2Cspec.driver%3D{}", self.node, self.driver)
    }

    pub(super) async fn list(&self, version: ApiVersion) -> Result<(Vec<Slice>, String), ApiError> {
        let (mut slices, mut next) = (Vec::new(), String::new());
        loop {
            let from = if next.is_empty() { String::new() } else { format!("&continue={next}") };
            let path = format!("{}?{}&limit={PAGE}{from}", Self::slices_path(version), self.own());
            let page: List = self.ask(get(&path)?).await?;
            slices.extend(page.items.into_iter().map(|object| object.slice(version)));
            if page.metadata.next.is_empty() {
                return Ok((slices, page.metadata.resource_version));
            }
            next = page.metadata.next;
        }
    }

    /// Hands on what a watch says, until the watch or its reader ends. Every end is alike: the controller lists again.
    async fn watch(self, version: ApiVersion, from: String, changes: mpsc::Sender<WatchEvent>) {
        let path = format!(
            "{}?{}&watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={from}",
            Self::slices_path(version),
            self.own()
        );
        let Ok(asked) = get(&path) else { return };
        let Ok(events) = self.client.request_events::<Object>(asked).await else { return };
        let mut events = pin!(events);
        loop {
            let next = tokio::select! {
                next = events.try_next() => next,
                () = changes.closed() => return,
            };
            let change = match next {
                Ok(Some(ServerEvent::Added(object) | ServerEvent::Modified(object))) => {
                    WatchEvent::Changed(object.slice(version))
                }
                Ok(Some(ServerEvent::Deleted(object))) => WatchEvent::Deleted(object.slice(version)),
                Ok(Some(ServerEvent::Bookmark(_))) => continue,
                Ok(Some(ServerEvent::Error(_)) | None) | Err(_) => return,
            };
            if changes.send(change).await.is_err() {
                return;
            }
        }
    }
}

impl SliceApi for ApiServer {
    fn discover(&self) -> impl Future<Output = Result<Served, ApiError>> + Send {
        self.served()
    }

    async fn list_and_watch(&self) -> Result<(Vec<Slice>, Watch), ApiError> {
        let version = self.version().await?;
        let (slices, from) = self.list(version).await?;
        let (sender, watch) = mpsc::channel(WAITING);
        tokio::spawn(self.clone().watch(version, from, sender));
        Ok((slices, watch))
    }

    async fn create(&self, name_prefix: &str, spec: Fields) -> Result<Slice, ApiError> {
        let version = self.version().await?;
        // When the node goes, so do its slices.
        let owner = json!({
            "apiVersion": "v1", "kind": "Node", "name": self.node, "uid": self.node_uid().await?, "controller": true,
        });
        let kind = json!(format!("{GROUP}/{}", version.as_str()));
        let metadata = json!({ "generateName": name_prefix, "ownerReferences": [owner] });
        let object = format!(
            r#"{{"apiVersion":{kind},"kind":"ResourceSlice","metadata":{metadata},"spec":{}}}"#,
            encoded(version, spec).text()
        );
        let asked = request("POST", &Self::slices_path(version), "application/json", object.into_bytes())?;
        self.ask::<Object>(asked).await.map(|object| object.slice(version))
    }

    async fn update(&self, slice: Slice) -> Result<Slice, ApiError> {
        let version = self.version().await?;
        // Only the specification is replaced: labels and owners that others have set stay. The server compares the
        // resource version, which a slice made anew under the same name does not have.
        let steps = format!(
            r#"[{{"op":"replace","path":"/metadata/resourceVersion","value":{}}},{{"op":"replace","path":"/spec","value":{}}}]"#,
            json!(slice.resource_version),
            encoded(version, slice.spec).text()
        );
        let path = format!("{}/{}", Self::slices_path(version), slice.name);
        let asked = request("PATCH", &path, "application/json-patch+json", steps.into_bytes())?;
        self.ask::<Object>(asked).await.map(|object| object.slice(version))
    }

    async fn delete(&self, slice: Slice) -> Result<(), ApiError> {
        let version = self.version().await?;
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": { "uid": slice.uid },
        });
        let path = format!("{}/{}", Self::slices_path(version), slice.name);
        let asked = request("DELETE", &path, "application/json", options.to_string().into_bytes())?;
        self.ask::<Value>(asked).await.map(|_| ())
    }
}
