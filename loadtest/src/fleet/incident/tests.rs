//! What becomes of the phones of a node that dies and returns, told by hand.

use super::*;
use crate::{Operation, Why};

fn server(n: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 5060 + n))
}

/// To the three digits of the distributions.
fn near(found: Duration, millis: u64) -> bool {
    (found.as_secs_f64() * 1e3 / millis as f64 - 1.0).abs() < 0.002
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// Phones of the watch are marked by hand: making registered ones is the fleet's business.
fn watch(phones: usize) -> Watch {
    let mut watch = Watch::new(phones);
    watch.begin(Cause::Death, "CCM1", &[server(1)], at(1_000), &[]);
    mark_all(&mut watch, 1);
    watch
}

fn mark_all(watch: &mut Watch, incident: u32) {
    let concerned = u32::try_from(watch.marks.len()).unwrap();
    watch.marks.iter_mut().for_each(|m| (m.incident, m.settled) = (incident, false));
    watch.incidents.last_mut().unwrap().affected = concerned;
}

fn changed(when: u64, from: Status, to: Status, place: u16) -> Change {
    Change { at: at(when), from, to, server: Some(server(place)), rank: None, why: Why::Trying, outage: None }
}

fn refreshed(begun: u64, when: u64, place: u16, outcome: Outcome) -> Exchange {
    let retry_after = (outcome == Outcome::Answered(503)).then_some(Duration::from_secs(2));
    let (operation, late) = (Operation::Refresh, Duration::ZERO);
    Exchange {
        operation,
        server: Some(server(place)),
        outcome,
        begun: at(begun),
        late,
        sent: at(begun),
        at: at(when),
        retry_after,
    }
}

#[test]
fn an_outage_lasts_from_the_death_to_the_registration_elsewhere() {
    let mut watch = watch(3);
    for (phone, lost, found) in [(0, 1_200, 1_500), (1, 2_000, 3_000)] {
        watch.changed(phone, &changed(lost, Status::Registered, Status::Waiting, 1));
        watch.over(phone, &refreshed(lost, lost + 50, 2, Outcome::Answered(503)));
        watch.changed(phone, &changed(found, Status::Registering, Status::Registered, 2));
    }
    watch.changed(2, &changed(2_500, Status::Registered, Status::Waiting, 1));
    let death = &watch.incidents[0];
    assert_eq!((death.affected, death.moved, death.unserved, death.open()), (3, 2, 1, 1));
    assert!(near(death.outage.min(), 500) && near(death.outage.max(), 2_000) && death.outage.count() == 2);
    assert_eq!((death.first, death.last), (Some(at(1_500)), Some(at(3_000))));
    assert_eq!((death.refusals[&503], death.retry_after.count()), (2, 2));
    assert_eq!((death.landed[&server(2)], death.moved_again), (2, 0));
    assert!((death.rate() - 2.0 / 1.5).abs() < 1e-9 && death.peak_rate() == 1);
    watch.changed(0, &changed(4_000, Status::Registering, Status::Registered, 3));
    assert_eq!(watch.incidents[0].moved_again, 1);
}

#[test]
fn an_answer_of_a_node_that_is_about_to_die_is_no_sign_of_life_and_one_after_its_return_is() {
    let mut watch = watch(1);
    watch.over(0, &refreshed(1_001, 1_002, 1, Outcome::Answered(200)));
    assert_eq!((watch.incidents[0].stayed, watch.incidents[0].open()), (0, 1));
    watch.begin(Cause::Return, "CCM1", &[server(1)], at(5_000), &[]);
    watch.over(0, &refreshed(6_000, 6_001, 1, Outcome::Answered(200)));
    let death = &watch.incidents[0];
    assert_eq!((death.returned, death.stayed, death.open(), death.outage.count()), (Some(at(5_000)), 1, 0, 0));
}

#[test]
fn going_home_counts_when_they_are_there_and_measures_the_gap() {
    let mut watch = Watch::new(2);
    watch.begin(Cause::Return, "CCM1", &[server(1)], at(1_000), &[]);
    mark_all(&mut watch, 1);
    // One moves while still served, one with a gap of 300 ms, after a stop elsewhere.
    watch.changed(0, &changed(2_000, Status::Registered, Status::Registered, 1));
    watch.changed(1, &changed(2_000, Status::Registered, Status::Waiting, 2));
    watch.changed(1, &changed(2_100, Status::Registering, Status::Registered, 2));
    watch.changed(1, &changed(2_200, Status::Registered, Status::Waiting, 2));
    watch.changed(1, &changed(2_500, Status::Registering, Status::Registered, 1));
    let back = &watch.incidents[0];
    assert_eq!((back.moved, back.unserved, back.stayed), (2, 0, 0));
    assert!(back.outage.min().as_micros() <= 1 && near(back.outage.max(), 300) && near(back.moved_after.max(), 1_500));
}

#[test]
fn survivors_are_those_whom_the_death_does_not_concern() {
    let mut watch = watch(2);
    watch.marks[1].incident = 0;
    watch.incidents[0].affected = 1;
    watch.over(1, &refreshed(1_100, 1_150, 2, Outcome::Answered(200)));
    watch.changed(0, &changed(1_200, Status::Registered, Status::Waiting, 1));
    watch.changed(0, &changed(1_300, Status::Registering, Status::Registered, 2));
    watch.over(1, &refreshed(1_400, 1_500, 2, Outcome::Answered(200)));
    assert!(watch.incidents[0].survivors.count() == 1 && near(watch.incidents[0].survivors.max(), 50));
}

#[test]
fn the_first_registration_says_since_when_it_was_wanted() {
    let mut watch = Watch::new(1);
    watch.wanted(0, at(700));
    assert_eq!(watch.changed(0, &changed(900, Status::Registering, Status::Registered, 1)), Some(at(700)));
    assert_eq!(watch.changed(0, &changed(950, Status::Registering, Status::Registered, 1)), None);
}

#[test]
fn a_copy_is_renewed_where_something_changed() {
    let (mut watch, mut copy) = (watch(1), Vec::new());
    watch.show(&mut copy);
    assert_eq!((copy.len(), copy[0].moved), (1, 0));
    watch.changed(0, &changed(2_000, Status::Registering, Status::Registered, 2));
    watch.show(&mut copy);
    assert_eq!((copy.len(), copy[0].moved), (1, 1));
}
