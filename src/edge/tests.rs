//! Comparison against examples and random zones.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::kernel::{DnsName, Hostname, Timestamp, VmId};
use crate::ports::{NewRecord, ProxyEntry, RecordData, RecordId, RecordType, Srv, Ttl, ZoneChange, ZoneRecord};

const MARK: &str = "zpack vmid=5013 gen=7";

fn zone() -> DnsName {
    "zone.tld".parse().unwrap()
}

fn vmid(number: i64) -> VmId {
    VmId::new(number).unwrap()
}

fn wanted() -> Vec<WantedRecord> {
    let host: Hostname = "mc-1".parse().unwrap();
    let public = PublicAddress { edge: Ipv4Addr::new(203, 0, 113, 9), port: 25565, service: Some("_minecraft._tcp") };
    let mark = OwnerMark { vmid: vmid(5013), generation: 7 };
    let records = records_of(&host, &zone(), &public).unwrap().into_iter();
    records.map(|record| WantedRecord::new(record.name, record.data, mark)).collect()
}

/// Compares for server 5013, of which no record is known.
fn compared(wanted: &WantedRecord, listed: &[ZoneRecord]) -> (RecordVerdict, Vec<ZoneChange>) {
    compare(wanted, listed, Ownership { vmid: vmid(5013), known: &BTreeSet::new() })
}

fn held(id: &str, wanted: &WantedRecord) -> ZoneRecord {
    stored(id, wanted.to_new_record())
}

fn stored(id: &str, record: NewRecord) -> ZoneRecord {
    let NewRecord { name, data, ttl, comment } = record;
    ZoneRecord {
        id: Some(RecordId(id.to_owned())),
        name,
        data,
        ttl,
        proxied: false,
        disabled: false,
        comment: Some(comment),
        created_at: Some(Timestamp::from_millis(1_000)),
    }
}

/// What a server does with the changes.
fn apply(zone: &mut Vec<ZoneRecord>, changes: Vec<ZoneChange>) {
    for change in changes {
        match change {
            ZoneChange::Create(record) => zone.push(stored(&format!("new-{}", zone.len()), record)),
            ZoneChange::Update { from, to } => {
                let at = zone.iter().position(|record| *record == from).expect("it updates what is there");
                let id = from.id.map_or_else(|| "-".to_owned(), |id| id.0);
                zone[at] = ZoneRecord { created_at: from.created_at, ..stored(&id, to) };
            }
            ZoneChange::Delete(record) => {
                let at = zone.iter().position(|other| *other == record).expect("it deletes what is there");
                zone.remove(at);
            }
        }
    }
}

#[test]
fn a_mark_is_read_in_exactly_one_form() {
    let mark = OwnerMark { vmid: vmid(5013), generation: 7 };
    assert_eq!((OwnerMark::read(MARK), mark.to_string().as_str()), (Some(mark), MARK));
    for text in
        ["", "zpack", "zpack vmid=5013", "zpack vmid=5013 gen=7 x", "zpack vmid=x gen=7", "not zpack vmid=5013 gen=7"]
    {
        assert_eq!(OwnerMark::read(text), None, "{text}");
    }
}

#[test]
fn a_server_has_an_address_and_a_service_that_points_at_its_own_name() {
    let records = wanted();
    let names: Vec<_> = records.iter().map(|record| record.name.as_str()).collect();
    assert_eq!(names, ["mc-1.zone.tld", "_minecraft._tcp.mc-1.zone.tld"]);
    assert!(matches!(&records[1].data, RecordData::Srv(srv) if srv.target.as_ref() == Some(&records[0].name)));
    let reserved: Hostname = "www".parse().unwrap();
    let public = PublicAddress { edge: Ipv4Addr::LOCALHOST, port: 1, service: None };
    let refused = records_of(&reserved, &zone(), &public);
    assert_eq!(refused, Err(NotPublishable::Reserved(reserved)));
}

#[test]
fn what_is_missing_is_made_once() {
    let mut zone = Vec::new();
    for record in wanted() {
        let (verdict, changes) = compared(&record, &zone);
        assert_eq!(verdict, RecordVerdict::Missing);
        apply(&mut zone, changes);
        let (verdict, changes) = compared(&record, &zone);
        assert!(matches!(verdict, RecordVerdict::InSync { .. }) && changes.is_empty(), "{verdict:?}");
    }
    assert_eq!(zone.len(), 2);
}

