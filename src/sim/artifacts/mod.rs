//! The simulated artifact catalog: two static JSON documents and the files they list, over plain HTTP.
//!
//! The documents have the invalid entries of the real ones (docs/contracts/edge.md F): versions unsorted and repeated,
//! a variant without an id, one with an id that is a path, one misspelt, one without versions, unknown keys. The files
//! are small and made up; a file that the catalog does not list is 404.

mod data;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use hyper::Method;
use hyper::header::{ALLOW, CONTENT_LENGTH, ETAG, HeaderValue};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::peer::Peer;
use super::wire::{Reply, ReplyBody, ServerOptions, SimRequest};

/// What can be downloaded.
#[derive(Debug)]
pub struct Catalog {
    files: BTreeSet<String>,
    runtimes: BTreeSet<(String, String)>,
    games_document: Bytes,
    runtimes_document: Bytes,
}

impl Catalog {
    /// The built-in catalog.
    pub fn standard() -> Self {
        let mut files = BTreeSet::new();
        for (game, variants) in data::GAMES {
            for (variant, versions) in *variants {
                let file = data::server_file(game, variant);
                files.extend(versions.iter().map(|version| format!("{game}/{variant}/{version}/{file}")));
            }
        }
        files.extend(data::JAVA.iter().map(|java| format!("java/{java}/OpenJDK{java}.tar.gz")));
        let mut runtimes = BTreeSet::new();
        for (runtime, versions) in data::RUNTIMES {
            for version in *versions {
                runtimes.insert(((*runtime).to_owned(), (*version).to_owned()));
                files.insert(format!("devcontainer/{runtime}/{version}/{runtime}.tar.gz"));
            }
        }
        Self {
            files,
            runtimes,
            games_document: data::games_document().to_string().into(),
            runtimes_document: data::runtimes_document().to_string().into(),
        }
    }

    /// Whether the file at this relative path can be downloaded.
    pub fn holds(&self, path: &str) -> bool {
        self.files.contains(path)
    }

    /// Whether this version of the runtime can be installed.
    pub fn holds_runtime(&self, runtime: &str, version: &str) -> bool {
        self.runtimes.contains(&(runtime.to_owned(), version.to_owned()))
    }

    fn resource(&self, path: &str) -> Option<(&'static str, Bytes)> {
        match path {
            "_catalog.json" => Some(("application/json", self.games_document.clone())),
            "devcontainer/_catalog.json" => Some(("application/json", self.runtimes_document.clone())),
            file if self.holds(file) => {
                Some(("application/octet-stream", format!("simulated artifact {file}\n").into()))
            }
            _ => None,
        }
    }
}

/// The catalog as a peer of the world.
pub struct Artifacts {
    catalog: Arc<Catalog>,
}

impl Artifacts {
    /// A server of `catalog`.
    pub fn new(catalog: Arc<Catalog>) -> Arc<Self> {
        Arc::new(Self { catalog })
    }
}

#[async_trait]
impl Peer for Artifacts {
    fn name(&self) -> &'static str {
        "artifacts"
    }

    fn listener(&self) -> Option<ServerOptions> {
        Some(ServerOptions::new("artifacts"))
    }

    async fn handle(&self, request: SimRequest) -> Reply {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return Reply::text(405, "method not allowed\n").with_header(ALLOW, "GET, HEAD");
        }
        match self.catalog.resource(&request.segments.join("/")) {
            Some((content_type, body)) => file(&request, content_type, body),
            None => Reply::text(404, "404 Not Found\n"),
        }
    }

    fn state(&self) -> Value {
        json!({"files": self.catalog.files.len()})
    }

    fn save(&self) -> Value {
        Value::Null
    }
}

fn file(request: &SimRequest, content_type: &str, body: Bytes) -> Reply {
    let digest = hex::encode(Sha256::digest(&body));
    let etag = format!("\"{}\"", digest.get(..16).unwrap_or_default());
    let known = |tag: &str| tag == "*" || tag.trim_start_matches("W/") == etag;
    if request.header("if-none-match").is_some_and(|tags| tags.split(',').any(|tag| known(tag.trim()))) {
        return Reply::new(304).with_header(ETAG, &etag);
    }
    let length = body.len();
    let mut reply = Reply::new(200).with_body(content_type, body).with_header(ETAG, &etag);
    if request.method == Method::HEAD {
        reply.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        reply.body = ReplyBody::Full(Bytes::new());
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_catalog_lists_can_be_downloaded() {
        let catalog = Catalog::standard();
        for path in [
            "minecraft/paper/1.21.1/server.jar",
            "minecraft/forge/1.12.2/forge-installer.jar",
            "minecraft/neoforge/1.21.1/neoforge-installer.jar",
            "minecraft/fabric/26.1/fabric-server.jar",
            "java/25/OpenJDK25.tar.gz",
        ] {
            assert!(catalog.holds(path), "{path}");
        }
        for path in ["minecraft/paper/9.9/server.jar", "java/12/OpenJDK12.tar.gz", "minecraft/pupur/1.20.1/server.jar"]
        {
            assert!(!catalog.holds(path), "{path}");
        }
        assert!(catalog.holds_runtime("node", "22") && !catalog.holds_runtime("node", "99"));
    }

    #[test]
    fn every_clean_version_in_the_document_is_a_file() {
        let catalog = Catalog::standard();
        let document: Value = serde_json::from_slice(&catalog.games_document).unwrap();
        for (game, variants) in data::GAMES {
            let listed = document["games"].as_array().unwrap().iter().find(|entry| entry["id"] == *game).unwrap();
            for (variant, versions) in *variants {
                let entry =
                    listed["variants"].as_array().unwrap().iter().find(|entry| entry["id"] == *variant).unwrap();
                for version in *versions {
                    assert!(
                        entry["versions"].as_array().unwrap().contains(&json!(version)),
                        "{game} {variant} {version}"
                    );
                }
            }
        }
    }
}
