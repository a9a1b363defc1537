//! Whether this is a production installation.

use super::key::{Key, keys};
use super::reader::{Reader, Reported, Settings};
use crate::kernel::{Reach, text_enum};

keys! { "Environment";
    /// In `production`, zpack refuses what is meant for development, such as `zpack dev`, and secrets that are easy to
    /// guess: the published examples, a single repeated character, and the same secret in two settings.
    ZPACK_ENV = Key::default("ZPACK_ENV", "development").expects("development or production");
    /// Which addresses zpack calls as the client of its peers. With `loopback` it refuses every other one, whatever a
    /// peer reports as the address of a server: for simulated peers.
    PEER_ADDRESSES = Key::default("PEER_ADDRESSES", "any").expects("any or loopback");
    /// For recovery tests: a place in the code at which the process kills itself, stops, panics, or waits until a file
    /// is removed. `@n` means the n-th time it is reached.
    ZPACK_FAILPOINT = Key::optional("ZPACK_FAILPOINT")
        .expects("<place>[@n][=kill|stop|panic|wait:<file>]")
        .example("claimed@2=stop");
}

text_enum! {
    /// The kind of installation.
    pub enum Environment {
        /// A developer's machine or a test.
        Development = "development",
        /// Customers depend on it.
        Production = "production",
    }
}

/// Whether this is a production installation.
#[derive(Clone, Debug)]
pub struct EnvironmentConfig {
    /// The kind of installation.
    pub environment: Environment,
    /// Where the process kills itself, stops, panics or waits.
    pub failpoint: Option<String>,
}

/// Which addresses the clients of peers may call: a setting of every section about a peer.
pub(super) fn reach(env: &mut Reader<'_>) -> Result<Reach, Reported> {
    env.get(&PEER_ADDRESSES, str::parse)
}

impl Settings for EnvironmentConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let environment = env.get(&ZPACK_ENV, str::parse);
        let failpoint = env.optional(&ZPACK_FAILPOINT, |text| Ok::<_, std::convert::Infallible>(text.to_owned()));
        if environment == Ok(Environment::Production) {
            env.demand_strong_secrets();
        }
        let (environment, failpoint) = (environment?, failpoint?);
        if environment == Environment::Production && failpoint.is_some() {
            return Err(env.impossible(&[&ZPACK_ENV, &ZPACK_FAILPOINT], "failpoints are not available in production"));
        }
        Ok(Self { environment, failpoint })
    }
}
