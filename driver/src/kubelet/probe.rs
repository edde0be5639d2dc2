//! `grpc.health.v1`, which probes of the kubelet and of others ask: whether the driver lives, and whether it is ready.

use std::{future::Future, io, pin::Pin, sync::Arc, time::Duration};

use prost::Message;
use tokio::{net::TcpListener, sync::mpsc, time::sleep};
use tonic::{
    Request, Status,
    body::Body,
    codegen::tokio_stream::wrappers::ReceiverStream,
    transport::{Server, server::TcpIncoming},
};

use super::rpc::{Answer, Methods, Rpc, streaming, unary};

/// Between two looks for those who watch.
const PAUSE: Duration = Duration::from_secs(1);

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;
const SERVICE_UNKNOWN: i32 = 3;

#[derive(Clone, PartialEq, Eq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// Whether a part of the driver serves, by name; none for a name that nobody knows.
pub(crate) type Probe = Arc<dyn Fn(&str) -> Option<Pin<Box<dyn Future<Output = bool> + Send>>> + Send + Sync>;

#[derive(Clone)]
struct Health(Probe);

async fn status(probe: &Probe, service: &str) -> i32 {
    match probe(service) {
        None => SERVICE_UNKNOWN,
        Some(serves) => {
            if serves.await {
                SERVING
            } else {
                NOT_SERVING
            }
        }
    }
}

impl Methods for Health {
    const SERVICE: &'static str = "grpc.health.v1.Health";

    fn call(&self, method: &str, request: http::Request<Body>) -> Option<Answer> {
        let probe = Arc::clone(&self.0);
        match method {
            "Check" => Some(unary(request, move |request: Request<HealthCheckRequest>| {
                let probe = Arc::clone(&probe);
                async move {
                    let service = request.into_inner().service;
                    match status(&probe, &service).await {
                        SERVICE_UNKNOWN => Err(Status::not_found(format!("there is no service `{service}`"))),
                        status => Ok(HealthCheckResponse { status }),
                    }
                }
            })),
            "Watch" => Some(streaming(request, move |request: HealthCheckRequest| {
                let (sender, receiver) = mpsc::channel(1);
                tokio::spawn(watch(Arc::clone(&probe), request.service, sender));
                ReceiverStream::new(receiver)
            })),
            _ => None,
        }
    }
}

/// Tells what is so, and then every change.
async fn watch(probe: Probe, service: String, sender: mpsc::Sender<Result<HealthCheckResponse, Status>>) {
    let mut told = None;
    while !sender.is_closed() {
        let status = status(&probe, &service).await;
        if told != Some(status) && sender.send(Ok(HealthCheckResponse { status })).await.is_err() {
            return;
        }
        told = Some(status);
        tokio::select! {
            () = sleep(PAUSE) => {}
            () = sender.closed() => {}
        }
    }
}

/// Answers probes until it is dropped.
///
/// # Errors
///
/// The listener cannot be served.
pub(crate) async fn serve_probes(listener: TcpListener, probe: Probe) -> io::Result<()> {
    let server = Server::builder().add_service(Rpc(Health(probe)));
    server.serve_with_incoming(TcpIncoming::from(listener)).await.map_err(io::Error::other)
}
