//! The catalog client against the simulated artifact server, and against answers that must not count as a catalog.

use serde_json::{Value, json};
use zpack::adapters::artifacts::{ArtifactSettings, ArtifactStore};
use zpack::kernel::{Classify, Failure, Reach};
use zpack::ports::{CatalogError, CatalogSource, Fetched};
use zpack::sim::{SimConfig, World};

use super::scripted::{Act, Scripted, answer, unused_address};

fn client(base_url: url::Url) -> ArtifactStore {
    ArtifactStore::new(&ArtifactSettings { reach: Reach::Loopback, base_url }).unwrap()
}

fn document(fetched: Fetched) -> (Value, Option<String>) {
    let Fetched::Document { body, etag } = fetched else { panic!("no document") };
    (serde_json::from_str(&body).unwrap(), etag)
}

#[tokio::test]
async fn an_unchanged_document_is_not_sent_again() {
    let world = World::start(SimConfig::default()).await.unwrap();
    let artifacts = client(world.artifacts_url().parse().unwrap());
    let (games, etag) = document(artifacts.games(None).await.unwrap());
    assert!(games["games"].as_array().is_some_and(|games| !games.is_empty()));
    let (runtimes, _) = document(artifacts.runtimes(None).await.unwrap());
    assert!(runtimes["runtimes"].as_array().is_some_and(|runtimes| !runtimes.is_empty()));

    let etag = etag.expect("the simulated server has entity tags");
    assert_eq!(artifacts.games(Some(&etag)).await.unwrap(), Fetched::Unchanged);
    document(artifacts.games(Some("\"another\"")).await.unwrap());
    world.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_failing_server_is_never_an_empty_catalog() {
    let world = World::start(SimConfig::default()).await.unwrap();
    let artifacts = client(world.artifacts_url().parse().unwrap());
    for fault in [
        json!({ "peer": "artifacts", "when": "before", "action": "status", "status": 500 }),
        json!({ "peer": "artifacts", "when": "before", "action": "reset" }),
        json!({ "peer": "artifacts", "when": "after", "action": "truncate" }),
        json!({ "peer": "artifacts", "when": "after", "action": "html" }),
        json!({ "peer": "artifacts", "when": "before", "action": "timeout" }),
    ] {
        world.core().faults.add(serde_json::from_value(fault.clone()).unwrap()).unwrap();
        let error = artifacts.games(None).await.unwrap_err();
        assert!(matches!(error, CatalogError::Unavailable { .. }), "{fault}: {error}");
        assert_eq!(error.failure(), Failure::Transient);
    }
    document(artifacts.games(None).await.unwrap());
    world.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_oversized_or_binary_document_is_refused() {
    let binary = [answer("200 OK", "ab"), vec![]].concat();
    let binary = [&binary[..binary.len() - 2], &[0xff, 0xfe]].concat();
    for bytes in [answer("200 OK", &" ".repeat((1 << 20) + 1)), binary] {
        let server = Scripted::start(move |_, _| Act::Send(bytes.clone())).await;
        let error = client(server.url()).games(None).await.unwrap_err();
        assert!(matches!(error, CatalogError::Unacceptable { .. }), "{error}");
    }
    let largest = answer("200 OK", &" ".repeat(1 << 20));
    let server = Scripted::start(move |_, _| Act::Send(largest.clone())).await;
    client(server.url()).games(None).await.unwrap();
}

#[tokio::test]
async fn an_unchanged_document_without_a_copy_is_an_error() {
    let server = Scripted::always("304 Not Modified", "").await;
    assert!(client(server.url()).games(None).await.is_err());
    assert_eq!(client(server.url()).games(Some("\"a\"")).await.unwrap(), Fetched::Unchanged);
}

#[tokio::test]
async fn the_address_is_shown_without_credentials() {
    let address = unused_address().await;
    let base = format!("http://reader:s3cret@{address}/tree/").parse().unwrap();
    let error = client(base).runtimes(None).await.unwrap_err();
    let expected = format!("http://{address}/tree/devcontainer/_catalog.json");
    assert!(matches!(&error, CatalogError::Unavailable { url, .. } if *url == expected), "{error}");
    assert!(!format!("{error:?}").contains("s3cret"));
}
