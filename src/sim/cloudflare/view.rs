//! The zone as resolvers get it: a proxied name answers with the addresses of Cloudflare's proxy, and an SRV record
//! that points to one gets another target, which breaks routing by host name (docs/contracts/edge.md A3).

use std::net::Ipv4Addr;

use sha2::{Digest, Sha256};

use super::model::{Model, Record};
use crate::sim::dns::{Served, ServedData};

/// The address of every proxied name.
const PROXY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 200);
/// The TTL `automatic`.
const AUTO_TTL: u32 = 300;

/// The records that are served.
pub(super) fn served(model: &Model) -> Vec<Served> {
    let is_proxied = |name: &str| {
        model
            .records
            .iter()
            .any(|record| record.proxied && record.proxiable() && record.name.eq_ignore_ascii_case(name))
    };
    let mut served = Vec::new();
    for record in &model.records {
        let ttl = if record.ttl == 1 { AUTO_TTL } else { record.ttl };
        let mut add = |name: &str, data| served.push(Served { name: name.to_owned(), ttl, data });
        match &record.data {
            Some(srv) => {
                let target = match srv.target.as_str() {
                    "." => String::new(),
                    target if is_proxied(target) => hidden(target),
                    target => target.to_owned(),
                };
                let (priority, weight, port) = (srv.priority, srv.weight, srv.port);
                add(&record.name, ServedData::Srv { priority, weight, port, target });
            }
            None if record.proxiable() && is_proxied(&record.name) => {
                add(&record.name, ServedData::A(PROXY));
                if let Some(data) = data(record) {
                    add(&hidden(&record.name), data);
                }
            }
            None => {
                if let Some(data) = data(record) {
                    add(&record.name, data);
                }
            }
        }
    }
    served
}

fn data(record: &Record) -> Option<ServedData> {
    let name = || record.content.trim_end_matches('.').to_owned();
    match record.kind.as_str() {
        "A" => record.content.parse().ok().map(ServedData::A),
        "AAAA" => record.content.parse().ok().map(ServedData::Aaaa),
        "CNAME" => Some(ServedData::Cname(name())),
        "NS" => Some(ServedData::Ns(name())),
        "TXT" => Some(ServedData::Txt(record.content.clone())),
        _ => None,
    }
}

/// The name under which the address behind the proxy stays reachable for other protocols.
fn hidden(name: &str) -> String {
    let digest = hex::encode(Sha256::digest(name.to_ascii_lowercase().as_bytes()));
    format!("_dc-srv.{}.{name}", digest.get(..12).unwrap_or_default())
}
