use proptest::prelude::*;

use super::*;
use crate::sim::agent::script::Step;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + millis)
}

fn plan(failure: Option<&str>) -> InstallPlan {
    let steps = vec![
        Step { name: "downloading_java", takes: Duration::from_secs(1) },
        Step { name: "extracting", takes: Duration::from_secs(3) },
    ];
    InstallPlan { steps, failure: failure.map(str::to_owned) }
}

fn running() -> Machine {
    let mut machine = Machine::default();
    machine.install(plan(None), at(0), TimeScale::new(1.0)).unwrap();
    machine.advance(at(5_000));
    assert_eq!(machine.state(), State::Running);
    machine
}

#[test]
fn an_install_goes_through_its_steps_and_starts_automatically() {
    let scale = TimeScale::new(1.0);
    let mut machine = Machine::default();
    machine.install(plan(None), at(0), scale).unwrap();
    machine.advance(at(0));
    assert_eq!((machine.state(), machine.install_step()), (State::Installing, Some(("downloading_java", 0))));
    machine.advance(at(1_500));
    assert_eq!((machine.state(), machine.install_step()), (State::Installing, Some(("extracting", 25))));
    let busy = machine.install(plan(None), at(1_500), scale).unwrap_err();
    assert_eq!(busy, Refusal::Busy(Job { kind: JobKind::Install, started_at: at(0) }));
    machine.advance(at(4_500));
    assert_eq!((machine.state(), machine.install_step()), (State::Starting, Some(("starting", 95))));
    machine.advance(at(5_000));
    assert_eq!((machine.state(), machine.install_step(), machine.job()), (State::Running, None, None));
    assert_eq!(machine.uptime(at(7_000)), Duration::from_secs(2));
}

#[test]
fn a_failed_install_keeps_its_message_and_cannot_be_started() {
    let scale = TimeScale::new(1.0);
    let mut machine = Machine::default();
    machine.install(plan(Some("artifact x: 404 Not Found")), at(0), scale).unwrap();
    machine.advance(at(60_000));
    assert_eq!((machine.state(), machine.error()), (State::Error, Some("artifact x: 404 Not Found")));
    assert_eq!(machine.start(at(60_000), scale), Err(Refusal::NotInstalled));
}

#[test]
fn three_crashes_are_followed_by_a_restart_and_the_fourth_by_an_error() {
    let scale = TimeScale::new(1.0);
    let mut machine = running();
    let mut now = at(5_000);
    for expected in 1..=3 {
        assert!(machine.crash(now, scale));
        assert_eq!((machine.state(), machine.crash_count()), (State::Crashed, expected));
        now = now.after(Duration::from_secs(10));
        machine.advance(now);
        assert_eq!(machine.state(), State::Running);
    }
    assert!(machine.crash(now, scale));
    machine.advance(now);
    assert_eq!((machine.state(), machine.error()), (State::Error, Some("crashed 4 times in 10 minutes")));
    machine.start(now, scale).unwrap();
    machine.advance(now.after(Duration::from_secs(1)));
    assert_eq!((machine.state(), machine.crash_count()), (State::Running, 0));
}

#[test]
fn crashes_far_apart_are_always_followed_by_a_restart() {
    let scale = TimeScale::new(1.0);
    let mut machine = running();
    for round in 1..=8 {
        let now = at(5_000 + i64::from(round) * 700_000);
        machine.crash(now, scale);
        machine.advance(now.after(Duration::from_secs(60)));
        assert_eq!((machine.state(), machine.crash_count()), (State::Running, round));
    }
}

#[test]
fn a_kill_interrupts_a_stop_but_not_a_backup() {
    let scale = TimeScale::new(1.0);
    let mut machine = running();
    machine.stop(at(6_000), scale).unwrap();
    assert!(matches!(machine.start(at(6_100), scale), Err(Refusal::Busy(_))));
    assert_eq!(machine.kill(at(6_200)), Ok(Accepted::Begun));
    assert_eq!((machine.state(), machine.last_exit()), (State::Stopped, Some(Exit { code: 137, at: at(6_200) })));
    machine.backup("b", at(6_300), scale).unwrap();
    assert!(matches!(machine.kill(at(6_400)), Err(Refusal::Busy(Job { kind: JobKind::Backup, .. }))));
}

#[test]
fn a_restore_starts_only_what_was_running() {
    let scale = TimeScale::new(1.0);
    let mut machine = running();
    machine.restore("b", at(6_000), scale).unwrap();
    machine.advance(at(8_500));
    assert_eq!(machine.state(), State::Stopped);
    assert!(matches!(machine.stop(at(8_500), scale), Err(Refusal::Busy(Job { kind: JobKind::Restore, .. }))));
    machine.advance(at(10_000));
    assert_eq!((machine.state(), machine.job()), (State::Running, None));
    machine.stop(at(10_000), scale).unwrap();
    machine.advance(at(11_000));
    machine.restore("b", at(11_000), scale).unwrap();
    machine.advance(at(60_000));
    assert_eq!((machine.state(), machine.job()), (State::Stopped, None));
}

