//! The marks of a container, which name the operation that created it. Pure.
//!
//! An operator may write into the notes of a container, which are its description, so that the nonce is found anywhere in that
//! text; and a tag repeats it for notes that were replaced.

use crate::kernel::OperationId;
use crate::ports::ContainerConfig;

const MARK: &str = "zpack operation=";

/// The description of a container that `operation` creates.
pub fn description(operation: OperationId) -> String {
    format!("{MARK}{operation}")
}

/// The tag of a container that `operation` creates.
pub fn tag(operation: OperationId) -> String {
    operation.to_string()
}

/// The one operation that the marks of a container name; `None` when there is none, or more than one.
pub fn nonce_of(config: &ContainerConfig) -> Option<OperationId> {
    let mut marks = marks(config);
    let first = marks.next()?;
    marks.all(|other| other == first).then_some(first)
}

/// Whether the marks of a container name `operation`.
pub fn names(config: &ContainerConfig, operation: OperationId) -> bool {
    marks(config).any(|mark| mark == operation)
}

fn marks(config: &ContainerConfig) -> impl Iterator<Item = OperationId> {
    let notes = config.description.as_deref().unwrap_or_default();
    let in_notes = notes.split(MARK).skip(1).filter_map(|rest| {
        let id = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').next()?;
        id.parse().ok()
    });
    in_notes.chain(config.tags.iter().filter_map(|tag| tag.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(notes: Option<&str>, tags: &[&str]) -> ContainerConfig {
        ContainerConfig {
            description: notes.map(str::to_owned),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..ContainerConfig::default()
        }
    }

    #[test]
    fn the_nonce_is_found_beside_the_notes_of_an_operator() {
        let (ours, other) = (OperationId::generate(), OperationId::generate());
        let mark = description(ours);
        for notes in [
            mark.clone(),
            format!("{mark}\n"),
            format!("{mark} and more"),
            format!("# customer complains\nask Ada\n\n{mark}\r\nsince May"),
            format!("({mark}), see ticket 7"),
            format!("copied from {}, {mark}", description(other)),
        ] {
            assert!(names(&config(Some(&notes), &[]), ours), "{notes}");
        }
        let tagged = config(Some("ask Ada"), &["game", &tag(ours), "zpack"]);
        assert!(names(&tagged, ours) && !names(&tagged, other));
        assert_eq!(nonce_of(&tagged), Some(ours));
        assert_eq!(nonce_of(&config(Some(&mark), &[&tag(ours)])), Some(ours));
    }

    #[test]
    fn another_or_a_damaged_nonce_is_not_ours() {
        let (ours, other) = (OperationId::generate(), OperationId::generate());
        let mark = description(ours);
        let longer = format!("{mark}0");
        for notes in [None, Some("zpack"), Some(description(other).as_str()), Some(longer.as_str()), Some(&mark[..40])]
        {
            assert!(!names(&config(notes, &["zpack"]), ours), "{notes:?}");
        }
        let two = config(Some(&format!("{mark}\n{}", description(other))), &[]);
        assert_eq!(nonce_of(&two), None, "which one it is cannot be told");
        assert_eq!(nonce_of(&config(None, &[&tag(ours), &tag(other)])), None);
    }
}
