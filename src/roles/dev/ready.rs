//! What `zpack dev` prints once everything runs: one line for programs, a short page for people.

use serde::Serialize;

use super::credentials::{Credentials, Logins};

/// The ready line of docs/contracts/http-api.md 5.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ready<'a> {
    event: &'static str,
    api: String,
    sim: String,
    internal_token: &'a str,
    discovery_token: &'a str,
    stripe_webhook_secret: &'a str,
    users: &'a Logins,
}

impl<'a> Ready<'a> {
    /// Ready at these addresses, with these secrets.
    pub(super) fn new(api: String, sim: String, credentials: &'a Credentials) -> Self {
        Self {
            event: "ready",
            api,
            sim,
            internal_token: &credentials.internal_token,
            discovery_token: &credentials.discovery_token,
            stripe_webhook_secret: &credentials.stripe_webhook_secret,
            users: &credentials.users,
        }
    }

    /// The page for people.
    pub(super) fn human(&self, env_file: &str) -> String {
        let Self { api, sim, users: Logins { admin, demo }, .. } = self;
        format!(
            "zpack is ready.\n\n  API         {api}\n  simulator   {sim}/sim/state\n  admin       {}  {}\n  \
             customer    {}  {}\n\nJoin it from another terminal: zpack --env-file {env_file} doctor\nStop it with Ctrl-C.",
            admin.email, admin.password, demo.email, demo.password
        )
    }
}
