//! Tests of the way home: when home is ready, who is called, what others wait for, tokens, previews.

use super::*;
use crate::scene::{group, life, node, nodes, pool, view};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tandem_base::Incarnation;
use tandem_model::timings::TOKEN_RETRY_SECS;
use tandem_model::view::Service;

const MONITOR: Duration = Duration::from_secs(120);

fn at(secs: u64) -> Time {
    Time::from_secs(secs)
}
fn ready_at(secs: u64, here: &str, states: &[&str]) -> Readiness {
    readiness(&nodes(&["A", "B", "C"]), &node(here), MONITOR, &view(here, states), at(secs))
}
fn monitor(name: &str, secs: u64) -> Readiness {
    Readiness::Wait(Wait::Monitor { node: node(name), left: Duration::from_secs(secs) })
}

#[test]
fn home_is_ready_when_it_has_been_in_service_for_the_monitor_duration() {
    let up = ["A", "B", "C"];
    assert_eq!(ready_at(0, "B", &up), monitor("A", 120));
    assert_eq!(ready_at(119, "B", &up), monitor("A", 1));
    assert_eq!(ready_at(120, "B", &up), Readiness::Ready(Rank::HOME, node("A")));
    assert_eq!(ready_at(120, "A", &up), Readiness::AtBest);
    assert_eq!(ready_at(120, "B", &["A-", "B", "C"]), Readiness::AtBest);
    assert_eq!(
        ready_at(120, "C", &["A-", "B", "C"]),
        Readiness::Ready(Rank::ALL[1], node("B")),
        "a better backup is worth a move"
    );
    assert_eq!(ready_at(120, "B", &["A?", "B", "C"]), Readiness::Wait(Wait::Suspect { node: node("A") }));
    assert_eq!(
        ready_at(120, "Z", &["A", "B", "C", "Z"]),
        Readiness::Ready(Rank::HOME, node("A")),
        "not in its group at all"
    );
}

#[test]
fn who_was_called_home_and_begins_anew_here_is_shown_the_way_once() {
    let members = nodes(&["A", "B", "C"]);
    let shown = |states: &[&str], rank: usize, was| show_home(&members, &view("B", states), Rank::ALL[rank], was);
    let up = ["A", "B", "C"];
    assert_eq!(shown(&up, 1, false), Some(nodes(&["A", "B", "C"])));
    assert_eq!(shown(&up, 1, true), None, "it could not get there");
    assert_eq!(shown(&up, 0, false), None, "it is at home");
    assert_eq!(shown(&["A-", "B", "C"], 1, false), None, "home went again meanwhile");
    assert_eq!(shown(&["A-", "B", "C"], 2, false), Some(nodes(&["B", "C", "A"])));
}

#[test]
fn a_home_that_flapped_starts_its_time_anew() {
    let (members, b) = (nodes(&["A", "B", "C"]), node("B"));
    let mut view = view("B", &["A", "B", "C"]);
    view.sees(at(100), &node("A"), Incarnation(1), Sight::Down);
    view.sees(at(101), &node("A"), Incarnation(1), Sight::Up);
    assert_eq!(readiness(&members, &b, MONITOR, &view, at(121)), monitor("A", 100));
    assert_eq!(readiness(&members, &b, MONITOR, &view, at(221)), Readiness::Ready(Rank::HOME, node("A")));
}

#[test]
fn nobody_is_called_to_a_second_best_that_would_be_left_again_soon() {
    let (members, c) = (nodes(&["A", "B", "C"]), node("C"));
    let mut view = view("C", &["A-", "B", "C"]);
    view.sees(at(110), &node("A"), Incarnation(2), Sight::Up);
    assert_eq!(readiness(&members, &c, MONITOR, &view, at(120)), monitor("A", 110), "B is ready, but A is back too");
}

#[test]
fn a_home_that_is_back_and_fetches_its_copies_is_waited_for_but_not_for_ever() {
    let (members, c) = (nodes(&["A", "B", "C"]), node("C"));
    let mut view = view("C", &["A-", "B", "C"]);
    view.sees(at(100), &node("A"), Incarnation(2), Sight::Up);
    view.says(at(100), &node("A"), Service::Joining);
    let ready = |now| readiness(&members, &c, MONITOR, &view, at(now));
    let joining = Readiness::Wait(Wait::Joining { node: node("A") });
    assert_eq!(ready(130), joining, "B is ready, and whoever went there would soon go on");
    assert_eq!(ready(219), joining);
    assert_eq!(ready(220), Readiness::Ready(Rank::ALL[1], node("B")), "it has had its time");
    assert_eq!(
        readiness(&members, &node("B"), MONITOR, &view, at(130)),
        Readiness::AtBest,
        "nobody has to leave B yet"
    );
}

