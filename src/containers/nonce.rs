//! The description of a container, which names the operation that created it. Pure.

use crate::kernel::OperationId;

/// The description of a container that `operation` creates.
pub fn description(operation: OperationId) -> String {
    format!("zpack operation={operation}")
}

/// The operation that the description `text` names.
pub fn nonce_of(text: &str) -> Option<OperationId> {
    text.trim_end().strip_prefix("zpack operation=")?.parse().ok()
}

/// Whether `text` is the [`description`] for `operation`.
pub fn is_ours(text: Option<&str>, operation: OperationId) -> bool {
    text.is_some_and(|text| text.trim_end() == description(operation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_nonce_is_ours() {
        let (ours, other) = (OperationId::generate(), OperationId::generate());
        assert!(is_ours(Some(&format!("{}\n", description(ours))), ours));
        assert!(!is_ours(Some(&description(other)), ours));
        assert!(!is_ours(Some(&format!("{} and more", description(ours))), ours));
        assert!(!is_ours(None, ours));
        assert_eq!(nonce_of(&description(ours)), Some(ours));
        assert_eq!(nonce_of(&format!("{} and more", description(ours))), None);
    }
}
