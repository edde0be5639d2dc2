//! What the kubelet talks to: two Unix sockets with gRPC services, and nothing else.
//!
//! Order at start: bind and serve the data socket ([`NodeServer`]), then bind the registration socket and start the
//! [`Registrar`]; the kubelet may call within milliseconds. At stop: [`Stop::stop`] and the end of
//! [`NodeServer::serve`] first, [`Registrar::stop`] last.
//!
//! Only this module and what is below it know protobuf.

mod connections;
pub mod health;
mod messages;
mod plugin;
pub(crate) mod probe;
mod registration;
mod rpc;
mod server;
pub(crate) mod service;
pub mod sockets;
mod tasks;
pub mod transport;

pub use plugin::{ClaimReference, Failure, NodePlugin, PreparedDevice};
pub use registration::{Identity, Registrar, RegistrationState};
pub use server::{NodeServer, Stop};
