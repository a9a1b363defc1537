//! Where the catalog of games and runtimes is served.

use std::time::Duration;

use url::Url;

use super::key::{Key, keys};
use super::parse::base_url;
use super::reader::{Noted, Reader, Settings};

keys! { "Catalog";
    /// The artifact server: what may be provisioned, and the files agents install.
    ARTIFACT_BASE_URL = Key::required("ARTIFACT_BASE_URL")
        .expects("an http or https URL")
        .example("https://artifacts.example.com/");
    /// How old the catalog may be before it is asked for again.
    CATALOG_REFRESH_SECONDS = Key::default("CATALOG_REFRESH_SECONDS", "60").number(1..=86_400).in_unit(" seconds");
}

/// Where the catalog is served.
#[derive(Clone, Debug)]
pub struct CatalogConfig {
    /// The artifact server.
    pub base_url: Url,
    /// How old a copy may be before it is asked for again.
    pub refresh: Duration,
}

impl Settings for CatalogConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Noted> {
        let base_url = env.get(&ARTIFACT_BASE_URL, base_url);
        let refresh = env.seconds(&CATALOG_REFRESH_SECONDS);
        Ok(Self { base_url: base_url?, refresh: refresh? })
    }
}