type Spoil = fn(&mut ZoneRecord);

#[test]
fn every_difference_is_named_alone_and_put_right_in_place() {
    fn srv(record: &mut ZoneRecord) -> &mut Srv {
        let RecordData::Srv(srv) = &mut record.data else { panic!("an SRV record") };
        srv
    }
    let spoils: [(Spoil, Drift); 9] = [
        (|record| srv(record).port = 25566, Drift::Value),
        (|record| srv(record).priority = 1, Drift::Value),
        (|record| srv(record).weight = 0, Drift::Value),
        (|record| srv(record).target = Some("edge.zone.tld".parse().unwrap()), Drift::Value),
        (|record| srv(record).target = None, Drift::NotOffered),
        (|record| record.ttl = Ttl::Auto, Drift::Ttl),
        (|record| record.proxied = true, Drift::Proxied),
        (|record| record.disabled = true, Drift::Disabled),
        (|record| record.comment = Some("zpack vmid=5013 gen=8".to_owned()), Drift::Comment),
    ];
    let record = &wanted()[1];
    for (spoil, drift) in spoils {
        let mut zone = vec![held("a", record)];
        spoil(&mut zone[0]);
        let (verdict, changes) = compared(record, &zone);
        assert_eq!(verdict, RecordVerdict::Drifted { drifts: vec![drift], foreign: vec![] });
        assert!(matches!(changes.as_slice(), [ZoneChange::Update { .. }]), "{changes:?}");
        apply(&mut zone, changes);
        assert_eq!(zone, [held("a", record)]);
    }
}

#[test]
fn a_mark_is_written_again_only_to_a_record_that_was_read_back_as_ours() {
    let record = &wanted()[0];
    let known = BTreeSet::from([RecordId("a".to_owned())]);
    let ownership = Ownership { vmid: vmid(5013), known: &known };
    let unmarked = ZoneRecord { comment: None, ..held("a", record) };
    let (verdict, changes) = compare(record, std::slice::from_ref(&unmarked), ownership);
    assert_eq!(verdict, RecordVerdict::Drifted { drifts: vec![Drift::Comment], foreign: vec![] });
    assert_eq!(changes.len(), 1);
    let with = |id: &str, comment: Option<&str>| {
        let id = Some(RecordId(id.to_owned()));
        ZoneRecord { id, comment: comment.map(str::to_owned), ..unmarked.clone() }
    };
    // Another one of equal value, and those that someone else has taken over.
    for other in [with("b", None), with("a", Some("zpack vmid=5014 gen=1")), with("a", Some("made by hand"))] {
        let (verdict, changes) = compare(record, std::slice::from_ref(&other), ownership);
        assert_eq!(verdict, RecordVerdict::Conflict(Conflict::Foreign(vec![other])));
        assert!(changes.is_empty());
    }
}

#[test]
fn one_judgement_decides_what_counts_at_a_name() {
    let (known, name) = (BTreeSet::new(), "mc-1.zone.tld".parse::<DnsName>().unwrap());
    let judged = |wanted: &[WantedRecord], listed: &[ZoneRecord]| {
        judge(Ownership { vmid: vmid(5013), known: &known }, &name, wanted, listed)
    };
    let ours: Vec<ZoneRecord> = wanted().iter().map(|one| held("a", one)).collect();
    let foreign = |at: &str, data: RecordData| ZoneRecord {
        name: at.parse().unwrap(),
        data,
        comment: None,
        ..held("x", &wanted()[0])
    };
    let other = |kind: &str| RecordData::Other { kind: kind.to_owned(), text: String::new() };
    let service = "_minecraft._tcp.mc-1.zone.tld";
    let a = || RecordData::A(Ipv4Addr::new(198, 51, 100, 1));
    let unreadable = RecordData::Unreadable { kind: RecordType::Srv, text: "?".to_owned() };
    for (at, data, counts) in [
        ("mc-1.zone.tld", a(), true),
        (service, a(), false),
        ("mc-old.zone.tld", a(), false),
        ("mc-1.zone.tld", other("ANAME"), true),
        (service, other("DNAME"), true),
        ("mc-1.zone.tld", other("TXT"), false),
        (service, unreadable, true),
        ("mc-1.zone.tld", RecordData::Cname("a.example".parse().unwrap()), true),
    ] {
        let record = foreign(at, data);
        let listed = [ours.clone(), vec![record.clone()]].concat();
        let judgement = judged(&wanted(), &listed);
        assert_eq!(judgement.in_the_way == [record.clone()], counts, "{record:?}");
        assert_eq!(judgement.harmless == [record.clone()], !counts, "{record:?}");
        assert_eq!(judgement.changes, [], "{record:?}");
        // Where nothing shall be, all that leads anywhere counts; ours go.
        let leads = !matches!(&record.data, RecordData::Other { kind, .. } if kind == "TXT");
        let judgement = judged(&[], &listed);
        assert_eq!((judgement.in_the_way == [record.clone()], judgement.changes.len()), (leads, 2), "{record:?}");
        assert_eq!(judgement.harmless == [record], !leads);
    }
    // An old name of ours that another server has by now.
    let theirs = ZoneRecord { comment: Some("zpack vmid=5014 gen=1".to_owned()), ..foreign("mc-old.zone.tld", a()) };
    assert_eq!(judged(&[], &[theirs]).obstacle(), None);
}

