//! The admission webhook: refuses claims, claim templates and device classes whose configuration for this driver the
//! driver would refuse, before a pod waits for them.
//!
//! It is early advice and no more: the driver checks the same again, with the same code, when it prepares a claim.

mod review;
mod serve;
mod tls;

pub use review::review;
pub use serve::{WebhookError, WebhookSettings, serve};
pub use tls::{CertificateFiles, TlsError};
