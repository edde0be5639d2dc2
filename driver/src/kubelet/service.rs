//! The DRA service (`DRAPlugin`) in both versions that kubelets since 1.32 speak.

use std::{collections::BTreeMap, marker::PhantomData, sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::Instant};
use tonic::{Request, body::Body, metadata::MetadataMap};

use super::{
    messages::{ClaimsRequest, Device, PrepareResponse, PreparedClaim, UnprepareResponse, UnpreparedClaim},
    plugin::{ClaimReference, NodePlugin, PreparedDevice},
    rpc::{Answer, Methods, unary},
    tasks::{ClaimTasks, Operation},
};

/// What a kubelet allows for one call; used when a call carries no deadline.
const USUAL_DEADLINE: Duration = Duration::from_secs(45);
/// The answer goes out this long before the deadline, so that the kubelet hears the reason and not just of a timeout.
const MARGIN: Duration = Duration::from_secs(3);

/// A version of the service.
pub(super) trait Version: Clone + Send + Sync + 'static {
    const SERVICE: &'static str;
    /// Whether a device has a share ID.
    const SHARE_IDS: bool;
}

/// Kubernetes 1.34 and later.
#[derive(Clone)]
pub(super) struct V1;

impl Version for V1 {
    const SERVICE: &'static str = "k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin";
    const SHARE_IDS: bool = true;
}

/// Kubernetes 1.32 and 1.33.
#[derive(Clone)]
pub(super) struct V1Beta1;

impl Version for V1Beta1 {
    const SERVICE: &'static str = "k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin";
    const SHARE_IDS: bool = false;
}

/// Answers calls of one version by waiting for tasks.
pub(super) struct DraPlugin<P, V> {
    tasks: Arc<ClaimTasks<P>>,
    version: PhantomData<V>,
}

impl<P, V> DraPlugin<P, V> {
    pub(super) fn new(tasks: Arc<ClaimTasks<P>>) -> Self {
        Self { tasks, version: PhantomData }
    }
}

impl<P, V> Clone for DraPlugin<P, V> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.tasks))
    }
}

impl<P: NodePlugin, V: Version> Methods for DraPlugin<P, V> {
    const SERVICE: &'static str = V::SERVICE;

    fn call(&self, method: &str, request: http::Request<Body>) -> Option<Answer> {
        let tasks = Arc::clone(&self.tasks);
        match method {
            "NodePrepareResources" => Some(unary(request, move |request: Request<ClaimsRequest>| {
                let tasks = Arc::clone(&tasks);
                async move {
                    let claims = outcomes(&tasks, Operation::Prepare, request).await;
                    let claims = claims.into_iter().map(|(uid, outcome)| (uid, prepared::<V>(outcome)));
                    Ok(PrepareResponse { claims: claims.collect() })
                }
            })),
            "NodeUnprepareResources" => Some(unary(request, move |request: Request<ClaimsRequest>| {
                let tasks = Arc::clone(&tasks);
                async move {
                    let claims = outcomes(&tasks, Operation::Unprepare, request).await;
                    let error = |outcome: Result<_, String>| UnpreparedClaim {
                        error: outcome.err().unwrap_or_default(),
                    };
                    Ok(UnprepareResponse {
                        claims: claims.into_iter().map(|(uid, outcome)| (uid, error(outcome))).collect(),
                    })
                }
            })),
            _ => None,
        }
    }
}

fn prepared<V: Version>(outcome: Result<Vec<PreparedDevice>, String>) -> PreparedClaim {
    match outcome {
        Ok(devices) => PreparedClaim {
            devices: devices
                .into_iter()
                .map(|device| Device {
                    request_names: device.request_names,
                    pool_name: device.pool_name,
                    device_name: device.device_name,
                    cdi_device_ids: device.cdi_device_ids,
                    share_id: device.share_id.filter(|_| V::SHARE_IDS),
                })
                .collect(),
            error: String::new(),
        },
        Err(error) => PreparedClaim { devices: Vec::new(), error },
    }
}

/// One outcome for every claim of the call, and no other: the kubelet takes a missing or a foreign UID for a failure.
async fn outcomes<P: NodePlugin>(
    tasks: &Arc<ClaimTasks<P>>,
    operation: Operation,
    request: Request<ClaimsRequest>,
) -> BTreeMap<String, Result<Vec<PreparedDevice>, String>> {
    let deadline = Instant::now() + patience(request.metadata());
    let mut waiting = JoinSet::new();
    let mut outcomes = BTreeMap::new();
    for claim in request.into_inner().claims {
        let claim = ClaimReference { namespace: claim.namespace, name: claim.name, uid: claim.uid };
        if !is_uid(&claim.uid) {
            let error = format!("claim `{}/{}` has a malformed UID", claim.namespace, claim.name);
            outcomes.insert(claim.uid, Err(error));
            continue;
        }
        outcomes.insert(claim.uid.clone(), Err("work on the claim stopped unexpectedly".to_owned()));
        let tasks = Arc::clone(tasks);
        waiting.spawn(async move {
            let outcome = tasks.run(operation, &claim, deadline).await;
            (claim.uid, outcome)
        });
    }
    while let Some(joined) = waiting.join_next().await {
        if let Ok((uid, outcome)) = joined {
            outcomes.insert(uid, outcome);
        }
    }
    outcomes
}

/// Whether a UID can be part of a file name: letters, digits and hyphens, as every UID of an API server is.
pub(crate) fn is_uid(uid: &str) -> bool {
    (1..=64).contains(&uid.len()) && uid.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
}

/// How long a call may wait: less than the deadline that its metadata names.
fn patience(metadata: &MetadataMap) -> Duration {
    let deadline = metadata
        .get("grpc-timeout")
        .and_then(|value| value.to_str().ok())
        .and_then(parse_timeout)
        .unwrap_or(USUAL_DEADLINE);
    deadline.saturating_sub(MARGIN).max(deadline / 2)
}

/// A `grpc-timeout`: at most eight digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_as_grpc_writes_them() {
        assert_eq!(parse_timeout("44999959u"), Some(Duration::from_micros(44_999_959)));
        assert_eq!(parse_timeout("1S"), Some(Duration::from_secs(1)));
        for wrong in ["", "S", "5", "-1S", "+1S", "1s", "123456789S", "1é"] {
            assert_eq!(parse_timeout(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_answer_goes_out_before_the_deadline() {
        let mut metadata = MetadataMap::new();
        assert_eq!(patience(&metadata), Duration::from_secs(42));
        metadata.insert("grpc-timeout", "1S".parse().expect("a value"));
        assert_eq!(patience(&metadata), Duration::from_millis(500));
    }
}