#[test]
fn of_several_the_right_one_stays_and_foreign_ones_are_reported() {
    let record = &wanted()[0];
    let stale = ZoneRecord { data: RecordData::A(Ipv4Addr::new(203, 0, 113, 1)), ..held("old", record) };
    let right = ZoneRecord { created_at: Some(Timestamp::from_millis(2_000)), ..held("right", record) };
    let foreign = ZoneRecord { comment: Some("by hand".to_owned()), ..stale.clone() };
    let v6 = ZoneRecord { data: RecordData::Aaaa("2001:db8::1".parse().unwrap()), comment: None, ..held("v6", record) };
    let (verdict, changes) = compared(record, &[stale.clone(), right, foreign.clone(), v6]);
    let drifts = vec![Drift::Duplicate, Drift::Aaaa];
    assert_eq!(verdict, RecordVerdict::Drifted { drifts, foreign: vec![foreign] });
    assert_eq!(changes, [ZoneChange::Delete(stale)]);
}

#[test]
fn an_alias_or_a_delegation_stops_everything() {
    let record = &wanted()[0];
    let ours = held("a", record);
    let other: DnsName = "other.example".parse().unwrap();
    for data in [RecordData::Cname(other.clone()), RecordData::Ns(other)] {
        let in_the_way = ZoneRecord { data, comment: None, ..ours.clone() };
        let (verdict, changes) = compared(record, &[ours.clone(), in_the_way]);
        assert!(matches!(verdict, RecordVerdict::Conflict(_)), "{verdict:?}");
        assert!(changes.is_empty());
    }
}

#[test]
fn names_are_compared_whole() {
    let record = &wanted()[0];
    let longer = ZoneRecord { name: "mc-13.zone.tld".parse().unwrap(), ..held("a", record) };
    assert_eq!(compared(record, &[longer]).0, RecordVerdict::Missing);
}

fn any_record() -> impl Strategy<Value = ZoneRecord> {
    let names = ["mc-1.zone.tld", "_minecraft._tcp.mc-1.zone.tld", "zone.tld", "www.zone.tld", "mc-10.zone.tld"];
    let name = prop::sample::select(names.to_vec()).prop_map(|name| name.parse::<DnsName>().unwrap());
    let data = prop_oneof![
        4 => prop::sample::select(vec![9_u8, 1]).prop_map(|last| RecordData::A(Ipv4Addr::new(203, 0, 113, last))),
        4 => (0_u16..2, prop::sample::select(vec![25565_u16, 25566]), any::<bool>()).prop_map(|(priority, port, offered)| {
            let target = offered.then(|| "mc-1.zone.tld".parse().unwrap());
            RecordData::Srv(Srv { priority, weight: 5, port, target })
        }),
        1 => Just(RecordData::Aaaa("2001:db8::1".parse().unwrap())),
        1 => Just(RecordData::Other { kind: "MX".to_owned(), text: "10 mail".to_owned() }),
    ];
    let comment = prop::sample::select(vec![
        None,
        Some(MARK.to_owned()),
        Some("zpack vmid=5013 gen=6".to_owned()),
        Some("zpack vmid=5014 gen=1".to_owned()),
        Some("by hand".to_owned()),
    ]);
    let ttl = prop::sample::select(vec![Ttl::Auto, Ttl::Seconds(60)]);
    (name, data, comment, ttl, any::<bool>(), any::<bool>(), 0_i64..4).prop_map(
        |(name, data, comment, ttl, proxied, disabled, at)| ZoneRecord {
            id: None,
            name,
            data,
            ttl,
            proxied,
            disabled,
            comment,
            created_at: Some(Timestamp::from_millis(at)),
        },
    )
}

