//! The kubelet's cache of claims, and the checkpoint that a restart leaves of it.
//!
//! What a driver answered is kept in the checkpoint; that it has answered is not. So after a restart the next sandbox of
//! a pod has its claims prepared again, and up to 1.36 the second answer is appended to the first.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    messages::{Claim, Device, PrepareResponse, UnprepareResponse},
    release::Release,
    wire::CallError,
};

/// A claim of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodClaim {
    /// Name of the claim in the pod's specification.
    pub name: String,
    /// The claim.
    pub claim: Claim,
    /// Drivers in the results of its allocation.
    pub drivers: Vec<String>,
}

/// A pod that is bound to this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.uid`
    pub uid: String,
    /// Its claims.
    pub claims: Vec<PodClaim>,
}

impl Pod {
    /// A pod without claims.
    pub fn new(uid: &str) -> Self {
        Self { uid: uid.to_owned(), claims: Vec::new() }
    }

    /// The pod with one more claim, which has devices of `drivers` and is called in the pod as it is outside.
    #[must_use]
    pub fn with_claim(mut self, claim: &Claim, drivers: &[&str]) -> Self {
        let drivers = drivers.iter().map(ToString::to_string).collect();
        self.claims.push(PodClaim { name: claim.name.clone(), claim: claim.clone(), drivers });
        self
    }
}

/// Why a pod was not prepared or unprepared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PodError {
    /// Nobody serves a driver that one of its claims needs. Nothing was cached or called.
    #[error("DRA driver {0} is not registered")]
    NotRegistered(String),
    /// The call failed as a whole.
    #[error("{0}")]
    Call(#[from] CallError),
    /// The driver's text for one of the claims.
    #[error("{0}")]
    Claim(String),
    /// The answer has a claim that was not asked for.
    #[error("result for unknown claim UID {0}")]
    UnknownClaim(String),
    /// The answer lacks so many claims.
    #[error("skipped {0} ResourceClaims")]
    Skipped(usize),
    /// A claim of that name and another UID has not been unprepared yet.
    #[error("old ResourceClaim with same name {name} and different UID {uid} still exists")]
    OldClaim {
        /// The name.
        name: String,
        /// UID of the old one.
        uid: String,
    },
    /// The claim is being unprepared for a pod that is gone (since 1.37).
    #[error("ResourceClaim {0} is being unprepared")]
    Unpreparing(String),
}

/// A checkpoint that cannot be used: a kubelet does not start with it.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It is not what a kubelet writes.
    #[error("the checkpoint cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// It is not what this kubelet wrote.
    #[error("the checkpoint is corrupt")]
    Corrupt,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Checkpoint {
    data: String,
    checksum: u32,
}

#[derive(Serialize, Deserialize)]
struct CheckpointData {
    kind: String,
    #[serde(rename = "apiVersion")]
    api_version: String,
    #[serde(rename = "ClaimInfoStateList")]
    claims: Option<Vec<ClaimInfo>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ClaimInfo {
    #[serde(rename = "ClaimUID")]
    uid: String,
    claim_name: String,
    namespace: String,
    #[serde(rename = "PodUIDs")]
    pods: BTreeMap<String, BTreeMap<String, String>>,
    driver_state: BTreeMap<String, DriverState>,
    /// Not in the checkpoint.
    #[serde(skip)]
    prepared: bool,
    /// Not in the checkpoint.
    #[serde(skip)]
    unpreparing: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DriverState {
    devices: Option<Vec<CheckpointDevice>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CheckpointDevice {
    pool_name: String,
    device_name: String,
    #[serde(rename = "ShareID")]
    share_id: Option<String>,
    request_names: Option<Vec<String>>,
    #[serde(rename = "CDIDeviceIDs")]
    cdi_device_ids: Option<Vec<String>>,
}

/// A device as the kubelet remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedDevice {
    /// Its driver.
    pub driver: String,
    /// What the driver said.
    pub device: Device,
}

/// The cache of one kubelet.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimCache {
    release: Release,
    /// By namespace and name, as the kubelet has them.
    claims: BTreeMap<(String, String), ClaimInfo>,
}

/// Claims by the driver that is to be called for them.
pub type Batches = BTreeMap<String, Vec<Claim>>;

impl ClaimCache {
    /// An empty cache.
    pub fn new(release: Release) -> Self {
        Self { release, claims: BTreeMap::new() }
    }

