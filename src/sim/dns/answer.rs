//! The answers of an authoritative server: RFC 1034 section 4.3.2, with wildcards (RFC 4592) and negative answers with
//! the SOA (RFC 2308).

use std::collections::BTreeSet;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, NS, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::zone::{Served, ServedData, ZoneView};

/// How many aliases are followed within the zones.
const MAX_ALIASES: usize = 8;
/// How long a negative answer may be cached.
const NEGATIVE_TTL: u32 = 60;

/// The answer to the bytes of a query; `None` when they are not a query. Over UDP an answer that is too long is cut.
pub(super) fn answer(bytes: &[u8], view: &dyn ZoneView, udp: bool) -> Option<Vec<u8>> {
    let Ok(query) = Message::from_vec(bytes) else { return malformed(bytes) };
    if query.metadata.message_type == MessageType::Response {
        return None;
    }
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.add_queries(query.queries.iter().cloned());
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        reply.set_edns(edns);
    }
    match (query.metadata.op_code, query.queries.as_slice()) {
        (OpCode::Query, [question]) => Zones::of(view).answer(question, &mut reply),
        (OpCode::Query, _) => reply.metadata.response_code = ResponseCode::FormErr,
        _ => reply.metadata.response_code = ResponseCode::NotImp,
    }
    let whole = reply.to_vec().ok()?;
    if udp && whole.len() > usize::from(query.max_payload().min(1232)) {
        return reply.truncate().to_vec().ok();
    }
    Some(whole)
}

fn malformed(bytes: &[u8]) -> Option<Vec<u8>> {
    let id = bytes.first_chunk::<2>().map(|id| u16::from_be_bytes(*id))?;
    // The first bit of the third byte marks an answer, which is never answered.
    if bytes.get(2).is_some_and(|flags| flags & 0x80 != 0) {
        return None;
    }
    Message::error_msg(id, OpCode::Query, ResponseCode::FormErr).to_vec().ok()
}

/// Everything that is served, with names in lower case.
struct Zones {
    apexes: Vec<String>,
    records: Vec<Served>,
    /// Every name that exists, including those that only have names below them.
    names: BTreeSet<String>,
}

