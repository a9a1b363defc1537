//! Values of arguments that are one of a few texts: the help lists them.

use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::kernel::UnknownText;

/// Reads one of `all`, the variants of an enum that has one `text` for each.
pub(super) fn one_of<T>(all: &'static [T], text: fn(T) -> &'static str) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = UnknownText> + Copy + Send + Sync + 'static,
{
    PossibleValuesParser::new(all.iter().map(|value| text(*value))).try_map(|text| text.parse::<T>())
}

/// The factor of simulated time.
pub(super) fn time_scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if (0.0..=100.0).contains(&scale) => Ok(scale),
        _ => Err("expected a number from 0 to 100".to_owned()),
    }
}
