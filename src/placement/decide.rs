//! The decision.

use std::cmp::Reverse;

use super::memory::{budget_mib, committed_mib};
use super::types::{Choice, Commitment, NodeOutcome, NodeRefusal, NodeVerdict, Placement, PlacementPolicy, Want};
use crate::kernel::VmId;
use crate::ports::{ContainerSummary, Node};

/// Chooses the node for a container that needs `want`.
///
/// `nodes` and `containers` are the cluster's listings. `ours` is the memory that our records commit: for every server,
/// and for every operation that has a VMID and a node but no server yet.
pub fn place(
    nodes: &[Node],
    containers: &[ContainerSummary],
    ours: &[Commitment],
    want: Want,
    policy: &PlacementPolicy,
) -> Placement {
    let committed = committed_mib(containers, ours, policy);
    let mut nodes: Vec<&Node> = nodes.iter().collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    nodes.dedup_by(|a, b| a.name == b.name);
    let verdicts: Vec<NodeVerdict> = nodes
        .into_iter()
        .map(|node| {
            let committed = committed.get(&node.name).copied().unwrap_or(0);
            NodeVerdict { node: node.name.clone(), outcome: judge(node, containers, committed, want, policy) }
        })
        .collect();
    Placement { choice: best(&verdicts), nodes: verdicts }
}

fn best(verdicts: &[NodeVerdict]) -> Option<Choice> {
    let fitting = verdicts.iter().filter_map(|verdict| match verdict.outcome {
        NodeOutcome::Fits { template, template_avoided, template_busy, free_mib } => {
            Some(((template_avoided, template_busy, Reverse(free_mib)), verdict, template))
        }
        NodeOutcome::Refused { .. } => None,
    });
    // The verdicts are sorted by name, and `min_by_key` keeps the first of equals.
    let (_, verdict, template) = fitting.min_by_key(|(order, _, _)| *order)?;
    Some(Choice { node: verdict.node.clone(), template })
}

fn judge(
    node: &Node,
    containers: &[ContainerSummary],
    committed_mib: u64,
    want: Want,
    policy: &PlacementPolicy,
) -> NodeOutcome {
    let mut reasons = Vec::new();
    if let Some(only) = policy.only_node.as_ref().filter(|only| **only != node.name) {
        reasons.push(NodeRefusal::NotSelected { only: only.clone() });
    }
    if !node.online {
        reasons.push(NodeRefusal::Offline);
    }
    let template = template_on(node, containers, policy).map_err(|refusal| reasons.push(refusal)).ok();
    let wanted_mib = u64::from(want.memory_mib);
    let free_mib = match budget_mib(node, policy) {
        None => {
            reasons.push(NodeRefusal::UnknownMemory);
            0
        }
        Some(budget_mib) => {
            let free_mib = budget_mib.saturating_sub(committed_mib);
            if free_mib < wanted_mib {
                reasons.push(NodeRefusal::NotEnoughMemory { wanted_mib, free_mib, budget_mib });
            }
            free_mib
        }
    };
    if let Some(cpus) = node.cpus.filter(|cpus| *cpus < want.cores) {
        reasons.push(NodeRefusal::NotEnoughCores { wanted: want.cores, cpus });
    }
    match template {
        Some((template_avoided, template_busy, template)) if reasons.is_empty() => {
            let free_mib = free_mib.saturating_sub(wanted_mib);
            NodeOutcome::Fits { template, template_avoided, template_busy, free_mib }
        }
        _ => NodeOutcome::Refused { reasons },
    }
}

/// Whether a clone of it failed lately, whether a clone would have to wait for it, and the template of ours to clone on `node`:
/// one that is neither comes first, then the lowest VMID counts.
fn template_on(
    node: &Node,
    containers: &[ContainerSummary],
    policy: &PlacementPolicy,
) -> Result<(bool, bool, VmId), NodeRefusal> {
    let here = |row: &&ContainerSummary| row.template && row.node == node.name && policy.templates.contains(&row.vmid);
    let mut usable = Vec::new();
    let mut refusal = NodeRefusal::NoTemplate;
    for row in containers.iter().filter(here) {
        if let Some(why) = policy.unusable.get(&row.vmid) {
            refusal = NodeRefusal::TemplateUnusable { template: row.vmid, why: why.clone() };
            continue;
        }
        let avoided = policy.avoided.contains(&row.vmid);
        match row.lock.as_deref() {
            None => usable.push((avoided, false, row.vmid)),
            Some(lock) if passes(lock) => usable.push((avoided, true, row.vmid)),
            Some(lock) => refusal = NodeRefusal::TemplateLocked { template: row.vmid, lock: lock.to_owned() },
        }
    }
    usable.into_iter().min().ok_or(refusal)
}

