//! Where a plugin's sockets are, and whose file they are.
//!
//! The path of a socket has at most 107 octets. Long driver names together with the UID of a pod exceed that, so there
//! are shorter forms with a hash in the place of a name.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use crate::checksum::short_name;

/// Octets that fit into `sun_path` before its end mark.
pub const LONGEST_PATH: usize = 107;

/// A socket that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Even the shortest form is too long for the operating system.
    #[error("socket path `{}` has {} bytes, more than the {LONGEST_PATH} that a socket path can have", .0.display(), .0.as_os_str().len())]
    TooLong(PathBuf),
    /// The kubelet resolves the path on the host, so it has to be absolute.
    #[error("socket path `{}` is not absolute", .0.display())]
    Relative(PathBuf),
    /// Something that is no socket has its place.
    #[error("`{}` exists and is not a socket", .0.display())]
    Occupied(PathBuf),
    /// The operating system refused.
    #[error("cannot listen on `{}`: {error}", .path.display())]
    Io {
        /// Path of the socket.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
}

/// Paths of the two sockets of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketPaths {
    /// Of the DRA and health services.
    pub data: PathBuf,
    /// Of the registration service.
    pub registration: PathBuf,
    /// Whether a hash stands for a name, because the usual path is too long.
    pub shortened: bool,
}

impl SocketPaths {
    /// The paths for `driver` below the kubelet's `plugins` and `plugins_registry` directories. With the UID of the
    /// driver's pod they differ from those of every other instance, so that two can run during a rolling update;
    /// kubelets before 1.33 cannot handle that.
    ///
    /// # Errors
    ///
    /// A directory is relative, or so long that no form fits.
    pub fn new(
        plugins: &Path,
        plugins_registry: &Path,
        driver: &str,
        pod_uid: Option<&str>,
    ) -> Result<Self, SocketError> {
        let (data_forms, registration_forms) = match pod_uid {
            None => (vec!["dra.sock".to_owned()], vec![format!("{driver}-reg.sock")]),
            Some(uid) => {
                let hash = short_name(uid);
                (
                    vec![format!("dra-{uid}.sock"), format!("dra-{hash}.sock"), format!("{hash}.sock")],
                    vec![format!("{driver}-{uid}-reg.sock"), format!("{driver}-{hash}-reg.sock")],
                )
            }
        };
        let nameless = format!("{}-reg.sock", short_name(&format!("{driver}/{}", pod_uid.unwrap_or(""))));
        let (data, data_shortened) = fitting(&plugins.join(driver), data_forms)?;
        let (registration, registration_shortened) =
            fitting(plugins_registry, registration_forms.into_iter().chain([nameless]))?;
        Ok(Self { data, registration, shortened: data_shortened || registration_shortened })
    }
}

/// The first form that fits below `directory`, and whether it is not the first of all.
fn fitting(
    directory: &Path,
    forms: impl IntoIterator<Item = String>,
) -> Result<(PathBuf, bool), SocketError> {
    if !directory.is_absolute() {
        return Err(SocketError::Relative(directory.to_owned()));
    }
    let mut path = directory.to_owned();
    for (number, form) in forms.into_iter().enumerate() {
        path = directory.join(form);
        if path.as_os_str().len() <= LONGEST_PATH {
            return Ok((path, number > 0));
        }
    }
    Err(SocketError::TooLong(path))
}

/// A socket that this process listens on.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    listener: UnixListener,
    /// Device and inode. While the listener is open the inode cannot be given to another file.
    file: (u64, u64),
}

impl Socket {
    /// Listens on `path`, for root alone. A socket that has this path already is replaced: it is a predecessor's, dead
    /// or about to stop.
    ///
    /// # Errors
    ///
    /// See [`SocketError`].
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        if !path.is_absolute() {
            return Err(SocketError::Relative(path.to_owned()));
        }
        if path.as_os_str().len() > LONGEST_PATH {
            return Err(SocketError::TooLong(path.to_owned()));
        }
        let failed = |error| SocketError::Io { path: path.to_owned(), error };
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(path).map_err(failed)?,
            Ok(_) => return Err(SocketError::Occupied(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        // Binds and listens at once: the kubelet may connect within milliseconds.
        let listener = UnixListener::bind(path).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let file = identity(&fs::symlink_metadata(path).map_err(failed)?);
        Ok(Self { path: path.to_owned(), listener, file })
    }

    /// Path of the socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another handle of the listener.
    pub(super) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }

    /// Puts something that accepts nothing in the place of the listener.
    #[cfg(test)]
    pub(crate) fn spoil(&mut self) -> io::Result<()> {
        let (stream, _) = UnixStream::pair()?;
        stream.set_nonblocking(true)?;
        self.listener = std::os::fd::OwnedFd::from(stream).into();
        Ok(())
    }

    /// Removes the file if it is still ours; a successor may have replaced it. True if it was removed.
    pub fn remove(&self) -> bool {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.file);
        ours && fs::remove_file(&self.path).is_ok()
    }
}

