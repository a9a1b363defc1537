use proptest::prelude::*;
use serde_json::json;

use super::*;

fn answer(status: u16, reason: Option<&str>, body: &str) -> Answer {
    Answer { status, reason: reason.map(str::to_owned), etag: None, retry_after: None, body: body.as_bytes().to_vec() }
}

fn said(status: u16, reason: Option<&str>, body: &str) -> Refusal {
    match open(&answer(status, reason, body)) {
        Err(NoData::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_has_a_vmid_is_a_container_another_guest_or_not_listed() {
    let list = json!([
        { "type": "lxc", "vmid": "5000", "node": "pve1", "status": "running" },
        { "type": "qemu", "vmid": 5001, "node": "pve2", "status": "running" },
    ]);
    let at = |number: i64| whereabouts(&list, VmId::new(number).unwrap());
    assert_eq!(at(5000), Ok(Whereabouts::Container(NodeName::new("pve1"))));
    assert_eq!(at(5001), Ok(Whereabouts::OtherGuest));
    assert_eq!(at(5002), Ok(Whereabouts::Unlisted));
    assert!(whereabouts(&json!(null), VmId::new(5000).unwrap()).is_err());
}

#[test]
fn the_message_comes_from_the_body_or_the_status_line() {
    let new = said(500, Some("CT is locked (disk)"), r#"{"data":null,"message":"CT is locked (disk)\n"}"#);
    let old = said(500, Some("CT is locked (disk)"), r#"{"data":null}"#);
    assert_eq!(new, old);
    assert_eq!(new.text, "CT is locked (disk)");
    assert_eq!(said(595, Some("No route to host"), "").text, "No route to host");
    assert_eq!(said(401, None, ""), Refusal { status: 401, text: String::new(), fields: Vec::new() });
}

#[test]
fn parameter_errors_are_read_field_by_field() {
    let body = r#"{"data":null,"message":"Parameter verification failed.\n",
        "errors":{"hostname":"not a name\\ntoo long\n","newid":7}}"#;
    let mut fields = said(400, None, body).fields;
    fields.sort();
    let expected = [("hostname", "not a name; too long"), ("newid", "7")];
    assert_eq!(fields, expected.map(|(field, words)| (field.to_owned(), words.to_owned())));
}

#[test]
fn a_success_without_an_envelope_is_unreadable() {
    for body in ["", "null", "[]", "{}", "<html>", r#"{"data":"#] {
        assert!(matches!(open(&answer(200, None, body)), Err(NoData::Unreadable(_))), "{body}");
    }
    assert_eq!(open(&answer(200, None, r#"{"data":null}"#)), Ok(Value::Null));
}

#[test]
fn only_containers_are_listed_and_templates_are_marked() {
    let rows = json!([
        { "id": "lxc/5001", "type": "lxc", "vmid": "5001", "node": "pve1", "status": "running", "name": "mc-1",
          "maxmem": "1073741824", "template": 0, "lock": "" },
        { "type": "lxc", "vmid": 9000, "node": "pve2", "status": "stopped", "template": 1, "lock": "disk" },
        { "type": "lxc", "vmid": 5002, "node": "pve1", "status": "unknown", "new-key": {} },
        { "type": "qemu", "vmid": 100, "node": "pve1" },
        { "type": "node", "node": "pve1" },
    ]);
    let containers = containers(&rows).unwrap();
    let brief: Vec<_> = containers.iter().map(|c| (c.vmid.get(), c.power, c.template, c.lock.as_deref())).collect();
    let expected = [
        (5001, PowerState::Running, false, None),
        (9000, PowerState::Stopped, true, Some("disk")),
        (5002, PowerState::Unknown, false, None),
    ];
    assert_eq!(brief, expected);
    assert_eq!(containers[0].memory_bytes, Some(1 << 30));
    assert_eq!((containers[2].name.as_deref(), containers[2].memory_bytes), (None, None));
}

#[test]
fn an_unreadable_row_makes_the_list_an_error() {
    for row in [
        json!({ "type": "lxc", "node": "pve1" }),
        json!({ "type": "lxc", "vmid": 5001 }),
        json!({ "type": "lxc", "vmid": "many", "node": "pve1" }),
    ] {
        assert!(containers(&json!([row])).is_err(), "{row}");
    }
    assert!(containers(&Value::Null).is_err(), "a missing list is not an empty list");
    assert!(nodes(&json!([{ "status": "online" }])).is_err());
}

#[test]
fn a_node_may_lack_its_size() {
    let rows = json!([
        { "node": "pve1", "status": "online", "maxmem": 64, "mem": "32", "maxcpu": 8.0 },
        { "node": "pve2", "status": "unknown" },
    ]);
    let nodes = nodes(&rows).unwrap();
    assert_eq!(
        (nodes[0].online, nodes[0].memory_bytes, nodes[0].memory_used_bytes, nodes[0].cpus),
        (true, Some(64), Some(32), Some(8))
    );
    assert_eq!((nodes[1].online, nodes[1].memory_bytes, nodes[1].cpus), (false, None, None));
}

#[test]
fn a_configuration_is_read_with_text_or_number_values() {
    let data = json!({
        "hostname": "mc-1", "description": "zpack op_1\n", "memory": "2048", "cores": 2, "tags": "game;zpack,x",
        "net0": "bridge=vmbr3,name=eth0", "digest": "d", "lxc": [["a", "b"]], "template": 1,
    });
    let expected = ContainerConfig {
        hostname: Some("mc-1".to_owned()),
        description: Some("zpack op_1".to_owned()),
        lock: None,
        memory_mib: Some(2048),
        cores: Some(2),
        net0: Some("bridge=vmbr3,name=eth0".to_owned()),
        tags: vec!["game".to_owned(), "zpack".to_owned(), "x".to_owned()],
        template: true,
    };
    assert_eq!(config(&data), Ok(expected));
    assert_eq!(config(&json!({})), Ok(ContainerConfig::default()));
    assert!(config(&Value::Null).is_err());
}

#[test]
fn interfaces_are_read_in_old_and_new_shapes() {
    let found = |data: Value| -> Vec<(String, Vec<String>)> {
        let texts = |addresses: &[IpAddr]| addresses.iter().map(IpAddr::to_string).collect();
        interfaces(&data).unwrap().into_iter().map(|one| (one.mac, texts(&one.addresses))).collect()
    };
    let one = |mac: &str, addresses: &[&str]| (mac.to_owned(), addresses.iter().map(|&text| text.to_owned()).collect());
    assert!(found(Value::Null).is_empty(), "a container that is off");
    let waiting = found(json!([{ "name": "eth0", "hwaddr": "bc:24:11:00:00:01" }]));
    assert_eq!(waiting, [one("BC:24:11:00:00:01", &[])], "waiting for DHCP");

    let old = json!([
        { "name": "lo", "inet": "127.0.0.1/8", "inet6": "::1/128" },
        { "name": "eth0", "hwaddr": "bc:24:11:00:00:01", "inet6": "fe80::be24:11ff:fe00:1/64", "inet": "127.77.3.2/24" },
        { "name": "docker0", "hwaddr": "02:42:5f:1a:9c:3e", "inet": "192.0.2.1/16" },
    ]);
    let expected = [one("BC:24:11:00:00:01", &["127.77.3.2"]), one("02:42:5F:1A:9C:3E", &["192.0.2.1"])];
    assert_eq!(found(old), expected);

    let new = json!([
        { "name": "lo", "ip-addresses": [{ "ip-address": "127.0.0.1", "ip-address-type": "inet", "prefix": 8 }] },
        { "name": "eth0", "hardware-address": "bc:24:11:00:00:01", "inet": "10.0.4.17/22", "ip-addresses": [
            { "ip-address": "fe80::1", "ip-address-type": "inet6", "prefix": "64" },
            { "ip-address": "2001:db8::7", "ip-address-type": "inet6", "prefix": 64 },
            { "ip-address": "169.254.7.7", "ip-address-type": "inet", "prefix": 16 },
            { "ip-address": "10.0.4.16/22", "ip-address-type": "inet" },
            { "ip-address": "10.0.4.17", "ip-address-type": "inet", "prefix": "22" },
            { "ip-address": null },
        ]},
    ]);
    assert_eq!(found(new), [one("BC:24:11:00:00:01", &["10.0.4.16", "10.0.4.17", "2001:db8::7"])]);
}

#[test]
fn a_clone_is_running_until_its_row_has_an_end() {
    let running = json!({ "upid": "x", "type": "vzclone", "id": "9000", "status": "RUNNING" });
    let ended = json!({ "upid": "x", "type": "vzclone", "id": "9000", "status": "OK", "endtime": 1 });
    assert_eq!(any_running(&json!([])), Ok(false));
    assert_eq!(any_running(&json!([ended])), Ok(false));
    assert_eq!(any_running(&json!([ended, running])), Ok(true));
    assert_eq!(any_running(&json!([{ "upid": "x" }])), Ok(true));
    assert!(any_running(&Value::Null).is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        Just("data"),
        Just("type"),
        Just("lxc"),
        Just("vmid"),
        Just("node"),
        Just("status"),
        Just("name"),
        Just("inet"),
        Just("ip-addresses"),
        Just("ip-address"),
        Just("memory"),
        Just("tags"),
        Just("errors"),
        Just("message"),
        Just("exitstatus"),
        Just("template"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,12}".prop_map(Value::from),
        Just(json!("lxc")),
        Just(json!("10.0.0.1/8")),
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|pairs| Value::Object(
                pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn no_document_makes_a_reader_panic(data in any_json(), status in 200u16..600) {
        let _ = (version(&data), nodes(&data), containers(&data), config(&data), power(&data));
        let _ = (interfaces(&data), any_running(&data), super::super::task::state(&data));
        let _ = open(&answer(status, None, &data.to_string()));
    }

    #[test]
    fn no_bytes_make_the_envelope_panic(body in prop::collection::vec(any::<u8>(), 0..200), status in 100u16..1000) {
        let _ = open(&Answer { status, reason: None, etag: None, retry_after: None, body });
    }
}
