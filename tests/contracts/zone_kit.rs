//! A world with both simulated DNS services, read without our clients and over real DNS.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use serde_json::{Value, json};
use zpack::kernel::DnsName;
use zpack::ports::{NewRecord, RecordData, Srv, Ttl};
use zpack::sim::{SimConfig, World};

pub const DEADLINE: Duration = Duration::from_secs(20);
pub const ZONE: &str = "play.zpack.test";

pub struct Rig {
    pub world: World,
    http: reqwest::Client,
}

impl Rig {
    pub async fn new() -> Self {
        Self::with(SimConfig::default()).await
    }

    pub async fn with(config: SimConfig) -> Self {
        let world = World::start(config).await.unwrap();
        Self { world, http: reqwest::Client::builder().no_proxy().timeout(DEADLINE).build().unwrap() }
    }

    /// A request to Cloudflare with any header, or none.
    pub async fn cloudflare_as(
        &self,
        authorization: Option<&str>,
        method: &str,
        path: &str,
        body: Value,
    ) -> (u16, Value) {
        let url = format!("{}{path}", self.world.cloudflare_url());
        let mut request = self.http.request(method.parse().unwrap(), url);
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// A request about the records of the zone, with a valid token.
    pub async fn cloudflare(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let cloudflare = self.world.cloudflare();
        let authorization = format!("Bearer {}", cloudflare.token());
        let path = format!("/zones/{}/dns_records{path}", cloudflare.zone_id());
        self.cloudflare_as(Some(&authorization), method, &path, body).await
    }

    /// Creates a record at Cloudflare.
    pub async fn cloudflare_made(&self, body: Value) -> Value {
        let (status, answer) = self.cloudflare("POST", "", body).await;
        assert_eq!((status, &answer["success"]), (200, &json!(true)), "{answer}");
        answer["result"].clone()
    }

    /// Status and every code of a refusal by Cloudflare, outermost first.
    pub async fn cloudflare_refused(&self, method: &str, path: &str, body: Value) -> (u16, Vec<u64>) {
        let (status, answer) = self.cloudflare(method, path, body).await;
        codes(status, &answer)
    }

    /// Posts a form to Technitium with a valid token.
    pub async fn technitium(&self, call: &str, form: &[(&str, &str)]) -> Value {
        let token = self.world.technitium().token();
        let (status, answer) = self.technitium_as(&[form, &[("token", token.as_str())]].concat(), None, call).await;
        assert_eq!(status, 200);
        answer
    }

    pub async fn technitium_as(&self, form: &[(&str, &str)], bearer: Option<&str>, call: &str) -> (u16, Value) {
        let mut request = self.http.post(format!("{}/api/{call}", self.world.technitium_url())).form(form);
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
    }

    pub async fn control(&self, method: &str, path: &str, body: Value) -> Value {
        let mut request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.world.control_url()));
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.json().await.unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub async fn steer(&self, path: &str, body: Value) -> Value {
        self.control("POST", path, body).await
    }

    pub async fn state(&self, peer: &str) -> Value {
        self.control("GET", "/sim/state", Value::Null).await[peer].clone()
    }

    pub async fn fault(&self, fault: Value) {
        self.steer("/sim/faults", fault).await;
    }

    /// Every request a peer has received.
    pub async fn journal(&self, peer: &str) -> Vec<Value> {
        let journal = self.control("GET", &format!("/sim/journal?peer={peer}"), Value::Null).await;
        journal.as_array().unwrap().clone()
    }

    pub fn dns(&self, peer: &str) -> SocketAddr {
        self.world.dns_address(peer).unwrap()
    }

    /// The records that a player's resolver finds, as text; empty if there are none.
    pub async fn resolve(&self, peer: &str, name: &str, kind: RecordType) -> Vec<String> {
        resolve(self.dns(peer), name, kind, ConnectionConfig::udp()).await
    }

    /// The same with `dig +short`, which shares no code with zpack.
    pub async fn dig(&self, peer: &str, name: &str, kind: RecordType) -> Vec<String> {
        let server = self.dns(peer);
        let output = tokio::process::Command::new("dig")
            .args(["+short", "+tries=1", "+time=10", &format!("@{}", server.ip()), "-p", &server.port().to_string()])
            .args([kind.to_string().as_str(), name])
            .output()
            .await
            .expect("dig runs; it is in packaging/apt-packages.txt");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }
}

/// Queries one server over `connection`, without a cache.
pub async fn resolve(server: SocketAddr, name: &str, kind: RecordType, connection: ConnectionConfig) -> Vec<String> {
    let mut connection = connection;
    connection.port = server.port();
    let mut at = NameServerConfig::udp(server.ip());
    at.connections = vec![connection];
    let config = ResolverConfig::from_name_servers(vec![at]);
    let resolver =
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build().expect("a resolver");
    let lookup = match resolver.lookup(format!("{name}."), kind).await {
        Ok(lookup) => lookup,
        Err(error) if error.is_no_records_found() => return Vec::new(),
        Err(error) => panic!("{name} {kind}: {error}"),
    };
    let mut found: Vec<String> = lookup
        .answers()
        .iter()
        .filter(|record| record.record_type() == kind)
        .map(|record| match &record.data {
            RData::SRV(srv) => format!("{} {} {} {}", srv.priority, srv.weight, srv.port, srv.target),
            other => other.to_string(),
        })
        .collect();
    found.sort();
    found
}

/// The codes of a refusal, outermost first.
pub fn codes(status: u16, answer: &Value) -> (u16, Vec<u64>) {
    assert_eq!(answer["success"], json!(false), "{answer}");
    let error = &answer["errors"][0];
    let chain = error["error_chain"].as_array().into_iter().flatten();
    let codes = std::iter::once(error).chain(chain).map(|error| error["code"].as_u64().unwrap()).collect();
    (status, codes)
}

pub fn a(name: &str, address: &str) -> Value {
    json!({"type": "A", "name": name, "content": address, "ttl": 60, "proxied": false, "comment": "zpack vmid=5001 gen=1"})
}

pub fn srv(host: &str, port: u16) -> Value {
    let data = json!({"priority": 0, "weight": 5, "port": port, "target": host});
    json!({"type": "SRV", "name": format!("_minecraft._tcp.{host}"), "ttl": 60, "proxied": false, "data": data})
}

/// A name in the zone.
pub fn host(name: &str) -> DnsName {
    format!("{name}.{ZONE}").parse().unwrap()
}

/// An A record of a host, as our clients create it.
pub fn new_a(name: &str, last: u8) -> NewRecord {
    let data = RecordData::A([192, 0, 2, last].into());
    NewRecord { name: host(name), data, ttl: Ttl::Seconds(60), comment: "zpack vmid=5001 gen=1".to_owned() }
}

/// An SRV record of a host, as our clients create it.
pub fn new_srv(name: &str, port: u16) -> NewRecord {
    let data = RecordData::Srv(Srv { priority: 0, weight: 5, port, target: Some(host(name)) });
    let name = host(&format!("_minecraft._tcp.{name}"));
    NewRecord { name, data, ttl: Ttl::Seconds(60), comment: "zpack vmid=5001 gen=1".to_owned() }
}
