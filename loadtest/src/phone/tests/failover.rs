//! A CallManager dies: how the phone notices, whom it asks next, how long it was without service.

use super::*;

#[test]
fn an_unanswered_refresh_is_the_end_of_a_callmanager() {
    let mut world = World::registered(3, plain(), 1);
    world.run(secs(100));
    world.registrars[0].life = Life::Silent;
    world.run(secs(15 + 32));
    assert_eq!(world.phone.registered_at(), Some(address(1)));
    assert_eq!(world.phone.counters().failovers, 1);
    assert_eq!(world.whys(), [Why::Started, Why::Accepted, Why::NoAnswer, Why::Trying, Why::Accepted]);
    let outage = world.log.last().and_then(|c| c.outage);
    assert_eq!(outage, Some(secs(115 + 32)), "from the last good answer to the next");
}

#[test]
fn an_unanswered_keep_alive_is_noticed_sooner() {
    let settings = PhoneSettings { keepalive: Some(secs(2)), patience: secs(3), ..plain() };
    let mut world = World::registered(2, settings, 1);
    world.registrars[0].life = Life::Silent;
    world.run(secs(5));
    assert_eq!(world.phone.registered_at(), Some(address(1)));
    assert!(world.log.last().and_then(|c| c.outage).is_some_and(|o| o <= secs(5)));
}

#[test]
fn a_closed_port_is_noticed_at_once_and_the_next_is_asked_after_a_jitter() {
    let settings = PhoneSettings { keepalive: Some(secs(2)), failover_jitter: secs(1), ..plain() };
    let mut jitters = Vec::new();
    for seed in 0..50 {
        let mut world = World::registered(2, settings.clone(), seed);
        world.registrars[0].life = Life::Closed;
        world.run(secs(4));
        let [lost, found] = [Why::Unreachable, Why::Accepted].map(|why| world.log.iter().rfind(|c| c.why == why));
        let jitter = found.expect("served again").at.since(lost.expect("lost").at);
        assert!(jitter <= secs(1));
        jitters.push(jitter.as_millis());
    }
    assert!(jitters.iter().any(|&j| j < 200) && jitters.iter().any(|&j| j > 800), "{jitters:?}");
}

#[test]
fn an_icmp_error_reaches_a_phone_that_has_nothing_open() {
    let mut world = World::registered(2, plain(), 1);
    world.give(PhoneInput::Broken { to: address(1) });
    assert_eq!(world.phone.registered_at(), Some(address(0)), "the standby is not the serving one");
    world.give(PhoneInput::Broken { to: address(0) });
    world.run(Duration::ZERO);
    assert_eq!(world.phone.registered_at(), Some(address(1)));
}

#[test]
fn the_order_of_the_list_holds_and_those_that_lately_failed_come_last() {
    let mut world = World::registered(3, plain(), 1);
    world.registrars[0].life = Life::Closed;
    world.give(PhoneInput::Broken { to: address(0) });
    world.run(Duration::ZERO);
    assert_eq!(world.phone.registered_at(), Some(address(1)));
    world.registrars[1].life = Life::Closed;
    world.give(PhoneInput::Broken { to: address(1) });
    world.run(Duration::ZERO);
    assert_eq!((world.phone.registered_at(), world.phone.rank()), (Some(address(2)), Rank::new(3)));
    assert_eq!(world.asked(), [(0, Ask::Register), (1, Ask::Register), (2, Ask::Register)]);
    assert_eq!(world.phone.counters().failovers, 2);
}

#[test]
fn a_server_error_is_a_failure_of_that_callmanager() {
    let mut world = World::new(2, plain(), 1);
    world.registrars[0].say(Ask::Register, "500 Internal Error\r\n");
    world.give(PhoneInput::Start);
    assert_eq!(world.phone.registered_at(), Some(address(1)));
    world.registrars[1].say(Ask::Register, "500 Internal Error\r\n");
    world.run(secs(115));
    assert_eq!(world.phone.registered_at(), Some(address(0)));
}

#[test]
fn when_all_failed_it_waits_as_rfc_5626_says_and_begins_at_the_top() {
    for seed in 0..20 {
        let mut world = World::new(3, plain(), seed);
        world.registrars.iter_mut().for_each(|r| r.life = Life::Closed);
        world.give(PhoneInput::Start);
        world.run(secs(3_600 * 5));
        let tops: Vec<Time> = world.sent.iter().filter(|s| s.to == 0).map(|s| s.at).collect();
        assert_eq!(world.sent.len(), tops.len() * 3, "each round asks each one once");
        let gaps: Vec<u64> = tops.windows(2).map(|w| w[1].since(w[0]).as_secs()).collect();
        for (gap, whole) in gaps.iter().zip([30, 60, 120, 240, 480, 960, 1_800, 1_800, 1_800]) {
            assert!((whole / 2..=whole).contains(gap), "{gaps:?}");
        }
        world.registrars.iter_mut().for_each(|r| r.life = Life::Up);
        world.run(secs(1_800));
        assert_eq!(world.phone.registered_at(), Some(address(0)));
    }
}

#[test]
fn the_outage_over_a_total_loss_is_measured_to_the_first_good_answer() {
    let mut world = World::registered(2, plain(), 4);
    world.run(secs(10));
    world.registrars.iter_mut().for_each(|r| r.life = Life::Closed);
    let good = world.sent[0].at;
    world.give(PhoneInput::Broken { to: address(0) });
    world.run(secs(5));
    world.registrars.iter_mut().for_each(|r| r.life = Life::Up);
    world.run(secs(30));
    let back = world.log.last().copied().expect("a line");
    assert_eq!((back.why, back.outage), (Why::Accepted, Some(back.at.since(good))));
    assert_eq!(world.phone.counters().failovers, 0, "it is where it was");
}

#[test]
fn a_refresh_that_is_refused_or_redirected_ends_the_registration() {
    let mut world = World::registered(2, plain(), 1);
    world.registrars[0].say(Ask::Register, "302 Elsewhere\r\nContact: <sip:127.0.0.3:5060>\r\n");
    world.run(secs(115));
    assert_eq!(world.phone.registered_at(), Some(address(2)));
    world.registrars[2].say(Ask::Register, "404 Not Found\r\n");
    world.run(secs(115));
    assert_eq!((world.phone.status(), world.phone.counters().refusals), (Status::Waiting, 1));
    world.run(secs(30));
    assert_eq!(world.phone.registered_at(), Some(address(0)), "a new round begins with the configured list");
}

#[test]
fn a_phone_in_a_call_does_not_move_before_the_call_ends() {
    let mut world = World::registered(2, plain(), 1);
    world.give(PhoneInput::Busy(true));
    world.registrars[0].life = Life::Closed;
    world.give(PhoneInput::Broken { to: address(0) });
    world.run(secs(600));
    assert_eq!((world.phone.status(), world.sent.len()), (Status::Waiting, 1));
    world.give(PhoneInput::Busy(false));
    world.run(Duration::ZERO);
    assert_eq!(world.phone.registered_at(), Some(address(1)));
    assert_eq!(world.log.last().and_then(|c| c.outage), Some(secs(600)));
}