    /// The cache that a restarted kubelet has.
    ///
    /// # Errors
    ///
    /// See [`CheckpointError`].
    pub fn restore(release: Release, content: &str) -> Result<Self, CheckpointError> {
        let checkpoint: Checkpoint = serde_json::from_str(content)?;
        if crc32(checkpoint.data.as_bytes()) != checkpoint.checksum {
            return Err(CheckpointError::Corrupt);
        }
        let data: CheckpointData = serde_json::from_str(&checkpoint.data)?;
        let claims = data.claims.unwrap_or_default().into_iter();
        let claims = claims.map(|claim| ((claim.namespace.clone(), claim.claim_name.clone()), claim));
        Ok(Self { release, claims: claims.collect() })
    }

    /// Content of `dra_manager_state`, as 1.34 to 1.37 write it.
    pub fn checkpoint(&self) -> String {
        let data = CheckpointData {
            kind: "DRACheckpoint".to_owned(),
            api_version: "checkpoint.dra.kubelet.k8s.io/v1".to_owned(),
            claims: Some(self.claims.values().cloned().collect()),
        };
        // Strings, numbers and maps with string keys: nothing that JSON lacks.
        let data = serde_json::to_string(&data).unwrap_or_default();
        let checksum = crc32(data.as_bytes());
        serde_json::to_string(&Checkpoint { data, checksum }).unwrap_or_default()
    }

    /// What a restart leaves: the checkpoint.
    pub fn restart(&mut self) {
        for claim in self.claims.values_mut() {
            (claim.prepared, claim.unpreparing) = (false, false);
        }
    }

    /// Enters a pod, and says whom to call for which of its claims: those that are not prepared.
    ///
    /// # Errors
    ///
    /// A claim of the pod cannot be prepared now. Claims before it are cached nevertheless, as in a kubelet.
    pub fn begin_prepare(&mut self, pod: &Pod) -> Result<Batches, PodError> {
        let mut batches = Batches::new();
        for PodClaim { claim, drivers, .. } in &pod.claims {
            let key = (claim.namespace.clone(), claim.name.clone());
            let info = self.claims.entry(key).or_insert_with(|| ClaimInfo {
                uid: claim.uid.clone(),
                claim_name: claim.name.clone(),
                namespace: claim.namespace.clone(),
                pods: BTreeMap::new(),
                driver_state: drivers.iter().map(|name| (name.clone(), DriverState::default())).collect(),
                prepared: false,
                unpreparing: false,
            });
            if info.uid != claim.uid {
                return Err(PodError::OldClaim { name: claim.name.clone(), uid: info.uid.clone() });
            }
            if info.unpreparing && self.release.marks_unpreparing() {
                return Err(PodError::Unpreparing(claim.name.clone()));
            }
            info.pods.insert(pod.uid.clone(), BTreeMap::new());
            if !info.prepared {
                for driver in info.driver_state.keys() {
                    batches.entry(driver.clone()).or_default().push(claim.clone());
                }
            }
        }
        Ok(batches)
    }

    /// Takes a driver's answer for its batch.
    ///
    /// # Errors
    ///
    /// The answer is an error, or is not about the claims that were asked for.
    pub fn take_answer(
        &mut self,
        driver: &str,
        batch: &[Claim],
        answer: PrepareResponse,
    ) -> Result<(), PodError> {
        let answered = answer.claims.len();
        // A kubelet goes through them in no particular order; this one has to be the same every time.
        for (uid, prepared) in answer.claims.into_iter().collect::<BTreeMap<_, _>>() {
            let Some(claim) = batch.iter().find(|claim| claim.uid == uid) else {
                return Err(PodError::UnknownClaim(uid));
            };
            if !prepared.error.is_empty() {
                return Err(PodError::Claim(prepared.error));
            }
            let key = (claim.namespace.clone(), claim.name.clone());
            let Some(info) = self.claims.get_mut(&key) else { continue };
            let devices = &mut info.driver_state.entry(driver.to_owned()).or_default().devices;
            if !self.release.appends_answers() {
                *devices = None;
            }
            let share_ids = self.release.knows_share_ids();
            let named = |names: Vec<String>| (!names.is_empty()).then_some(names);
            devices.get_or_insert_default().extend(prepared.devices.into_iter().map(|device| {
                CheckpointDevice {
                    pool_name: device.pool_name,
                    device_name: device.device_name,
                    share_id: device.share_id.filter(|_| share_ids),
                    request_names: named(device.request_names),
                    cdi_device_ids: named(device.cdi_device_ids),
                }
            }));
        }
        match batch.len().saturating_sub(answered) {
            0 => Ok(()),
            missing => Err(PodError::Skipped(missing)),
        }
    }

