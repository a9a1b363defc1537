//! No part of zpack has its own list of targets: each is filled with a peer that zpack does not know, and publishing,
//! verifying, health, teardown, debts and the orphan sweep have to reach every one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use sea_orm::EntityTrait;
use serde_json::Value;
use zpack::db::entities::debt::{self, DebtKind};
use zpack::db::entities::instance::{self, InstanceKind};
use zpack::db::entities::operation::{Cleanup, OperationState};
use zpack::db::entities::operation_step;
use zpack::edge::{EDGE_KEY, EdgeError, EdgePolicy, EdgeRecord, OwnerMark};
use zpack::kernel::{Clock, DnsName, Target, Timestamp, VmId};
use zpack::ports::{DnsZone, ProxyError, RecordData, RecordId, Ttl, ZoneChange, ZoneError, ZoneHealth, ZoneRecord};
use zpack::publishing::{
    EdgeTarget, Holdings, Publisher, TargetReport, TargetSelection, TargetVerdict, Targets, UnpublishPlan,
};
use zpack::roles::worker::WorkerParts;
use zpack::servers::payload::{self, PayloadUpdate};
use zpack::servers::{Naming, hostname, ports, store};
use zpack::teardown::{OrphanSweep, OrphanSweepDeps};

use super::sweep::give_back;
use crate::contracts::zone_kit::ZONE;
use crate::flows::teardown::{collect_with, delete, open_debts};
use crate::support::app::INTERNAL;
use crate::support::company::Company;
use crate::support::parts::FRESHNESS;
use crate::support::rows::AnyOwner;
use crate::support::servers::server;

