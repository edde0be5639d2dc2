//! A kubelet over one connection that a test has made itself: without discovery, with the same cache.

use std::{future::Future, time::Duration};

use tokio::time::sleep;

use crate::{
    calls,
    claims::{ClaimCache, Pod, PodError},
    messages::Claim,
    release::{DraService, Release},
    wire::Connection,
};

/// Between two tries to prepare a pod, where a test does not want chance.
pub const PREPARE_RETRY: Duration = Duration::from_secs(75);
/// Between two tries to unprepare a pod, where a test does not want chance.
pub const UNPREPARE_RETRY: Duration = Duration::from_secs(12);

const DRIVER: &str = "driver";

/// The claims of one kubelet, whose pods have one driver.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its release.
    pub release: Release,
    /// The service that it chose.
    pub service: DraService,
    claims: ClaimCache,
}

impl Session {
    /// A kubelet for a plugin that serves `versions`; none if it knows none of them.
    pub fn new(release: Release, versions: &[String]) -> Option<Self> {
        Some(Self { release, service: release.choose(versions)?, claims: ClaimCache::new(release) })
    }

    /// Forgets what is not in the checkpoint.
    pub fn restart(&mut self) {
        self.claims.restart();
    }

    /// The distinct CDI names that a container of this claim would get.
    pub fn cdi_devices(&self, uid: &str) -> Vec<String> {
        self.claims.cdi_devices(uid, None)
    }

    fn pod(claims: &[Claim]) -> Pod {
        let uid = claims.iter().map(|claim| claim.uid.as_str()).collect::<Vec<_>>().join("+");
        claims.iter().fold(Pod::new(&uid), |pod, claim| pod.with_claim(claim, &[DRIVER]))
    }

    /// One try for the sandbox of a pod with these claims: all or nothing.
    ///
    /// # Errors
    ///
    /// See [`PodError`].
    pub async fn prepare_pod(&mut self, data: &Connection, claims: &[Claim]) -> Result<(), PodError> {
        let pod = Self::pod(claims);
        for (driver, batch) in self.claims.begin_prepare(&pod)? {
            let answer = calls::prepare(data, self.service, &batch).await?;
            self.claims.take_answer(&driver, &batch, answer)?;
        }
        self.claims.finish_prepare(&pod);
        Ok(())
    }

    /// One try to unprepare claims, whatever is known of them.
    ///
    /// # Errors
    ///
    /// See [`PodError`].
    pub async fn unprepare_pod(&mut self, data: &Connection, claims: &[Claim]) -> Result<(), PodError> {
        let answer = calls::unprepare(data, self.service, claims).await?;
        ClaimCache::check_unprepared(claims, answer)?;
        self.claims.forget(claims);
        Ok(())
    }
}

/// Tries again as a kubelet does, at most `tries` times; returns the number of failed tries.
pub async fn with_retries<T, E, F>(pause: Duration, tries: usize, mut attempt: impl FnMut() -> F) -> usize
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
