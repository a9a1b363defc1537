//! The Proxmox VE cluster that runs the containers.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::environment::reach;
use super::key::{Key, keys};
use super::parse::{base_url, clip, list, name};
use super::reader::{Reader, Reported, Settings};
use crate::kernel::{Reach, Secret, StoredSecret, VmId};

/// The port of the Proxmox API.
const DEFAULT_PORT: u16 = 8006;
/// What precedes a token that was copied from an `Authorization` header.
const SCHEME: &str = "PVEAPIToken=";

keys! { "Proxmox";
    /// One or more nodes of the cluster. If one does not answer, the next is asked.
    PROXMOX_HOST = Key::required("PROXMOX_HOST")
        .expects("hosts, host:port pairs or URLs, comma separated")
        .example("pve1.example.com,pve2.example.com");
    /// The only node for new containers. Without it, all nodes of the cluster are used.
    PROXMOX_NODE = Key::optional("PROXMOX_NODE").expects("the name of a node").example("pve1");
    /// An API token with its secret, as an alternative to the three settings that follow. A token from a file is read
    /// again when it is rejected.
    PROXMOX_API_TOKEN = Key::optional("PROXMOX_API_TOKEN")
        .secret()
        .expects("<user>@<realm>!<token id>=<secret>")
        .example("zpack@pve!control=00000000-0000-0000-0000-000000000000");
    /// The user of the token.
    PROXMOX_USER = Key::optional("PROXMOX_USER").expects("<user>@<realm>").example("zpack@pve");
    /// The id of the token.
    PROXMOX_API_TOKEN_ID = Key::optional("PROXMOX_API_TOKEN_ID").expects("the id of a token").example("control");
    /// The secret of the token. A secret from a file is read again when it is rejected.
    PROXMOX_API_TOKEN_SECRET = Key::optional("PROXMOX_API_TOKEN_SECRET")
        .secret()
        .expects("the secret of a token")
        .example("00000000-0000-0000-0000-000000000000");
    /// How the certificates of the nodes are verified: by public authorities (`true`), by the cluster's own authority
    /// (a file), by pinned SHA-256 fingerprints, or not at all (`false`).
    PROXMOX_VERIFY_TLS = Key::default("PROXMOX_VERIFY_TLS", "true")
        .expects("true, false, the path of a CA file, or SHA-256 fingerprints, comma separated");
    /// The storage for full clones. Without it, containers are linked clones on the storage of their template.
    PROXMOX_STORAGE = Key::optional("PROXMOX_STORAGE").expects("the name of a storage").example("local-zfs");
    /// The Proxmox resource pool that new containers join. Required if the token has permissions on a pool only.
    PROXMOX_POOL = Key::optional("PROXMOX_POOL").expects("the name of a pool").example("customers");
    /// The container templates to clone: one on each node that runs containers.
    AGENT_TEMPLATE_VMID = Key::required("AGENT_TEMPLATE_VMID").expects("VMIDs, comma separated").example("9000");
    /// The timeout of a request. Proxmox itself gives up after 30 seconds and then reports the reason.
    PROXMOX_REQUEST_TIMEOUT_MS = Key::default("PROXMOX_REQUEST_TIMEOUT_MS", "40000").number(100..=600_000);
}

/// How the certificate of a node is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsTrust {
    /// By the public certificate authorities.
    PublicAuthorities,
    /// By the authority in this file, such as the cluster's own.
    Authority(PathBuf),
    /// By the SHA-256 fingerprint of the certificate; the name in it is ignored.
    Fingerprints(Vec<[u8; 32]>),
    /// Not at all.
    Unchecked,
}

/// The Proxmox VE cluster.
#[derive(Clone, Debug)]
pub struct ProxmoxConfig {
    /// The nodes, in the order in which they are tried.
    pub endpoints: Vec<Url>,
    /// The only node for new containers.
    pub node: Option<String>,
    /// `user@realm!id=secret`.
    pub api_token: StoredSecret,
    /// How certificates are verified.
    pub tls: TlsTrust,
    /// The storage for full clones.
    pub storage: Option<String>,
    /// The resource pool that new containers join.
    pub pool: Option<String>,
    /// The templates to clone.
    pub templates: Vec<VmId>,
    /// The timeout of a request.
    pub request_timeout: Duration,
    /// Which addresses may be called.
    pub reach: Reach,
}

