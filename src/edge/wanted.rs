//! The records one server should have.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::owner_mark::OwnerMark;
use crate::kernel::{DnsName, DnsNameError, Hostname};
use crate::ports::{NewRecord, RecordData, Srv, Ttl, ZoneRecord};

/// Names of a zone that no server gets. The apex, wildcards and services are no host names at all.
const RESERVED: [&str; 6] = ["ns", "ns1", "ns2", "ns3", "www", "mail"];
const TTL: Ttl = Ttl::Seconds(60);

/// Where players connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicAddress {
    /// The edge that takes the connection.
    pub edge: Ipv4Addr,
    /// The port it listens on.
    pub port: u16,
    /// The service and protocol whose SRV records the game's client looks up, such as `_minecraft._tcp`.
    pub service: Option<&'static str>,
}

/// A record that should be at a DNS server, before it is marked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicRecord {
    /// Its name.
    pub name: DnsName,
    /// Its value.
    pub data: RecordData,
}

/// A record that should be there, exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedRecord {
    /// Its name.
    pub name: DnsName,
    /// Its value.
    pub data: RecordData,
    /// Its TTL.
    pub ttl: Ttl,
    /// Whose it is, written in its comment.
    pub mark: OwnerMark,
}

impl WantedRecord {
    /// A record with this mark and the TTL that all of ours have.
    pub fn new(name: DnsName, data: RecordData, mark: OwnerMark) -> Self {
        Self { name, data, ttl: TTL, mark }
    }

    /// Whether `record` has its name and type.
    pub fn same_name_and_type(&self, record: &ZoneRecord) -> bool {
        self.name == record.name && self.data.record_type() == record.data.record_type()
    }

    /// What is sent to a DNS server.
    pub fn to_new_record(&self) -> NewRecord {
        let (name, data) = (self.name.clone(), self.data.clone());
        NewRecord { name, data, ttl: self.ttl, comment: self.mark.to_string() }
    }
}

/// The server cannot have a public name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPublishable {
    /// The name is reserved for the zone.
    #[error("`{0}` is a reserved name of the zone")]
    Reserved(Hostname),
    /// Zone and host name together are too long.
    #[error("the public name of the server is not a domain name")]
    Name(#[from] DnsNameError),
}

/// The records of a server. An SRV record points at the server's own name, because the client passes on the target and
/// not what was typed (docs/contracts/edge.md C2).
pub fn records_of(
    host: &Hostname,
    zone: &DnsName,
    public: &PublicAddress,
) -> Result<Vec<PublicRecord>, NotPublishable> {
    if RESERVED.contains(&host.as_str()) {
        return Err(NotPublishable::Reserved(host.clone()));
    }
    let name: DnsName = DnsName::of_host(host, zone).as_str().parse()?;
    let mut records = vec![PublicRecord { name: name.clone(), data: RecordData::A(public.edge) }];
    if let Some(service) = public.service {
        let srv = Srv { priority: 0, weight: 5, port: public.port, target: Some(name.clone()) };
        records.push(PublicRecord { name: name.below(service)?, data: RecordData::Srv(srv) });
    }
    Ok(records)
}
