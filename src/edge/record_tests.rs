use proptest::prelude::*;

use super::super::summary::EdgeSummary;
use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn publication(host: &str, targets: &[Target]) -> Publication {
    let name: DnsName = format!("{host}.play.test").parse().unwrap();
    let zones = targets.iter().filter(|target| matches!(target, Target::Technitium | Target::Cloudflare));
    let record = super::super::wanted::PublicRecord {
        name: name.clone(),
        data: crate::ports::RecordData::A([203, 0, 113, 1].into()),
    };
    Publication {
        vmid: crate::kernel::VmId::new(5000).unwrap(),
        address: name.to_string(),
        records: zones.map(|target| (*target, vec![record.clone()])).collect(),
        registration: None,
        route: None,
        further_routes: Vec::new(),
        ide: targets.contains(&Target::Ide).then(|| name.clone()),
        name,
    }
}

fn busy() -> EdgeError {
    EdgeError::Unsettled { target: Target::Technitium, rounds: 4 }
}

fn blocked() -> EdgeError {
    EdgeError::NotConfigured { target: Target::Cloudflare }
}

const BOTH: &[Target] = &[Target::Technitium, Target::Cloudflare];

#[test]
fn a_generation_grows_with_what_is_wanted_and_not_with_repetition() {
    let first = EdgeRecord::begin(None, publication("a", BOTH), NOW);
    assert_eq!((first.generation, first.state()), (1, EdgeState::Publishing));
    assert_eq!(EdgeRecord::begin(Some(&first), publication("a", BOTH), NOW.after(RETRY.max)), first);
    let second = EdgeRecord::begin(Some(&first), publication("b", BOTH), NOW);
    assert_eq!((second.generation, second.names.len()), (2, 2));
    let gone = second.unpublishing();
    assert_eq!((gone.generation, gone.unpublishing().generation), (3, 3));
    assert_eq!(EdgeRecord::begin(Some(&gone), publication("b", BOTH), NOW).generation, 4);
}

#[test]
fn a_part_that_failed_is_degraded_and_due_again() {
    let mut record = EdgeRecord::begin(None, publication("a", BOTH), NOW);
    record.settle(Target::Cloudflare, &Ok(vec![RecordId("1".to_owned())]), NOW);
    assert_eq!((record.state(), record.due_at()), (EdgeState::Publishing, None));
    record.settle(Target::Technitium, &Err(busy()), NOW);
    assert_eq!(record.state(), EdgeState::Degraded);
    let due = record.due_at().unwrap();
    assert!(due > NOW && due <= NOW.after(RETRY.base), "{due}");
    record.settle(Target::Technitium, &Err(busy()), NOW);
    assert!(record.due_at().unwrap() > due && record.problems().contains("technitium"));
    record.settle(Target::Technitium, &Ok(Vec::new()), NOW);
    assert_eq!((record.state(), record.due_at(), record.problems()), (EdgeState::Published, None, String::new()));
}

#[test]
fn only_when_no_target_can_go_on_without_a_person_it_has_failed() {
    let mut record = EdgeRecord::begin(None, publication("a", BOTH), NOW);
    record.settle(Target::Cloudflare, &Err(blocked()), NOW);
    assert_eq!(record.state(), EdgeState::Publishing);
    record.settle(Target::Technitium, &Err(EdgeError::NotConfigured { target: Target::Technitium }), NOW);
    assert_eq!(record.state(), EdgeState::Failed);
    // A person is not waited for, but looked after now and then.
    assert!(record.due_at().unwrap() >= NOW.after(RETRY.max.mul_f64(0.5)));
}

#[test]
fn a_rate_limit_is_waited_for_as_long_as_it_says() {
    let mut record = EdgeRecord::begin(None, publication("a", BOTH), NOW);
    let source = ZoneError::RateLimited { operation: "list".to_owned(), retry_after: Duration::from_secs(7) };
    record.settle(Target::Cloudflare, &Err(EdgeError::Zone { target: Target::Cloudflare, source }), NOW);
    assert_eq!(record.due_at(), Some(NOW.after(Duration::from_secs(7))));
}

#[test]
fn a_target_of_an_older_generation_is_taken_back_with_the_rest() {
    let mut record = EdgeRecord::begin(None, publication("a", BOTH), NOW);
    record.settle(Target::Cloudflare, &Ok(Vec::new()), NOW);
    record.settle(Target::Technitium, &Ok(Vec::new()), NOW);
    let record = EdgeRecord::begin(Some(&record), publication("a", &[Target::Technitium]), NOW);
    assert_eq!(record.unsettled(), BTreeSet::from([Target::Technitium]));
    let mut record = record.unpublishing();
    assert_eq!((record.state(), record.unsettled().len()), (EdgeState::Unpublishing, 2));
    record.settle(Target::Technitium, &Ok(Vec::new()), NOW);
    record.settle(Target::Cloudflare, &Ok(Vec::new()), NOW);
    assert_eq!(record.state(), EdgeState::NotPublished);
}

proptest! {
    #[test]
    fn it_is_published_exactly_when_every_target_said_so(outcomes in prop::collection::vec((0..2usize, 0..3u8), 0..12)) {
        let mut record = EdgeRecord::begin(None, publication("a", BOTH), NOW);
        let mut last = [None, None];
        for (target, outcome) in outcomes {
            let result = match outcome { 0 => Ok(Vec::new()), 1 => Err(busy()), _ => Err(blocked()) };
            last[target] = Some(outcome);
            record.settle(BOTH[target], &result, NOW);
        }
        prop_assert_eq!(record.state() == EdgeState::Published, last == [Some(0), Some(0)]);
        prop_assert_eq!(record.due_at().is_some(), last.iter().flatten().any(|outcome| *outcome != 0));
        let json = serde_json::to_string(&record).unwrap();
        prop_assert_eq!(&serde_json::from_str::<EdgeRecord>(&json).unwrap(), &record);
        for record in [record.unpublishing(), record] {
            let json = serde_json::to_string(&record).unwrap();
            let summary: EdgeSummary = serde_json::from_str(&json).unwrap();
            let address = (record.intent == Intent::Published).then_some(record.publication.address.as_str());
            prop_assert_eq!((summary.state(), summary.address()), (record.state(), address));
            prop_assert!(summary.targets().keys().eq(record.targets.keys()));
        }
    }
}
