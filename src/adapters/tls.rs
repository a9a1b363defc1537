//! Which certificates of a peer are accepted, and the verifier for pinned certificates.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use sha2::{Digest, Sha256};
use url::Url;

/// Which certificates of a peer are accepted.
#[derive(Clone, Debug, Default)]
pub enum TlsVerify {
    /// A chain to an authority that the machine trusts, and a matching name.
    #[default]
    SystemRoots,
    /// A chain to one of these authorities (PEM text) and no other, and a matching name. The authority of a cluster
    /// covers all its nodes and survives the yearly renewal of their certificates.
    Authority(String),
    /// A certificate with one of these fingerprints, whatever name it has. A set, so that the next certificate can be
    /// listed before it replaces the current one.
    Fingerprints(BTreeSet<Fingerprint>),
    /// Any certificate. For test installations only.
    Off,
    /// None: the peer uses plain HTTP, so the authorities of the machine need not be loaded.
    Plain,
}

impl TlsVerify {
    /// This value, or [`TlsVerify::Plain`] when `base` is a plain HTTP address.
    pub fn for_address(self, base: &Url) -> Self {
        if base.scheme() == "http" { Self::Plain } else { self }
    }
}

/// The SHA-256 of a certificate, written as in `pvenode cert info`: upper-case hexadecimal bytes joined by colons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// The text is not a fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a SHA-256 fingerprint: 32 hexadecimal bytes, with or without colons")]
pub struct FingerprintError(String);

impl Fingerprint {
    /// The fingerprint of a certificate in DER form.
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim().replace(':', ""), &mut bytes)
            .map_err(|_| FingerprintError(text.chars().take(128).collect()))?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            let colon = if position == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A client configuration that accepts certificates by fingerprint only.
pub(super) fn pinned(accepted: BTreeSet<Fingerprint>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { accepted, provider }))
        .with_no_client_auth();
    Ok(config)
}

#[derive(Debug)]
struct Pinned {
    accepted: BTreeSet<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let met = Fingerprint::of(certificate);
        if self.accepted.contains(&met) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General(format!("the certificate is not a pinned one, its fingerprint is {met}")))
        }
    }

    // The fingerprint identifies the certificate; only the signature checks prove that the peer has its key.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_as_it_prints() {
        let print = Fingerprint::of(b"certificate");
        assert_eq!(print.to_string().len(), 95);
        assert_eq!(print.to_string().parse::<Fingerprint>(), Ok(print));
        assert_eq!(print.to_string().replace(':', "").to_lowercase().parse::<Fingerprint>(), Ok(print));
        for wrong in ["", "AA:BB", "zz"] {
            assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_a_pinned_certificate_passes() {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let judge = Pinned { accepted: BTreeSet::from([Fingerprint::of(b"ours")]), provider };
        let name = ServerName::try_from("any.name").unwrap();
        let verdict = |der: &'static [u8]| {
            judge.verify_server_cert(
                &CertificateDer::from(der),
                &[],
                &name,
                &[],
                UnixTime::since_unix_epoch(std::time::Duration::ZERO),
            )
        };
        assert!(verdict(b"ours").is_ok());
        let refused = verdict(b"theirs").unwrap_err().to_string();
        assert!(refused.contains(&Fingerprint::of(b"theirs").to_string()), "{refused}");
    }
}
