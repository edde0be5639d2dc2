//! The data socket: DRA and health services, newest versions first, until they are stopped.

use std::{fmt, io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{Instant, sleep},
};
use tonic::{
    codegen::tokio_stream::Stream,
    transport::{Server, server::Connected},
};

use super::{
    connections::Connections,
    health::{self, HealthReport, ResourceHealth},
    plugin::NodePlugin,
    registration::{Identity, Registration, RegistrationState},
    rpc::Rpc,
    service::{self, DraPlugin},
    sockets::Socket,
    tasks::ClaimTasks,
};

/// The services of a plugin's data socket.
pub struct NodeServer<P> {
    tasks: Arc<ClaimTasks<P>>,
    reports: watch::Receiver<HealthReport>,
    registration: Option<Registration>,
    stop: watch::Sender<bool>,
}

impl<P> fmt::Debug for NodeServer<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NodeServer").finish_non_exhaustive()
    }
}

/// Stops a [`NodeServer`].
#[derive(Clone, Debug)]
pub struct Stop(watch::Sender<bool>);

impl Stop {
    /// Health streams report *unknown* and end, open calls are answered, then [`NodeServer::serve`] returns.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl<P: NodePlugin> NodeServer<P> {
    /// Services that call `plugin` and report what `reports` holds.
    pub fn new(plugin: Arc<P>, reports: watch::Receiver<HealthReport>) -> Self {
        Self {
            tasks: Arc::new(ClaimTasks::new(plugin)),
            reports,
            registration: None,
            stop: watch::Sender::new(false),
        }
    }

    /// Serves the registration on the same socket; the endpoint in `identity` should be empty.
    #[must_use]
    pub fn with_registration(mut self, identity: Identity, state: watch::Sender<RegistrationState>) -> Self {
        self.registration = Some(Registration::new(identity, state));
        self
    }

    /// What stops this server.
    pub fn stop_handle(&self) -> Stop {
        Stop(self.stop.clone())
    }

    /// Serves `socket` until it is stopped, then removes its file. Returns at most `patience` after the stop, with
    /// the number of claims that were still being worked on.
    ///
    /// # Errors
    ///
    /// The socket cannot be served, or not any more: then everything ends as after a stop.
    pub async fn serve(&self, socket: &Socket, patience: Duration) -> io::Result<usize> {
        let (connections, failure) = Connections::of(socket)?;
        let failure = async {
            // It goes with the connections.
            let error = failure.await.ok()?;
            self.stop.send_replace(true);
            Some(error)
        };
        let (result, failure) = tokio::join!(self.serve_connections(connections, patience), failure);
        socket.remove();
        failure.map_or(result, Err)
    }

    /// As [`NodeServer::serve`], over any connections; they need a [`super::transport::AuthorityStream`] when a
    /// kubelet is at the other end.
    pub async fn serve_connections<I, S>(&self, connections: I, patience: Duration) -> io::Result<usize>
    where
        I: Stream<Item = io::Result<S>>,
        S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
        S::ConnectInfo: Clone + Send + Sync + 'static,
    {
        let (tasks, reports) = (&self.tasks, &self.reports);
        let server = Server::builder()
            .add_service(Rpc(DraPlugin::<P, service::V1>::new(Arc::clone(tasks))))
            .add_service(Rpc(DraPlugin::<P, service::V1Beta1>::new(Arc::clone(tasks))))
            .add_service(Rpc(ResourceHealth::<health::V1>::new(reports.clone(), self.stop.subscribe())))
            .add_service(Rpc(ResourceHealth::<health::V1Alpha1>::new(reports.clone(), self.stop.subscribe())))
            .add_optional_service(self.registration.clone().map(Rpc))
            .serve_with_incoming_shutdown(connections, stopped(self.stop.subscribe()));
        let mut deadline = None;
        tokio::select! {
            result = server => result.map_err(io::Error::other)?,
            () = async {
                stopped(self.stop.subscribe()).await;
                deadline = Some(Instant::now() + patience);
                sleep(patience).await;
            } => {}
        }
        // A task whose call was given up still runs.
        let deadline = deadline.unwrap_or_else(|| Instant::now() + patience);
        while tasks.running() > 0 && Instant::now() < deadline {
            sleep(Duration::from_millis(10)).await;
        }
        Ok(tasks.running())
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that nobody is left who could stop us: the server is gone as well.
    let _ = stop.wait_for(|stop| *stop).await;
}
