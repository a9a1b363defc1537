//! The secrets of a development company: generated once, kept in its directory, shown at every start.

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::data_dir::DataDir;
use crate::roles::random::secret_text;

const FILE: &str = "credentials.json";

/// One account and its password.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Login {
    pub(super) email: String,
    pub(super) password: String,
}

/// The accounts a development company starts with.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Logins {
    pub(super) admin: Login,
    pub(super) demo: Login,
}

/// All secrets, except those of the simulated world, which keeps its own.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Credentials {
    pub(super) api_auth_secret: String,
    pub(super) internal_token: String,
    pub(super) discovery_token: String,
    pub(super) stripe_webhook_secret: String,
    pub(super) redis_password: String,
    pub(super) users: Logins,
}

impl Credentials {
    /// Reads those of `dir`, or generates and keeps new ones. Returns whether they are new.
    pub(super) fn load_or_make(dir: &DataDir) -> anyhow::Result<(Self, bool)> {
        let path = dir.file(FILE);
        match std::fs::read(&path) {
            Ok(bytes) => {
                let kept = serde_json::from_slice(&bytes)
                    .with_context(|| format!("{} is damaged; remove it to get new secrets", path.display()))?;
                Ok((kept, false))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let made = Self::make();
                let text = serde_json::to_string_pretty(&made).context("cannot write the credentials as JSON")?;
                dir.write_private(FILE, &text)?;
                Ok((made, true))
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    fn make() -> Self {
        let login = |name: &str| Login { email: format!("{name}@zpack.local"), password: secret_text(20) };
        Self {
            api_auth_secret: secret_text(48),
            internal_token: secret_text(40),
            discovery_token: secret_text(40),
            stripe_webhook_secret: format!("whsec_{}", secret_text(32)),
            redis_password: secret_text(40),
            users: Logins { admin: login("admin"), demo: login("demo") },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_generated_once() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        let (first, new) = Credentials::load_or_make(&dir).unwrap();
        let (second, again) = Credentials::load_or_make(&dir).unwrap();
        assert!(new && !again);
        assert_eq!(first.users.admin.password, second.users.admin.password);
        assert_ne!(first.internal_token, first.discovery_token);
    }
}
