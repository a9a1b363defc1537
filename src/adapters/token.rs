//! A token that may be replaced while we run: one that stands in a file is read again when it is refused.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::kernel::{Secret, StoredSecret};

/// The token of a client.
#[derive(Debug)]
pub(super) struct Token {
    current: Mutex<Secret>,
    file: Option<PathBuf>,
}

impl Token {
    /// The token of `stored`.
    pub(super) fn new(stored: StoredSecret) -> Self {
        Self { current: Mutex::new(stored.secret), file: stored.file }
    }

    /// The token to send.
    pub(super) fn current(&self) -> Secret {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// After `refused` was refused: whether there is another one by now. A file that cannot be read holds none.
    pub(super) async fn was_replaced(&self, refused: &Secret) -> bool {
        if !self.current().matches(refused.expose()) {
            return true;
        }
        let Some(file) = &self.file else { return false };
        let text = match tokio::fs::read_to_string(file).await {
            Ok(text) => Secret::new(text.trim()),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "a refused token cannot be read again: {error}");
                return false;
            }
        };
        if text.expose().is_empty() || text.matches(refused.expose()) {
            return false;
        }
        tracing::info!(file = %file.display(), "a refused token was replaced by the one in {}", file.display());
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = text;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_file_with_something_else_replaces_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let first = Secret::new("first");
        let fixed = Token::new(first.clone().into());
        assert!(!fixed.was_replaced(&first).await);
        let token = Token::new(StoredSecret { secret: first.clone(), file: Some(file.clone()) });
        assert!(!token.was_replaced(&first).await, "there is no file");
        for (text, replaced) in [("first\n", false), ("\n", false), ("second\n", true)] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(token.was_replaced(&first).await, replaced, "{text:?}");
        }
        assert_eq!(token.current().expose(), "second");
        assert!(token.was_replaced(&first).await, "who sent the old one meanwhile sends the new one");
    }
}
