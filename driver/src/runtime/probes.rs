//! Whether the driver lives and is ready: what HTTP and gRPC probes ask for.

use std::{io, path::Path, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UnixStream},
    sync::watch,
    time::timeout,
};

use crate::kubelet::{
    RegistrationState,
    probe::{Probe, serve_probes},
    sockets::SocketPaths,
};

/// As long as a kubelet waits for the registration socket.
const PATIENCE: Duration = Duration::from_secs(1);
/// How a client begins HTTP/2: the preface and empty settings.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const SETTINGS: u8 = 4;

/// Whether both sockets answer, through everything that a call of the kubelet goes through before its handler.
pub(super) async fn alive(paths: SocketPaths) -> bool {
    answers(&paths.registration).await && answers(&paths.data).await
}

async fn answers(path: &Path) -> bool {
    let greeted = async {
        let mut stream = UnixStream::connect(path).await?;
        stream.write_all(GREETING).await?;
        let mut frame = [0; 9];
        stream.read_exact(&mut frame).await?;
        Ok::<_, io::Error>(frame[3] == SETTINGS)
    };
    matches!(timeout(PATIENCE, greeted).await, Ok(Ok(true)))
}

/// Serves `grpc.health.v1`: `liveness`, which is also the service without a name, and `readiness`, which is to be
/// registered.
pub(super) async fn serve(
    listener: TcpListener,
    paths: SocketPaths,
    state: watch::Receiver<RegistrationState>,
) {
    let probe: Probe = Arc::new(move |service| match service {
        "" | "liveness" => Some(Box::pin(alive(paths.clone()))),
        "readiness" => {
            let ready = *state.borrow() == RegistrationState::Registered;
            Some(Box::pin(std::future::ready(ready)))
        }
        _ => None,
    });
    // It ends with the driver; there is nobody to tell of an error.
    let _ = serve_probes(listener, probe).await;
}