impl Settings for ProxmoxConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let endpoints = env.get(&PROXMOX_HOST, |text| some(list(text, endpoint)?));
        let node = env.optional(&PROXMOX_NODE, name);
        let api_token = api_token(env);
        let tls = env.get(&PROXMOX_VERIFY_TLS, tls_trust);
        let storage = env.optional(&PROXMOX_STORAGE, name);
        let pool = env.optional(&PROXMOX_POOL, name);
        let templates = templates(env);
        let request_timeout = env.millis(&PROXMOX_REQUEST_TIMEOUT_MS);
        let reach = reach(env);
        Ok(Self {
            endpoints: endpoints?,
            node: node?,
            api_token: api_token?,
            tls: tls?,
            storage: storage?,
            pool: pool?,
            templates: templates?,
            request_timeout: request_timeout?,
            reach: reach?,
        })
    }
}

/// The VMIDs of the templates, which the ranges for new servers must not contain.
pub(super) fn templates(env: &mut Reader<'_>) -> Result<Vec<VmId>, Reported> {
    env.get(&AGENT_TEMPLATE_VMID, |text| {
        let mut templates = some(list(text, str::parse::<VmId>)?)?;
        templates.sort_unstable();
        templates.dedup();
        Ok::<_, String>(templates)
    })
}

fn some<T>(items: Vec<T>) -> Result<Vec<T>, String> {
    if items.is_empty() { Err("the list is empty".to_owned()) } else { Ok(items) }
}

/// The token, given whole or in parts.
fn api_token(env: &mut Reader<'_>) -> Result<StoredSecret, Reported> {
    let whole = env.optional_parsed_secret(&PROXMOX_API_TOKEN, whole_token);
    let user = env.optional(&PROXMOX_USER, user);
    let id =
        env.optional(
            &PROXMOX_API_TOKEN_ID,
            |text| if text.contains(' ') { Err("has a space") } else { Ok(text.to_owned()) },
        );
    let secret = env.optional_stored_secret(&PROXMOX_API_TOKEN_SECRET, 8);
    match (whole?, user?, id?, secret?) {
        (Some(whole), _, _, None) => Ok(whole.dropping(SCHEME)),
        (Some(_), _, _, Some(_)) => Err(
            env.impossible(&[&PROXMOX_API_TOKEN, &PROXMOX_API_TOKEN_SECRET], "give the token either whole or in parts")
        ),
        // The web interface shows the token id with its user.
        (None, _, Some(id), Some(secret)) if id.contains('!') => Ok(secret.after(&format!("{id}="))),
        (None, Some(user), Some(id), Some(secret)) => Ok(secret.after(&format!("{user}!{id}="))),
        (None, None, None, None) => Err(env.missing(&PROXMOX_API_TOKEN)),
        (None, user, id, secret) => {
            let parts = [
                (user.is_none(), &PROXMOX_USER),
                (id.is_none(), &PROXMOX_API_TOKEN_ID),
                (secret.is_none(), &PROXMOX_API_TOKEN_SECRET),
            ];
            for (_, key) in parts.iter().filter(|(absent, _)| *absent) {
                env.missing(key);
            }
            Err(Reported)
        }
    }
}

fn user(text: &str) -> Result<String, &'static str> {
    match text.split_once('@') {
        Some((user, realm)) if !user.is_empty() && !realm.is_empty() && !text.contains(['!', '=', ' ']) => {
            Ok(text.to_owned())
        }
        _ => Err("not <user>@<realm>"),
    }
}

fn whole_token(text: &str) -> Result<Secret, &'static str> {
    let text = text.strip_prefix(SCHEME).unwrap_or(text);
    let (identity, secret) = text.split_once('=').ok_or("no secret")?;
    let (owner, id) = identity.split_once('!').ok_or("no token id")?;
    user(owner)?;
    if id.is_empty() || secret.is_empty() { Err("an empty part") } else { Ok(Secret::new(text)) }
}

/// A host, a host with its port, or a URL.
fn endpoint(text: &str) -> Result<Url, String> {
    if text.contains("://") {
        return base_url(text);
    }
    let mut url = base_url(&format!("https://{text}"))?;
    // A parsed URL drops the default port 443, so the text shows whether a port was given.
    let given = text.rsplit_once(':').is_some_and(|(host, port)| port.parse::<u16>().is_ok() && !host.ends_with(':'));
    if !given && url.set_port(Some(DEFAULT_PORT)).is_err() {
        return Err(format!("`{}` has no host", clip(text)));
    }
    Ok(url)
}

