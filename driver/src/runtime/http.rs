//! Health and metrics over HTTP: three paths, nothing else.

use std::{future::Future, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Longest request that is read.
const MOST_OCTETS: usize = 8 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves `/healthz`, `/readyz` and `/metrics`.
pub(super) async fn serve<Alive: Future<Output = bool> + Send>(
    listener: TcpListener,
    alive: impl Fn() -> Alive + Clone + Send + 'static,
    ready: impl Fn() -> bool + Clone + Send + 'static,
    metrics: impl Fn() -> String + Clone + Send + 'static,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, for instance.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (alive, ready, metrics) = (alive.clone(), ready.clone(), metrics.clone());
        tokio::spawn(async move {
            // A client that is slow or gone is its own problem.
            let _ = timeout(PATIENCE, answer(stream, alive, ready, metrics)).await;
        });
    }
}

async fn answer<Alive: Future<Output = bool>>(
    mut stream: TcpStream,
    alive: impl Fn() -> Alive,
    ready: impl Fn() -> bool,
    metrics: impl Fn() -> String,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while !request.windows(4).any(|octets| octets == b"\r\n\r\n") {
        let count = stream.read(&mut chunk).await?;
        request.extend(chunk.iter().take(count));
        if count == 0 || request.len() > MOST_OCTETS {
            return Ok(());
        }
    }
    let line = String::from_utf8_lossy(&request);
    let mut words = line.split_ascii_whitespace();
    let (status, body) = match (words.next(), words.next()) {
        (Some("GET" | "HEAD"), Some("/healthz")) if alive().await => ("200 OK", "ok\n".to_owned()),
        (Some("GET" | "HEAD"), Some("/healthz")) => {
            ("503 Service Unavailable", "a socket of the driver does not answer\n".to_owned())
        }
        (Some("GET" | "HEAD"), Some("/readyz")) if ready() => ("200 OK", "ok\n".to_owned()),
        (Some("GET" | "HEAD"), Some("/readyz")) => {
            ("503 Service Unavailable", "the kubelet has not registered the driver\n".to_owned())
        }
        (Some("GET" | "HEAD"), Some("/metrics")) => ("200 OK", metrics()),
        _ => ("404 Not Found", "there are /healthz, /readyz and /metrics\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if !line.starts_with("HEAD") {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}