struct Here {
    policy: Failback,
    asked: bool,
    idle: u64,
    busy: u64,
}
impl Here {
    fn plan(&self, now: Time, pace: &mut Pace) -> FailbackPlan {
        let (name, members, pool) = (group("G1"), nodes(&["A", "B", "C"]), pool("DP1"));
        let pools = [PoolHere { name: &pool, monitor: MONITOR, idle: self.idle, busy: self.busy }];
        let here = GroupHere { name: &name, members: &members, policy: self.policy, asked: self.asked, pools: &pools };
        plan_failback(&here, &view("B", &["A", "B", "C"]), now, pace)
    }
}
const AUTOMATIC: Here = Here { policy: Failback::Automatic, asked: false, idle: 100, busy: 3 };

#[test]
fn devices_are_called_home_at_the_pace_idle_ones_first() {
    let mut pace = Pace::new(50, at(130));
    let first = AUTOMATIC.plan(at(130), &mut pace);
    assert_eq!((first.most, first.would_move, first.busy_too), (0, 103, false), "a pace starts empty");
    let second = AUTOMATIC.plan(Time::from_millis(130_100), &mut pace);
    assert_eq!(
        (second.ready, second.most, second.busy_too),
        (vec![ReadyPool { pool: 0, rank: Rank::HOME, since: at(0) }], 5, false)
    );
    let third = AUTOMATIC.plan(at(140), &mut pace);
    assert_eq!(third.most, 25, "a pause does not become a burst");
}

#[test]
fn devices_with_a_call_are_told_last_and_at_idle_not_at_all() {
    let busy = |policy| Here { policy, asked: false, idle: 0, busy: 3 };
    let mut pace = Pace::new(1_000, at(0));
    let automatic = busy(Failback::Automatic).plan(at(130), &mut pace);
    assert_eq!((automatic.most, automatic.busy_too, automatic.waits), (3, true, vec![Wait::Calls { devices: 3 }]));
    let at_idle = busy(Failback::AtIdle).plan(at(130), &mut pace);
    assert_eq!((at_idle.most, at_idle.busy_too, at_idle.would_move), (0, false, 3));
    assert_eq!(at_idle.waits[0].to_string(), "the calls of 3 devices must end");
}

#[test]
fn a_call_that_led_nowhere_is_repeated_after_a_while_and_at_once_when_home_has_returned_anew() {
    for (called, home_since, now, may) in [
        (None, 0, 100, true),
        (Some(100), 0, 129, false),
        (Some(100), 0, 130, true),
        (Some(100), 100, 110, false),
        (Some(100), 104, 110, true),
    ] {
        let (called, since) = (called.map(at), at(home_since));
        assert_eq!(may_call(called, since, at(now)), may, "called {called:?}, home since {since}, now {now}");
    }
}

#[test]
fn what_was_not_used_of_the_pace_is_given_back_and_does_not_pile_up() {
    let mut pace = Pace::new(1_000, at(0));
    assert_eq!(pace.take_up_to(at(130), 5_000), 500, "half a second's worth is all there ever is");
    pace.give_back(150);
    assert_eq!(pace.take_up_to(at(130), 5_000), 150);
    pace.give_back(5_000);
    assert_eq!(pace.take_up_to(at(130), 5_000), 500);
}

#[test]
fn a_manual_group_waits_for_an_operator() {
    let here = |asked| Here { policy: Failback::Manual, asked, idle: 10, busy: 0 };
    let mut pace = Pace::new(1_000, at(0));
    let waiting = here(false).plan(at(130), &mut pace);
    assert_eq!((waiting.calls(), waiting.would_move, waiting.waits), (false, 10, vec![Wait::Operator]));
    assert!(here(true).plan(at(130), &mut pace).calls());
}

