//! The registration service, on a thread and a runtime of its own.
//!
//! The kubelet gives `GetInfo` one second, repeats it every ten seconds, and drops a plugin that fails twice. So the
//! answer is fixed when the service starts, and no work of the plugin can keep it waiting.

use std::{io, thread, time::Duration};

use tokio::sync::{oneshot, watch};
use tonic::{Request, body::Body, transport::Server};

use super::{
    connections::Connections,
    messages::{InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse},
    rpc::{Answer, Methods, Rpc, unary},
    sockets::Socket,
};

/// What the kubelet takes for the version of the service, newest first: it uses the first one it knows.
pub(super) const VERSIONS: [&str; 4] =
    ["v1.DRAPlugin", "v1beta1.DRAPlugin", "v1.DRAResourceHealth", "v1alpha1.DRAResourceHealth"];
const DRA_VERSIONS: usize = 2;

/// What the kubelet said last about the registration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RegistrationState {
    /// Nothing yet.
    #[default]
    Waiting,
    /// The plugin is registered.
    Registered,
    /// The kubelet refused it, for this reason, and will try again.
    Refused(String),
}

/// What the plugin tells the kubelet about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of the driver: a DNS subdomain of at most 63 characters.
    pub driver: String,
    /// Absolute path of the data socket as the kubelet sees it. Empty: the registration socket serves both.
    pub endpoint: String,
    /// Whether the health services are named. They are served in any case.
    pub health: bool,
}

#[derive(Clone)]
pub(super) struct Registration {
    info: PluginInfo,
    state: watch::Sender<RegistrationState>,
}

impl Registration {
    pub(super) fn new(identity: Identity, state: watch::Sender<RegistrationState>) -> Self {
        let versions = if identity.health { &VERSIONS[..] } else { &VERSIONS[..DRA_VERSIONS] };
        let info = PluginInfo {
            kind: "DRAPlugin".to_owned(),
            name: identity.driver,
            endpoint: identity.endpoint,
            supported_versions: versions.iter().map(ToString::to_string).collect(),
        };
        Self { info, state }
    }
}

impl Methods for Registration {
    const SERVICE: &'static str = "pluginregistration.Registration";

    fn call(&self, method: &str, request: http::Request<Body>) -> Option<Answer> {
        match method {
            "GetInfo" => {
                let info = self.info.clone();
                Some(unary(request, move |_: Request<InfoRequest>| std::future::ready(Ok(info.clone()))))
            }
            "NotifyRegistrationStatus" => {
                let state = self.state.clone();
                Some(unary(request, move |request: Request<RegistrationStatus>| {
                    let status = request.into_inner();
                    state.send_replace(if status.plugin_registered {
                        RegistrationState::Registered
                    } else {
                        RegistrationState::Refused(status.error)
                    });
                    std::future::ready(Ok(RegistrationStatusResponse {}))
                }))
            }
            _ => None,
        }
    }
}

/// The running registration service.
#[derive(Debug)]
pub struct Registrar {
    state: watch::Receiver<RegistrationState>,
    stop: watch::Sender<bool>,
    failure: oneshot::Receiver<io::Error>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Registrar {
    /// Serves `identity` on `socket`. The kubelet may call before this returns, so everything that it can ask for
    /// has to be served already.
    ///
    /// # Errors
    ///
    /// No thread or no runtime can be had, or the socket cannot be served.
    pub fn start(identity: Identity, socket: Socket) -> io::Result<Self> {
        let (sender, state) = watch::channel(RegistrationState::default());
        let (stop, mut stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let service = Rpc(Registration::new(identity, sender));
        let (connections, failure) = {
            let _inside = runtime.enter();
            Connections::of(&socket)?
        };
        let thread = thread::Builder::new().name("registration".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let server = Server::builder().add_service(service).serve_with_incoming(connections);
                tokio::select! {
                    _ = server => {}
                    _ = stopped.wait_for(|stopped| *stopped) => {}
                }
                socket.remove();
            });
            runtime.shutdown_timeout(Duration::from_millis(100));
        })?;
        Ok(Self { state, stop, failure, thread: Some(thread) })
    }

    /// What the kubelet said last; the receiver sees every change.
    pub fn state(&self) -> watch::Receiver<RegistrationState> {
        self.state.clone()
    }

    /// Waits until nobody can connect any more although nobody has stopped it, and says why. The socket is gone then, and
    /// the kubelet deregisters the plugin. To be awaited once.
    pub async fn failure(&mut self) -> io::Error {
        let ended = |_| io::Error::other("the thread has ended");
        (&mut self.failure).await.unwrap_or_else(ended)
    }

    /// Takes the socket away, which deregisters the plugin, and ends the thread.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Drop for Registrar {
    fn drop(&mut self) {
        self.end();
    }
}