    /// Every driver has answered: the pod's claims are prepared until the kubelet restarts.
    pub fn finish_prepare(&mut self, pod: &Pod) {
        for PodClaim { claim, .. } in &pod.claims {
            if let Some(info) = self.claims.get_mut(&(claim.namespace.clone(), claim.name.clone())) {
                info.prepared = true;
            }
        }
    }

    /// Takes a pod out, and says whom to call for which of its claims: those that no other pod has.
    pub fn begin_unprepare(&mut self, pod: &str) -> Batches {
        let mut batches = Batches::new();
        for info in self.claims.values_mut().filter(|info| info.pods.contains_key(pod)) {
            if info.pods.len() > 1 {
                info.pods.remove(pod);
                continue;
            }
            info.unpreparing = true;
            let claim = Claim {
                namespace: info.namespace.clone(),
                uid: info.uid.clone(),
                name: info.claim_name.clone(),
            };
            for driver in info.driver_state.keys() {
                batches.entry(driver.clone()).or_default().push(claim.clone());
            }
        }
        batches
    }

    /// Looks at a driver's answer for its batch.
    ///
    /// # Errors
    ///
    /// The answer is an error, or is not about the claims that were asked for.
    pub fn check_unprepared(batch: &[Claim], answer: UnprepareResponse) -> Result<(), PodError> {
        let answered = answer.claims.len();
        for (uid, unprepared) in answer.claims.into_iter().collect::<BTreeMap<_, _>>() {
            if !batch.iter().any(|claim| claim.uid == uid) {
                return Err(PodError::UnknownClaim(uid));
            }
            if !unprepared.error.is_empty() {
                return Err(PodError::Claim(unprepared.error));
            }
        }
        match batch.len().saturating_sub(answered) {
            0 => Ok(()),
            missing => Err(PodError::Skipped(missing)),
        }
    }

    /// Every driver has answered: the claims that only this pod had are forgotten.
    pub fn finish_unprepare(&mut self, pod: &str) {
        self.claims.retain(|_, info| !info.pods.contains_key(pod));
    }

    /// Forgets claims, whatever pods have them.
    pub fn forget(&mut self, claims: &[Claim]) {
        self.claims.retain(|_, info| !claims.iter().any(|claim| claim.uid == info.uid));
    }

    /// UIDs of the pods that have claims here.
    pub fn pods(&self) -> BTreeSet<String> {
        self.claims.values().flat_map(|info| info.pods.keys().cloned()).collect()
    }

    /// UIDs of the pods that have one of `devices` (pool and name) of a driver.
    pub fn pods_with(&self, driver: &str, devices: &BTreeSet<(String, String)>) -> BTreeSet<String> {
        let has = |info: &&ClaimInfo| {
            let of_driver = info.driver_state.get(driver).and_then(|state| state.devices.as_ref());
            of_driver
                .into_iter()
                .flatten()
                .any(|device| devices.contains(&(device.pool_name.clone(), device.device_name.clone())))
        };
        self.claims.values().filter(has).flat_map(|info| info.pods.keys().cloned()).collect()
    }

    /// Number of claims with devices of a driver: the metric `dra_resource_claims_in_use`.
    pub fn claims_in_use(&self, driver: &str) -> usize {
        self.claims.values().filter(|info| info.driver_state.contains_key(driver)).count()
    }

    /// Whether the kubelet takes a claim for prepared.
    pub fn is_prepared(&self, uid: &str) -> bool {
        self.claims.values().any(|info| info.uid == uid && info.prepared)
    }

