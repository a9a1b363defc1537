//! Query parameters and pages: unknown and repeated parameters are refused; `limit` and an opaque `cursor` select a
//! page.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::code::Code;
use super::error::{ApiError, ApiResult, FieldError};

/// The query parameters of a request. Parameters that the route does not declare are refused before its handler runs.
#[derive(Clone, Debug, Default)]
pub struct Query(BTreeMap<String, String>);

impl Query {
    /// Reads a query string; a parameter that appears twice is refused.
    pub fn parse(text: &str) -> ApiResult<Self> {
        let mut parameters = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            let name = name.into_owned();
            if parameters.contains_key(&name) {
                return Err(invalid(&name, "appears more than once"));
            }
            parameters.insert(name, value.into_owned());
        }
        Ok(Self(parameters))
    }

    /// Refuses every parameter that is not among `declared`.
    pub fn refuse_unknown(&self, declared: &[&str]) -> ApiResult<()> {
        let unknown = self.0.keys().filter(|name| !declared.contains(&name.as_str()));
        let errors: Vec<_> = unknown.take(20).map(|name| problem(name, "is not a parameter of this route")).collect();
        if errors.is_empty() { Ok(()) } else { Err(ApiError::with_errors(Code::InvalidQuery, errors)) }
    }

    /// The parameter `name` as a `T`, if it was sent.
    pub fn get<T: FromStr<Err: Display>>(&self, name: &str) -> ApiResult<Option<T>> {
        match self.0.get(name) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|error: T::Err| invalid(name, &error.to_string())),
        }
    }

    /// The parameter `name` as a `T`; it must be present.
    pub fn require<T: FromStr<Err: Display>>(&self, name: &str) -> ApiResult<T> {
        self.get(name)?.ok_or_else(|| invalid(name, "is required"))
    }

    /// The page that `limit` and `cursor` select.
    pub fn page<K: FromStr>(&self) -> ApiResult<Page<K>> {
        let limit = match self.0.get("limit") {
            None => Page::<K>::USUAL,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=Page::<K>::MOST).contains(limit))
                .ok_or_else(|| invalid("limit", &format!("must be a whole number from 1 to {}", Page::<K>::MOST)))?,
        };
        let after = match self.0.get("cursor") {
            None => None,
            Some(text) => Some(
                decode(text)
                    .and_then(|key| key.parse().ok())
                    .ok_or_else(|| invalid("cursor", "must be the `next` of a previous answer"))?,
            ),
        };
        Ok(Page { limit, after })
    }
}

impl FromRequest for Query {
    type Error = ApiError;
    type Future = Ready<ApiResult<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::parse(request.query_string()))
    }
}

/// A part of a list: at most `limit` rows whose key comes after `after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<K> {
    /// The largest number of rows in the answer.
    pub limit: u64,
    /// The key of the last row of the previous page.
    pub after: Option<K>,
}

impl<K> Page<K> {
    /// The largest page.
    pub const MOST: u64 = 200;
    /// The size of a page when `limit` is absent.
    pub const USUAL: u64 = 50;

    /// How many rows to read: one more than the page has, so that [`Page::cut`] knows whether there is a next page.
    pub const fn rows_to_read(&self) -> u64 {
        self.limit + 1
    }

    /// Cuts `rows` to the page and returns the cursor of the next page, made from the last row's `key`.
    pub fn cut<R>(&self, rows: &mut Vec<R>, key: impl FnOnce(&R) -> K) -> Option<String>
    where
        K: Display,
    {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        if rows.len() <= limit {
            return None;
        }
        rows.truncate(limit);
        rows.last().map(|row| URL_SAFE_NO_PAD.encode(key(row).to_string()))
    }
}

fn decode(cursor: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}

fn problem(name: &str, message: &str) -> FieldError {
    let name: String = name.chars().take(64).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    FieldError { pointer: format!("?{name}"), message: message.to_owned() }
}

fn invalid(name: &str, message: &str) -> ApiError {
    ApiError::with_errors(Code::InvalidQuery, vec![problem(name, message)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_repeated_parameters_are_refused_by_name() {
        let query = Query::parse("limit=5&colour=red").unwrap();
        let error = query.refuse_unknown(&["limit"]).unwrap_err();
        assert_eq!(error.errors()[0].pointer, "?colour");
        assert_eq!(Query::parse("a=1&a=1").unwrap_err().errors()[0].pointer, "?a");
    }

    #[test]
    fn the_cursor_of_a_page_selects_the_next_page() {
        let first = Query::parse("limit=2").unwrap().page::<u32>().unwrap();
        let mut rows = vec![1, 2, 3];
        let next = first.cut(&mut rows, |row| *row).unwrap();
        assert_eq!(rows, [1, 2]);
        let second = Query::parse(&format!("limit=2&cursor={next}")).unwrap().page::<u32>().unwrap();
        assert_eq!(second.after, Some(2));
        assert_eq!(second.cut(&mut vec![3], |row| *row), None);
    }

    #[test]
    fn invalid_limits_and_cursors_are_refused() {
        for text in ["limit=0", "limit=201", "limit=x", "limit=-1", "cursor=%21", "cursor=YWJj"] {
            assert!(Query::parse(text).unwrap().page::<u32>().is_err(), "{text}");
        }
    }
}
