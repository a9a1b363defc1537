//! Which certificates the HTTP client accepts, against a real TLS server with a self-signed one.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use zpack::adapters::answer::Answer;
use zpack::adapters::http::{Call, ClientSettings, HttpClient, Method, TransportError};
use zpack::adapters::tls::{Fingerprint, TlsVerify};
use zpack::kernel::Reach;

const CERTIFICATE: &str = include_str!("../data/tls-test-cert.pem");
const KEY: &str = include_str!("../data/tls-test-key.pem");

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap()
}

/// Answers any number of connections; its thread ends with the test process.
fn serve() -> SocketAddr {
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate()], key).unwrap());
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
            let mut request = [0; 4096];
            if stream.read(&mut request).is_ok_and(|length| length > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    address
}

async fn ask(host: &str, tls: TlsVerify) -> Result<Answer, TransportError> {
    let connect_timeout = Duration::from_secs(5);
    let client =
        HttpClient::new(ClientSettings { reach: Reach::Loopback, peer: "test", connect_timeout, keep_idle: None, tls })
            .unwrap();
    let url = format!("https://{host}:{}/", serve().port()).parse().unwrap();
    client.send(Call::new("test", Method::Get, url)).await
}

fn pins(prints: impl IntoIterator<Item = Fingerprint>) -> TlsVerify {
    TlsVerify::Fingerprints(prints.into_iter().collect::<BTreeSet<_>>())
}

#[tokio::test]
async fn a_pinned_certificate_is_accepted_under_any_name() {
    let ours = Fingerprint::of(&certificate());
    let next = Fingerprint::of(b"the certificate of next year");
    for host in ["127.0.0.1", "localhost"] {
        assert_eq!(ask(host, pins([ours, next])).await.unwrap().body, b"ok", "{host}");
    }
}

#[tokio::test]
async fn an_authority_is_accepted_under_the_right_name_only() {
    let authority = || TlsVerify::Authority(CERTIFICATE.to_owned());
    assert!(ask("127.0.0.1", authority()).await.is_ok());
    assert!(matches!(ask("localhost", authority()).await, Err(TransportError::NotSent { .. })));
}

#[tokio::test]
async fn other_certificates_end_the_call_before_anything_is_sent() {
    for tls in [pins([Fingerprint::of(b"another")]), pins([]), TlsVerify::Plain] {
        let error = ask("127.0.0.1", tls).await.unwrap_err();
        assert!(matches!(error, TransportError::NotSent { .. }), "{error}");
    }
    assert!(ask("localhost", TlsVerify::Off).await.is_ok());
}

#[tokio::test]
async fn an_authority_file_without_certificate_is_refused_at_once() {
    for pem in ["", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----"] {
        let settings = ClientSettings {
            reach: Reach::Loopback,
            peer: "test",
            connect_timeout: Duration::from_secs(1),
            keep_idle: None,
            tls: TlsVerify::Authority(pem.to_owned()),
        };
        assert!(HttpClient::new(settings).is_err(), "{pem}");
    }
}
