//! The server's certificate, from files that whoever renews it replaces.

use std::{fs, io, path::PathBuf, sync::Arc};

use tokio_rustls::rustls::{
    self, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// Where certificate and key are, as in a Secret of the type `kubernetes.io/tls` that is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and those between it and the authority, as PEM.
    pub certificate: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
}

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read `{}`: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// A file is no PEM of what it should have.
    #[error("`{}` has no {what}: {error}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// What was found.
        error: rustls::pki_types::pem::Error,
    },
    /// Certificate and key do not belong together, or are of a kind that is not supported.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// Content of both files, to tell whether they have changed.
pub(super) type Content = (Vec<u8>, Vec<u8>);

impl CertificateFiles {
    pub(super) fn read(&self) -> Result<Content, TlsError> {
        let read =
            |path: &PathBuf| fs::read(path).map_err(|error| TlsError::Io { path: path.clone(), error });
        Ok((read(&self.certificate)?, read(&self.key)?))
    }

    /// What a server with this certificate and key needs. Only HTTP/1.1 is spoken.
    pub(super) fn server(&self, (certificate, key): &Content) -> Result<Arc<ServerConfig>, TlsError> {
        let content = |path: &PathBuf, what, error| TlsError::Content { path: path.clone(), what, error };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| content(&self.certificate, "certificate", error))?;
        let key =
            PrivateKeyDer::from_pem_slice(key).map_err(|error| content(&self.key, "private key", error))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}
