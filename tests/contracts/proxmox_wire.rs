//! The hypervisor client against a server whose every byte the test decides (docs/contracts/proxmox.md 1 to 3).

use std::time::Duration;

use zpack::adapters::proxmox::Proxmox;
use zpack::kernel::{Classify, Clock, Failure, Secret, StoredSecret, Timestamp};
use zpack::ports::{Hypervisor, HypervisorError, Started, Task, TaskEnd, TaskState};

use super::proxmox_kit::{TOKEN, client, clone_of, container_settings, pve1, settings, vmid};
use super::scripted::{Act, Crowded, Scripted, answer, unused_address};

const UPID: &str = "UPID:pve1:0002D4BF:0A1B2C3D:65F0A1B2:vzclone:9000:zpack@pve!ctl:";

fn accepted() -> Act {
    Act::Send(answer("200 OK", &format!(r#"{{"data":"{UPID}"}}"#)))
}

#[tokio::test]
async fn the_token_is_sent_with_every_call_and_never_in_the_address() {
    let server = Scripted::always("200 OK", r#"{"data":{"version":"9.1.5"}}"#).await;
    assert_eq!(client(server.url()).version().await.unwrap().version, "9.1.5");
    let seen = &server.seen()[0];
    assert_eq!(seen.header("authorization"), Some(format!("PVEAPIToken={TOKEN}").as_str()));
    assert_eq!(seen.target, "/api2/json/version");
    assert!(!format!("{:?} {:?}", client(server.url()), settings([server.url()])).contains("00000000-1111"));
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_sent_once_and_its_outcome_is_unknown() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{\"data\":\"UPID:pve1:".to_vec();
    let acts = [
        Act::Reset,
        Act::SendAndClose(Vec::new()),
        Act::SendAndClose(cut),
        Act::SendAndClose(answer("596 Connection timed out", "")),
        Act::SendAndClose(answer("597 Connection reset by peer", "")),
        Act::SendAndClose(answer("599 Too many redirections", "")),
    ];
    for act in acts {
        let script = act.clone();
        let server = Scripted::start(move |_, _| script.clone()).await;
        let error = client(server.url()).clone_container(&clone_of(9000, 5001)).await.unwrap_err();
        assert!(matches!(error, HypervisorError::OutcomeUnknown { .. }), "{act:?}: {error}");
        assert_eq!(server.seen().len(), 1, "{act:?}");
    }
}

#[tokio::test]
async fn a_change_that_is_answered_too_late_has_an_unknown_outcome() {
    let server = Scripted::start(|_, _| Act::Hang).await;
    let mut settings = settings([server.url()]);
    settings.deadlines.change = Duration::from_millis(500);
    let error = Proxmox::new(&settings, Clock::System).unwrap().start(&pve1(), vmid(5001)).await.unwrap_err();
    assert!(matches!(error, HypervisorError::OutcomeUnknown { .. }), "{error}");
}

#[tokio::test]
async fn a_read_whose_answer_is_lost_may_be_repeated() {
    for act in [Act::Reset, Act::SendAndClose(answer("596 Connection timed out", ""))] {
        let server = Scripted::start(move |_, _| act.clone()).await;
        let error = client(server.url()).containers().await.unwrap_err();
        assert!(matches!(error, HypervisorError::Unavailable { .. }), "{error}");
        assert_eq!(error.failure(), Failure::Transient);
    }
}

#[tokio::test]
async fn writes_never_share_a_connection() {
    let server = Scripted::start(|_, _| accepted()).await;
    let client = client(server.url());
    for _ in 0..3 {
        client.start(&pve1(), vmid(5001)).await.unwrap();
    }
    let connections: Vec<usize> = server.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 1, 2]);
}

#[tokio::test]
async fn an_answer_without_a_task_id_leaves_the_outcome_unknown() {
    for body in [r#"{"data":null}"#, r#"{"data":"OK"}"#, "<html></html>", "{}"] {
        let server = Scripted::always("200 OK", body).await;
        let error = client(server.url()).clone_container(&clone_of(9000, 5001)).await.unwrap_err();
        assert!(matches!(error, HypervisorError::Protocol { .. }), "{body}: {error}");
        assert_eq!(error.failure(), Failure::Ambiguous);
    }
}

#[tokio::test]
async fn the_next_endpoint_is_tried_when_one_refuses_connections() {
    let crowded = Crowded::start().await;
    let away: [url::Url; 2] =
        [unused_address().await, crowded.address].map(|address| format!("http://{address}").parse().unwrap());
    let server = Scripted::start(|_, _| accepted()).await;
    let client = Proxmox::new(&settings([away[0].clone(), away[1].clone(), server.url()]), Clock::System).unwrap();
    client.clone_container(&clone_of(9000, 5001)).await.unwrap();
    assert_eq!(server.seen().len(), 1);

    let nowhere = Proxmox::new(&settings(away), Clock::System).unwrap();
    let error = nowhere.clone_container(&clone_of(9000, 5001)).await.unwrap_err();
    assert!(matches!(error, HypervisorError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn after_an_answer_that_was_lost_a_write_is_not_sent_to_the_next_endpoint() {
    let next = Scripted::start(|_, _| accepted()).await;
    for act in [Act::Reset, Act::SendAndClose(answer("596 Connection timed out", ""))] {
        let first = Scripted::start(move |_, _| act.clone()).await;
        let client = Proxmox::new(&settings([first.url(), next.url()]), Clock::System).unwrap();
        client.clone_container(&clone_of(9000, 5001)).await.unwrap_err();
    }
    assert!(next.seen().is_empty());
}

#[tokio::test]
async fn after_the_cool_down_the_token_of_the_file_is_sent() {
    // The real answer: no body, the message in the status line.
    let server = Scripted::start(|_, seen| {
        if seen.header("authorization") == Some("PVEAPIToken=new") {
            Act::Send(answer("200 OK", r#"{"data":{"version":"9.1.5"}}"#))
        } else {
            Act::SendAndClose(b"HTTP/1.1 401 Authentication failed!\r\nContent-Length: 0\r\n\r\n".to_vec())
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "old").unwrap();
    let clock = Clock::fixed(Timestamp::from_millis(1_800_000_000_000));
    let mut settings = settings([server.url()]);
    settings.token = StoredSecret::in_file(Secret::new("old"), &file);
    let client = Proxmox::new(&settings, clock.clone()).unwrap();
    for _ in 0..5 {
        let error = client.version().await.unwrap_err();
        assert!(matches!(error, HypervisorError::Unauthorized { .. }), "{error}");
        assert_eq!(error.failure(), Failure::NeedsOperator);
    }
    assert_eq!(server.seen().len(), 1, "one refusal is enough");
    std::fs::write(&file, "new").unwrap();
    assert!(client.version().await.is_err() && server.seen().len() == 1, "the file is read once a cool-down");
    clock.advance(settings.deadlines.cool_down);
    client.version().await.unwrap();
    assert_eq!(server.seen().len(), 2, "the old one is not sent again");
}

#[tokio::test]
async fn a_token_that_is_accepted_again_needs_no_restart() {
    let server = Scripted::start(|number, _| {
        if number == 0 {
            Act::SendAndClose(answer("401 No ticket", ""))
        } else {
            Act::Send(answer("200 OK", r#"{"data":{"version":"9.1.5"}}"#))
        }
    })
    .await;
    let mut settings = settings([server.url()]);
    settings.deadlines.cool_down = Duration::ZERO;
    let client = Proxmox::new(&settings, Clock::System).unwrap();
    client.version().await.unwrap_err();
    client.version().await.unwrap();
    client.version().await.unwrap();
}

#[tokio::test]
async fn a_missing_permission_comes_with_a_hint() {
    let server = Scripted::always("403 Permission check failed", r#"{"data":null}"#).await;
    let error = client(server.url()).clone_container(&clone_of(9000, 5001)).await.unwrap_err();
    assert!(matches!(&error, HypervisorError::Forbidden { detail, .. } if detail.contains("pool")), "{error}");
}

#[tokio::test]
async fn already_running_and_already_stopped_are_recognized_in_both_error_formats() {
    for (line, body, on, off) in [
        ("500 CT 5001 already running", r#"{"data":null}"#, true, false),
        ("500 Internal Server Error", r#"{"data":null,"message":"CT 5001 already running\n"}"#, true, false),
        ("500 CT 5001 not running", r#"{"data":null}"#, false, true),
        ("500 Internal Server Error", r#"{"message":"CT 5001 not running\n","data":null}"#, false, true),
    ] {
        let server = Scripted::always(line, body).await;
        let client = client(server.url());
        let there = |result: Result<Started, HypervisorError>| matches!(result, Ok(Started::AlreadyThere));
        assert_eq!(there(client.start(&pve1(), vmid(5001)).await), on, "{line} {body}");
        assert_eq!(there(client.stop(&pve1(), vmid(5001)).await), off, "{line} {body}");
        assert_eq!(there(client.shutdown(&pve1(), vmid(5001), 60).await), off, "{line} {body}");
    }
}

#[tokio::test]
async fn refused_parameters_are_reported_by_field() {
    let body = r#"{"data":null,"errors":{"hostname":"value does not look like a valid DNS name\n"},"message":"Parameter verification failed.\n"}"#;
    let server = Scripted::always("400 Parameter verification failed.", body).await;
    let error = client(server.url()).configure(&pve1(), vmid(5001), &container_settings(5001)).await.unwrap_err();
    let HypervisorError::Invalid { fields, .. } = error else { panic!("{error}") };
    assert_eq!(fields, [("hostname".to_owned(), "value does not look like a valid DNS name".to_owned())]);
}

#[tokio::test]
async fn a_vmid_is_free_taken_or_unknown() {
    let taken =
        r#"{"data":null,"errors":{"vmid":"VM 5001 already exists"},"message":"Parameter verification failed.\n"}"#;
    for (line, body, expected) in [
        ("200 OK", r#"{"data":"5001"}"#, Some(true)),
        ("200 OK", r#"{"data":5001}"#, Some(true)),
        ("200 OK", r#"{"data":"5002"}"#, None),
        ("200 OK", r#"{"data":null}"#, None),
        ("400 Parameter verification failed.", taken, Some(false)),
        ("400 Parameter verification failed.", r#"{"data":null,"errors":{"vmid":"invalid format"}}"#, None),
        ("500 cluster not ready - no quorum?", r#"{"data":null}"#, None),
    ] {
        let server = Scripted::always(line, body).await;
        assert_eq!(client(server.url()).vmid_is_free(vmid(5001)).await.ok(), expected, "{line} {body}");
    }
}

#[tokio::test]
async fn a_task_is_read_from_its_node() {
    let upid = UPID.replace("pve1", "pve2");
    let server = Scripted::always("200 OK", r#"{"data":{"status":"stopped","exitstatus":"WARNINGS: 2"}}"#).await;
    let state = client(server.url()).task(&Task(upid.clone())).await.unwrap();
    assert_eq!(state, TaskState::Ended(TaskEnd::Warned(2)));
    assert_eq!(server.seen()[0].path(), format!("/api2/json/nodes/pve2/tasks/{upid}/status"));
}

#[tokio::test]
async fn a_task_without_a_record_runs_until_the_grace_is_over() {
    let missing = r#"{"data":null,"errors":{"upid":"no such task"},"message":"Parameter verification failed.\n"}"#;
    let server = Scripted::always("400 Parameter verification failed.", missing).await;
    let patient = client(server.url());
    assert_eq!(patient.task(&Task(UPID.to_owned())).await.unwrap(), TaskState::Running);

    let mut settings = settings([server.url()]);
    settings.deadlines.task_grace = Duration::ZERO;
    let state = Proxmox::new(&settings, Clock::System).unwrap().task(&Task(UPID.to_owned())).await.unwrap();
    assert!(matches!(state, TaskState::Ended(TaskEnd::Unknown { .. })), "{state:?}");
}

#[tokio::test]
async fn a_malformed_task_id_is_not_sent() {
    let server = Scripted::always("200 OK", r#"{"data":null}"#).await;
    let error = client(server.url()).task(&Task("../../access/users".to_owned())).await.unwrap_err();
    assert!(matches!(error, HypervisorError::Protocol { .. }), "{error}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn an_oversized_or_malformed_listing_is_an_error() {
    let large = format!(r#"{{"data":["{}"]}}"#, "x".repeat(9 << 20));
    for bytes in [answer("200 OK", &large), answer("200 OK", r#"{"data":null}"#)] {
        let server = Scripted::start(move |_, _| Act::Send(bytes.clone())).await;
        assert!(client(server.url()).containers().await.is_err());
    }
}
