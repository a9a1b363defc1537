//! Checks every request of the hypervisor client against the published schema of the API: the path exists, every
//! parameter is defined there with its type and bounds, and no required one is missing.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;
use zpack::adapters::proxmox::{Cloning, Proxmox};
use zpack::kernel::Clock;
use zpack::ports::{Hypervisor, Task};

use super::proxmox_kit::{clone_of, container_settings, pve1, settings, vmid};
use super::scripted::{Scripted, Seen};

const SCHEMA: &str = include_str!("../data/pve-schema.json");

/// Makes every call of the port, with every option that changes the request.
async fn every_request() -> Vec<Seen> {
    let server = Scripted::always("200 OK", r#"{"data":null}"#).await;
    let with = |cloning| {
        let settings = zpack::adapters::proxmox::ProxmoxSettings { cloning, ..settings([server.url()]) };
        Proxmox::new(&settings, Clock::System).unwrap()
    };
    let client = with(Cloning::Linked);
    let (node, ct) = (pve1(), vmid(5001));
    // The answers are useless on purpose; only the requests matter here.
    let _ = client.version().await;
    let _ = client.nodes().await;
    let _ = client.containers().await;
    let _ = client.vmid_is_free(ct).await;
    let _ = client.config(&node, ct).await;
    let _ = client.power(&node, ct).await;
    let _ = client.interfaces(&node, ct).await;
    let _ = client.clone_is_running(&node, vmid(9000)).await;
    let _ = client.start(&node, ct).await;
    let _ = client.stop(&node, ct).await;
    let _ = client.shutdown(&node, ct, 60).await;
    let _ = client.destroy(&node, ct).await;
    let task = "UPID:pve1:0002D4BF:0A1B2C3D:65F0A1B2:vzclone:9000:zpack@pve!ctl:";
    let _ = client.task(&Task(task.to_owned())).await;
    for cloning in
        [Cloning::Linked, Cloning::Full { storage: None }, Cloning::Full { storage: Some("local-zfs".to_owned()) }]
    {
        let mut wanted = clone_of(9000, 5001);
        let _ = with(cloning.clone()).clone_container(&wanted).await;
        wanted.pool = None;
        let _ = with(cloning).clone_container(&wanted).await;
    }
    let mut wanted = container_settings(5001);
    let _ = client.configure(&node, ct, &wanted).await;
    wanted.tags.clear();
    let _ = client.configure(&node, ct, &wanted).await;
    server.seen()
}

#[tokio::test]
async fn every_request_fits_the_published_schema() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let seen = every_request().await;
    assert_eq!(seen.len(), 21);
    let mut used = BTreeSet::new();
    for request in &seen {
        let path = request.path().strip_prefix("/api2/json").unwrap();
        let (template, mut parameters) = route(&schema, path);
        used.insert(format!("{} {template}", request.method));
        let method = &schema["paths"][&template][&request.method];
        assert!(method.is_object(), "no {} {template}", request.method);
        assert_eq!(method["allowtoken"], 1, "{template} is not for tokens");
        for (name, value) in request.parameters() {
            assert!(parameters.iter().all(|(known, _)| *known != name), "{template} {name} is given twice");
            parameters.push((name, value));
        }
        check(&format!("{} {template}", request.method), &method["parameters"], &parameters);

        let carries_body = matches!(request.method.as_str(), "POST" | "PUT");
        assert_eq!(request.header("content-length").is_some(), carries_body, "{template}");
        assert!(request.header("transfer-encoding").is_none());
        if carries_body {
            assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"), "{template}");
            assert!(!request.target.contains('?'), "{template} has its parameters in the body");
        }
    }
    assert_eq!(used.len(), 15, "{used:?}");
}

/// The schema's path for a concrete path, with its parameters.
fn route(schema: &Value, path: &str) -> (String, Vec<(String, String)>) {
    let fits = |template: &str| {
        let (segments, parts): (Vec<_>, Vec<_>) = (path.split('/').collect(), template.split('/').collect());
        let mut parameters = Vec::new();
        for (segment, part) in segments.iter().zip(&parts) {
            match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                Some(name) => parameters.push((name.to_owned(), (*segment).to_owned())),
                None if segment == part => {}
                None => return None,
            }
        }
        (segments.len() == parts.len()).then_some(parameters)
    };
    let templates = schema["paths"].as_object().unwrap().keys();
    let mut found: Vec<_> = templates.filter_map(|name| fits(name).map(|given| (name.clone(), given))).collect();
    found.sort_by_key(|(_, given)| given.len());
    found.into_iter().next().unwrap_or_else(|| panic!("the schema has no path for {path}"))
}

