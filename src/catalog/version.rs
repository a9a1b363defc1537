//! The order of version names: by number, newest first. A total order over any text.

use std::cmp::Ordering;

/// Compares two version names; the newer one is greater.
///
/// Numbered versions (`1.9`, `1.10`, `v2`, `26.1`) are newer than weekly snapshots (`24w14a`), and these are newer than
/// plain names (`latest`). A pre-release (`1.21-rc1`) is older than its release; any other suffix (`1.20.1-47.2.0`) is
/// newer.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (left, right) = (Key::of(a), Key::of(b));
    left.class.cmp(&right.class).then_with(|| left.parts.cmp(&right.parts)).then_with(|| a.cmp(b))
}

/// Sorts newest first and removes repeated names.
pub fn sort_newest_first(versions: &mut Vec<String>) {
    versions.sort_unstable_by(|a, b| compare(b, a));
    versions.dedup();
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Name,
    Weekly,
    Numbered,
}

/// One part of a version name. The order of the variants is the order of versions that differ in this part: `1.21-rc1`
/// < `1.21` < `1.21-hotfix` < `1.21.1`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    PreRelease(PreRelease),
    End,
    Word(String),
    /// Length without leading zeros, then digits: compares numbers of any size.
    Number(usize, String),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PreRelease {
    Snapshot,
    Alpha,
    Beta,
    Pre,
    Candidate,
}

struct Key {
    class: Class,
    parts: Vec<Part>,
}

impl Key {
    fn of(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        let bare = lower.strip_prefix('v').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let bare = bare.unwrap_or(&lower);
        let class = if is_weekly(bare) {
            Class::Weekly
        } else if bare.starts_with(|c: char| c.is_ascii_digit()) {
            Class::Numbered
        } else {
            Class::Name
        };
        Self { class, parts: parts(bare) }
    }
}

/// Whether the name is a weekly snapshot of Minecraft: two digits, `w`, two digits, a letter.
fn is_weekly(text: &str) -> bool {
    match text.as_bytes() {
        [y1, y2, b'w', w1, w2, letter, ..] => {
            [y1, y2, w1, w2].iter().all(|b| b.is_ascii_digit()) && letter.is_ascii_lowercase()
        }
        _ => false,
    }
}

fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let same_kind = |c: char| c.is_ascii_digit() == first.is_ascii_digit() && c.is_alphanumeric();
        let length = if first.is_alphanumeric() {
            rest.find(|c: char| !same_kind(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (token, tail) = rest.split_at(length);
        rest = tail;
        if first.is_ascii_digit() {
            let digits = token.trim_start_matches('0');
            parts.push(Part::Number(digits.len(), digits.to_owned()));
        } else if first.is_alphanumeric() {
            parts.push(word(token));
        }
    }
    parts.push(Part::End);
    parts
}

fn word(token: &str) -> Part {
    let stage = match token {
        "snapshot" | "dev" | "experimental" => PreRelease::Snapshot,
        "alpha" | "a" => PreRelease::Alpha,
        "beta" | "b" => PreRelease::Beta,
        "pre" | "preview" => PreRelease::Pre,
        "rc" => PreRelease::Candidate,
        _ => return Part::Word(token.to_owned()),
    };
    Part::PreRelease(stage)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn newest_first() {
        let newest_first = [
            "26.1.1",
            "26.1",
            "1.21.10",
            "1.21.9",
            "1.21.1",
            "1.21",
            "1.21-rc2",
            "1.21-rc1",
            "1.21-pre4",
            "1.20.6",
            "1.20.1-47.10.0",
            "1.20.1-47.2.0",
            "1.20.1",
            "1.10.2",
            "1.9.4",
            "1.9",
            "24w14a",
            "24w13b",
            "latest",
        ];
        let mut shuffled: Vec<String> = newest_first.iter().rev().map(|&v| v.to_owned()).collect();
        shuffled.push("1.9".to_owned());
        sort_newest_first(&mut shuffled);
        assert_eq!(shuffled, newest_first);
    }

    #[test]
    fn a_leading_v_and_numbers_of_any_size_are_understood() {
        assert_eq!(compare("v2.0", "1.9"), Ordering::Greater);
        assert_eq!(compare("1.99999999999999999999999", "1.100000000000000000000000"), Ordering::Less);
        assert_eq!(compare("1.007", "1.8"), Ordering::Less);
    }

    proptest! {
        #[test]
        fn it_is_a_total_order(a in "[0-9a-zA-Z.v_-]{0,12}", b in "[0-9a-zA-Z.v_-]{0,12}", c in "[0-9a-zA-Z.v_-]{0,12}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            prop_assert_eq!(compare(&a, &b) == Ordering::Equal, a == b);
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                prop_assert!(compare(&a, &c).is_le());
            }
        }

        #[test]
        fn numbers_compare_as_numbers(a in prop::collection::vec(0u64..4000, 1..4), b in prop::collection::vec(0u64..4000, 1..4)) {
            let text = |v: &[u64]| v.iter().map(u64::to_string).collect::<Vec<_>>().join(".");
            prop_assert_eq!(compare(&text(&a), &text(&b)), a.cmp(&b));
        }

        #[test]
        fn any_text_is_survived(a in any::<String>(), b in any::<String>()) {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        }
    }
}
