//! What a world keeps over a restart: one JSON file that is replaced as a whole.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::SimError;
use super::network::Network;

/// The content of the state file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedWorld {
    /// The network of the containers.
    pub network: Network,
    /// The token of all agents.
    pub agent_token: String,
    /// The port of each listener, by peer.
    pub ports: BTreeMap<String, u16>,
    /// What each peer keeps, by key.
    pub peers: BTreeMap<String, Value>,
}

/// Where the state is kept.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// The file at `path`; it need not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Reads the state; `None` when there is none yet.
    pub async fn load(&self) -> Result<Option<SavedWorld>, SimError> {
        let path = self.path.clone();
        let bytes = match tokio::fs::read(&self.path).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SimError::ReadState { path, source }),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|source| SimError::DamagedState { path, source })
    }

    /// Replaces the file: a reader gets the old one or the new one, never a part.
    pub async fn store(&self, world: &SavedWorld) -> Result<(), SimError> {
        let failed = |source| SimError::WriteState { path: self.path.clone(), source };
        let bytes = serde_json::to_vec(world).map_err(|error| failed(error.into()))?;
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || replace(&path, &bytes)).await;
        written.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(failed)
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};

    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let temporary = path.with_extension("tmp");
    // The state holds tokens.
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    // One that was left behind keeps its mode.
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_data()?;
    std::fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn state_survives_and_a_torn_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/sim.json");
        let file = StateFile::new(path.clone());
        assert!(file.load().await.unwrap().is_none());
        let world = SavedWorld {
            network: Network([7, 8]),
            agent_token: "t".into(),
            ports: BTreeMap::from([("proxmox".to_owned(), 8006)]),
            peers: BTreeMap::new(),
        };
        file.store(&world).await.unwrap();
        assert_eq!(file.load().await.unwrap().unwrap().network, Network([7, 8]));
        // A file that was left behind open to others does not pass its mode on.
        let temporary = path.with_extension("tmp");
        std::fs::write(&temporary, "").unwrap();
        std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(0o644)).unwrap();
        file.store(&world).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let error = file.load().await.unwrap_err();
        assert!(matches!(error, SimError::DamagedState { .. }), "{error}");
        assert!(error.to_string().contains("sim.json"));
    }
}
