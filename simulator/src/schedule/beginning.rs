//! What plugins find out about a pod before any node is looked at.

use drayage_cluster::objects::Pod;

use super::attempt::Attempt;
use super::claims::PodClaim;
use super::cluster_state::ClusterState;
use super::node::PodNeeds;
use super::placement::PlacementVerdicts;
use super::plan::{DevicePlan, PlanError};
use super::profile::{FilterPlugin, SchedulerProfile};
use super::volumes::VolumePlan;

/// What was found out.
pub(super) struct Beginning {
    pub(super) verdicts: PlacementVerdicts,
    pub(super) volumes: VolumePlan,
    pub(super) plan: DevicePlan,
}

/// Why no node is looked at.
pub(super) enum End {
    /// A plugin refuses all nodes.
    Refused { plugin: &'static str, reason: String },
    /// An error ends the attempt.
    Failed(Box<Attempt>),
}

impl ClusterState {
    /// Asks the plugins of a profile, which has a number, about a pod and its claims.
    pub(super) fn begin_attempt(
        &mut self,
        pod: &Pod,
        pod_claims: &[PodClaim],
        needs: &PodNeeds,
        (number, profile): (usize, &SchedulerProfile),
    ) -> Result<Beginning, End> {
        let uses_devices = profile.filters_by(FilterPlugin::DynamicResources);
        let pod_claims = if uses_devices { pod_claims } else { &[] };
        let verdicts = self
            .placements
            .verdicts(pod, &self.nodes, (number, profile))
            .map_err(|reason| End::Refused { plugin: "NodeAffinity", reason: reason.to_owned() })?;
        let volumes =
            self.volumes.plan(pod, profile).map_err(|(plugin, reason)| End::Refused { plugin, reason })?;
        let plan = DevicePlan::new(
            pod_claims,
            &self.claims,
            &self.devices,
            &needs.amounts,
            &self.names,
            self.classes.as_deref().filter(|_| uses_devices),
        );
        let plan = plan.map_err(|error| match error {
            PlanError::Unschedulable(reason) => End::Refused { plugin: "DynamicResources", reason },
            PlanError::Failed(message) => {
                End::Failed(Box::new(Attempt::failed("invalid-claim", message, None)))
            }
        })?;
        Ok(Beginning { verdicts, volumes, plan })
    }
}
