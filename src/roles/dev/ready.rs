//! What `zpack dev` prints once everything is running: one line for programs, a short page for people.

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

/// What the page for people needs beside that.
pub(super) struct Guide<'a> {
    /// The program, as it was started.
    pub(super) program: &'a str,
    /// The data directory, as it was given.
    pub(super) data_dir: &'a str,
    /// The file of settings in it.
    pub(super) env_file: &'a str,
    /// Whether headings may be bold.
    pub(super) colours: bool,
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
    pub(super) fn human(&self, guide: &Guide<'_>) -> String {
        let Self { api, sim, users: Logins { admin, demo }, .. } = self;
        let Guide { program, data_dir, env_file, colours } = guide;
        let heading = |text: &str| if *colours { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() };
        format!(
            "
{ready}

  API              {api}
  API reference    {api}/docs
  simulated world  {sim}/sim/state
  customer         {demo_email}    password {demo_password}
  admin            {admin_email}   password {admin_password}

{next}

  Log in as the customer; the answer holds the token of the other requests:
    curl -sS {api}/api/auth/login -H 'Content-Type: application/json' \\
      -d '{{\"identifier\":\"{demo_email}\",\"password\":\"{demo_password}\"}}'

  Check every setting and every peer; see what was asked for:
    {program} --env-file {env_file} doctor
    {program} --env-file {env_file} ops list

  README.md creates a server and deletes it, step by step.

Ctrl-C stops everything; the state is kept in {data_dir}. From here on, a line for each event:
",
            ready = heading("zpack dev is ready."),
            next = heading("Next, in a second terminal:"),
            demo_email = demo.email,
            demo_password = demo.password,
            admin_email = admin.email,
            admin_password = admin.password,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::data_dir::DataDir;
    use super::*;

    fn page(colours: bool) -> (String, Credentials) {
        let folder = tempfile::tempdir().unwrap();
        let (credentials, _) = Credentials::load_or_make(&DataDir::open(folder.path()).unwrap()).unwrap();
        let ready = Ready::new("http://127.0.0.1:4000".into(), "http://127.0.0.1:4001".into(), &credentials);
        let guide = Guide { program: "target/debug/zpack", data_dir: ".zpack", env_file: ".zpack/zpack.env", colours };
        let page = ready.human(&guide);
        (page, credentials)
    }

    #[test]
    fn the_page_says_where_to_look_and_what_to_type() {
        let (page, credentials) = page(false);
        for part in [
            "http://127.0.0.1:4000/docs",
            "http://127.0.0.1:4001/sim/state",
            "demo@zpack.local",
            &credentials.users.demo.password,
            "/api/auth/login",
            "target/debug/zpack --env-file .zpack/zpack.env doctor",
        ] {
            assert!(page.contains(part), "{part} is missing in {page}");
        }
        assert!(page.lines().all(|line| line.chars().count() <= 100), "{page}");
        assert!(!page.contains('\x1b'), "{page}");
    }

    #[test]
    fn colours_change_nothing_but_the_headings() {
        let (plain, _) = page(false);
        let (coloured, _) = page(true);
        let texts = |page: &str| page.replace("\x1b[1m", "").replace("\x1b[0m", "").lines().count();
        assert_eq!(texts(&plain), texts(&coloured));
        assert!(coloured.contains("\x1b[1mzpack dev is ready.\x1b[0m"));
    }

    /// Programs read the line; the contract fixes its fields.
    #[test]
    fn the_line_for_programs_has_the_fields_of_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let (credentials, _) = Credentials::load_or_make(&DataDir::open(folder.path()).unwrap()).unwrap();
        let ready = serde_json::to_value(Ready::new("a".into(), "s".into(), &credentials)).unwrap();
        let fields: Vec<&String> = ready.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["api", "discoveryToken", "event", "internalToken", "sim", "stripeWebhookSecret", "users"]);
    }
}
