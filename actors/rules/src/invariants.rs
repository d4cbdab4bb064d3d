//! What must hold at every moment, for the tests of these rules, the simulator and `tandem`'s own checks: one predicate each.
//!
//! A predicate answers with what is broken, in a sentence; it repairs nothing.

use crate::placement::{desired, rank_of};
use std::collections::BTreeSet;
use std::time::Duration;
use tandem_base::{DeviceName, NodeLife, NodeName, Time};
use tandem_model::config::MEMBERS_MAX;
use tandem_model::view::ClusterView;

/// What is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which rule.
    pub rule: &'static str,
    /// How, in a sentence.
    pub how: String,
}
impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.rule, self.how)
    }
}
impl std::error::Error for Broken {}

fn check(holds: bool, rule: &'static str, how: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken { rule, how: how() }) }
}

/// A group has one to three different members.
///
/// # Errors
/// [`Broken`].
pub fn group_well_formed(members: &[NodeName]) -> Result<(), Broken> {
    let different = members.iter().collect::<BTreeSet<_>>().len();
    let holds = (1..=MEMBERS_MAX).contains(&members.len()) && different == members.len();
    check(holds, "group_well_formed", || format!("a group has the members {members:?}"))
}

/// A device is registered at no more than one node that is alive. `at` are all nodes that have an actor for it.
///
/// Two nodes may both hold it for as long as a row travels; ask this when the cluster is quiet.
///
/// # Errors
/// [`Broken`].
pub fn at_most_one_live_registration(device: &DeviceName, at: &[NodeLife], view: &ClusterView) -> Result<(), Broken> {
    let alive: Vec<_> = at.iter().filter(|life| view.is_life_alive(life)).map(ToString::to_string).collect();
    check(alive.len() <= 1, "at_most_one_live_registration", || {
        format!("{device} is registered at {}", alive.join(" and "))
    })
}

/// A registered device is at the highest-ranked member of its group that is in service and that it can reach.
///
/// `reaches` says whether the device's own path to a node works. Ask this when everybody has had the time to move.
///
/// # Errors
/// [`Broken`].
pub fn at_best_reachable_member(
    device: &DeviceName,
    members: &[NodeName],
    at: &NodeName,
    view: &ClusterView,
    reaches: impl Fn(&NodeName) -> bool,
) -> Result<(), Broken> {
    let best = view.serving(members).find(|m| reaches(m));
    let rank = rank_of(members, at);
    let holds = rank.is_some() && best.is_none_or(|b| b == at);
    check(holds, "at_best_reachable_member", || {
        let best = best.map_or("nobody", |b| b.as_str());
        format!("{device} is at {at}, and should be at {best}")
    })
}

/// No device is without a node for longer than `grace` while a member of its group is in service. `since`: since when it has none.
///
/// # Errors
/// [`Broken`].
pub fn not_homeless(
    device: &DeviceName,
    members: &[NodeName],
    since: Option<Time>,
    view: &ClusterView,
    now: Time,
    grace: Duration,
) -> Result<(), Broken> {
    let best = desired(members, view);
    let holds = match (since, best) {
        (Some(since), Some(_)) => now.since(since) <= grace,
        _ => true,
    };
    check(holds, "not_homeless", || {
        let waits = best.map_or("nobody", |(_, node)| node.as_str());
        format!("{device} has no node since {}, and {waits} is in service", since.unwrap_or_default())
    })
}

/// A node has admitted no more than its pace: `admitted` in `elapsed`, from a full bucket.
///
/// # Errors
/// [`Broken`].
pub fn admitted_within_pace(admitted: u64, elapsed: Duration, per_second: u32, burst: u32) -> Result<(), Broken> {
    let most = u128::from(per_second) * elapsed.as_micros() / 1_000_000 + u128::from(burst);
    check(u128::from(admitted) <= most, "admitted_within_pace", || {
        format!(
            "{admitted} registrations in {elapsed:?}, at most {most} at {per_second} a second and a burst of {burst}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_base::Incarnation;
    use tandem_model::view::{Service, Sight};

    fn name(n: &str) -> NodeName {
        NodeName::new(n).unwrap()
    }
    fn life(n: &str) -> NodeLife {
        NodeLife { node: name(n), incarnation: Incarnation(1) }
    }
    fn view() -> ClusterView {
        let mut view = ClusterView::first(&life("A"), ["A", "B", "C"].map(name), Time::ZERO);
        for node in ["A", "B"].map(name) {
            view.sees(Time::ZERO, &node, Incarnation(1), Sight::Up);
            view.says(Time::ZERO, &node, Service::InService);
        }
        view
    }
    fn device() -> DeviceName {
        DeviceName::new("SEP1").unwrap()
    }

    #[test]
    fn groups_of_one_to_three_different_nodes_are_well_formed() {
        for good in [&["A"][..], &["A", "B"], &["A", "B", "C"]] {
            assert_eq!(group_well_formed(&good.iter().map(|n| name(n)).collect::<Vec<_>>()), Ok(()));
        }
        for bad in [&[][..], &["A", "A"], &["A", "B", "A"], &["A", "B", "C", "D"]] {
            assert!(group_well_formed(&bad.iter().map(|n| name(n)).collect::<Vec<_>>()).is_err());
        }
    }

    #[test]
    fn a_second_registration_is_found_unless_its_node_is_dead() {
        let at = |nodes: &[&str]| {
            at_most_one_live_registration(&device(), &nodes.iter().map(|n| life(n)).collect::<Vec<_>>(), &view())
        };
        assert_eq!(at(&["A", "C"]), Ok(()));
        assert_eq!(
            at(&["A", "B"]).unwrap_err().to_string(),
            "at_most_one_live_registration: SEP1 is registered at A#1 and B#1"
        );
    }

    #[test]
    fn a_device_at_a_worse_member_is_found_unless_it_cannot_reach_the_better_one() {
        let members = ["A", "B", "C"].map(name);
        let judge = |at: &str, reaches_a: bool| {
            at_best_reachable_member(&device(), &members, &name(at), &view(), |n| reaches_a || *n != name("A"))
        };
        assert_eq!(judge("A", true), Ok(()));
        assert_eq!(judge("B", false), Ok(()));
        assert!(judge("B", true).is_err_and(|b| b.how == "SEP1 is at B, and should be at A"));
        assert!(judge("C", false).is_err_and(|b| b.how == "SEP1 is at C, and should be at B"));
        assert!(judge("D", true).is_err());
    }

    #[test]
    fn a_homeless_device_is_found_after_the_grace_when_somebody_could_serve_it() {
        let judge = |members: &[&str], since: Option<u64>| {
            let members: Vec<_> = members.iter().map(|n| name(n)).collect();
            let (now, grace) = (Time::from_secs(100), Duration::from_secs(30));
            not_homeless(&device(), &members, since.map(Time::from_secs), &view(), now, grace)
        };
        assert_eq!(judge(&["A"], None), Ok(()));
        assert_eq!(judge(&["A"], Some(70)), Ok(()));
        assert!(judge(&["A"], Some(69)).is_err());
        assert_eq!(judge(&["C"], Some(0)), Ok(()), "nobody could");
    }

    #[test]
    fn a_node_that_admits_beyond_its_pace_is_found() {
        assert_eq!(admitted_within_pace(15, Duration::from_millis(500), 10, 10), Ok(()));
        assert!(admitted_within_pace(16, Duration::from_millis(500), 10, 10).is_err());
    }
}
