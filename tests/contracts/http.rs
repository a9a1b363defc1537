//! The HTTP client against misbehaving sockets: what its errors may claim about a request without an answer.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use zpack::adapters::answer::Answer;
use zpack::adapters::http::{Call, ClientSettings, HttpClient, Method, TransportError};
use zpack::adapters::tls::TlsVerify;
use zpack::kernel::{Reach, Secret};

use super::scripted::{Act, Crowded, Scripted, answer, unused_address};

fn client(keep_idle: Option<Duration>) -> HttpClient {
    HttpClient::new(ClientSettings {
        reach: Reach::Loopback,
        peer: "test",
        connect_timeout: Duration::from_millis(300),
        keep_idle,
        tls: TlsVerify::Plain,
    })
    .unwrap()
}

fn kept() -> HttpClient {
    client(Some(Duration::from_secs(3)))
}

async fn post(client: &HttpClient, server: &Scripted) -> Result<Answer, TransportError> {
    client.send(Call::new("test", Method::Post, server.url()).form(vec![("a", "1".to_owned())])).await
}

#[tokio::test]
async fn a_request_without_a_connection_was_certainly_not_sent() {
    let refused = format!("http://{}/", unused_address().await).parse().unwrap();
    let crowded = Crowded::start().await;
    let silent = format!("http://{}/", crowded.address).parse().unwrap();
    for url in [refused, silent] {
        let call = Call::new("test", Method::Post, url).deadline(Duration::from_secs(20));
        let error = kept().send(call).await.unwrap_err();
        assert!(matches!(error, TransportError::NotSent { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_request_with_a_failed_tls_handshake_was_certainly_not_sent() {
    let plain = Scripted::always("200 OK", "{}").await;
    let url = format!("https://{}/", plain.address).parse().unwrap();
    let error = kept().send(Call::new("test", Method::Post, url)).await.unwrap_err();
    assert!(matches!(error, TransportError::NotSent { .. }), "{error}");
    assert!(plain.seen().is_empty());
}

#[tokio::test]
async fn a_sent_request_without_an_answer_has_an_unknown_outcome() {
    for act in [Act::Reset, Act::SendAndClose(Vec::new()), Act::SendAndClose(b"HTTP/1.1 20".to_vec()), Act::Hang] {
        let server = Scripted::start({
            let act = act.clone();
            move |_, _| act.clone()
        })
        .await;
        let call = Call::new("test", Method::Post, server.url()).deadline(Duration::from_millis(500));
        let error = kept().send(call).await.unwrap_err();
        assert!(matches!(error, TransportError::NoAnswer { .. }), "{act:?}: {error}");
        assert_eq!(server.seen().len(), 1, "{act:?}");
    }
}

#[tokio::test]
async fn a_passed_deadline_is_named_in_the_error() {
    let server = Scripted::start(|_, _| Act::Hang).await;
    let call = Call::new("test", Method::Get, server.url()).deadline(Duration::from_millis(100));
    let error = kept().send(call).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer: timed out");
}

#[tokio::test]
async fn an_answer_that_breaks_off_keeps_its_status() {
    let cut = b"HTTP/1.1 500 CT is locked (disk)\r\nContent-Length: 100\r\n\r\n{\"data\":".to_vec();
    let server = Scripted::start(move |_, _| Act::SendAndClose(cut.clone())).await;
    let error = post(&kept(), &server).await.unwrap_err();
    let TransportError::Incomplete { status: 500, reason: Some(reason), too_large: false, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(reason, "CT is locked (disk)");
}

#[tokio::test]
async fn a_kept_connection_that_breaks_is_never_replayed() {
    for act in [Act::Reset, Act::SendAndClose(Vec::new())] {
        let used = Mutex::new(HashSet::new());
        let server = Scripted::start({
            let act = act.clone();
            move |_, seen| {
                let first = used.lock().unwrap().insert(seen.connection);
                if first { Act::Send(answer("200 OK", "{}")) } else { act.clone() }
            }
        })
        .await;
        let client = kept();
        let mut calls = 1;
        let error = loop {
            match post(&client, &server).await {
                Ok(_) => calls += 1,
                Err(error) => break error,
            }
            assert!(calls < 100, "no connection is ever kept");
        };
        assert!(matches!(error, TransportError::NoAnswer { .. }), "{act:?}: {error}");
        assert_eq!(server.seen().len(), calls, "{act:?}");
    }
}

#[tokio::test]
async fn without_kept_connections_every_call_opens_one() {
    let server = Scripted::always("200 OK", "{}").await;
    let client = client(None);
    for _ in 0..3 {
        post(&client, &server).await.unwrap();
    }
    let connections: Vec<usize> = server.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 1, 2]);
}

#[tokio::test]
async fn an_answer_is_bounded_after_decompression() {
    let zeros = base64::engine::general_purpose::STANDARD.decode(include_str!("../data/zeros-1m.gz.base64").trim());
    let zeros = zeros.unwrap();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", zeros.len());
    let packed = [head.into_bytes(), zeros].concat();
    let server = Scripted::start(move |_, _| Act::Send(packed.clone())).await;
    let call = |bound| Call::new("test", Method::Get, server.url()).max_body(bound);
    let error = kept().send(call((1 << 20) - 1)).await.unwrap_err();
    assert!(matches!(error, TransportError::Incomplete { status: 200, too_large: true, .. }), "{error}");
    assert_eq!(kept().send(call(1 << 20)).await.unwrap().body.len(), 1 << 20);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let server = Scripted::start(|_, _| {
        Act::Send(b"HTTP/1.1 308 Permanent Redirect\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n".to_vec())
    })
    .await;
    assert_eq!(post(&kept(), &server).await.unwrap().status, 308);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn bodies_have_a_length_and_are_sent_only_where_needed() {
    let server = Scripted::always("200 OK", "{}").await;
    let client = kept();
    for method in [Method::Get, Method::Delete, Method::Post, Method::Put] {
        client.send(Call::new("test", method, server.url())).await.unwrap();
    }
    let form = vec![("description", "a b+c;ü".to_owned())];
    client.send(Call::new("test", Method::Put, server.url()).form(form)).await.unwrap();
    let seen = server.seen();
    let lengths: Vec<_> = seen.iter().map(|seen| (seen.method.as_str(), seen.header("content-length"))).collect();
    let length = "description=a+b%2Bc%3B%C3%BC".len().to_string();
    let expected = [("GET", None), ("DELETE", None), ("POST", Some("0")), ("PUT", Some("0")), ("PUT", Some(&*length))];
    assert_eq!(lengths, expected);
    assert_eq!(seen[4].body, "description=a+b%2Bc%3B%C3%BC");
    assert!(seen.iter().all(|seen| seen.header("transfer-encoding").is_none() && seen.header("cookie").is_none()));
}

#[tokio::test]
async fn neither_address_nor_credentials_are_in_an_error() {
    let server = Scripted::start(|_, _| Act::Reset).await;
    let away = format!("http://{}/", unused_address().await);
    for base in [server.url().to_string(), away] {
        let url = format!("{base}hook/s3cret?token=s3cret").parse().unwrap();
        let call = Call::new("test", Method::Post, url).authorization(Secret::new("Bearer s3cret"));
        let error = kept().send(call).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }
    let split = Call::new("test", Method::Post, server.url()).authorization(Secret::new("s3cret\r\nx: y"));
    let error = kept().send(split).await.unwrap_err();
    assert!(matches!(error, TransportError::NotSent { .. }));
    assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
}
