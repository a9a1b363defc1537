//! Sentences for people out of what the code says (pure): the text of a field error, the message of an operation.

/// Names of fields whose own name is not what a person would call them.
const LABELS: &[(&str, &str)] = &[
    ("ctype", "Kind of server"),
    ("cpuCores", "CPU cores"),
    ("customerId", "Customer"),
    ("email", "Email address"),
    ("identifier", "Email address or username"),
    ("memoryMiB", "Memory"),
    ("serverId", "Server"),
    ("vmid", "Server number"),
];

/// The words that begin what can be said of a field.
const PREDICATES: &[&str] =
    &["appears ", "belongs ", "cannot ", "contradicts ", "does ", "has ", "is ", "may ", "must ", "needs "];

/// `text` as a sentence: it begins with a capital letter and ends with a full stop.
pub fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut characters = text.chars();
    let mut sentence: String = match characters.next() {
        Some(first) if first.is_lowercase() => first.to_uppercase().chain(characters).collect(),
        _ => text.to_owned(),
    };
    if !sentence.is_empty() && !sentence.ends_with(['.', '!', '?', '\u{2026}']) {
        sentence.push('.');
    }
    sentence
}

/// What `message` says of the field at `pointer`, without the pointer.
pub fn about_field(pointer: &str, message: &str) -> String {
    let label = label(pointer);
    if PREDICATES.iter().any(|word| message.starts_with(word)) {
        sentence(&format!("{label} {message}"))
    } else {
        sentence(&format!("{label}: {message}"))
    }
}

/// What a person calls the field at `pointer`: its last name, in words.
fn label(pointer: &str) -> String {
    let steps = pointer.trim_start_matches(['/', '?']).split('/');
    let mut named = steps.filter(|step| !step.is_empty() && !step.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(name) = named.next_back() else { return "The request".to_owned() };
    if let Some((_, label)) = LABELS.iter().find(|(field, _)| *field == name) {
        return (*label).to_owned();
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return format!("\u{201c}{}\u{201d}", name.replace("~1", "/").replace("~0", "~"));
    }
    let mut words = String::with_capacity(name.len() + 4);
    for (index, character) in name.chars().enumerate() {
        match character {
            '_' => words.push(' '),
            _ if index == 0 => words.extend(character.to_uppercase()),
            _ if character.is_uppercase() => {
                words.push(' ');
                words.extend(character.to_lowercase());
            }
            _ => words.push(character),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_called_what_people_call_it() {
        for (pointer, message, expected) in [
            ("/displayName", "must have 1 to 128 characters", "Display name must have 1 to 128 characters."),
            ("/memoryMiB", "is required", "Memory is required."),
            ("/world/seed", "must be a string", "Seed must be a string."),
            ("/d/0/x", "appears more than once", "X appears more than once."),
            ("?limit", "must be a whole number from 1 to 200", "Limit must be a whole number from 1 to 200."),
            ("/a~1b", "is not a field of this request", "\u{201c}a/b\u{201d} is not a field of this request."),
            ("/version", "paper has no version 9", "Version: paper has no version 9."),
            ("/", "is required", "The request is required."),
        ] {
            assert_eq!(about_field(pointer, message), expected);
        }
    }

    #[test]
    fn a_sentence_begins_and_ends_like_one() {
        assert_eq!(sentence(" the disk is full"), "The disk is full.");
        assert_eq!(sentence("Is it on?"), "Is it on?");
        assert_eq!(sentence("5000 is gone."), "5000 is gone.");
        assert_eq!(sentence(""), "");
    }
}
