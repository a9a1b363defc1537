//! Whether this is production.

use super::key::{Key, keys};
use super::reader::{Noted, Reader, Settings};
use crate::kernel::text_enum;

keys! { "Environment";
    /// `production` makes zpack refuse what only a development machine may do, such as `zpack dev`, and secrets that are
    /// easily guessed: the published examples, one repeated character, two secrets alike.
    ZPACK_ENV = Key::default("ZPACK_ENV", "development").expects("development or production");
    /// A place at which the process kills itself, stops, panics, or holds until a file is removed; for tests of
    /// recovery. `@n` means the n-th time.
    ZPACK_FAILPOINT = Key::optional("ZPACK_FAILPOINT")
        .expects("<place>[@n][=kill|stop|panic|wait:<file>]")
        .example("claimed@2=stop");
}

text_enum! {
    /// What kind of machine this is.
    pub enum Environment {
        /// A laptop or a test.
        Development = "development",
        /// Customers depend on it.
        Production = "production",
    }
}

/// Whether this is production.
#[derive(Clone, Debug)]
pub struct EnvironmentConfig {
    /// What kind of machine this is.
    pub environment: Environment,
    /// Where the process kills, stops or holds itself.
    pub failpoint: Option<String>,
}

impl Settings for EnvironmentConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Noted> {
        let environment = env.get(&ZPACK_ENV, str::parse);
        let failpoint = env.optional(&ZPACK_FAILPOINT, |text| Ok::<_, std::convert::Infallible>(text.to_owned()));
        if environment == Ok(Environment::Production) {
            env.demand_strong_secrets();
        }
        let (environment, failpoint) = (environment?, failpoint?);
        if environment == Environment::Production && failpoint.is_some() {
            return Err(env.impossible(&[&ZPACK_ENV, &ZPACK_FAILPOINT], "production does not kill itself"));
        }
        Ok(Self { environment, failpoint })
    }
}
