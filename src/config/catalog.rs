//! Where the catalog of games and runtimes is served from.

use std::time::Duration;

use url::Url;

use super::environment::reach;
use super::key::{Key, keys};
use super::parse::base_url;
use super::reader::{Reader, Reported, Settings};
use crate::kernel::Reach;

keys! { "Catalog";
    /// The artifact server, which serves the catalog and the files that agents install.
    ARTIFACT_BASE_URL = Key::required("ARTIFACT_BASE_URL")
        .expects("an http or https URL")
        .example("https://artifacts.example.com/");
    /// The age at which the cached catalog is fetched again.
    CATALOG_REFRESH_SECONDS = Key::default("CATALOG_REFRESH_SECONDS", "60").number(1..=86_400).in_unit(" seconds");
}

/// Where the catalog is served from.
#[derive(Clone, Debug)]
pub struct CatalogConfig {
    /// The artifact server.
    pub base_url: Url,
    /// The age at which a cached copy is fetched again.
    pub refresh: Duration,
    /// Which addresses may be called.
    pub reach: Reach,
}

impl Settings for CatalogConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let base_url = env.get(&ARTIFACT_BASE_URL, base_url);
        let refresh = env.seconds(&CATALOG_REFRESH_SECONDS);
        let reach = reach(env);
        Ok(Self { base_url: base_url?, refresh: refresh?, reach: reach? })
    }
}
