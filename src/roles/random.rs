//! Generated secrets: passwords and tokens.

use rand::RngExt;
use rand::distr::Alphanumeric;

/// `length` letters and digits from a cryptographically secure generator.
pub(super) fn secret_text(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}
