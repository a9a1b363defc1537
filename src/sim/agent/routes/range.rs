//! The `Range` header (RFC 9110, section 14), one range of bytes.

/// What a `Range` header requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Everything: no header, several ranges, or one that cannot be read.
    Whole,
    /// The bytes from `first` up to and including `last`.
    Part {
        /// The first byte.
        first: usize,
        /// The last byte.
        last: usize,
    },
    /// A range outside the content.
    Unsatisfiable,
}

/// Reads `header` for a content of `length` bytes.
pub fn parse(header: Option<&str>, length: usize) -> Range {
    let Some((first, last)) = header.and_then(|text| text.strip_prefix("bytes=")).and_then(|spec| spec.split_once('-'))
    else {
        return Range::Whole;
    };
    match (first.trim(), last.trim()) {
        ("", count) => match count.parse::<usize>() {
            Ok(0) => Range::Unsatisfiable,
            Ok(_) if length == 0 => Range::Unsatisfiable,
            Ok(count) => Range::Part { first: length.saturating_sub(count), last: length - 1 },
            Err(_) => Range::Whole,
        },
        (first, last) => {
            let Ok(first) = first.parse::<usize>() else { return Range::Whole };
            let last = if last.is_empty() { Ok(usize::MAX) } else { last.parse::<usize>() };
            match last {
                Err(_) => Range::Whole,
                Ok(last) if last < first => Range::Whole,
                Ok(_) if first >= length => Range::Unsatisfiable,
                Ok(last) => Range::Part { first, last: last.min(length - 1) },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_honoured_and_nonsense_is_ignored() {
        for (header, expected) in [
            ("bytes=0-3", Range::Part { first: 0, last: 3 }),
            ("bytes=8-", Range::Part { first: 8, last: 9 }),
            ("bytes=-4", Range::Part { first: 6, last: 9 }),
            ("bytes=-99", Range::Part { first: 0, last: 9 }),
            ("bytes=2-99999999999", Range::Part { first: 2, last: 9 }),
            ("bytes=10-", Range::Unsatisfiable),
            ("bytes=-0", Range::Unsatisfiable),
            ("bytes=5-2", Range::Whole),
            ("bytes=0-1,4-5", Range::Whole),
            ("bytes=a-b", Range::Whole),
            ("lines=1-2", Range::Whole),
        ] {
            assert_eq!(parse(Some(header), 10), expected, "{header}");
        }
        assert_eq!(parse(None, 10), Range::Whole);
        assert_eq!(parse(Some("bytes=0-"), 0), Range::Unsatisfiable);
        assert_eq!(parse(Some("bytes=-5"), 0), Range::Unsatisfiable);
    }
}
