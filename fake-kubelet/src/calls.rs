//! The calls that a kubelet makes, with its deadlines.

use crate::{
    messages::{
        Claim, ClaimsRequest, Empty, HealthReport, PluginInfo, PrepareResponse, RegistrationStatus,
        UnprepareResponse,
    },
    release::{CALL_DEADLINE, DraService, GET_INFO_DEADLINE, NOTIFY_DEADLINE},
    wire::{CallError, Connection, Messages},
};

/// Asks who the plugin is.
///
/// # Errors
///
/// See [`CallError`].
pub async fn get_info(registration: &Connection) -> Result<PluginInfo, CallError> {
    registration.ask("/pluginregistration.Registration/GetInfo", &Empty {}, GET_INFO_DEADLINE).await
}

/// Tells the plugin that it is registered, or why it is not.
///
/// # Errors
///
/// See [`CallError`].
pub async fn notify(registration: &Connection, refusal: Option<&str>) -> Result<(), CallError> {
    let error = refusal.unwrap_or_default().to_owned();
    let status = RegistrationStatus { plugin_registered: refusal.is_none(), error };
    let method = "/pluginregistration.Registration/NotifyRegistrationStatus";
    registration.ask::<_, Empty>(method, &status, NOTIFY_DEADLINE).await.map(|_| ())
}

/// One `NodePrepareResources`.
///
/// # Errors
///
/// See [`CallError`].
pub async fn prepare(
    data: &Connection,
    service: DraService,
    claims: &[Claim],
) -> Result<PrepareResponse, CallError> {
    let request = ClaimsRequest { claims: claims.to_vec() };
    data.ask(&format!("{}NodePrepareResources", service.0), &request, CALL_DEADLINE).await
}

/// One `NodeUnprepareResources`.
///
/// # Errors
///
/// See [`CallError`].
pub async fn unprepare(
    data: &Connection,
    service: DraService,
    claims: &[Claim],
) -> Result<UnprepareResponse, CallError> {
    let request = ClaimsRequest { claims: claims.to_vec() };
    data.ask(&format!("{}NodeUnprepareResources", service.0), &request, CALL_DEADLINE).await
}

/// A health stream; see [`crate::release::HEALTH_V1`].
pub async fn watch_health(data: &Connection, method: &str) -> Messages<HealthReport> {
    data.watch(method).await
}