    /// Devices of a claim, in the order of drivers and then of their answers.
    pub fn devices(&self, uid: &str) -> Vec<CachedDevice> {
        let infos = self.claims.values().filter(|info| info.uid == uid);
        let states = infos.flat_map(|info| &info.driver_state);
        states
            .flat_map(|(driver, state)| {
                state.devices.iter().flatten().map(move |device| CachedDevice {
                    driver: driver.clone(),
                    device: Device {
                        request_names: device.request_names.clone().unwrap_or_default(),
                        pool_name: device.pool_name.clone(),
                        device_name: device.device_name.clone(),
                        cdi_device_ids: device.cdi_device_ids.clone().unwrap_or_default(),
                        share_id: device.share_id.clone(),
                    },
                })
            })
            .collect()
    }

    /// The distinct CDI names for a container with a claim, or with one `request` of it; in the cache's order.
    pub fn cdi_devices(&self, uid: &str, request: Option<&str>) -> Vec<String> {
        let mut names = Vec::new();
        for CachedDevice { device, .. } in self.devices(uid) {
            let requests = &device.request_names;
            if request.is_some_and(|name| !requests.is_empty() && !requests.iter().any(|one| one == name)) {
                continue;
            }
            for name in device.cdi_device_ids {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }
}

/// CRC-32 as Ethernet has it: the checksum of a checkpoint's data.
pub fn crc32(octets: &[u8]) -> u32 {
    !octets.iter().fold(!0, |state, octet| {
        (0..8).fold(state ^ u32::from(*octet), |state, _| {
            if state & 1 == 1 { (state >> 1) ^ 0xedb8_8320 } else { state >> 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::messages::{PreparedClaim, UnpreparedClaim};

    const DRIVER: &str = "gpu.example.com";

    fn answer(claims: &[(&str, &str)]) -> PrepareResponse {
        let device = |name: &str| Device {
            pool_name: "node-1".to_owned(),
            device_name: name.to_owned(),
            cdi_device_ids: vec![format!("vendor.com/claim={name}")],
            ..Device::default()
        };
        let prepared = |name: &str| PreparedClaim { devices: vec![device(name)], error: String::new() };
        PrepareResponse {
            claims: claims.iter().map(|(uid, name)| ((*uid).to_owned(), prepared(name))).collect(),
        }
    }

    fn prepare(cache: &mut ClaimCache, pod: &Pod, device: &str) {
        for (driver, batch) in cache.begin_prepare(pod).expect("no obstacle") {
            let answers: Vec<_> = batch.iter().map(|claim| (claim.uid.as_str(), device)).collect();
            cache.take_answer(&driver, &batch, answer(&answers)).expect("a good answer");
        }
        cache.finish_prepare(pod);
    }

    /// A driver that answers otherwise after a restart leaves both answers up to 1.36.
    #[test]
    fn a_second_answer_is_appended_up_to_1_36() {
        for release in Release::ALL {
            let pod = Pod::new("pod").with_claim(&Claim::new("a", "0a"), &[DRIVER]);
            let mut cache = ClaimCache::new(release);
            prepare(&mut cache, &pod, "gpu-0");
            prepare(&mut cache, &pod, "gpu-1");
            assert_eq!(cache.cdi_devices("0a", None), ["vendor.com/claim=gpu-0"], "it was not asked again");
            let mut cache = ClaimCache::restore(release, &cache.checkpoint()).expect("a checkpoint");
            assert!(!cache.is_prepared("0a"));
            prepare(&mut cache, &pod, "gpu-1");
            let expected = if release.appends_answers() { 2 } else { 1 };
            assert_eq!(cache.cdi_devices("0a", None).len(), expected, "{release:?}");
        }
    }

    #[test]
    fn only_the_last_pod_of_a_claim_unprepares_it() {
        let claim = Claim::new("a", "0a");
        let mut cache = ClaimCache::new(Release::V1_36);
        for pod in ["one", "other"] {
            prepare(&mut cache, &Pod::new(pod).with_claim(&claim, &[DRIVER]), "gpu-0");
        }
        assert_eq!(cache.begin_unprepare("one"), Batches::new());
        cache.finish_unprepare("one");
        let batches = cache.begin_unprepare("other");
        assert_eq!(batches, Batches::from([(DRIVER.to_owned(), vec![claim.clone()])]));
        assert_eq!(cache.claims_in_use(DRIVER), 1);
        cache.finish_unprepare("other");
        assert_eq!((cache.claims_in_use(DRIVER), cache.pods().len()), (0, 0));
    }

    #[test]
    fn a_claim_that_has_the_name_of_an_old_one_waits() {
        let mut cache = ClaimCache::new(Release::V1_36);
        prepare(&mut cache, &Pod::new("one").with_claim(&Claim::new("a", "0a"), &[DRIVER]), "gpu-0");
        let error = cache.begin_prepare(&Pod::new("two").with_claim(&Claim::new("a", "0b"), &[DRIVER]));
        assert_eq!(error, Err(PodError::OldClaim { name: "a".to_owned(), uid: "0a".to_owned() }));
    }

    #[test]
    fn a_claim_that_is_being_unprepared_takes_no_new_pod_since_1_37() {
        let claim = Claim::new("a", "0a");
        for release in Release::ALL {
            let mut cache = ClaimCache::new(release);
            prepare(&mut cache, &Pod::new("one").with_claim(&claim, &[DRIVER]), "gpu-0");
            cache.begin_unprepare("one");
            let result = cache.begin_prepare(&Pod::new("two").with_claim(&claim, &[DRIVER]));
            assert_eq!(result.is_err(), release >= Release::V1_37, "{release:?}");
        }
    }

    #[test]
    fn answers_about_other_claims_are_refused() {
        let batch = [Claim::new("a", "0a"), Claim::new("b", "0b")];
        let mut cache = ClaimCache::new(Release::V1_36);
        let few = cache.take_answer(DRIVER, &batch, answer(&[("0a", "gpu-0")]));
        assert_eq!(few, Err(PodError::Skipped(1)));
        let foreign = cache.take_answer(DRIVER, &batch, answer(&[("0a", "gpu-0"), ("0c", "gpu-1")]));
        assert_eq!(foreign, Err(PodError::UnknownClaim("0c".to_owned())));
        let failed = UnpreparedClaim { error: "busy".to_owned() };
        let answer = UnprepareResponse { claims: [("0a".to_owned(), failed)].into() };
        let failed = ClaimCache::check_unprepared(&batch, answer);
        assert_eq!(failed, Err(PodError::Claim("busy".to_owned())));
    }

    proptest! {
        /// A restarted kubelet has what the one before it had, but for what it had prepared.
        #[test]
        fn a_checkpoint_has_every_answer(
            claims in prop::collection::btree_map("[a-z]{1,3}", ("[0-9a-f]{1,4}", "\\PC{0,9}"), 0..5),
            share in prop::option::of("[a-z]{0,3}"),
        ) {
            let mut cache = ClaimCache::new(Release::V1_37);
            let pod = claims.iter().fold(Pod::new("pod"), |pod, (name, (uid, _))| {
                pod.with_claim(&Claim::new(name, &format!("{name}-{uid}")), &[DRIVER])
            });
            for (driver, batch) in cache.begin_prepare(&pod).expect("no obstacle") {
                let devices = |claim: &Claim| Device {
                    device_name: claims[&claim.name].1.clone(),
                    share_id: share.clone(),
                    ..Device::default()
                };
                let prepared = |claim: &Claim| PreparedClaim { devices: vec![devices(claim)], error: String::new() };
                let answer = batch.iter().map(|claim| (claim.uid.clone(), prepared(claim))).collect();
                cache.take_answer(&driver, &batch, PrepareResponse { claims: answer }).expect("a good answer");
            }
            cache.finish_prepare(&pod);
            let restored = ClaimCache::restore(Release::V1_37, &cache.checkpoint()).expect("a checkpoint");
            cache.restart();
            prop_assert_eq!(restored, cache);
        }
    }

    #[test]
    fn a_damaged_checkpoint_is_refused() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let mut cache = ClaimCache::new(Release::V1_36);
        prepare(&mut cache, &Pod::new("one").with_claim(&Claim::new("a", "0a"), &[DRIVER]), "gpu-0");
        let content = cache.checkpoint();
        let damaged = content.replace("gpu-0", "gpu-1");
        assert!(matches!(ClaimCache::restore(Release::V1_36, &damaged), Err(CheckpointError::Corrupt)));
        let cut = ClaimCache::restore(Release::V1_36, &content[..content.len() / 2]);
        assert!(matches!(cut, Err(CheckpointError::Unreadable(_))));
    }
}
