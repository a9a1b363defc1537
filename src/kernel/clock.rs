//! Time as data. Code takes a [`Timestamp`] argument; only the outermost layer of a role reads a [`Clock`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use sea_orm::DeriveValueType;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time in UTC with millisecond precision. Stored as epoch milliseconds, written to JSON as RFC 3339.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, DeriveValueType)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time `millis` milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The time `span` later; saturates instead of overflowing.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The time `span` earlier; saturates instead of overflowing.
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The time elapsed since `earlier`, zero when that lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Formats a duration for people: `840 ms`, `2.4 s`, `75 s`.
pub fn short_span(span: Duration) -> String {
    match span.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        1000..60_000 => format!("{:.1} s", span.as_secs_f64()),
        _ => format!("{} s", span.as_secs()),
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_millis(self.0) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(f, "{}ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Rfc3339)
    }
}

struct Rfc3339;

impl Visitor<'_> for Rfc3339 {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time (RFC 3339)")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
        let time = as_written(text).map_or_else(|| text.parse(), Ok).map_err(E::custom)?;
        Ok(Timestamp(time.timestamp_millis()))
    }
}

/// The time, if it is spelled as a [`Timestamp`] is written. Lists have hundreds of them, and chrono parses any spelling at
/// ten times the cost.
fn as_written(text: &str) -> Option<DateTime<Utc>> {
    let bytes: &[u8; 24] = text.as_bytes().try_into().ok()?;
    let [
        y0,
        y1,
        y2,
        y3,
        b'-',
        mo0,
        mo1,
        b'-',
        d0,
        d1,
        b'T',
        h0,
        h1,
        b':',
        mi0,
        mi1,
        b':',
        s0,
        s1,
        b'.',
        f0,
        f1,
        f2,
        b'Z',
    ] = *bytes
    else {
        return None;
    };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u32::from(byte - b'0'));
    let number = |bytes: &[u8]| bytes.iter().try_fold(0, |number, byte| Some(number * 10 + digit(*byte)?));
    let year = i32::try_from(number(&[y0, y1, y2, y3])?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, number(&[mo0, mo1])?, number(&[d0, d1])?)?;
    let (second, milli) = (number(&[s0, s1])?, number(&[f0, f1, f2])?);
    Some(date.and_hms_milli_opt(number(&[h0, h1])?, number(&[mi0, mi1])?, second, milli)?.and_utc())
}

/// The source of the current time of a role.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that stands still until it is moved; for tests.
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `at` until [`Clock::advance`] moves it.
    pub fn fixed(at: Timestamp) -> Self {
        Self::Fixed(Arc::new(AtomicI64::new(at.millis())))
    }

    /// The current time.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp(Utc::now().timestamp_millis()),
            Self::Fixed(millis) => Timestamp(millis.load(Ordering::SeqCst)),
        }
    }

    /// Moves a fixed clock forward; has no effect on the system clock.
    pub fn advance(&self, span: Duration) {
        if let Self::Fixed(millis) = self {
            millis.store(self.now().after(span).millis(), Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_round_trips_through_json() {
        let at = Timestamp::from_millis(1_700_000_000_123);
        let json = serde_json::to_string(&at).unwrap();
        assert_eq!(json, "\"2023-11-14T22:13:20.123Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), at);
    }

    proptest::proptest! {
        #[test]
        fn every_time_is_read_as_it_was_written(millis in -62_135_596_800_000i64..253_402_300_800_000) {
            let at = Timestamp::from_millis(millis);
            proptest::prop_assert_eq!(as_written(&at.to_string()).map(|time| time.timestamp_millis()), Some(millis));
        }
    }

    #[test]
    fn other_spellings_of_a_time_are_read_too() {
        let at = |text: &str| serde_json::from_value::<Timestamp>(text.into()).map(Timestamp::millis).ok();
        assert_eq!(at("2023-11-14T23:13:20.123+01:00"), Some(1_700_000_000_123));
        assert_eq!(at("2023-11-14T22:13:20Z"), Some(1_700_000_000_000));
        assert_eq!(at("2023-11-14T22:13:20.123456Z"), Some(1_700_000_000_123));
        for text in
            ["", "2023-13-14T22:13:20.123Z", "2023-11-14T24:13:20.123Z", "2023-11-1xT22:13:20.123Z", "yesterday"]
        {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn a_short_span_chooses_a_suitable_unit() {
        let shown = |millis| short_span(Duration::from_millis(millis));
        assert_eq!([shown(0), shown(840), shown(2449), shown(75_900)], ["0 ms", "840 ms", "2.4 s", "75 s"]);
    }

    #[test]
    fn since_is_never_negative() {
        let at = Timestamp::from_millis(1000);
        assert_eq!(at.since(Timestamp::from_millis(400)), Duration::from_millis(600));
        assert_eq!(Timestamp::from_millis(400).since(at), Duration::ZERO);
    }
}
