//! Paths relative to the data root, as text without `.`, `..` and double slashes.

use super::super::problem::{Code, Problem};

const MAX_PATH: usize = 4096;
const MAX_NAME: usize = 255;

/// Reads `text` as a path below the data root; the root itself is the empty string.
pub fn parse(text: &str) -> Result<String, Problem> {
    if text.len() > MAX_PATH || text.contains('\0') {
        return Err(Problem::new(Code::BadPath, "the path is too long or contains NUL"));
    }
    if text.starts_with('/') && text != "/" {
        return Err(Problem::new(Code::BadPath, "the path must be relative to the data root"));
    }
    join("", text)
}

/// Resolves `relative` against the directory `base`.
pub fn join(base: &str, relative: &str) -> Result<String, Problem> {
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or_else(|| Problem::new(Code::BadPath, "the path leaves the data root"))?;
            }
            name if name.len() > MAX_NAME => return Err(Problem::new(Code::BadPath, "a name in the path is too long")),
            name => parts.push(name),
        }
    }
    Ok(parts.join("/"))
}

/// The directory of a path, and its last name.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_leaves_the_root() {
        for bad in ["..", "a/../..", "/etc/passwd", "a\0b", "../../x", "./../x"] {
            assert_eq!(parse(bad).unwrap_err().code, Code::BadPath, "{bad:?}");
        }
        for (text, path) in [("", ""), ("/", ""), (".", ""), ("a//b/", "a/b"), ("a/./b/../c", "a/c"), ("...", "...")] {
            assert_eq!(parse(text).unwrap(), path);
        }
    }

    proptest! {
        #[test]
        fn a_parsed_path_is_plain(text in "[a./\0 ]{0,24}") {
            if let Ok(path) = parse(&text) {
                prop_assert!(path.is_empty() || path.split('/').all(|part| !matches!(part, "" | "." | "..")));
                prop_assert_eq!(parse(&path).unwrap(), path);
            }
        }
    }
}