/// Whether a configuration lock is removed after a while: a clone holds `disk`, a backup `backup` or `snapshot`.
fn passes(lock: &str) -> bool {
    matches!(lock, "disk" | "backup" | "snapshot" | "fstrim" | "mounted")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ports::{NodeName, PowerState};

    const GIB: u64 = 1 << 30;

    fn vmid(number: i64) -> VmId {
        VmId::new(number).unwrap()
    }

    fn node(name: &str, gib: u64) -> Node {
        Node {
            name: NodeName::new(name),
            online: true,
            memory_bytes: Some(gib * GIB),
            memory_used_bytes: None,
            cpus: Some(8),
        }
    }

    fn container(number: i64, node: &str, mib: Option<u64>) -> ContainerSummary {
        ContainerSummary {
            vmid: vmid(number),
            node: NodeName::new(node),
            name: None,
            power: PowerState::Running,
            template: false,
            lock: None,
            memory_bytes: mib.map(|mib| mib << 20),
        }
    }

    fn template(number: i64, node: &str, lock: Option<&str>) -> ContainerSummary {
        ContainerSummary { template: true, lock: lock.map(str::to_owned), ..container(number, node, Some(512)) }
    }

    fn policy() -> PlacementPolicy {
        let mut policy = PlacementPolicy::with_templates(vec![vmid(9000), vmid(9001), vmid(9002)]);
        policy.overcommit_percent = 100;
        policy.host_reserve_mib = 0;
        policy
    }

    fn want(memory_mib: u32) -> Want {
        Want { memory_mib, cores: 2 }
    }

    fn chosen(placement: &Placement) -> (&str, i32) {
        let choice = placement.choice.as_ref().unwrap();
        (choice.node.as_str(), choice.template.get())
    }

    #[test]
    fn the_node_with_more_free_memory_wins_then_the_first_name() {
        let nodes = [node("pve2", 16), node("pve1", 16)];
        let mut containers = vec![template(9001, "pve2", None), template(9000, "pve1", None)];
        assert_eq!(chosen(&place(&nodes, &containers, &[], want(1024), &policy())), ("pve1", 9000));
        containers.push(container(5000, "pve1", Some(1024)));
        assert_eq!(chosen(&place(&nodes, &containers, &[], want(1024), &policy())), ("pve2", 9001));
    }

    #[test]
    fn a_free_template_comes_before_a_busy_one() {
        let nodes = [node("pve1", 64), node("pve2", 16)];
        let busy = template(9000, "pve1", Some("disk"));
        let containers = [busy.clone(), template(9001, "pve2", None)];
        assert_eq!(chosen(&place(&nodes, &containers, &[], want(1024), &policy())), ("pve2", 9001));
        let beside = [busy.clone(), template(9002, "pve1", None)];
        assert_eq!(chosen(&place(&nodes, &beside, &[], want(1024), &policy())), ("pve1", 9002));
        assert_eq!(chosen(&place(&nodes, &[busy], &[], want(1024), &policy())), ("pve1", 9000));
    }

    #[test]
    fn a_template_with_a_recent_failure_comes_last_and_an_unusable_one_never() {
        let nodes = [node("pve1", 64), node("pve2", 16)];
        let containers = [template(9000, "pve1", None), template(9001, "pve2", Some("disk"))];
        let mut policy = policy();
        policy.avoided.insert(vmid(9000));
        assert_eq!(chosen(&place(&nodes, &containers, &[], want(1024), &policy)), ("pve2", 9001));
        policy.unusable.insert(vmid(9001), "out of space".to_owned());
        assert_eq!(chosen(&place(&nodes, &containers, &[], want(1024), &policy)), ("pve1", 9000));
        policy.unusable.insert(vmid(9000), "out of space".to_owned());
        let placement = place(&nodes, &containers, &[], want(1024), &policy);
        assert_eq!(
            placement.to_string(),
            "pve1: template 9000 cannot be cloned: out of space; pve2: template 9001 cannot be cloned: out of space"
        );
    }

    #[test]
    fn every_refusal_is_explained() {
        let mut away = node("a-away", 64);
        away.online = false;
        let mut blind = node("b-blind", 0);
        blind.memory_bytes = None;
        let nodes = [away, blind, node("c-bare", 64), node("d-full", 4), node("e-stuck", 64)];
        let containers = [
            template(9000, "a-away", None),
            template(9001, "b-blind", None),
            template(9100, "c-bare", None),
            container(9002, "c-bare", Some(512)),
            template(9000, "d-full", None),
            container(5001, "d-full", Some(3072)),
            template(9002, "e-stuck", Some("destroyed")),
        ];
        let placement = place(&nodes, &containers, &[], Want { memory_mib: 2048, cores: 16 }, &policy());
        insta::assert_json_snapshot!(placement);
        assert_eq!(
            placement.to_string(),
            "a-away: offline, 16 cores wanted, it has 8; \
             b-blind: its memory is unknown (the token needs Sys.Audit), 16 cores wanted, it has 8; \
             c-bare: no template of ours, 16 cores wanted, it has 8; \
             d-full: 2048 MiB wanted, 1024 of 4096 MiB free, 16 cores wanted, it has 8; \
             e-stuck: template 9002 is locked (destroyed), 16 cores wanted, it has 8"
        );
    }

    #[test]
    fn only_the_selected_node_takes_containers() {
        let nodes = [node("pve1", 16), node("pve2", 64)];
        let containers = [template(9000, "pve1", None), template(9001, "pve2", None)];
        let policy = PlacementPolicy { only_node: Some(NodeName::new("pve1")), ..policy() };
        assert_eq!(chosen(&place(&nodes, &containers, &[], want(512), &policy)), ("pve1", 9000));
    }

    #[test]
    fn our_records_replace_missing_limits_and_count_once() {
        let nodes = [node("pve1", 8)];
        let containers =
            [template(9000, "pve1", None), container(5000, "pve1", None), container(5001, "pve1", Some(1024))];
        let ours = [5000, 5001, 5002].map(|number| Commitment {
            vmid: vmid(number),
            node: NodeName::new("pve1"),
            memory_mib: 2048,
        });
        // 2048 three times; one container is listed with a lower limit and one is not listed yet: 2048 of 8192 MiB
        // remain.
        assert!(place(&nodes, &containers, &ours, want(2048), &policy()).choice.is_some());
        assert!(place(&nodes, &containers, &ours, want(2049), &policy()).choice.is_none());
        // Without a record the assumed limit counts.
        assert!(place(&nodes, &containers, &[], want(3072), &policy()).choice.is_some());
        assert!(place(&nodes, &containers, &[], want(3073), &policy()).choice.is_none());
    }

    #[test]
    fn a_clone_with_the_limit_of_its_template_counts_with_its_own_limit() {
        let nodes = [node("pve1", 4)];
        let containers = [template(9000, "pve1", None), container(5000, "pve1", Some(512))];
        let ours = [Commitment { vmid: vmid(5000), node: NodeName::new("pve1"), memory_mib: 3072 }];
        assert!(place(&nodes, &containers, &ours, want(1024), &policy()).choice.is_some());
        assert!(place(&nodes, &containers, &ours, want(1025), &policy()).choice.is_none());
    }

    #[test]
    fn overcommit_applies_after_the_host_reserve() {
        let policy = PlacementPolicy { overcommit_percent: 150, host_reserve_mib: 4096, ..policy() };
        let containers = [template(9000, "pve1", None)];
        assert!(place(&[node("pve1", 8)], &containers, &[], want(6144), &policy).choice.is_some());
        assert!(place(&[node("pve1", 8)], &containers, &[], want(6145), &policy).choice.is_none());
    }

    #[test]
    fn an_empty_cluster_says_so() {
        assert_eq!(place(&[], &[], &[], want(1), &policy()).to_string(), "the cluster lists no node");
    }

    proptest! {
        #[test]
        fn the_order_of_the_listings_does_not_matter_and_no_node_is_overfilled(
            sizes in prop::collection::vec(1u64..32, 1..5),
            placed in prop::collection::vec((0usize..5, prop::option::of(1u64..4096)), 0..12),
            memory_mib in 1u32..8192,
            seed in any::<u64>(),
        ) {
            let names = ["n0", "n1", "n2", "n3", "n4"];
            let nodes: Vec<Node> = sizes.iter().zip(names).map(|(gib, name)| node(name, *gib)).collect();
            let mut containers: Vec<_> = (0i64..).zip(&placed)
                .map(|(n, (at, mib))| container(5000 + n, names[*at], *mib)).collect();
            let locks = [None, Some("disk"), Some("create")];
            containers.extend((0..nodes.len()).map(|n| template(9000 + n as i64, names[n], locks[(seed as usize >> n) % 3])));
            let policy = PlacementPolicy { templates: (9000..9005).map(vmid).collect(), ..policy() };
            let first = place(&nodes, &containers, &[], want(memory_mib), &policy);
            let (mut turned_nodes, mut turned) = (nodes.clone(), containers.clone());
            turned_nodes.reverse();
            turned.reverse();
            prop_assert_eq!(&first, &place(&turned_nodes, &turned, &[], want(memory_mib), &policy));
            if let Some(choice) = first.choice {
                let n: usize = choice.node.as_str()[1..].parse().unwrap();
                let used: u64 = placed.iter().filter(|(at, _)| *at == n).map(|(_, mib)| mib.unwrap_or(4096)).sum();
                prop_assert!(used + u64::from(memory_mib) <= sizes[n] * 1024);
                prop_assert_eq!(choice.template.get(), 9000 + n as i32);
            }
        }
    }
}
