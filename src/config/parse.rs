//! Parsers shared by several sections. An error completes the sentence "NAME is malformed (…)".

use std::fmt::Display;
use std::ops::RangeInclusive;

use url::Url;

/// A whole number within `range`.
pub(super) fn number<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl FnOnce(&str) -> Result<T, String> {
    move |text| {
        let number = text.parse::<u64>().ok().filter(|number| range.contains(number));
        let wrong = || format!("`{}` is not a whole number from {} to {}", clip(text), range.start(), range.end());
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(wrong)
    }
}

/// On or off, in the spellings that systemd accepts.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Ok(true),
        "off" | "false" | "no" | "0" => Ok(false),
        _ => Err(format!("`{}` is neither on nor off", clip(text))),
    }
}

/// A comma-separated list. Empty items are skipped; the first invalid one is reported.
pub(super) fn list<T, E: Display>(text: &str, item: impl Fn(&str) -> Result<T, E>) -> Result<Vec<T>, String> {
    let items = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    items.map(|part| item(part).map_err(|error| error.to_string())).collect()
}

/// The base URL of a service: `http` or `https` with a host, and without credentials, query or fragment.
pub(super) fn base_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    match url.scheme() {
        "http" | "https" if url.has_host() && plain && url.fragment().is_none() => Ok(url),
        "http" | "https" => Err("it has credentials, a query or a fragment".to_owned()),
        other => Err(format!("`{other}` is not http or https")),
    }
}

/// A name made of letters, digits, `-`, `_` and `.`.
pub(super) fn name(text: &str) -> Result<String, String> {
    let fits = text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if fits && !text.is_empty() { Ok(text.to_owned()) } else { Err(format!("`{}` is not a valid name", clip(text))) }
}

/// The beginning of `text`, enough to recognise it.
pub(super) fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_their_bounds_are_refused() {
        assert_eq!(number(1..=9)("9"), Ok(9_u16));
        for text in ["0", "10", "-1", "1.5", "", "five", "99999999999999999999"] {
            assert!(number::<u16>(1..=9)(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_base_url_has_no_credentials_query_or_fragment() {
        assert!(base_url("https://artifacts.example.com/zpack/").is_ok());
        for text in ["ftp://a", "example.com", "http://u:p@a", "http://a/?q", "http://a#f", "https://"] {
            assert!(base_url(text).is_err(), "{text}");
        }
    }
}
