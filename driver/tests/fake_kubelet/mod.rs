//! A kubelet as far as plugins see one: its dialling, deadlines, choice of versions, cache and retries.
//!
//! Facts are from the kubelet's sources 1.32 to 1.37 and from measurements on real kubelets. The messages are written
//! down a second time here, so that a wrong field number in the driver shows.

#![allow(dead_code, reason = "every test file that includes this uses a part of it")]

pub(crate) mod wire;

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    time::Duration,
};

use prost::Message;
use tokio::time::sleep;

use wire::{Authority, CallError, Connection};

pub(crate) const GET_INFO_DEADLINE: Duration = Duration::from_secs(1);
pub(crate) const NOTIFY_DEADLINE: Duration = Duration::from_secs(5);
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(45);
/// Between two tries to prepare a pod: the ordinary resync.
pub(crate) const PREPARE_RETRY: Duration = Duration::from_secs(75);
/// Between two tries to unprepare.
pub(crate) const UNPREPARE_RETRY: Duration = Duration::from_secs(12);

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Empty {}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PluginInfo {
    #[prost(string, tag = "1")]
    pub(crate) r#type: String,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(string, tag = "3")]
    pub(crate) endpoint: String,
    #[prost(string, repeated, tag = "4")]
    pub(crate) supported_versions: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RegistrationStatus {
    #[prost(bool, tag = "1")]
    pub(crate) plugin_registered: bool,
    #[prost(string, tag = "2")]
    pub(crate) error: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Claim {
    #[prost(string, tag = "1")]
    pub(crate) namespace: String,
    #[prost(string, tag = "2")]
    pub(crate) uid: String,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
}

impl Claim {
    pub(crate) fn new(name: &str, uid: &str) -> Self {
        Self { namespace: "default".into(), uid: uid.into(), name: name.into() }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Request {
    #[prost(message, repeated, tag = "1")]
    pub(crate) claims: Vec<Claim>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PrepareResponse {
    #[prost(map = "string, message", tag = "1")]
    pub(crate) claims: HashMap<String, Prepared>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Prepared {
    #[prost(message, repeated, tag = "1")]
    pub(crate) devices: Vec<Device>,
    #[prost(string, tag = "2")]
    pub(crate) error: String,
}

#[expect(clippy::struct_field_names, reason = "the names of the protocol")]
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Device {
    #[prost(string, repeated, tag = "1")]
    pub(crate) requests: Vec<String>,
    #[prost(string, tag = "2")]
    pub(crate) pool: String,
    #[prost(string, tag = "3")]
    pub(crate) device: String,
    #[prost(string, repeated, tag = "4")]
    pub(crate) cdi: Vec<String>,
    #[prost(string, optional, tag = "5")]
    pub(crate) share: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct UnprepareResponse {
    #[prost(map = "string, message", tag = "1")]
    pub(crate) claims: HashMap<String, Unprepared>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Unprepared {
    #[prost(string, tag = "1")]
    pub(crate) error: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Health {
    #[prost(message, repeated, tag = "1")]
    pub(crate) devices: Vec<DeviceHealth>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DeviceHealth {
    #[prost(message, optional, tag = "1")]
    pub(crate) device: Option<HealthIdentity>,
    #[prost(int32, tag = "2")]
    pub(crate) health: i32,
    #[prost(int64, tag = "3")]
    pub(crate) last_updated: i64,
    #[prost(int64, tag = "4")]
    pub(crate) timeout: i64,
    #[prost(string, tag = "5")]
    pub(crate) message: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct HealthIdentity {
    #[prost(string, tag = "1")]
    pub(crate) pool: String,
    #[prost(string, tag = "2")]
    pub(crate) device: String,
}

/// A release, as far as plugins can tell releases apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Release {
    V1_32,
    V1_33,
    V1_34,
    V1_36,
    V1_37,
}

impl Release {
    pub(crate) const ALL: [Self; 5] = [Self::V1_32, Self::V1_33, Self::V1_34, Self::V1_36, Self::V1_37];

    /// The same for every release.
    pub(crate) const REGISTRATION_AUTHORITY: Authority = Authority::EncodedPath;

    pub(crate) fn data_authority(self) -> Authority {
        if self <= Self::V1_33 { Authority::EncodedPath } else { Authority::Localhost }
    }

    /// The first version of the plugin's list, in the plugin's order, that this release knows.
    pub(crate) fn choose(self, versions: &[String]) -> Option<&'static str> {
        versions.iter().find_map(|version| match version.as_str() {
            "v1.DRAPlugin" if self >= Self::V1_34 => Some("/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/"),
            "v1beta1.DRAPlugin" => Some("/k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin/"),
            _ => None,
        })
    }

    /// The health service that this release opens. Up to 1.36 it does not look at the list.
    pub(crate) fn choose_health(self, versions: &[String]) -> Option<&'static str> {
        let named = |wanted: &str| versions.iter().any(|version| version == wanted);
        match self {
            Self::V1_34 | Self::V1_36 => Some("/v1alpha1.DRAResourceHealth/NodeWatchResources"),
            Self::V1_37 if named("v1.DRAResourceHealth") => Some("/v1.DRAResourceHealth/NodeWatchResources"),
            Self::V1_37 if named("v1alpha1.DRAResourceHealth") => {
                Some("/v1alpha1.DRAResourceHealth/NodeWatchResources")
            }
            Self::V1_32 | Self::V1_33 | Self::V1_37 => None,
        }
    }
}

pub(crate) async fn get_info(registration: &Connection) -> Result<PluginInfo, CallError> {
    let answer =
        registration.call("/pluginregistration.Registration/GetInfo", &[], GET_INFO_DEADLINE).await?;
    Ok(PluginInfo::decode(&answer[..]).expect("a PluginInfo"))
}

pub(crate) async fn notify(registration: &Connection, error: Option<&str>) -> Result<(), CallError> {
    let status = RegistrationStatus {
        plugin_registered: error.is_none(),
        error: error.unwrap_or_default().to_owned(),
    };
    let method = "/pluginregistration.Registration/NotifyRegistrationStatus";
    registration.call(method, &status.encode_to_vec(), NOTIFY_DEADLINE).await.map(|_| ())
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PodError {
    Call(CallError),
    /// The driver's text for one of the claims.
    Claim(String),
    /// The answer lacks a claim, or has one that was not asked for.
    WrongClaims,
}

#[derive(Clone, Debug, Default)]
struct CachedClaim {
    /// What every answer said, one after the other: up to 1.36 a second answer is appended.
    devices: Vec<Device>,
    /// In memory only.
    prepared: bool,
}

/// The claim cache with its checkpoint, and the retries.
pub(crate) struct Kubelet {
    pub(crate) release: Release,
    pub(crate) service: &'static str,
    claims: BTreeMap<String, CachedClaim>,
}

impl Kubelet {
    pub(crate) fn new(release: Release, versions: &[String]) -> Self {
        let service = release.choose(versions).expect("a version that this release knows");
        Self { release, service, claims: BTreeMap::new() }
    }

    /// Forgets what is not in the checkpoint.
    pub(crate) fn restart(&mut self) {
        for claim in self.claims.values_mut() {
            claim.prepared = false;
        }
    }

    /// The distinct CDI names that a container of this claim would get.
    pub(crate) fn cdi_devices(&self, uid: &str) -> Vec<String> {
        let devices = self.claims.get(uid).map(|claim| &claim.devices[..]).unwrap_or_default();
        let mut names: Vec<String> = devices.iter().flat_map(|device| device.cdi.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// One try for the sandbox of a pod with these claims: all or nothing.
    pub(crate) async fn prepare_pod(&mut self, data: &Connection, claims: &[Claim]) -> Result<(), PodError> {
        let wanted: Vec<Claim> = claims
            .iter()
            .filter(|claim| !self.claims.get(&claim.uid).is_some_and(|cached| cached.prepared))
            .cloned()
            .collect();
        for claim in &wanted {
            self.claims.entry(claim.uid.clone()).or_default();
        }
        let request = Request { claims: wanted.clone() }.encode_to_vec();
        let method = format!("{}NodePrepareResources", self.service);
        let answer = data.call(&method, &request, CALL_DEADLINE).await.map_err(PodError::Call)?;
        let mut answer = PrepareResponse::decode(&answer[..]).expect("a response");
        if answer.claims.len() != wanted.len() {
            return Err(PodError::WrongClaims);
        }
        for claim in &wanted {
            let prepared = answer.claims.remove(&claim.uid).ok_or(PodError::WrongClaims)?;
            if !prepared.error.is_empty() {
                return Err(PodError::Claim(prepared.error));
            }
            let cached = self.claims.entry(claim.uid.clone()).or_default();
            if self.release >= Release::V1_37 {
                cached.devices.clear();
            }
            cached.devices.extend(prepared.devices);
            cached.prepared = true;
        }
        Ok(())
    }

    /// One try for a pod that is gone.
    pub(crate) async fn unprepare_pod(
        &mut self,
        data: &Connection,
        claims: &[Claim],
    ) -> Result<(), PodError> {
        let request = Request { claims: claims.to_vec() }.encode_to_vec();
        let method = format!("{}NodeUnprepareResources", self.service);
        let answer = data.call(&method, &request, CALL_DEADLINE).await.map_err(PodError::Call)?;
        let mut answer = UnprepareResponse::decode(&answer[..]).expect("a response");
        if answer.claims.len() != claims.len() {
            return Err(PodError::WrongClaims);
        }
        for claim in claims {
            let unprepared = answer.claims.remove(&claim.uid).ok_or(PodError::WrongClaims)?;
            if !unprepared.error.is_empty() {
                return Err(PodError::Claim(unprepared.error));
            }
            self.claims.remove(&claim.uid);
        }
        Ok(())
    }
}

/// Tries again as a kubelet does, at most `tries` times; returns the number of failed tries.
pub(crate) async fn with_retries<T, E, F>(
    pause: Duration,
    tries: usize,
    mut attempt: impl FnMut() -> F,
) -> usize
where
    F: Future<Output = Result<T, E>>,
{
    for failed in 0..tries {
        if attempt().await.is_ok() {
            return failed;
        }
        sleep(pause).await;
    }
    tries
}