#[test]
fn a_node_that_is_no_member_any_more_sends_its_devices_away_whatever_the_policy() {
    let (name, members, dp) = (group("G"), nodes(&["A", "C"]), pool("DP"));
    let pools = [PoolHere { name: &dp, monitor: MONITOR, idle: 10, busy: 2 }];
    let plan = |policy| {
        let here = GroupHere { name: &name, members: &members, policy, asked: false, pools: &pools };
        plan_failback(&here, &view("B", &["A", "B", "C"]), at(130), &mut Pace::new(8, at(0)))
    };
    for policy in [Failback::Automatic, Failback::AtIdle, Failback::Manual] {
        let plan = plan(policy);
        assert_eq!((plan.most, plan.would_move, plan.busy_too), (4, 12, false), "{policy}");
    }
}

#[test]
fn another_pace_counts_from_now_on() {
    let mut pace = Pace::new(10, at(0));
    pace.set(1_000, at(1));
    assert_eq!(pace.take_up_to(at(1), 5_000), 5, "what was saved so far was saved at ten a second");
    assert_eq!(pace.take_up_to(Time::from_millis(1_100), 5_000), 100);
    pace.set(2, at(100));
    assert_eq!(pace.take_up_to(at(100), 5_000), 1);
}

#[test]
fn before_the_monitor_duration_is_over_nobody_is_called_and_the_wait_is_told() {
    let plan = AUTOMATIC.plan(at(90), &mut Pace::new(1_000, at(0)));
    assert_eq!((plan.calls(), plan.would_move), (false, 103));
    assert_eq!(plan.waits[0].to_string(), "A must be up and in sync for 30s more");
}

fn token(me: &str, states: &[&str], served_by: Option<&str>, now: u64, pace: &mut Pace) -> Token {
    let (members, view, at_node) = (nodes(&["A", "B", "C"]), view(me, states), served_by.map(life));
    let policy = Failback::Automatic;
    let ask =
        Ask { members: &members, policy, asked: false, monitor: MONITOR, at: at_node.as_ref(), view: &view, random: 0 };
    grant_token(&ask, at(now), pace)
}

#[test]
fn a_phone_that_asks_may_come_after_the_monitor_duration_and_at_the_pace() {
    let mut pace = Pace::new(1, at(0));
    let up = ["A", "B", "C", "Z"];
    assert_eq!(token("A", &up, Some("B"), 60, &mut pace), Token::Later(60));
    assert_eq!(token("A", &up, Some("B"), 130, &mut pace), Token::Come);
    assert_eq!(token("A", &up, Some("B"), 130, &mut pace), Token::Later(1), "the pace of one a second");
    assert_eq!(token("Z", &up, Some("B"), 130, &mut pace), Token::NotInGroup);
    assert_eq!(
        token("B", &up, Some("A"), 130, &mut pace),
        Token::Later(TOKEN_RETRY_SECS),
        "it is better off where it is"
    );
    assert_eq!(token("A", &["A+", "B", "C"], Some("B"), 130, &mut pace), Token::Later(2));
}

/// Who asks B, is served by C, and has A before it: what A has been, and what B says then.
#[test]
fn a_phone_with_a_better_way_home_is_told_to_wait_for_that_one() {
    let (members, c) = (nodes(&["A", "B", "C"]), life("C"));
    let asks = |view: &ClusterView, now: u64| {
        let ask = Ask {
            members: &members,
            policy: Failback::Automatic,
            asked: false,
            monitor: MONITOR,
            at: Some(&c),
            view,
            random: 0,
        };
        grant_token(&ask, at(now), &mut Pace::new(1_000, at(0)))
    };
    let back = |since: u64, service| {
        let mut view = view("B", &["A-", "B", "C"]);
        view.sees(at(since), &node("A"), Incarnation(2), Sight::Up);
        view.says(at(since), &node("A"), service);
        view
    };
    let counting = back(100, Service::InService);
    for (now, said) in [
        (119, Token::Later(1)),                // B itself is not ready
        (120, Token::Later(TOKEN_RETRY_SECS)), // A needs 100 s more; nobody is told more than the usual time
        (200, Token::Later(20)),               // A needs 20 s more
        (220, Token::Later(TOKEN_RETRY_SECS)), // A is ready: the phone asks there
        (330, Token::Later(10)),
        (340, Token::Come), // whoever is not at A by now does not reach it
    ] {
        assert_eq!(asks(&counting, now), said, "A in service for {} s", now.saturating_sub(100));
    }
    assert_eq!(asks(&back(100, Service::Joining), 150), Token::Later(TOKEN_RETRY_SECS));
    assert_eq!(asks(&back(100, Service::Joining), 220), Token::Come, "it never becomes complete");
    assert_eq!(asks(&back(100, Service::Draining), 150), Token::Come);
    assert_eq!(asks(&view("B", &["A-", "B", "C"]), 150), Token::Come);
    // A flap begins A's time anew; while it is down B is the best there is.
    let mut flapping = back(100, Service::InService);
    flapping.sees(at(200), &node("A"), Incarnation(2), Sight::Down);
    assert_eq!(asks(&flapping, 201), Token::Come);
    flapping.sees(at(210), &node("A"), Incarnation(2), Sight::Up);
    assert_eq!(asks(&flapping, 290), Token::Later(40));
}