/// What was found at a name.
enum Found<'a> {
    /// These records, or none of the type.
    Node(Vec<&'a Served>),
    /// The name is delegated to another server.
    Delegated(Vec<&'a Served>),
    Nothing,
}

impl Zones {
    fn of(view: &dyn ZoneView) -> Self {
        let apexes: Vec<String> = view.zones().iter().map(|zone| zone.to_ascii_lowercase()).collect();
        let mut records = view.served();
        let mut names: BTreeSet<String> = apexes.iter().cloned().collect();
        for record in &mut records {
            record.name.make_ascii_lowercase();
            let mut name = record.name.as_str();
            while apexes.iter().any(|apex| is_within(name, apex)) {
                names.insert(name.to_owned());
                name = parent(name);
            }
        }
        Self { apexes, records, names }
    }

    fn answer(&self, question: &Query, reply: &mut Message) {
        let asked = plain(question.name());
        let Some(apex) = self.apex_of(&asked) else {
            reply.metadata.response_code = ResponseCode::Refused;
            return;
        };
        reply.metadata.authoritative = true;
        let kind = question.query_type();
        let (mut owner, mut name) = (question.name().clone(), asked);
        for _ in 0..MAX_ALIASES {
            match self.find(&name, apex) {
                Found::Delegated(servers) => {
                    reply.metadata.authoritative = !reply.answers.is_empty();
                    reply.add_authorities(servers.into_iter().filter_map(record));
                    return;
                }
                Found::Nothing => {
                    reply.metadata.response_code = ResponseCode::NXDomain;
                    reply.add_authorities(soa(apex));
                    return;
                }
                Found::Node(node) => {
                    let of_kind = |served: &&&Served| {
                        kind == RecordType::ANY || data(&served.data).is_some_and(|d| d.record_type() == kind)
                    };
                    let matching: Vec<&Served> = node.iter().filter(of_kind).copied().collect();
                    reply.add_answers(matching.iter().filter_map(|served| named(&owner, served)));
                    if kind == RecordType::SOA && name == *apex {
                        reply.add_answers(soa(apex));
                    }
                    self.add_targets(&matching, reply);
                    let alias = node.iter().find_map(|served| match &served.data {
                        ServedData::Cname(target) if matching.is_empty() => Some((*served, target)),
                        _ => None,
                    });
                    let Some((served, target)) = alias else {
                        if reply.answers.is_empty() {
                            reply.add_authorities(soa(apex));
                        }
                        return;
                    };
                    reply.add_answers(named(&owner, served));
                    name = target.to_ascii_lowercase();
                    match Name::from_ascii(format!("{name}.")) {
                        Ok(next) if is_within(&name, apex) => owner = next,
                        _ => return,
                    }
                }
            }
        }
    }

    fn find(&self, name: &str, apex: &str) -> Found<'_> {
        let mut cut = name;
        while cut != apex && is_within(cut, apex) {
            let servers = self.at(cut, |served| matches!(served.data, ServedData::Ns(_)));
            if !servers.is_empty() {
                return Found::Delegated(servers);
            }
            cut = parent(cut);
        }
        if self.names.contains(name) {
            return Found::Node(self.at(name, |_| true));
        }
        let mut encloser = parent(name);
        while !self.names.contains(encloser) && is_within(encloser, apex) {
            encloser = parent(encloser);
        }
        let wild = self.at(&format!("*.{encloser}"), |_| true);
        if wild.is_empty() { Found::Nothing } else { Found::Node(wild) }
    }

    /// The addresses of the hosts that SRV records name, which saves the client a query.
    fn add_targets(&self, answers: &[&Served], reply: &mut Message) {
        for served in answers {
            let ServedData::Srv { target, .. } = &served.data else { continue };
            let addresses = self.at(&target.to_ascii_lowercase(), |served| {
                matches!(served.data, ServedData::A(_) | ServedData::Aaaa(_))
            });
            reply.add_additionals(addresses.into_iter().filter_map(record));
        }
    }

    fn at(&self, name: &str, wanted: impl Fn(&Served) -> bool) -> Vec<&Served> {
        self.records.iter().filter(|served| served.name == name && wanted(served)).collect()
    }

    fn apex_of(&self, name: &str) -> Option<&String> {
        self.apexes.iter().filter(|apex| is_within(name, apex)).max_by_key(|apex| apex.len())
    }
}

