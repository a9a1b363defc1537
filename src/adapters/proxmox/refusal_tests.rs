use proptest::prelude::*;

use super::*;
use crate::kernel::{Classify, Failure, VmId};

const PERL: &str = " at /usr/share/perl5/PVE/AbstractConfig.pm line 123.";

fn vmid() -> VmId {
    VmId::new(5001).unwrap()
}

fn clone() -> RequestLabel {
    RequestLabel::write("clone 9000 to 5001 on pve1").claiming(vmid())
}

fn refusal(status: u16, text: &str) -> Refusal {
    Refusal { status, text: text.to_owned(), fields: Vec::new() }
}

/// The variant's name, for tables.
fn kind(error: &HypervisorError) -> &'static str {
    match error {
        HypervisorError::Unreachable { .. } => "Unreachable",
        HypervisorError::Unavailable { .. } => "Unavailable",
        HypervisorError::OutcomeUnknown { .. } => "OutcomeUnknown",
        HypervisorError::Locked { .. } => "Locked",
        HypervisorError::AlreadyExists { .. } => "AlreadyExists",
        HypervisorError::NotFound { .. } => "NotFound",
        HypervisorError::Unauthorized { .. } => "Unauthorized",
        HypervisorError::Forbidden { .. } => "Forbidden",
        HypervisorError::TagRefused { .. } => "TagRefused",
        HypervisorError::Invalid { .. } => "Invalid",
        HypervisorError::NoCapacity { .. } => "NoCapacity",
        HypervisorError::Refused { .. } => "Refused",
        HypervisorError::Protocol { .. } => "Protocol",
    }
}

#[test]
fn every_known_message_is_classified_with_and_without_a_source_line() {
    let table: &[(&str, &str)] = &[
        ("can't lock file '/run/lock/lxc/pve-config-5001.lock' - got timeout", "Unavailable"),
        ("can't lock file '/var/lock/pve-manager/pve-storage-local' - got timeout", "Unavailable"),
        ("cfs-lock 'storage-x' error: got lock request timeout", "Unavailable"),
        ("'storage-x'-locked command timed out - aborting", "Unavailable"),
        ("got no worker upid - start worker failed", "Unavailable"),
        ("unable to fork worker - Cannot allocate memory", "Unavailable"),
        ("cluster not ready - no quorum?", "Unavailable"),
        ("RPCEnvironment init request failed: Unable to load access control list: Connection refused", "Unavailable"),
        ("ipcc_send_rec[1] failed: Connection refused", "Unavailable"),
        ("unable to open file '/etc/pve/nodes/pve1/lxc/5001.conf.tmp.77' - Permission denied", "Unavailable"),
        ("unable to open file '/etc/pve/user.cfg' - Transport endpoint is not connected", "Unavailable"),
        ("unable to open file '/var/lib/lxc/5001/config' - Permission denied", "Refused"),
        ("CT is locked (disk)", "Locked"),
        ("CT is locked (snapshot-delete)", "Locked"),
        ("CT 5001 already exists on node 'pve2'", "AlreadyExists"),
        ("VM 5001 already exists on node 'pve2'", "AlreadyExists"),
        ("unable to create CT 5001 - CT 5001 already exists on node 'pve1'", "AlreadyExists"),
        ("unable to open file '/etc/pve/nodes/pve1/lxc/5001.conf.tmp' - File exists", "AlreadyExists"),
        ("Configuration file 'nodes/pve1/lxc/9000.conf' does not exist", "NotFound"),
        ("not enough free space in storage", "NoCapacity"),
        ("insufficient free space: 512 extents needed", "NoCapacity"),
        ("zfs error: cannot create 'rpool/x': out of space", "NoCapacity"),
        ("write failed: No space left on device", "NoCapacity"),
        ("unable to get any free VMID in range [100, 1000000]", "NoCapacity"),
        ("parameter 'storage' not allowed for linked clones", "Refused"),
        ("Linked clone feature for 'local:9000/base-9000-disk-0.raw' is not available", "Refused"),
        ("Cannot do full clones on a running container without snapshots", "Refused"),
        ("Full clone of a running container is only possible from a snapshot", "Refused"),
        ("can't clone CT to node 'pve2' (CT uses local storage)", "Refused"),
        ("unable to clone mountpoint 'mp0' (type bind)", "Refused"),
        ("no options specified", "Refused"),
        ("detected modified configuration - file changed by other user? Try again.", "Refused"),
        ("unable to destroy CT 5001 - container is running", "Refused"),
        ("can't remove CT 5001 - protection mode enabled", "Refused"),
        ("unable to remove CT 5001 - used in HA resources and purge parameter not set.", "Refused"),
        ("base volume 'V' is still in use by linked clones", "Refused"),
        ("hostname lookup 'x' failed - failed to get address info for: x", "Refused"),
        ("storage 'x' does not exist", "Refused"),
    ];
    for (text, expected) in table {
        for suffix in ["", PERL] {
            for status in [500, 501] {
                let error = classify(&clone(), &refusal(status, &format!("{text}{suffix}")));
                assert_eq!(kind(&error), *expected, "{status} {text}{suffix}");
            }
        }
    }
}

