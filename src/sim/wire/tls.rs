//! The certificate of a listener that speaks TLS.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;

/// A certificate with its key.
#[derive(Clone)]
pub struct Identity {
    fingerprint: String,
    config: Arc<ServerConfig>,
}

impl Identity {
    /// Reads a certificate and its key from PEM text.
    pub fn from_pem(pem: &str) -> io::Result<Self> {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(io::Error::other)?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(io::Error::other)?;
        let bytes = Sha256::digest(&certificate);
        let fingerprint = bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .map_err(io::Error::other)?;
        Ok(Self { fingerprint, config: Arc::new(config) })
    }

    /// The SHA-256 of the certificate as Proxmox shows it: upper-case hexadecimal bytes joined by colons.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.config.clone().into()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}