fn is_within(name: &str, apex: &str) -> bool {
    name.strip_suffix(apex).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn parent(name: &str) -> &str {
    name.split_once('.').map_or("", |(_, rest)| rest)
}

fn plain(name: &Name) -> String {
    name.to_ascii().to_ascii_lowercase().trim_end_matches('.').to_owned()
}

fn absolute(name: &str) -> Option<Name> {
    Name::from_ascii(format!("{name}.")).ok()
}

fn record(served: &Served) -> Option<Record> {
    named(&absolute(&served.name)?, served)
}

/// The record, with its name in the spelling of the query.
fn named(owner: &Name, served: &Served) -> Option<Record> {
    Some(Record::from_rdata(owner.clone(), served.ttl, data(&served.data)?))
}

fn data(served: &ServedData) -> Option<RData> {
    Some(match served {
        ServedData::A(address) => RData::from(*address),
        ServedData::Aaaa(address) => RData::from(*address),
        ServedData::Srv { priority, weight, port, target } => {
            RData::SRV(SRV::new(*priority, *weight, *port, absolute(target)?))
        }
        ServedData::Cname(target) => RData::CNAME(CNAME(absolute(target)?)),
        ServedData::Ns(target) => RData::NS(NS(absolute(target)?)),
        ServedData::Txt(text) => RData::TXT(TXT::new(vec![text.chars().take(60).collect()])),
    })
}

fn soa(apex: &str) -> Option<Record> {
    let data = SOA::new(
        absolute(&format!("ns1.{apex}"))?,
        absolute(&format!("hostmaster.{apex}"))?,
        1,
        900,
        300,
        604_800,
        NEGATIVE_TTL,
    );
    Some(Record::from_rdata(absolute(apex)?, NEGATIVE_TTL, RData::SOA(data)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct View(Vec<Served>);

    impl ZoneView for View {
        fn zones(&self) -> Vec<String> {
            vec!["Zone.tld".to_owned()]
        }

        fn served(&self) -> Vec<Served> {
            self.0.clone()
        }
    }

    fn served(name: &str, data: ServedData) -> Served {
        Served { name: name.to_owned(), ttl: 60, data }
    }

    fn view() -> View {
        let address = |last| ServedData::A([192, 0, 2, last].into());
        let srv = ServedData::Srv { priority: 0, weight: 5, port: 25_565, target: "MC-1.zone.tld".to_owned() };
        View(vec![
            served("mc-1.zone.tld", address(1)),
            served("_minecraft._tcp.mc-1.zone.tld", srv),
            served("alias.zone.tld", ServedData::Cname("mc-1.zone.tld".to_owned())),
            served("loop.zone.tld", ServedData::Cname("loop.zone.tld".to_owned())),
            served("away.zone.tld", ServedData::Cname("elsewhere.example".to_owned())),
            served("*.wild.zone.tld", address(9)),
            served("sub.zone.tld", ServedData::Ns("ns.elsewhere.example".to_owned())),
        ])
    }

    fn ask(name: &str, kind: RecordType) -> Message {
        let mut query = Message::query();
        query.add_query(Query::query(Name::from_ascii(format!("{name}.")).unwrap(), kind));
        Message::from_vec(&answer(&query.to_vec().unwrap(), &view(), true).unwrap()).unwrap()
    }

    #[test]
    fn what_is_there_is_answered_whatever_its_case() {
        for name in ["mc-1.zone.tld", "MC-1.Zone.TLD"] {
            let reply = ask(name, RecordType::A);
            assert!(reply.metadata.authoritative);
            assert_eq!(reply.answers[0].data, RData::from(std::net::Ipv4Addr::new(192, 0, 2, 1)));
            assert_eq!(reply.answers[0].name.to_ascii(), format!("{name}."), "the spelling of the question");
        }
        let reply = ask("_minecraft._tcp.mc-1.zone.tld", RecordType::SRV);
        assert_eq!((reply.answers.len(), reply.additionals.len()), (1, 1));
    }

    #[test]
    fn what_is_not_there_is_told_from_what_has_no_such_type() {
        let code = |name, kind| {
            let reply = ask(name, kind);
            let soa = reply.authorities.iter().filter(|record| record.record_type() == RecordType::SOA).count();
            (reply.metadata.response_code, reply.answers.len(), soa)
        };
        assert_eq!(code("mc-2.zone.tld", RecordType::A), (ResponseCode::NXDomain, 0, 1));
        assert_eq!(code("mc-1.zone.tld", RecordType::AAAA), (ResponseCode::NoError, 0, 1));
        assert_eq!(code("_tcp.mc-1.zone.tld", RecordType::A), (ResponseCode::NoError, 0, 1), "it leads to others");
        assert_eq!(code("zone.tld", RecordType::SOA), (ResponseCode::NoError, 1, 0));
        assert_eq!(code("evilzone.tld", RecordType::A), (ResponseCode::Refused, 0, 0));
    }

    #[test]
    fn aliases_wildcards_and_delegations_are_followed() {
        assert_eq!(ask("alias.zone.tld", RecordType::A).answers.len(), 2);
        assert_eq!(ask("away.zone.tld", RecordType::A).answers.len(), 1);
        assert_eq!(ask("loop.zone.tld", RecordType::A).answers.len(), MAX_ALIASES, "it ends");
        assert_eq!(ask("any.wild.zone.tld", RecordType::A).answers.len(), 1);
        let referral = ask("host.sub.zone.tld", RecordType::A);
        assert!(!referral.metadata.authoritative && referral.authorities[0].record_type() == RecordType::NS);
    }

    #[test]
    fn a_long_answer_is_cut_over_udp_only() {
        let many = (0..200).map(|last| served("many.zone.tld", ServedData::A([192, 0, 2, last].into())));
        let view = View(many.collect());
        let mut query = Message::query();
        query.add_query(Query::query(Name::from_ascii("many.zone.tld.").unwrap(), RecordType::A));
        let query = query.to_vec().unwrap();
        let over = |udp| Message::from_vec(&answer(&query, &view, udp).unwrap()).unwrap();
        assert!(over(true).metadata.truncation && over(true).answers.is_empty());
        assert_eq!(over(false).answers.len(), 200);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = answer(&bytes, &view(), true);
        }
    }
}
