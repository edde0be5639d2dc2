//! Where a kubelet finds sockets and how it connects to them: in the file system, or in memory with virtual time.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    net::UnixStream,
    sync::mpsc,
};

/// Both directions of a connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that is being made.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// A registration socket: its path, and what tells it from another one that had this path before.
pub type Candidates = BTreeMap<PathBuf, u64>;

/// What a kubelet sees of the sockets of a node.
pub trait Sockets: Send + Sync + 'static {
    /// The sockets in the folder of registrations and below, without those whose name begins with a dot.
    fn candidates(&self) -> Candidates;
    /// Connects to a socket.
    fn connect(&self, path: &Path) -> Connecting;
}

/// The sockets of this machine.
#[derive(Clone, Debug)]
pub struct HostSockets {
    registry: PathBuf,
}

impl HostSockets {
    /// Registration sockets in `registry`, usually `/var/lib/kubelet/plugins_registry`. It is looked at every second,
    /// where a kubelet has inotify.
    pub fn new(registry: PathBuf) -> Self {
        Self { registry }
    }
}

fn walk(folder: &Path, found: &mut Candidates) {
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if metadata.is_dir() {
            walk(&entry.path(), found);
        } else if metadata.file_type().is_socket() {
            // An inode may be given again at once; its time of birth is not.
            let born = u64::try_from(metadata.ctime_nsec()).unwrap_or_default();
            found.insert(entry.path(), metadata.ino().rotate_left(32) ^ born);
        }
    }
}

impl Sockets for HostSockets {
    fn candidates(&self) -> Candidates {
        let mut found = Candidates::new();
        walk(&self.registry, &mut found);
        found
    }

    fn connect(&self, path: &Path) -> Connecting {
        let path = path.to_owned();
        Box::pin(async move { Ok(Box::new(UnixStream::connect(path).await?) as Box<dyn Stream>) })
    }
}

/// Pipes with the paths of sockets, for tests in virtual time: a real socket would let the clock run on while its
/// octets are on the way.
#[derive(Clone, Debug)]
pub struct MemorySockets {
    registry: PathBuf,
    bound: Arc<Mutex<Bound>>,
}

#[derive(Debug, Default)]
struct Bound {
    sockets: BTreeMap<PathBuf, Entry>,
    next: u64,
    /// Connections that were ever made, by path.
    connections: BTreeMap<PathBuf, usize>,
}

#[derive(Debug)]
struct Entry {
    identity: u64,
    /// None for a file that nobody listens on.
    listener: Option<mpsc::UnboundedSender<DuplexStream>>,
}

impl MemorySockets {
    /// No sockets yet; those below `registry` will be registrations.
    pub fn new(registry: &Path) -> Self {
        Self { registry: registry.to_owned(), bound: Arc::default() }
    }

    fn bound(&self) -> MutexGuard<'_, Bound> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, path: &Path, listener: Option<mpsc::UnboundedSender<DuplexStream>>) {
        let mut bound = self.bound();
        bound.next += 1;
        let identity = bound.next;
        bound.sockets.insert(path.to_owned(), Entry { identity, listener });
    }

    /// Listens on a path, in the place of whatever had it. Connections arrive at the receiver.
    pub fn bind(&self, path: &Path) -> mpsc::UnboundedReceiver<DuplexStream> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.put(path, Some(sender));
        receiver
    }

    /// A file that is there although nobody listens on it (yet).
    pub fn leave_stale(&self, path: &Path) {
        self.put(path, None);
    }

    /// Removes the file. Connections stay.
    pub fn remove(&self, path: &Path) {
        self.bound().sockets.remove(path);
    }

    /// Number of connections that were ever made to a path.
    pub fn connections(&self, path: &Path) -> usize {
        self.bound().connections.get(path).copied().unwrap_or_default()
    }
}

impl Sockets for MemorySockets {
    fn candidates(&self) -> Candidates {
        let hidden = |path: &Path| {
            let below = path.strip_prefix(&self.registry).unwrap_or(Path::new("."));
            below.iter().any(|part| part.to_string_lossy().starts_with('.'))
        };
        let bound = self.bound();
        let visible = bound.sockets.iter().filter(|(path, _)| !hidden(path));
        visible.map(|(path, entry)| (path.clone(), entry.identity)).collect()
    }

    fn connect(&self, path: &Path) -> Connecting {
        let mut bound = self.bound();
        let connected = match bound.sockets.get(path) {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(entry) => {
                let (ours, theirs) = tokio::io::duplex(64 * 1024);
                let sent = entry.listener.as_ref().is_some_and(|listener| listener.send(theirs).is_ok());
                sent.then_some(ours).ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
            }
        };
        if connected.is_ok() {
            *bound.connections.entry(path.to_owned()).or_default() += 1;
        }
        Box::pin(std::future::ready(connected.map(|stream| Box::new(stream) as Box<dyn Stream>)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_found_in_folders_and_other_files_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("below")).expect("a folder");
        std::fs::write(at("file.sock"), "").expect("a file");
        let sockets = HostSockets::new(folder.path().to_owned());
        let mut listeners = Vec::new();
        for name in ["one.sock", "below/two.sock", ".hidden.sock"] {
            listeners.push(std::os::unix::net::UnixListener::bind(at(name)).expect("a socket"));
        }
        let found = sockets.candidates();
        assert_eq!(found.keys().cloned().collect::<Vec<_>>(), [at("below/two.sock"), at("one.sock")]);
        std::fs::remove_file(at("one.sock")).expect("the file");
        listeners.push(std::os::unix::net::UnixListener::bind(at("one.sock")).expect("a socket"));
        assert_ne!(sockets.candidates()[&at("one.sock")], found[&at("one.sock")], "another socket");
    }

    #[tokio::test]
    async fn pipes_are_refused_as_sockets_are() {
        let registry = Path::new("/registry");
        let sockets = MemorySockets::new(registry);
        let path = registry.join("a.sock");
        let error = |result: io::Result<Box<dyn Stream>>| result.err().map(|error| error.kind());
        assert_eq!(error(sockets.connect(&path).await), Some(io::ErrorKind::NotFound));
        sockets.leave_stale(&path);
        assert_eq!(error(sockets.connect(&path).await), Some(io::ErrorKind::ConnectionRefused));
        let listener = sockets.bind(&path);
        assert_eq!(error(sockets.connect(&path).await), None);
        drop(listener);
        assert_eq!(error(sockets.connect(&path).await), Some(io::ErrorKind::ConnectionRefused));
        assert_eq!(sockets.connections(&path), 1);
        drop(sockets.bind(Path::new("/plugins/a/dra.sock")));
        assert_eq!(sockets.candidates().into_keys().collect::<Vec<_>>(), [path]);
    }
}
