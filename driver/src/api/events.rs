//! Events, for those who look at a pod or a claim with `kubectl describe`.

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{ApiServer, GROUP, request};
use crate::{publish::ApiError, runtime::Announcement};

/// The API server takes no longer note.
const LONGEST_NOTE: usize = 1024;
/// Pods of one claim that are told.
const PODS: usize = 8;

impl ApiServer {
    /// Makes events of announcements until nobody can make any more. An event that cannot be written is lost: it is no
    /// more than a message.
    pub async fn announce(self, mut announcements: mpsc::Receiver<Announcement>) {
        while let Some(announcement) = announcements.recv().await {
            let _ = self.events(&announcement).await;
        }
    }

    /// One event on the claim, and one on each pod that has it.
    async fn events(&self, announcement: &Announcement) -> Result<(), ApiError> {
        let claim = &announcement.claim;
        let object = self.claim(&claim.namespace, &claim.name).await.ok().flatten().unwrap_or_default();
        let consumers = match object["metadata"]["uid"].as_str() {
            Some(uid) if uid == claim.uid => {
                object["status"]["reservedFor"].as_array().cloned().unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let version = self.version().await?;
        let on_claim = json!({
            "apiVersion": format!("{GROUP}/{}", version.as_str()), "kind": "ResourceClaim",
            "namespace": claim.namespace, "name": claim.name, "uid": claim.uid,
        });
        let pods = consumers.iter().filter(|consumer| consumer["resource"] == "pods").take(PODS).map(|pod| {
            json!({
                "apiVersion": "v1", "kind": "Pod", "namespace": claim.namespace, "name": pod["name"],
                "uid": pod["uid"],
            })
        });
        for regarding in pods.chain([on_claim]) {
            self.event(announcement, &regarding).await?;
        }
        Ok(())
    }

    async fn event(&self, announcement: &Announcement, regarding: &Value) -> Result<(), ApiError> {
        let claim = &announcement.claim;
        let note = format!("driver {}, claim {}: {}", self.driver, claim.name, announcement.note);
        let end = (0..=note.len().min(LONGEST_NOTE)).rev().find(|end| note.is_char_boundary(*end));
        let event = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": { "generateName": "dray-driver-", "namespace": claim.namespace },
            "eventTime": format!("{:.6}", jiff::Timestamp::now()),
            "reportingController": "drayage.dev/dray-driver",
            "reportingInstance": self.node,
            "action": announcement.reason.trim_start_matches("Failed"),
            "reason": announcement.reason,
            "type": "Warning",
            "regarding": regarding,
            "note": note.get(..end.unwrap_or_default()).unwrap_or_default(),
        });
        let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", claim.namespace);
        let asked = request("POST", &path, "application/json", event.to_string().into_bytes())?;
        self.ask::<Value>(asked).await.map(|_| ())
    }
}