#[test]
fn the_lock_is_named() {
    let error = classify(&clone(), &refusal(500, &format!("CT is locked (snapshot-delete){PERL}")));
    assert!(matches!(error, HypervisorError::Locked { lock, .. } if lock == "snapshot-delete"));
}

#[test]
fn every_status_is_classified() {
    let read = RequestLabel::read("read the version");
    for (status, of_change, of_read) in [
        (401, "Unauthorized", "Unauthorized"),
        (403, "Forbidden", "Forbidden"),
        (400, "Invalid", "Invalid"),
        (404, "Refused", "Refused"),
        (301, "Refused", "Refused"),
        (308, "Refused", "Refused"),
        (501, "Refused", "Refused"),
        (506, "Refused", "Refused"),
        (502, "OutcomeUnknown", "Unavailable"),
        (503, "OutcomeUnknown", "Unavailable"),
        (504, "OutcomeUnknown", "Unavailable"),
        (595, "Unreachable", "Unreachable"),
        (596, "OutcomeUnknown", "Unavailable"),
        (597, "OutcomeUnknown", "Unavailable"),
        (599, "OutcomeUnknown", "Unavailable"),
    ] {
        assert_eq!(kind(&classify(&clone(), &refusal(status, ""))), of_change, "{status}");
        assert_eq!(kind(&classify(&read, &refusal(status, ""))), of_read, "{status}");
    }
}

#[test]
fn refused_parameters_are_named() {
    let fields = vec![("hostname".to_owned(), "value does not look like a valid DNS name".to_owned())];
    let refusal = Refusal { status: 400, text: "Parameter verification failed.".to_owned(), fields: fields.clone() };
    assert!(matches!(classify(&clone(), &refusal), HypervisorError::Invalid { fields: named, .. } if named == fields));
}

#[test]
fn a_taken_vmid_is_not_an_invalid_parameter() {
    let fields = vec![("vmid".to_owned(), "VM 5001 already exists".to_owned())];
    let refusal = Refusal { status: 400, text: "Parameter verification failed.".to_owned(), fields };
    assert!(is_taken(&refusal));
    let error = classify(&clone(), &refusal);
    assert!(matches!(error, HypervisorError::AlreadyExists { vmid: taken, .. } if taken == vmid()));
}

#[test]
fn a_missing_permission_names_what_to_grant() {
    let said = |operation: &RequestLabel, text: &str| classify(operation, &refusal(403, text)).to_string();
    assert!(said(&clone(), "Permission check failed").contains("name that pool"));
    assert!(said(&clone(), "Permission check failed (/vms/9000, VM.Clone)").contains("VM.Clone on /vms/9000"));
    assert!(!said(&RequestLabel::write("stop 5001"), "Permission check failed").contains("pool"));
    let missing = "Permission check failed (pool 'x' does not exist)";
    assert!(said(&clone(), missing).ends_with(missing));
}