#[test]
fn what_was_running_before_a_power_loss_is_started_after_it() {
    let scale = TimeScale::new(1.0);
    let mut machine = running();
    machine.power_loss(at(6_000));
    assert_eq!(machine.state(), State::Stopped);
    machine.boot(at(9_000), scale);
    machine.advance(at(10_000));
    assert_eq!(machine.state(), State::Running);
    machine.install(plan(None), at(11_000), scale).unwrap();
    machine.advance(at(12_500));
    machine.power_loss(at(12_500));
    assert_eq!((machine.state(), machine.installed), (State::Error, false));
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Install,
    InstallBad,
    Start,
    Stop,
    Restart,
    Kill,
    Crash,
    Backup,
    Restore,
    PowerLoss,
    Boot,
    Force(State),
    Nothing,
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        Just(Op::Install),
        Just(Op::InstallBad),
        Just(Op::Start),
        Just(Op::Stop),
        Just(Op::Restart),
        Just(Op::Kill),
        Just(Op::Crash),
        Just(Op::Backup),
        Just(Op::Restore),
        Just(Op::PowerLoss),
        Just(Op::Boot),
        prop::sample::select(State::ALL).prop_map(Op::Force),
        Just(Op::Nothing),
    ]
}

fn run(machine: &mut Machine, op: Op, now: Timestamp, scale: TimeScale) {
    match op {
        Op::Install => drop(machine.install(plan(None), now, scale)),
        Op::InstallBad => drop(machine.install(plan(Some("no")), now, scale)),
        Op::Start => drop(machine.start(now, scale)),
        Op::Stop => drop(machine.stop(now, scale)),
        Op::Restart => drop(machine.restart(now, scale)),
        Op::Kill => drop(machine.kill(now)),
        Op::Crash => drop(machine.crash(now, scale)),
        Op::Backup => drop(machine.backup("b", now, scale)),
        Op::Restore => drop(machine.restore("b", now, scale)),
        Op::PowerLoss => drop(machine.power_loss(now)),
        Op::Boot => machine.boot(now, scale),
        Op::Force(state) => drop(machine.force(state, None, now)),
        Op::Nothing => {}
    }
}

fn check(machine: &Machine, now: Timestamp, held: bool) {
    let (state, job) = (machine.state(), machine.job());
    assert_eq!(state == State::Error, machine.error().is_some(), "{machine:?}");
    assert_eq!(state == State::Running, machine.running_since.is_some(), "{machine:?}");
    assert!(machine.due.front().is_none_or(|due| due.at > now), "{machine:?}");
    if State::PASSING.contains(&state) {
        assert!(job.is_some() && (held || !machine.due.is_empty()), "{machine:?}");
    }
    if state == State::Installing {
        assert_eq!(job.map(|job| job.kind), Some(JobKind::Install), "{machine:?}");
    }
    if machine.install_step().is_some() {
        assert!(matches!(state, State::Installing | State::Starting | State::Stopping), "{machine:?}");
    }
    if matches!(state, State::Running | State::Stopping | State::Crashed) && !held {
        assert!(machine.installed, "{machine:?}");
    }
}

proptest! {
    #[test]
    fn no_sequence_of_events_reaches_an_illegal_state(
        ops in prop::collection::vec((any_op(), 0i64..4_000), 0..60),
        scale in prop::sample::select(vec![0.0, 0.1, 1.0]),
    ) {
        let scale = TimeScale::new(scale);
        let mut machine = Machine::default();
        let mut now = at(0);
        let mut held = false;
        for (op, wait) in ops {
            let before = machine.state();
            run(&mut machine, op, now, scale);
            held = matches!(op, Op::Force(_)) || held;
            let direct = State::ALL.iter().any(|&next| next == machine.state() && reachable(before, next));
            prop_assert!(held || direct, "{op:?}: {before} -> {}", machine.state());
            machine.advance(now);
            check(&machine, now, held);
            let text = serde_json::to_string(&machine).unwrap();
            let again: Machine = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(format!("{again:?}"), format!("{machine:?}"));
            now = now.after(Duration::from_millis(u64::try_from(wait).unwrap()));
            machine.advance(now);
            check(&machine, now, held);
        }
        if !held {
            machine.advance(now.after(Duration::from_secs(3600)));
            prop_assert!(matches!(machine.state(), State::Idle | State::Running | State::Stopped | State::Error));
            prop_assert!(machine.job().is_none() && machine.due.is_empty());
        }
    }
}

/// Whether `to` can be reached from `from` by at most three legal events, the most that one command causes.
fn reachable(from: State, to: State) -> bool {
    const EVENTS: [Event; 10] = [
        Event::Install,
        Event::Installed,
        Event::InstallFailed,
        Event::Start,
        Event::Started,
        Event::Stop,
        Event::Exited,
        Event::Kill,
        Event::Crash,
        Event::GiveUp,
    ];
    let next = |state: State| EVENTS.into_iter().filter_map(move |event| state.after(event));
    from == to
        || next(from).any(|one| one == to || next(one).any(|two| two == to || next(two).any(|three| three == to)))
}
