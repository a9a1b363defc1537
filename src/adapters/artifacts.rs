//! The artifact server, from which the two catalog documents are read (docs/contracts/edge.md F).

use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use super::answer::Answer;
use super::http::{Call, ClientError, ClientSettings, HttpClient, Method, TransportError};
use super::tls::TlsVerify;
use crate::kernel::Reach;
use crate::ports::{CatalogError, CatalogSource, Fetched};

const PEER: &str = "artifacts";
const DEADLINE: Duration = Duration::from_secs(3);
const MAX_BODY: usize = 1 << 20;

/// Settings of the catalog client.
#[derive(Clone, Debug)]
pub struct ArtifactSettings {
    /// The root of the artifact tree, for example `http://10.60.0.251:8080`.
    pub base_url: Url,
    /// Which addresses may be called.
    pub reach: Reach,
}

/// The artifact server.
#[derive(Clone, Debug)]
pub struct ArtifactStore {
    client: HttpClient,
    base: Url,
}

impl ArtifactStore {
    /// A client of the artifact server; connects on first use.
    pub fn new(settings: &ArtifactSettings) -> Result<Self, ClientError> {
        let client = HttpClient::new(ClientSettings {
            peer: PEER,
            connect_timeout: DEADLINE / 2,
            keep_idle: None,
            tls: TlsVerify::SystemRoots.for_address(&settings.base_url),
            reach: settings.reach,
        })?;
        Ok(Self { client, base: settings.base_url.clone() })
    }

    async fn fetch(&self, path: &[&str], etag: Option<&str>) -> Result<Fetched, CatalogError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let shown = shown(&url);
        let mut call = Call::new("read the catalog", Method::Get, url).deadline(DEADLINE).max_body(MAX_BODY);
        if let Some(etag) = etag {
            call = call.header("if-none-match", etag);
        }
        match self.client.send(call).await {
            Ok(answer) => read(answer, etag.is_some(), shown),
            Err(TransportError::Incomplete { status, detail, too_large: true, .. }) if (200..300).contains(&status) => {
                Err(CatalogError::Unacceptable { url: shown, detail })
            }
            Err(error) => Err(CatalogError::Unavailable { url: shown, detail: error.to_string() }),
        }
    }
}

fn read(answer: Answer, conditional: bool, url: String) -> Result<Fetched, CatalogError> {
    match answer.status {
        200 => match String::from_utf8(answer.body) {
            Ok(body) => Ok(Fetched::Document { body, etag: answer.etag }),
            Err(_) => Err(CatalogError::Unacceptable { url, detail: "the document is not UTF-8".to_owned() }),
        },
        304 if conditional => Ok(Fetched::Unchanged),
        status => {
            let reason = answer.reason.map(|reason| format!(" {reason}")).unwrap_or_default();
            Err(CatalogError::Unavailable { url, detail: format!("the server answered {status}{reason}") })
        }
    }
}

/// The address without its parts that may be secret.
fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

#[async_trait]
impl CatalogSource for ArtifactStore {
    async fn games(&self, etag: Option<&str>) -> Result<Fetched, CatalogError> {
        self.fetch(&["_catalog.json"], etag).await
    }

    async fn runtimes(&self, etag: Option<&str>) -> Result<Fetched, CatalogError> {
        self.fetch(&["devcontainer", "_catalog.json"], etag).await
    }
}