#[test]
fn already_done_depends_on_the_request() {
    let running = refusal(500, &format!("CT 5001 already running{PERL}"));
    let stopped = refusal(500, &format!("CT 5001 not running{PERL}"));
    assert!(is_already_running(&running) && !is_not_running(&running));
    assert!(is_not_running(&stopped) && !is_already_running(&stopped));
    assert!(is_not_running(&refusal(500, "VM 5001 not running")));
    assert!(!is_already_running(&refusal(500, "can't overwrite running container")));
    assert!(!is_already_running(&refusal(403, "already running")));
}

#[test]
fn a_tag_that_may_not_be_set_is_named() {
    let refused = refusal(403, "Permission check failed (/, Sys.Modify for modifying tag 'game')");
    let error = classify(&clone(), &refused);
    assert!(matches!(&error, HypervisorError::TagRefused { tag, .. } if tag == "game"), "{error}");
}

#[test]
fn the_exit_status_says_how_a_task_ended() {
    assert_eq!(end_of_task(Some("OK")), TaskEnd::Succeeded);
    assert_eq!(end_of_task(Some("WARNINGS: 3")), TaskEnd::Warned(3));
    assert_eq!(end_of_task(Some("WARNINGS: many")), TaskEnd::Warned(1));
    for text in ["unexpected status", "unable to get last line from task log - No such file", ""] {
        assert!(matches!(end_of_task(Some(text)), TaskEnd::Unknown { .. }), "{text}");
    }
    assert!(matches!(end_of_task(None), TaskEnd::Unknown { .. }));
    for (text, expected) in [
        ("clone failed: cfs-lock 'storage-x' error: got lock request timeout", Failure::Transient),
        (
            "clone failed: unable to open file '/etc/pve/nodes/pve1/lxc/5001.conf.tmp.4711' - Device or resource busy",
            Failure::Transient,
        ),
        ("clone failed: failed to remove config file: Input/output error", Failure::Transient),
        ("pve configuration filesystem (pmxcfs) not mounted", Failure::Transient),
        ("Transport endpoint is not connected", Failure::Transient),
        ("Configuration file 'nodes/pve1/lxc/5001.conf' does not exist", Failure::Permanent),
        ("clone failed: 'storage-x'-locked command timed out - aborting", Failure::Transient),
        ("can't lock file '/run/lock/lxc/pve-config-5001.lock' - got timeout", Failure::Transient),
        ("unable to open file '/etc/pve/nodes/pve1/lxc/5001.conf.tmp.77' - Permission denied", Failure::Transient),
        ("CT is locked (backup)", Failure::Busy),
        ("clone failed: No space left on device", Failure::NeedsOperator),
        ("interrupted by signal", Failure::NeedsOperator),
        ("received interrupt", Failure::NeedsOperator),
        ("you can't start a CT if it's a template", Failure::Permanent),
        ("startup for container '5001' failed", Failure::Permanent),
        ("container did not stop", Failure::Permanent),
        ("job errors", Failure::Permanent),
    ] {
        let TaskEnd::Failed { cause, message } = end_of_task(Some(text)) else { panic!("{text} is no failure") };
        assert_eq!((cause.failure(), message.as_str()), (expected, text));
    }
}

proptest! {
    #[test]
    fn every_answer_has_a_class(status in 100u16..1000, text in ".{0,80}", field in ".{0,8}", words in ".{0,40}") {
        let refusal = Refusal { status, text: text.clone(), fields: vec![(field, words)] };
        let _ = classify(&clone(), &refusal).failure();
        let _ = end_of_task(Some(&text));
        let _ = (is_already_running(&refusal), is_not_running(&refusal), is_taken(&refusal), is_unknown_task(&refusal));
    }
}