fn tls_trust(text: &str) -> Result<TlsTrust, String> {
    if let Ok(checked) = super::parse::switch(text) {
        return Ok(if checked { TlsTrust::PublicAuthorities } else { TlsTrust::Unchecked });
    }
    if text.contains('/') || text.ends_with(".pem") || text.ends_with(".crt") {
        return Ok(TlsTrust::Authority(PathBuf::from(text)));
    }
    let pins = list(text, |pin| {
        let digits: String = pin.trim_start_matches("sha256:").chars().filter(|c| *c != ':').collect();
        let mut bytes = [0; 32];
        hex::decode_to_slice(&digits, &mut bytes)
            .map(|()| bytes)
            .map_err(|_| format!("`{}` is not one of them", clip(pin)))
    });
    Ok(TlsTrust::Fingerprints(some(pins?)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MapSource;

    fn settings() -> MapSource {
        [("PROXMOX_HOST", "pve1"), ("AGENT_TEMPLATE_VMID", "9001,9000")].into_iter().collect()
    }

    #[test]
    fn a_host_gets_a_scheme_and_a_port() {
        for (text, url) in [
            ("pve1", "https://pve1:8006/"),
            ("pve1:9443", "https://pve1:9443/"),
            ("pve1:443", "https://pve1/"),
            ("[fd00::1]", "https://[fd00::1]:8006/"),
            ("http://127.0.0.1:4002", "http://127.0.0.1:4002/"),
        ] {
            assert_eq!(endpoint(text).unwrap().as_str(), url);
        }
        assert!(endpoint("pve 1").is_err());
    }

    #[test]
    fn a_token_in_parts_is_assembled() {
        let source = settings()
            .with("PROXMOX_USER", "zpack@pve")
            .with("PROXMOX_API_TOKEN_ID", "control")
            .with("PROXMOX_API_TOKEN_SECRET", "secret-secret");
        let config = ProxmoxConfig::load(&source).unwrap();
        assert_eq!(config.api_token.secret().expose(), "zpack@pve!control=secret-secret");
        let config = ProxmoxConfig::load(&source.with("PROXMOX_API_TOKEN_ID", "zpack@pve!other")).unwrap();
        assert_eq!(config.api_token.secret().expose(), "zpack@pve!other=secret-secret");
    }

    #[test]
    fn a_token_in_a_file_can_be_read_again_whole_or_in_parts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let path = file.to_str().unwrap();
        std::fs::write(&file, "secret-secret").unwrap();
        let parts = settings().with("PROXMOX_USER", "zpack@pve").with("PROXMOX_API_TOKEN_ID", "control");
        let token = ProxmoxConfig::load(&parts.with("PROXMOX_API_TOKEN_SECRET_FILE", path)).unwrap().api_token;
        assert_eq!((token.secret().expose(), token.file()), ("zpack@pve!control=secret-secret", Some(file.as_path())));
        assert_eq!(token.read("another-secret\n").unwrap().expose(), "zpack@pve!control=another-secret");
        assert!(token.read("short").is_none(), "a token that a restart would reject");
        std::fs::write(&file, "PVEAPIToken=zpack@pve!control=first").unwrap();
        let token = ProxmoxConfig::load(&settings().with("PROXMOX_API_TOKEN_FILE", path)).unwrap().api_token;
        assert_eq!((token.secret().expose(), token.file()), ("zpack@pve!control=first", Some(file.as_path())));
        assert_eq!(token.read("PVEAPIToken=zpack@pve!control=second\n").unwrap().expose(), "zpack@pve!control=second");
    }

    #[test]
    fn every_missing_part_of_a_token_is_named() {
        let problems = ProxmoxConfig::load(&settings().with("PROXMOX_USER", "zpack@pve")).unwrap_err().to_string();
        assert!(problems.contains("PROXMOX_API_TOKEN_ID is missing"), "{problems}");
        assert!(problems.contains("PROXMOX_API_TOKEN_SECRET is missing"), "{problems}");
        let problems = ProxmoxConfig::load(&settings()).unwrap_err().to_string();
        assert!(problems.contains("PROXMOX_API_TOKEN is missing"), "{problems}");
    }

    #[test]
    fn certificates_are_verified_as_configured() {
        let pin = "AB:".repeat(31) + "AB";
        assert_eq!(tls_trust("false"), Ok(TlsTrust::Unchecked));
        assert_eq!(tls_trust("/etc/pve/root.pem"), Ok(TlsTrust::Authority("/etc/pve/root.pem".into())));
        assert_eq!(tls_trust(&pin), Ok(TlsTrust::Fingerprints(vec![[0xab; 32]])));
        assert!(tls_trust("maybe").is_err());
        assert!(tls_trust(",").is_err());
    }
}