fn is_ours(record: &ZoneRecord) -> bool {
    record.comment.as_deref().and_then(OwnerMark::read).is_some_and(|mark| mark.vmid == vmid(5013))
}

proptest! {
    /// Whatever a zone holds: one round corrects it or names what is in the way, a second writes nothing, and no foreign
    /// record is touched.
    #[test]
    fn one_round_is_enough_and_foreign_records_stay(records in prop::collection::vec(any_record(), 0..12)) {
        let mut zone: Vec<ZoneRecord> = records;
        for (index, record) in zone.iter_mut().enumerate() {
            record.id = Some(RecordId(format!("{index:02}")));
        }
        let before = zone.clone();
        for record in wanted() {
            let (_, changes) = compared(&record, &zone);
            for change in &changes {
                match change {
                    ZoneChange::Delete(old) => prop_assert!(is_ours(old)),
                    ZoneChange::Update { from, .. } => prop_assert!(is_ours(from)),
                    ZoneChange::Create(_) => {}
                }
            }
            apply(&mut zone, changes);
            let (verdict, changes) = compared(&record, &zone);
            prop_assert!(changes.is_empty(), "{verdict:?} {changes:?}");
            if let RecordVerdict::InSync { .. } = verdict {
                let right = zone.iter().filter(|other| is_ours(other) && other.name == record.name
                    && other.data.record_type() == record.data.record_type());
                prop_assert_eq!(right.count(), 1);
            }
        }
        let kept: Vec<_> = before.iter().filter(|record| !is_ours(record)).collect();
        prop_assert!(kept.into_iter().all(|record| zone.contains(record)));
    }

    /// Any spelling of the name in a listing means the same record.
    #[test]
    fn spelling_is_no_difference(upper in any::<bool>(), dots in 0_usize..3, relative in any::<bool>()) {
        let base = if relative && dots == 0 { "mc-1" } else { "mc-1.zone.tld" };
        let text = if upper { base.to_uppercase() } else { base.to_owned() } + &".".repeat(dots);
        prop_assert_eq!(DnsName::in_zone(&text, &zone()).unwrap(), wanted()[0].name.clone());
    }
}

fn registration() -> Registration {
    Registration { name: "mc-1.zone.tld".parse().unwrap(), address: "10.0.0.5:25565".parse().unwrap() }
}

fn entry(name: &str, address: Option<&str>) -> ProxyEntry {
    ProxyEntry { name: name.to_owned(), address: address.map(|address| address.parse().unwrap()) }
}

#[test]
fn the_proxy_is_compared_by_canonical_name() {
    let wanted = registration();
    let register = || ProxyChange::Register(registration());
    let unregister = |name: &str| ProxyChange::Unregister(name.to_owned());
    let right = entry("mc-1.zone.tld", Some("10.0.0.5:25565"));
    let cases = [
        (vec![], ProxyVerdict::Missing, vec![register()]),
        (vec![entry("mc-10.zone.tld", None)], ProxyVerdict::Missing, vec![register()]),
        (vec![right.clone()], ProxyVerdict::InSync, vec![]),
        (vec![entry("mc-1.zone.tld", None)], ProxyVerdict::InSync, vec![]),
        (
            vec![entry("mc-1.zone.tld", Some("10.0.0.6:25565"))],
            ProxyVerdict::Drifted(vec![ProxyDrift::Address]),
            vec![unregister("mc-1.zone.tld"), register()],
        ),
        (
            vec![entry("MC-1.zone.tld", Some("10.0.0.5:25565"))],
            ProxyVerdict::Drifted(vec![ProxyDrift::Name]),
            vec![unregister("MC-1.zone.tld"), register()],
        ),
        (
            vec![right, entry("mc-1", Some("10.0.0.5:25565"))],
            ProxyVerdict::Drifted(vec![ProxyDrift::Name, ProxyDrift::Duplicate]),
            vec![unregister("mc-1"), register()],
        ),
    ];
    for (listed, verdict, changes) in cases {
        assert_eq!(compare_proxy(&wanted, &listed), (verdict, changes), "{listed:?}");
    }
}
