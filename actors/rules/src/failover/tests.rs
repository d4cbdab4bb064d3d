//! Tests of the plan at a node's death: the groups of the seed layout, the publisher, homeless groups.

use super::*;
use crate::scene::{group, life, node, nodes, view};

const GROUPS: [(&str, [&str; 3], u64); 4] = [
    ("G1", ["CCM1", "CCM2", "CCM3"], 100),
    ("G2", ["CCM1", "CCM3", "CCM2"], 300),
    ("G3", ["CCM2", "CCM1", "CCM3"], 0),
    ("G4", ["CCM2", "CCM3", "CCM1"], 0),
];

fn plan(me: &str, states: &[&str], dead: &str, groups: &[(&str, &[&str], u64)]) -> FailoverPlan {
    let names: Vec<_> = groups.iter().map(|(name, members, devices)| (group(name), nodes(members), *devices)).collect();
    let groups: Vec<_> =
        names.iter().map(|(name, members, devices)| GroupAtDeath { name, members, devices: *devices }).collect();
    let (view, dead, publisher) = (view(me, states), life(dead), node("CCM1"));
    plan_death(&Death { view: &view, dead: &dead, cause: "silent", publisher: &publisher, groups: &groups })
}
fn seed() -> Vec<(&'static str, &'static [&'static str], u64)> {
    GROUPS.iter().map(|(name, members, devices)| (*name, &members[..], *devices)).collect()
}
fn texts(plan: &FailoverPlan) -> Vec<&str> {
    plan.events.iter().map(|e| e.text.as_str()).collect()
}

#[test]
fn the_death_of_a_primary_is_one_plan_with_all_consequences() {
    let plan = plan("CCM3", &["CCM1-", "CCM2", "CCM3"], "CCM1", &seed());
    assert_eq!((plan.orphaned.clone(), plan.devices, plan.publisher_away), (life("CCM1"), 400, true));
    let next: Vec<_> =
        plan.groups.iter().map(|g| (g.next.clone().unwrap().1.to_string(), g.lost.get(), g.mine, g.left)).collect();
    let at = |name: &str, lost, mine| (name.to_owned(), lost, mine, 2);
    assert_eq!(next, [at("CCM2", 1, false), at("CCM3", 1, true), at("CCM2", 2, false), at("CCM2", 3, false)]);
    assert_eq!(
        texts(&plan),
        [
            "CCM1 is down: its 400 registrations are orphaned and stay until they are taken over or expire",
            "CCM1 is the publisher: the configuration cannot be changed until it returns",
            "G1: CCM2 (rank 2) takes over 100 devices of CCM1",
            "G2: CCM3 (rank 2) takes over 300 devices of CCM1",
        ]
    );
    assert!(plan.events.iter().all(|e| e.cause == "silent" && kind::ALL.contains(&e.kind)));
}

#[test]
fn every_survivor_draws_up_the_same_plan_and_exactly_one_is_next() {
    let states = ["CCM1-", "CCM2", "CCM3"];
    let (two, three) = (plan("CCM2", &states, "CCM1", &seed()), plan("CCM3", &states, "CCM1", &seed()));
    assert_eq!(two.events, three.events);
    for (a, b) in two.groups.iter().zip(&three.groups) {
        assert_eq!(a.next, b.next);
        assert!(a.mine != b.mine, "{}", a.group);
    }
}

#[test]
fn the_last_survivor_has_no_further_backup_and_without_it_the_group_is_homeless() {
    let last = plan("CCM3", &["CCM1-", "CCM2-", "CCM3"], "CCM1", &seed()[..1]);
    assert!(texts(&last).contains(&"G1: CCM3 (rank 3) takes over 100 devices of CCM1, without a further backup"));
    let none = plan("Z", &["CCM1-", "CCM2-", "CCM3-", "Z"], "CCM3", &seed()[..1]);
    assert_eq!(none.groups[0].next, None);
    assert!(texts(&none).contains(&"no member of G1 is in service: its devices are homeless"));
}

#[test]
fn the_death_of_a_backup_that_serves_nobody_moves_nobody() {
    let quiet = plan("CCM1", &["CCM1", "CCM2", "CCM3-"], "CCM3", &[("G1", &["CCM1", "CCM2", "CCM3"], 0)]);
    assert_eq!((quiet.groups[0].left, quiet.devices, quiet.publisher_away), (2, 0, false));
    assert_eq!(texts(&quiet), [""; 0]);
}

#[test]
fn groups_that_the_dead_node_is_no_member_of_are_not_concerned() {
    let other = plan("CCM2", &["CCM1-", "CCM2", "CCM3"], "CCM1", &[("G9", &["CCM2", "CCM3"], 0)]);
    assert_eq!(other.groups, []);
}
