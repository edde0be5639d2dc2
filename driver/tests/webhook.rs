//! The webhook over TLS, with a certificate that is replaced while it runs.

use std::{fs, path::Path, sync::Arc, time::Duration};

use drayage_driver::{
    runtime::{Level, Log},
    webhook::{CertificateFiles, WebhookSettings, serve},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

const PATIENCE: Duration = Duration::from_mins(1);

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)).expect("a fixture")
}

/// A webhook with its certificate in a folder.
struct Webhook {
    folder: tempfile::TempDir,
    address: String,
    messages: mpsc::UnboundedReceiver<String>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Webhook {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let settings = WebhookSettings {
            driver: "gpu.example.com".to_owned(),
            address: "127.0.0.1:0".parse().expect("an address"),
            files: CertificateFiles { certificate: at("tls.crt"), key: at("tls.key") },
            reload: Duration::from_millis(20),
        };
        fs::write(at("tls.crt"), fixture("first.crt")).expect("a file");
        fs::write(at("tls.key"), fixture("first.key")).expect("a file");
        let (sender, mut messages) = mpsc::unbounded_channel();
        let log: Log = Arc::new(move |level: Level, message: &str, fields: &[(&str, &str)]| {
            let fields: Vec<&str> = fields.iter().map(|(_, value)| *value).collect();
            let _ = sender.send(format!("{level:?} {message} {}", fields.join(" ")));
        });
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move { serve(settings, stopped, log).await.expect("a webhook") });
        let first = messages.recv().await.expect("a message");
        let address = first.strip_prefix("Info serving the webhook ").expect("its address").to_owned();
        Self { folder, address, messages, stop, task }
    }

    async fn hears(&mut self, text: &str) {
        let waiting = async { while !self.messages.recv().await.expect("a message").contains(text) {} };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("it never says {text}"));
    }

    /// Sends a request; status line, body, and the certificate that the server has shown.
    async fn ask(&self, head: &str, body: &[u8]) -> (String, String, Vec<u8>) {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(&fixture("authority.crt")).expect("a certificate");
        roots.add(authority).expect("an authority");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(&self.address).await.expect("a connection");
        let name = ServerName::try_from("localhost").expect("a name");
        let mut stream =
            TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake");
        let shown = stream.get_ref().1.peer_certificates().expect("a certificate")[0].to_vec();
        let head = format!(
            "{head} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).await.expect("sent");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        (head.lines().next().unwrap_or_default().to_owned(), body.to_owned(), shown)
    }
}

fn der(name: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(&fixture(name)).expect("a certificate").to_vec()
}

fn review(parameters: &Value) -> Vec<u8> {
    let config = json!([{"opaque": {"driver": "gpu.example.com", "parameters": parameters}}]);
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "42", "kind": {"group": "resource.k8s.io", "version": "v1beta1", "kind": "ResourceClaim"},
            "object": {"spec": {"devices": {"config": config}}},
        },
    })
    .to_string()
    .into_bytes()
}

#[tokio::test]
async fn reviews_are_answered_over_tls() {
    let webhook = Webhook::start().await;
    let sound = json!({"apiVersion": "drayage.dev/v1alpha1", "kind": "DeviceConfig"});
    for (parameters, allowed) in [(sound, true), (json!({"shearing": 1}), false)] {
        let (status, body, _) = webhook.ask("POST /validate?timeout=5s", &review(&parameters)).await;
        assert_eq!(status, "HTTP/1.1 200 OK");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            (&answer["response"]["uid"], &answer["response"]["allowed"]),
            (&json!("42"), &json!(allowed))
        );
    }
    for (head, body, expected) in [
        ("GET /healthz", &b""[..], "HTTP/1.1 200 OK"),
        ("GET /metrics", b"", "HTTP/1.1 404 Not Found"),
        ("POST /validate", b"{", "HTTP/1.1 400 Bad Request"),
        ("POST /validate", b"{}", "HTTP/1.1 400 Bad Request"),
    ] {
        assert_eq!(webhook.ask(head, body).await.0, expected, "{head}");
    }
    // Somebody who speaks no TLS gets nothing, and nobody else waits for him.
    let mut plain = TcpStream::connect(&webhook.address).await.expect("a connection");
    plain.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").await.expect("sent");
    assert_eq!(webhook.ask("GET /healthz", b"").await.0, "HTTP/1.1 200 OK");
    webhook.stop.send_replace(true);
    timeout(PATIENCE, webhook.task).await.expect("it stops").expect("no panic");
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_a_wrong_one_is_not() {
    let mut webhook = Webhook::start().await;
    assert_eq!(webhook.ask("GET /healthz", b"").await.2, der("first.crt"));
    // Half of the change: the key does not belong to the certificate.
    fs::write(webhook.folder.path().join("tls.crt"), fixture("second.crt")).expect("a file");
    webhook.hears("cannot be used").await;
    assert_eq!(webhook.ask("GET /healthz", b"").await.2, der("first.crt"));
    fs::write(webhook.folder.path().join("tls.key"), fixture("second.key")).expect("a file");
    webhook.hears("took a new certificate").await;
    assert_eq!(webhook.ask("GET /healthz", b"").await.2, der("second.crt"));
    fs::write(webhook.folder.path().join("tls.key"), "no key").expect("a file");
    webhook.hears("has no private key").await;
    fs::remove_file(webhook.folder.path().join("tls.key")).expect("removed");
    webhook.hears("cannot read").await;
    assert_eq!(webhook.ask("GET /healthz", b"").await.2, der("second.crt"));
}