/// What was called at which target.
type Calls = Arc<Mutex<BTreeSet<(&'static str, Target)>>>;

/// A peer that exists in these tests only, in the place of `kind`.
struct FakeTarget {
    kind: Target,
    calls: Calls,
    is_down: Arc<AtomicBool>,
    zone: FakeZone,
}

/// Records in memory.
#[derive(Default)]
struct FakeZone(Mutex<Vec<ZoneRecord>>);

#[async_trait]
impl DnsZone for FakeZone {
    async fn records_at(&self, names: &[DnsName]) -> Result<Vec<ZoneRecord>, ZoneError> {
        Ok(self.0.lock().unwrap().iter().filter(|record| names.contains(&record.name)).cloned().collect())
    }

    async fn list(&self) -> Result<Vec<ZoneRecord>, ZoneError> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn apply(&self, changes: &[ZoneChange]) -> Result<(), ZoneError> {
        self.0.lock().unwrap().retain(|record| !changes.contains(&ZoneChange::Delete(record.clone())));
        Ok(())
    }

    async fn check(&self) -> Result<ZoneHealth, ZoneError> {
        Ok(ZoneHealth { token_expires_at: None })
    }
}

impl FakeTarget {
    fn called(&self, what: &'static str) -> Result<(), EdgeError> {
        self.calls.lock().unwrap().insert((what, self.kind));
        match self.is_down.load(Ordering::Relaxed) {
            true => Err(ProxyError::Unreachable { operation: what.to_owned(), detail: "down".to_owned() }.into()),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl EdgeTarget for FakeTarget {
    fn kind(&self) -> Target {
        self.kind
    }

    async fn publish(&self, _: &EdgeRecord) -> Result<Vec<RecordId>, EdgeError> {
        self.called("publish").map(|()| Vec::new())
    }

    async fn unpublish(&self, _: &UnpublishPlan) -> Result<(), EdgeError> {
        self.called("unpublish")
    }

    async fn verify(&self, _: &EdgeRecord) -> Result<TargetReport, EdgeError> {
        self.called("verify").map(|()| TargetReport::new(self.kind, Vec::new()))
    }

    async fn check(&self) -> Result<Option<Timestamp>, EdgeError> {
        self.called("check").map(|()| None)
    }

    fn holdings(&self) -> Holdings<'_> {
        Holdings::Records(&self.zone)
    }
}

/// A company all of whose targets are fakes.
struct Fakes {
    company: Company,
    calls: Calls,
    is_down: Arc<AtomicBool>,
    fakes: BTreeMap<Target, Arc<FakeTarget>>,
    publisher: Publisher,
}

impl Fakes {
    async fn new() -> Self {
        let (company, calls, is_down) = (Company::start().await, Calls::default(), Arc::new(AtomicBool::new(false)));
        let fake = |kind: Target| {
            let (calls, is_down) = (calls.clone(), is_down.clone());
            (kind, Arc::new(FakeTarget { kind, calls, is_down, zone: FakeZone::default() }))
        };
        let fakes: BTreeMap<_, _> = Target::ALL.iter().copied().map(fake).collect();
        let targets = Targets::new(|kind| Some(fakes.get(&kind)?.clone() as Arc<dyn EdgeTarget>));
        let policy = EdgePolicy {
            zone: Some(ZONE.parse().unwrap()),
            proxy_ip: Some(Ipv4Addr::LOCALHOST),
            public_ip: Some(Ipv4Addr::LOCALHOST),
            proxy_port: 25_565,
            ide_suffix: Some("ide.zpack.test".parse().unwrap()),
            ..EdgePolicy::default()
        };
        let publisher = Publisher::new(company.db.db.clone(), targets, policy, Clock::System);
        Self { company, calls, is_down, fakes, publisher }
    }

    /// The targets at which `what` was called since this was last asked.
    fn called(&self, what: &str) -> BTreeSet<Target> {
        std::mem::take(&mut *self.calls.lock().unwrap())
            .into_iter()
            .filter(|(called, _)| *called == what)
            .map(|(_, target)| target)
            .collect()
    }

    async fn insert(&self, row: instance::Model) -> VmId {
        let vmid = row.vmid;
        store::insert(&AnyOwner(&self.company.db.db), instance::Model { user_id: self.company.owner, ..row })
            .await
            .unwrap();
        vmid
    }

    /// One server of each kind: between them they use every target.
    async fn servers(&self) -> [VmId; 3] {
        let (db, now) = (&self.company.db.db, Clock::System.now());
        let port = server(5014, now);
        let game = "valheim".to_owned();
        let port = instance::Model { hostname: "valheim-5014".parse().unwrap(), software: game, variant: None, ..port };
        ports::take(&AnyOwner(db), &(50_000..=50_999), 1, port.operation_id, now).await.unwrap().unwrap();
        let dev = server(5015, now);
        let host = hostname(Naming::Dev, dev.vmid);
        let dev = instance::Model { hostname: host, kind: InstanceKind::Dev, variant: None, ..dev };
        [self.insert(server(5013, now)).await, self.insert(port).await, self.insert(dev).await]
    }

    fn parts(&self) -> WorkerParts {
        let (publisher, background) = (self.publisher.clone(), self.publisher.clone());
        WorkerParts { publisher, background, ..self.company.parts() }
    }
}

fn all() -> BTreeSet<Target> {
    Target::ALL.iter().copied().collect()
}

fn peers() -> BTreeSet<Target> {
    Target::peers().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_target_is_published_verified_and_unpublished() {
    let scene = Fakes::new().await;
    let servers = scene.servers().await;
    for vmid in servers {
        let record = scene.publisher.publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
        assert_eq!(record.problems(), "");
    }
    assert_eq!(scene.called("publish"), all());
    for vmid in servers {
        let reports = scene.publisher.verify(vmid).await.unwrap().unwrap();
        assert!(reports.iter().all(|report| report.verdict == TargetVerdict::InSync), "{reports:?}");
    }
    assert_eq!(scene.called("verify"), all());
    for vmid in servers {
        scene.publisher.unpublish(vmid, None).await.unwrap();
    }
    assert_eq!(scene.called("unpublish"), all());
}

#[tokio::test(flavor = "multi_thread")]
async fn health_reports_every_peer() {
    let scene = Fakes::new().await;
    let door = scene.company.door_with(FRESHNESS, scene.publisher.clone());
    let health = async || -> Value {
        let answer = door.get("/api/edge/health").header("x-internal-token", INTERNAL).send().await.unwrap();
        answer.json().await.unwrap()
    };
    let healthy = |health: &Value, is: bool| -> BTreeSet<Target> {
        let targets = health["targets"].as_array().unwrap().iter().filter(|target| target["healthy"] == is);
        targets.map(|target| target["target"].as_str().unwrap().parse().unwrap()).collect()
    };
    assert_eq!(healthy(&health().await, true), peers());
    assert_eq!(scene.called("check"), peers());
    scene.is_down.store(true, Ordering::Relaxed);
    let down = health().await;
    assert_eq!((healthy(&down, false), &down["ok"]), (peers(), &Value::Bool(false)));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_teardown_unpublishes_at_every_peer_or_leaves_a_debt_that_is_settled() {
    let scene = Fakes::new().await;
    let db = &scene.company.db.db;
    let [vmid, ..] = scene.servers().await;
    scene.publisher.publish(vmid, TargetSelection::All, None).await.unwrap();
    // It may have something at every target, whatever a server of its kind has today.
    let everywhere = |_: &instance::Model, record: Option<EdgeRecord>| {
        let mut record = record?;
        Target::ALL.iter().for_each(|target| record.settle(*target, &Ok(Vec::new()), Clock::System.now()));
        Some(PayloadUpdate::to(record))
    };
    payload::merge(db, vmid, EDGE_KEY, Clock::System.now(), everywhere).await.unwrap();
    scene.is_down.store(true, Ordering::Relaxed);
    let door = scene.company.door(FRESHNESS);
    let host = scene.company.host_worker_of(&scene.parts());
    let operation = scene.company.settled(delete(&door, vmid.get()).await.unwrap()).await;
    assert_eq!((operation.state, operation.cleanup), (OperationState::Succeeded, Cleanup::Pending));
    assert!(scene.called("unpublish").is_superset(&peers()));
    let steps = operation_step::Entity::find().all(db).await.unwrap();
    for target in peers() {
        let name = format!("withdraw_{target}");
        assert!(steps.iter().any(|step| step.name == name), "no step {name}");
    }
    let kinds = |debts: Vec<debt::Model>| debts.into_iter().map(|debt| debt.kind).collect::<BTreeSet<_>>();
    assert_eq!(kinds(open_debts(&scene.company).await), peers().into_iter().map(DebtKind::Edge).collect());
    scene.is_down.store(false, Ordering::Relaxed);
    collect_with(&scene.company, &scene.parts()).await;
    assert!(scene.called("unpublish").is_superset(&peers()));
    assert_eq!(open_debts(&scene.company).await, []);
    host.stop().await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_reads_every_target_that_holds_something() {
    let scene = Fakes::new().await;
    let db = &scene.company.db.db;
    scene.servers().await;
    give_back(db, 5099).await;
    let orphan = ZoneRecord {
        id: Some(RecordId("a".to_owned())),
        name: format!("mc-paper-5099.{ZONE}").parse().unwrap(),
        data: RecordData::A(Ipv4Addr::LOCALHOST),
        ttl: Ttl::Seconds(60),
        proxied: false,
        disabled: false,
        comment: Some(OwnerMark { vmid: VmId::new(5099).unwrap(), generation: 1 }.to_string()),
        created_at: None,
    };
    for fake in scene.fakes.values() {
        fake.zone.0.lock().unwrap().push(orphan.clone());
    }
    let mut sweep = OrphanSweep::new(OrphanSweepDeps {
        db: db.clone(),
        hypervisor: Arc::new(scene.company.hypervisor()),
        targets: scene.publisher.targets.clone(),
        zone: Some(ZONE.parse().unwrap()),
    });
    assert_eq!(sweep.sweep().await.unwrap(), 0, "seen once");
    assert_eq!(sweep.sweep().await.unwrap(), Target::ALL.len());
    for (target, fake) in &scene.fakes {
        assert_eq!(*fake.zone.0.lock().unwrap(), [], "{target} still has it");
    }
}
