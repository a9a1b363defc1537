use super::*;
use crate::ports::{RecordData, Srv};

fn policy() -> EdgePolicy {
    EdgePolicy {
        zone: Some("play.test".parse().unwrap()),
        proxy_ip: Some(Ipv4Addr::new(10, 0, 0, 1)),
        public_ip: Some(Ipv4Addr::new(203, 0, 113, 1)),
        proxy_port: 25_565,
        ide_suffix: Some("ide.test".parse().unwrap()),
        targets: Target::ALL.iter().copied().collect(),
    }
}

fn planned(host: &str, workload: PublishedWorkload<'_>, ports: &[u16], policy: &EdgePolicy) -> Option<Publication> {
    let (vmid, host) = (VmId::new(5013).unwrap(), host.parse().unwrap());
    let address = IpAddr::from([10, 60, 0, 7]);
    plan(&ServerFacts { vmid, host: &host, workload, address, ports }, policy).unwrap()
}

#[test]
fn a_minecraft_server_is_named_at_both_dns_servers_and_registered_under_that_very_name() {
    let publication = planned("mc-paper-5013", PublishedWorkload::Game("minecraft"), &[], &policy()).unwrap();
    let name: DnsName = "mc-paper-5013.play.test".parse().unwrap();
    assert_eq!((&publication.name, publication.address.as_str()), (&name, name.as_str()));
    let registration = publication.registration.clone().unwrap();
    assert_eq!((registration.name, registration.address), (name.clone(), "10.60.0.7:25565".parse().unwrap()));
    let srv = Srv { priority: 0, weight: 5, port: 25_565, target: Some(name.clone()) };
    for (target, edge) in [(Target::Technitium, [10, 0, 0, 1]), (Target::Cloudflare, [203, 0, 113, 1])] {
        let records = publication.wanted(target, 7);
        let data: Vec<_> = records.iter().map(|record| (record.name.to_string(), record.data.clone())).collect();
        let expected = [
            (name.to_string(), RecordData::A(edge.into())),
            (format!("_minecraft._tcp.{name}"), RecordData::Srv(srv.clone())),
        ];
        assert_eq!(data, expected);
        assert!(records.iter().all(|record| record.mark.to_string() == "zpack vmid=5013 gen=7"));
    }
    let targets = [Target::Velocity, Target::Technitium, Target::Cloudflare];
    assert_eq!(publication.targets(), BTreeSet::from(targets));
}

#[test]
fn another_game_has_a_port_of_its_own_and_no_service_record() {
    let publication =
        planned("valheim-5013", PublishedWorkload::Game("valheim"), &[50_003, 50_004], &policy()).unwrap();
    assert_eq!(publication.address, "valheim-5013.play.test:50003");
    assert!(publication.registration.is_none());
    let route = publication.route.clone().unwrap();
    assert_eq!((route.port, route.backend), (50_003, "10.60.0.7:50003".parse().unwrap()));
    assert_eq!(route.transports, [Transport::Udp]);
    let ports: Vec<_> = publication.routes().map(|route| (route.port, route.backend.port())).collect();
    assert_eq!(ports, [(50_003, 50_003), (50_004, 50_004)]);
    let old = planned("valheim-5013", PublishedWorkload::Game("valheim"), &[50_003], &policy()).unwrap();
    assert_eq!((old.route, old.further_routes), (publication.route.clone(), Vec::new()), "from before it had two");
    let records: Vec<_> = publication.records.values().flatten().map(|record| record.data.record_type()).collect();
    assert_eq!(records, [crate::ports::RecordType::A; 2]);
    assert_eq!(publication.targets(), BTreeSet::from([Target::Technitium, Target::Cloudflare, Target::Traefik]));
}

#[test]
fn a_dev_container_has_the_host_of_its_ide_and_nothing_else() {
    let publication = planned("dev-6000", PublishedWorkload::Dev, &[], &policy()).unwrap();
    assert_eq!(publication.ide.as_ref().map(DnsName::as_str), Some("dev-6000.ide.test"));
    assert_eq!(publication.targets(), BTreeSet::from([Target::Ide]));
}

#[test]
fn what_is_not_configured_is_not_planned() {
    let bare = EdgePolicy { zone: policy().zone, targets: BTreeSet::new(), ..EdgePolicy::default() };
    let publication = planned("mc-paper-5013", PublishedWorkload::Game("minecraft"), &[], &bare).unwrap();
    assert_eq!(publication.targets(), BTreeSet::new());
    assert_eq!(planned("mc-paper-5013", PublishedWorkload::Game("minecraft"), &[], &EdgePolicy::default()), None);
    assert_eq!(planned("dev-6000", PublishedWorkload::Dev, &[], &EdgePolicy::default()), None);
    // One address serves both DNS servers when there is only one.
    let one = EdgePolicy { proxy_ip: None, ..policy() };
    let publication = planned("mc-paper-5013", PublishedWorkload::Game("minecraft"), &[], &one).unwrap();
    assert_eq!(publication.records[&Target::Technitium], publication.records[&Target::Cloudflare]);
}

#[test]
fn reserved_names_are_refused_before_anything_is_asked() {
    for host in ["www", "ns1"] {
        let host = host.parse().unwrap();
        let server = ServerFacts {
            vmid: VmId::new(5013).unwrap(),
            host: &host,
            workload: PublishedWorkload::Game("minecraft"),
            address: IpAddr::from([10, 60, 0, 7]),
            ports: &[],
        };
        assert_eq!(plan(&server, &policy()), Err(NotPublishable::Reserved(host.clone())));
    }
}