#[test]
fn a_phone_that_nobody_serves_may_always_come() {
    let mut pace = Pace::new(1, at(0));
    for (states, served_by) in [(["A", "B", "C"], None), (["A", "B-", "C"], Some("B")), (["A", "B!", "C"], Some("B"))] {
        assert_eq!(token("A", &states, served_by, 1, &mut pace), Token::Come);
    }
}

#[test]
fn a_preview_says_who_would_move_and_what_they_wait_for() {
    let counts = |list: &[(&str, u64)]| list.iter().map(|(n, c)| (node(n), *c)).collect::<BTreeMap<_, _>>();
    let pools = [
        PoolCount { monitor: MONITOR, by_node: counts(&[("A", 50), ("B", 30), ("C", 5)]) },
        PoolCount { monitor: Duration::from_secs(300), by_node: counts(&[("B", 10), ("C", 0)]) },
    ];
    let (members, view) = (nodes(&["A", "B", "C"]), view("B", &["A", "B", "C"]));
    let seen = preview(&members, Failback::Automatic, false, &pools, &view, at(200));
    assert_eq!((seen.would_move, seen.ready), (45, 35));
    let ways: Vec<_> = seen.moves.iter().map(|m| format!("{} {} {}", m.from, m.to, m.devices)).collect();
    assert_eq!(ways, ["B A 40", "C A 5"]);
    assert_eq!(seen.waiting_for().as_deref(), Some("A must be up and in sync for 100s more"));
    let manual = preview(&members, Failback::Manual, false, &pools, &view, at(400));
    assert_eq!((manual.would_move, manual.ready), (45, 0));
    assert_eq!(preview(&members, Failback::Manual, true, &pools, &view, at(400)).ready, 45);
    assert_eq!(preview(&members, Failback::Automatic, false, &[], &view, at(400)), Preview::default());
}

proptest! {
    #[test]
    fn no_more_devices_are_called_than_the_pace_allows(rate in 1u32..500, waits in proptest::collection::vec(0u64..3_000, 1..100)) {
        let mut pace = Pace::new(rate, Time::ZERO);
        let (mut now, mut called) = (Time::ZERO, 0u64);
        for wait in waits {
            now += Duration::from_millis(wait);
            called += u64::from(pace.take_up_to(now, 1_000));
            let most = now.as_millis() * u64::from(rate) / 1_000;
            prop_assert!(called <= most, "{} called in {}, at most {}", called, now, most);
        }
    }

    #[test]
    fn whoever_asks_for_a_token_and_does_as_told_gets_it(rate in 1u32..50, phones in 1usize..30, seed: u64) {
        let mut pace = Pace::new(rate, Time::ZERO);
        let (members, view, served_by) = (nodes(&["A", "B", "C"]), view("A", &["A", "B", "C"]), life("B"));
        let mut waiting: Vec<u64> = vec![0; phones];
        let mut last = 0;
        for round in 0..10_000u64 {
            waiting.sort_unstable();
            let Some(second) = waiting.first().copied() else { break };
            let random = seed.wrapping_mul(round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let policy = Failback::AtIdle;
            let ask = Ask { members: &members, policy, asked: false, monitor: MONITOR, at: Some(&served_by), view: &view, random };
            match grant_token(&ask, at(second), &mut pace) {
                Token::Come => { waiting.remove(0); last = second; }
                Token::Later(secs) => { prop_assert!(secs > 0); waiting[0] = second + u64::from(secs); }
                Token::NotInGroup => prop_assert!(false),
            }
        }
        prop_assert!(waiting.is_empty() && last >= 120, "{:?} left, last at {}", waiting, last);
    }
}
