//! HTTP/1.1 over TLS with one question at a time on a connection, and a certificate that may change.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use super::{
    review,
    tls::{CertificateFiles, Content, TlsError},
};
use crate::runtime::{Level, Log};

/// Longest question. The API server takes objects of 3 MiB, and an update has the old one beside the new.
const MOST_OCTETS: usize = 8 * 1024 * 1024;
/// Connections at the same time.
const MOST_CONNECTIONS: usize = 128;
/// For a handshake, and for the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest life of a connection. The API server opens another one.
const CONNECTION: Duration = Duration::from_mins(5);

/// How the webhook runs.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// The driver whose configuration is looked at.
    pub driver: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificate.
    pub files: CertificateFiles,
    /// Between two looks at the certificate's files.
    pub reload: Duration,
}

/// A webhook that cannot run.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The certificate at the start.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address.
    #[error("cannot listen on `{address}`: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        error: io::Error,
    },
}

/// Answers reviews until `stop` is true. A certificate that is replaced is taken without a restart; one that cannot be
/// used is told of, and the one before it stays.
///
/// # Errors
///
/// See [`WebhookError`].
pub async fn serve(
    settings: WebhookSettings,
    mut stop: watch::Receiver<bool>,
    log: Log,
) -> Result<(), WebhookError> {
    let content = settings.files.read()?;
    let (config, current) = watch::channel(settings.files.server(&content)?);
    let address = settings.address;
    let listener =
        TcpListener::bind(address).await.map_err(|error| WebhookError::Listen { address, error })?;
    let address = listener.local_addr().unwrap_or(address);
    log(Level::Info, "serving the webhook", &[("address", &address.to_string())]);
    let driver: Arc<str> = settings.driver.as_str().into();
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    connections.spawn(reload(settings.files, settings.reload, content, config, Arc::clone(&log)));
    loop {
        // The end of a connection makes room in the set.
        while connections.try_join_next().is_some() {}
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    // Out of file descriptors, for instance.
                    sleep(Duration::from_millis(100)).await;
                    continue;
                };
                // Without room it is closed at once, and the API server tries again.
                let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
                let (acceptor, driver) = (TlsAcceptor::from(current.borrow().clone()), Arc::clone(&driver));
                connections.spawn(async move {
                    let _ = timeout(CONNECTION, answer_all(acceptor, stream, driver)).await;
                    drop(place);
                });
            }
            () = async {
                let _ = stop.wait_for(|stop| *stop).await;
            } => break,
        }
    }
    log(Level::Info, "stopped", &[]);
    Ok(())
}

/// Looks at the files for ever, and tells `config` of a certificate that can be used.
async fn reload(
    files: CertificateFiles,
    pause: Duration,
    mut before: Content,
    config: watch::Sender<Arc<ServerConfig>>,
    log: Log,
) {
    let mut trouble = String::new();
    loop {
        sleep(pause).await;
        let read = {
            let files = files.clone();
            tokio::task::spawn_blocking(move || files.read()).await
        };
        let Ok(read) = read else { continue };
        let taken = read.and_then(|content| {
            if content != before {
                config.send_replace(files.server(&content)?);
                before = content;
                log(Level::Info, "took a new certificate", &[]);
            }
            Ok(())
        });
        let message = taken.err().map_or_else(String::new, |error| error.to_string());
        if message != trouble && !message.is_empty() {
            log(Level::Warning, &message, &[]);
        }
        trouble = message;
    }
}

async fn answer_all(acceptor: TlsAcceptor, stream: TcpStream, driver: Arc<str>) {
    // A client that is slow, gone, or does not trust us is its own problem.
    let Ok(Ok(stream)) = timeout(PATIENCE, acceptor.accept(stream)).await else { return };
    let service = service_fn(move |request| {
        let driver = Arc::clone(&driver);
        async move { Ok::<_, Infallible>(answer(&driver, request).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(driver: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, kind, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
        (&Method::POST, "/validate") => {
            match Limited::new(request.into_body(), MOST_OCTETS).collect().await {
                Err(error) => (StatusCode::BAD_REQUEST, "text/plain", format!("{error}\n")),
                Ok(body) => {
                    let question = serde_json::from_slice::<Value>(&body.to_bytes());
                    let answer = question.map_err(|error| error.to_string());
                    match answer.and_then(|question| review(driver, &question)) {
                        Ok(answer) => (StatusCode::OK, "application/json", answer.to_string()),
                        Err(error) => (StatusCode::BAD_REQUEST, "text/plain", format!("{error}\n")),
                    }
                }
            }
        }
        _ => (StatusCode::NOT_FOUND, "text/plain", "there are /healthz and /validate\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