fn identity(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Removes sockets in `directory` that nobody listens on, of those whose name `ours` accepts: what a killed
/// predecessor leaves behind, which nobody else cleans up. Returns what was removed.
///
/// # Errors
///
/// The directory cannot be read. That a single file cannot be removed is no error.
pub fn reap_stale(directory: &Path, ours: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut reaped = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if !ours(name) || !found.file_type().is_socket() {
            continue;
        }
        let refused =
            UnixStream::connect(&path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        // A successor may have come in between.
        let same = fs::symlink_metadata(&path).is_ok_and(|again| identity(&again) == identity(&found));
        if refused && same && fs::remove_file(&path).is_ok() {
            reaped.push(path);
        }
    }
    reaped.sort();
    Ok(reaped)
}

/// Whether a name in the kubelet's `plugins_registry` is one that [`SocketPaths`] gives to an instance of `driver` in
/// some pod. The form without the driver's name is not recognised.
pub fn is_registration_of(driver: &str, name: &str) -> bool {
    let middle = name
        .strip_prefix(driver)
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|rest| rest.strip_suffix("-reg.sock"));
    // A UID or its hash; anything else belongs to a driver whose name begins like ours.
    middle.is_some_and(|middle| matches!(middle.len(), 11 | 36) && !middle.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f";

    fn paths(driver: &str, uid: Option<&str>) -> SocketPaths {
        SocketPaths::new(
            Path::new("/var/lib/kubelet/plugins"),
            Path::new("/var/lib/kubelet/plugins_registry"),
            driver,
            uid,
        )
        .expect("paths that fit")
    }

    #[test]
    fn every_driver_name_fits_with_and_without_a_pod_uid() {
        for length in 1..=63 {
            let driver = "d".repeat(length);
            for uid in [None, Some(UID)] {
                let paths = paths(&driver, uid);
                assert!(paths.data.as_os_str().len() <= LONGEST_PATH);
                assert!(paths.registration.as_os_str().len() <= LONGEST_PATH);
                assert_ne!(paths, self::paths(&driver, Some("f1b2c3d4-0a1b-0a1b-0a1b-0a1b2c3d4e5f")));
            }
        }
    }

    #[test]
    fn the_usual_names_where_they_fit() {
        let single = paths("gpu.example.com", None);
        assert_eq!(single.data, Path::new("/var/lib/kubelet/plugins/gpu.example.com/dra.sock"));
        assert_eq!(
            single.registration,
            Path::new("/var/lib/kubelet/plugins_registry/gpu.example.com-reg.sock")
        );
        assert!(!single.shortened);
        assert!(!paths("gpu.example.com", Some(UID)).shortened);
        assert!(paths(&"d".repeat(40), Some(UID)).shortened);
    }

    #[test]
    fn a_kubelet_directory_that_leaves_no_room_is_named() {
        let deep = PathBuf::from(format!("/{}", "x".repeat(100)));
        let error = SocketPaths::new(&deep, &deep, "gpu.example.com", None).expect_err("too long");
        assert!(error.to_string().contains("more than the 107"), "{error}");
        let error = SocketPaths::new(Path::new("plugins"), &deep, "gpu", None).expect_err("relative");
        assert!(error.to_string().contains("not absolute"), "{error}");
    }

    #[test]
    fn shutdown_does_not_unlink_the_successors_socket() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("dra.sock");
        let old = Socket::bind(&path).expect("a socket");
        let new = Socket::bind(&path).expect("a socket in its place");
        assert!(!old.remove());
        assert!(path.exists());
        assert!(new.remove());
        assert!(!path.exists());
        assert!(!new.remove());
    }

    #[test]
    fn what_is_no_socket_is_not_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("dra.sock");
        fs::write(&path, "precious").expect("a file");
        assert!(matches!(Socket::bind(&path), Err(SocketError::Occupied(_))));
        assert_eq!(fs::read(&path).expect("the file"), b"precious");
    }

    #[test]
    fn only_root_may_connect() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = Socket::bind(&folder.path().join("dra.sock")).expect("a socket");
        let mode = fs::metadata(socket.path()).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_reaper_takes_dead_sockets_of_this_driver_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let [dead, foreign] = [at(&format!("gpu-{UID}-reg.sock")), at(&format!("nic-{UID}-reg.sock"))];
        drop(UnixListener::bind(&dead).expect("a socket"));
        drop(UnixListener::bind(&foreign).expect("a socket"));
        let alive = Socket::bind(&at("gpu-AAAAAAAAAAA-reg.sock")).expect("a socket");
        fs::write(at("gpu-BBBBBBBBBBB-reg.sock"), "").expect("a file");
        let reaped = reap_stale(folder.path(), |name| is_registration_of("gpu", name)).expect("a folder");
        assert_eq!(reaped, [dead]);
        assert!(alive.path().exists() && foreign.exists());
    }

    #[test]
    fn registrations_of_drivers_with_a_longer_name_are_not_ours() {
        assert!(is_registration_of("gpu.example.com", &format!("gpu.example.com-{UID}-reg.sock")));
        assert!(!is_registration_of("gpu", "gpu-a.example.com-reg.sock"));
        assert!(!is_registration_of("gpu", "gpu-reg.sock"));
    }
}