fn check(request: &str, schema: &Value, given: &[(String, String)]) {
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    for (name, property) in &properties {
        let required = property["optional"] != 1;
        assert!(!required || given.iter().any(|(known, _)| known == name), "{request} lacks {name}");
    }
    for (name, value) in given {
        let family = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let property = properties.get(name).or_else(|| properties.get(&format!("{family}[n]")));
        let property = property.unwrap_or_else(|| panic!("{request} knows no {name}"));
        assert_eq!(problem(property, value), None, "{request} {name}={value}");
    }
}

fn problem(property: &Value, value: &str) -> Option<String> {
    let kind = property["type"].as_str().unwrap_or("string");
    let number = value.parse::<f64>().ok();
    let fits = match kind {
        "integer" => value.parse::<i64>().is_ok(),
        "number" => number.is_some(),
        "boolean" => ["0", "1"].contains(&value),
        _ => true,
    };
    let bound = |key: &str| property[key].as_f64().or_else(|| property[key].as_str()?.parse().ok());
    let length = value.chars().count() as f64;
    let text = kind == "string";
    let pattern = property["pattern"].as_str().map(|perl| Regex::new(&perl.replace("(?^:", "(?:")).unwrap());
    let named = |format: &str| match format {
        "pve-vmid" => value.parse::<u32>().is_ok_and(|id| id >= 100),
        "dns-name" => value.split('.').all(|label| !label.is_empty() && !label.contains('_')),
        "pve-node" | "pve-poolid" | "pve-storage-id" => value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
        "pve-tag-list" => value.split(';').all(|tag| !tag.is_empty()),
        _ => true,
    };
    let checks = [
        ("type", fits),
        ("minimum", bound("minimum").is_none_or(|least| number.is_some_and(|number| number >= least))),
        ("maximum", bound("maximum").is_none_or(|most| number.is_some_and(|number| number <= most))),
        ("minLength", !text || bound("minLength").is_none_or(|least| length >= least)),
        ("maxLength", !text || bound("maxLength").is_none_or(|most| length <= most)),
        ("enum", property["enum"].as_array().is_none_or(|texts| texts.iter().any(|text| text == value))),
        ("pattern", pattern.is_none_or(|pattern| pattern.is_match(value))),
        ("format", property["format"].as_str().is_none_or(named)),
        ("format", property["format"].as_object().is_none_or(|fields| fits_property_string(fields, value))),
    ];
    checks.into_iter().find(|(_, holds)| !holds).map(|(name, _)| name.to_owned())
}

/// A property string such as `name=eth0,ip=dhcp`: every field is known, and every required one is present.
fn fits_property_string(fields: &serde_json::Map<String, Value>, value: &str) -> bool {
    let given: Vec<(&str, &str)> = value.split(',').filter_map(|pair| pair.split_once('=')).collect();
    let known = given.iter().all(|(name, text)| fields.get(*name).is_some_and(|field| problem(field, text).is_none()));
    let complete =
        fields.iter().all(|(name, field)| field["optional"] == 1 || given.iter().any(|(known, _)| known == name));
    known && complete
}

#[test]
fn the_schema_check_finds_mistakes() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let parameters = &schema["paths"]["/nodes/{node}/lxc/{vmid}/config"]["PUT"]["parameters"]["properties"];
    for (name, value) in [
        ("memory", "lots"),
        ("memory", "1"),
        ("onboot", "yes"),
        ("hostname", "my_srv"),
        ("net[n]", "bridge=vmbr3,ip=dhcp"),
        ("net[n]", "name=eth0,ip=dhcp,colour=red"),
        ("net[n]", "name=eth0,type=vlan"),
    ] {
        assert!(parameters[name].is_object(), "{name}");
        assert!(problem(&parameters[name], value).is_some(), "{name}={value}");
    }
}
