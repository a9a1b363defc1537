//! The current value of a secret that may be replaced in its file at run time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;

use crate::kernel::{Secret, StoredSecret};

/// The largest file that is read.
const MAX_BYTES: u64 = 64 << 10;
/// The longest time that reading it may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// A secret and its file. The users of the secret decide when the file is read again.
#[derive(Debug)]
pub(super) struct HeldSecret {
    stored: StoredSecret,
    current: Mutex<Secret>,
}

impl HeldSecret {
    /// The secret of `stored`.
    pub(super) fn new(stored: StoredSecret) -> Self {
        Self { current: Mutex::new(stored.secret().clone()), stored }
    }

    /// The current value.
    pub(super) fn current(&self) -> Secret {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the value.
    pub(super) fn replace(&self, secret: Secret) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = secret;
    }

    /// The secret that its file contains now; `None` when it has no file. The error says why the file cannot be used.
    pub(super) async fn in_file(&self) -> Result<Option<Secret>, String> {
        let Some(file) = self.stored.file() else { return Ok(None) };
        let reading = async {
            let mut text = String::new();
            tokio::fs::File::open(file).await?.take(MAX_BYTES).read_to_string(&mut text).await?;
            Ok::<_, std::io::Error>(text)
        };
        let name = file.display();
        let text = match tokio::time::timeout(DEADLINE, reading).await {
            Ok(Ok(text)) => text,
            Ok(Err(error)) => return Err(format!("its file {name} cannot be read: {error}")),
            Err(_) => return Err(format!("its file {name} cannot be read within {} s", DEADLINE.as_secs())),
        };
        let secret = self.stored.read(&text);
        secret.map(Some).ok_or_else(|| format!("its file {name} does not contain a usable secret"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reading_the_file_does_not_change_the_value() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let fixed = HeldSecret::new(Secret::new("first").into());
        assert!(fixed.in_file().await.unwrap().is_none());
        let held = HeldSecret::new(StoredSecret::in_file(Secret::new("first"), &file).after("id="));
        assert!(held.in_file().await.unwrap_err().contains("cannot be read"));
        for unusable in ["\n", "one\ntwo\n"] {
            std::fs::write(&file, unusable).unwrap();
            assert!(held.in_file().await.unwrap_err().contains("usable"));
        }
        std::fs::write(&file, "second\n").unwrap();
        let read = held.in_file().await.unwrap().unwrap();
        assert_eq!((read.expose(), held.current().expose()), ("id=second", "id=first"));
        held.replace(read);
        assert_eq!(held.current().expose(), "id=second");
    }
}
