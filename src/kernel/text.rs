//! Text from outside that is stored, logged and shown.

/// Replaces what a database, a terminal or a page cannot take as text by U+FFFD, and cuts it to `most` characters. Line breaks
/// and tabs stay.
pub fn clean(text: &str, most: usize) -> String {
    text.chars().take(most).map(|letter| if is_text(letter) { letter } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// Whether [`clean`] would return `text` as it is.
pub fn is_clean(text: &str, most: usize) -> bool {
    text.chars().all(is_text) && (text.len() <= most || text.chars().nth(most).is_none())
}

/// Whether a character shows as itself: it is no control character, and does not change the direction of what follows.
fn is_text(letter: char) -> bool {
    match letter {
        '\n' | '\r' | '\t' => true,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        other => !other.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_replaced_and_the_rest_stays() {
        let dirty = "no\0 space\u{1b}[2J \u{202e}left\nsecond line\t\u{e9}\u{1f600}";
        let expected = "no\u{fffd} space\u{fffd}[2J \u{fffd}left\nsecond line\t\u{e9}\u{1f600}";
        assert_eq!(clean(dirty, 100), expected);
        assert_eq!(clean(dirty, 3), "no\u{fffd}");
        assert!(!is_clean(dirty, 100));
        assert!(is_clean(expected, 100));
        assert!(!is_clean(expected, 3));
        assert!(is_clean("\u{e9}\u{e9}\u{e9}", 3));
    }
}
