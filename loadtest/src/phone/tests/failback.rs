//! Heartbeats to the others, and the way home.

use super::*;

fn watchful() -> PhoneSettings {
    PhoneSettings { standby_heartbeat: Some(secs(30)), ..plain() }
}

/// Registered at the second of three, the first one closed.
fn displaced(settings: PhoneSettings) -> World {
    let mut world = World::new(3, settings, 2);
    world.registrars[0].life = Life::Closed;
    world.give(PhoneInput::Start);
    assert_eq!(world.phone.registered_at(), Some(address(1)));
    world
}

/// To the second in which a token is asked for, ten minutes at most.
fn until_token(world: &mut World) {
    for _ in 0..600 {
        world.run(secs(1));
        if world.count(0, Ask::Token) > 0 {
            return;
        }
    }
    panic!("no token was asked for: {:?}", world.asked());
}

#[test]
fn the_standby_heartbeat_has_the_form_that_changes_no_binding() {
    let mut world = World::registered(3, watchful(), 1);
    world.run(secs(31));
    let beat = world.last();
    assert_eq!((beat.to, beat.ask), (1, Ask::Beat));
    assert!(beat.text.contains("\r\nExpires: 0\r\n"));
    assert!(beat.text.contains("\r\nContact: <sip:SEP0001@127.0.0.9:40000>;expires=0;cisco-keep-alive\r\n"));
    let call_id =
        |s: &Sent| s.text.split_once("Call-ID: ").and_then(|(_, r)| r.split_once('\r')).map(|(id, _)| id.to_owned());
    assert_ne!(call_id(beat), call_id(&world.sent[0]), "it must not disturb the order of the registration's CSeq");
}

#[test]
fn only_the_next_standby_is_asked_and_the_one_below_while_that_is_silent() {
    let mut world = World::registered(3, watchful(), 1);
    world.run(secs(110));
    assert!(world.count(1, Ask::Beat) >= 3);
    assert_eq!(world.count(2, Ask::Beat), 0);
    world.registrars[1].life = Life::Closed;
    world.run(secs(65));
    assert!(world.count(2, Ask::Beat) >= 1);
    world.registrars[1].life = Life::Up;
    world.run(secs(40));
    let before = world.count(2, Ask::Beat);
    world.run(secs(200));
    assert!(world.count(2, Ask::Beat) <= before + 1, "the first standby answers again");
    assert_eq!(world.phone.registered_at(), Some(address(0)));
}

#[test]
fn on_a_backup_every_better_one_and_the_next_lower_are_asked() {
    let mut world = World::new(3, watchful(), 1);
    world.registrars[0].life = Life::Closed;
    world.registrars[1].life = Life::Closed;
    world.give(PhoneInput::Start);
    assert_eq!(world.phone.rank(), Rank::new(3));
    world.run(secs(100));
    assert!(world.count(0, Ask::Beat) >= 3 && world.count(1, Ask::Beat) >= 3);
    let mut world = displaced(watchful());
    world.run(secs(100));
    assert!(world.count(0, Ask::Beat) >= 3 && world.count(2, Ask::Beat) >= 3);
}

#[test]
fn after_the_monitor_duration_a_token_is_asked_for_and_then_it_goes_home() {
    let mut world = displaced(watchful());
    world.run(secs(50));
    world.registrars[0].life = Life::Up;
    world.run(secs(400));
    let first_good = world.sent.iter().find(|s| s.to == 0 && s.ask == Ask::Beat && s.at >= Time::from_secs(1_050));
    let token = world.sent.iter().find(|s| s.ask == Ask::Token).expect("a token was asked for");
    assert_eq!(token.at.since(first_good.expect("a heartbeat").at), secs(120));
    assert_eq!(token.to, 0);
    assert!(token.text.starts_with("REFER sip:SEP0001@tandem.test SIP/2.0\r\n"));
    assert!(token.text.contains("\r\nRefer-To: <urn:X-cisco-remotecc:token-registration>\r\n"));
    assert_eq!((world.phone.registered_at(), world.phone.rank()), (Some(address(0)), Some(Rank::HOME)));
    let counters = world.phone.counters();
    assert_eq!((counters.failbacks, counters.tokens_asked, counters.tokens_granted), (1, 1, 1));
    assert_eq!(world.log.last().map(|c| c.outage), Some(None), "going home is no outage");
    assert_eq!(world.asked().iter().filter(|a| a.1 == Ask::Unregister).count(), 0, "the newest registration wins");
}

#[test]
fn a_heartbeat_that_fails_in_between_begins_the_wait_anew() {
    let mut world = displaced(watchful());
    world.registrars[0].life = Life::Up;
    world.run(secs(80));
    world.registrars[0].say(Ask::Beat, "503 Joining\r\n");
    world.run(secs(100));
    assert_eq!(world.count(0, Ask::Token), 0);
    world.run(secs(130));
    assert_eq!(world.phone.registered_at(), Some(address(0)));
}

#[test]
fn a_refused_token_is_asked_for_again_when_it_was_said() {
    let mut world = displaced(watchful());
    world.registrars[0].life = Life::Up;
    world.registrars[0].say(Ask::Token, "503 Later\r\nRetry-After: 45\r\n").say(Ask::Token, "503 Later\r\n");
    world.run(secs(400));
    let asked: Vec<Time> = world.sent.iter().filter(|s| s.ask == Ask::Token).map(|s| s.at).collect();
    let gaps: Vec<u64> = asked.windows(2).map(|w| w[1].since(w[0]).as_secs()).collect();
    assert_eq!(gaps, [45, 60]);
    assert_eq!(world.phone.registered_at(), Some(address(0)));
}

#[test]
fn a_registrar_without_tokens_is_simply_registered_at() {
    let mut world = displaced(watchful());
    world.registrars[0].life = Life::Up;
    world.registrars[0].say(Ask::Token, "405 Method Not Allowed\r\n");
    world.run(secs(300));
    assert_eq!((world.phone.registered_at(), world.phone.counters().tokens_granted), (Some(address(0)), 0));
}

#[test]
fn a_plain_phone_goes_home_without_asking() {
    let mut world = displaced(PhoneSettings { asks_token: false, ..watchful() });
    world.registrars[0].life = Life::Up;
    world.run(secs(300));
    assert_eq!((world.phone.registered_at(), world.count(0, Ask::Token)), (Some(address(0)), 0));
}

#[test]
fn a_home_that_fails_in_the_doorway_leaves_the_phone_where_it_is() {
    for answer in ["500 Oops\r\n", "503 Busy\r\nRetry-After: 30\r\n"] {
        let mut world = displaced(watchful());
        world.registrars[0].life = Life::Up;
        world.registrars[0].say(Ask::Register, answer);
        until_token(&mut world);
        assert_eq!((world.count(0, Ask::Register), world.phone.registered_at()), (2, Some(address(1))), "{answer}");
        world.run(secs(300));
        assert_eq!((world.phone.registered_at(), world.phone.counters().failovers), (Some(address(0)), 0), "{answer}");
    }
}

#[test]
fn the_best_of_the_returned_ones_is_chosen() {
    let mut world = World::new(3, watchful(), 1);
    world.registrars[0].life = Life::Closed;
    world.registrars[1].life = Life::Closed;
    world.give(PhoneInput::Start);
    world.registrars[1].life = Life::Up;
    world.run(secs(200));
    assert_eq!(world.phone.registered_at(), Some(address(1)), "rank 2 is better than rank 3");
    world.registrars[0].life = Life::Up;
    world.run(secs(200));
    assert_eq!((world.phone.registered_at(), world.phone.counters().failbacks), (Some(address(0)), 2));
}

#[test]
fn of_two_that_are_ripe_at_once_the_better_one_is_chosen() {
    let mut world = World::new(3, watchful(), 1);
    world.registrars[0].life = Life::Closed;
    world.registrars[1].life = Life::Closed;
    world.give(PhoneInput::Start);
    world.registrars.iter_mut().for_each(|r| r.life = Life::Up);
    world.give(PhoneInput::Busy(true));
    world.run(secs(600));
    world.give(PhoneInput::Busy(false));
    assert_eq!((world.phone.rank(), world.phone.counters().failbacks), (Some(Rank::HOME), 1));
}

#[test]
fn of_two_that_return_together_the_better_one_is_waited_for_although_the_other_is_ripe_first() {
    let mut world = World::new(3, watchful(), 1);
    world.registrars[0].life = Life::Closed;
    world.registrars[1].life = Life::Closed;
    world.give(PhoneInput::Start);
    world.registrars[1].life = Life::Up;
    world.run(secs(100));
    world.registrars[0].life = Life::Up;
    world.run(secs(100));
    assert_eq!(
        (world.phone.rank(), world.count(1, Ask::Token)),
        (Rank::new(3), 0),
        "the second is ripe, the first nearly"
    );
    world.run(secs(100));
    assert_eq!((world.phone.rank(), world.phone.counters().failbacks), (Some(Rank::HOME), 1));
}

#[test]
fn a_better_one_that_never_lets_the_phone_in_is_not_waited_for_for_ever() {
    let mut world = World::new(3, watchful(), 1);
    world.registrars[0].life = Life::Closed;
    world.registrars[1].life = Life::Closed;
    world.give(PhoneInput::Start);
    world.registrars.iter_mut().for_each(|r| r.life = Life::Up);
    world.registrars[0].always.insert(Ask::Token, "503 Later\r\nRetry-After: 60\r\n".into());
    world.run(secs(200));
    assert_eq!((world.phone.rank(), world.count(1, Ask::Token)), (Rank::new(3), 0));
    world.run(secs(120));
    assert_eq!(world.phone.rank(), Rank::new(2), "it has had its time");
    world.registrars[0].always.clear();
    world.run(secs(200));
    assert_eq!(world.phone.rank(), Some(Rank::HOME));
}

/// A node that is being stopped sends its phones to the others of their group with a 302.
#[test]
fn a_phone_that_was_sent_away_comes_home_by_its_own_means() {
    for configured in [3, 1] {
        let mut world = World::registered(configured, watchful(), 1);
        let away = "302 Elsewhere\r\nContact: <sip:127.0.0.2:5060>, <sip:127.0.0.3:5060>\r\n";
        world.registrars[0].always.insert(Ask::Register, away.into());
        world.registrars[0].always.insert(Ask::Beat, away.into());
        world.run(secs(260));
        assert_eq!((world.phone.registered_at(), world.phone.rank()), (Some(address(1)), Rank::new(2)));
        assert!(world.count(0, Ask::Beat) >= 3 && world.count(0, Ask::Token) == 0, "{:?}", world.asked());
        world.registrars[0].always.clear();
        world.run(secs(300));
        assert_eq!((world.phone.registered_at(), world.phone.rank()), (Some(address(0)), Some(Rank::HOME)));
        assert_eq!(world.phone.list().len(), configured, "its own list");
        assert_eq!(world.count(0, Ask::Token), 1);
    }
}

#[test]
fn a_busy_phone_waits_for_the_end_of_its_call() {
    let mut world = displaced(watchful());
    world.registrars[0].life = Life::Up;
    world.give(PhoneInput::Busy(true));
    world.run(secs(600));
    assert_eq!((world.count(0, Ask::Token), world.phone.registered_at()), (0, Some(address(1))));
    world.give(PhoneInput::Busy(false));
    assert_eq!(world.phone.registered_at(), Some(address(0)));
}

#[test]
fn a_call_that_begins_while_the_token_is_asked_for_is_not_disturbed() {
    let mut world = displaced(watchful());
    world.registrars[0].life = Life::Up;
    world.registrars[0].say(Ask::Token, "100 Trying\r\n");
    until_token(&mut world);
    world.give(PhoneInput::Busy(true));
    let granted = world
        .sent
        .iter()
        .rfind(|s| s.ask == Ask::Token)
        .map(|s| s.text.replacen("REFER sip:SEP0001@tandem.test SIP/2.0", "SIP/2.0 202 Accepted", 1));
    world.give(PhoneInput::Message { from: address(0), bytes: granted.expect("asked").as_bytes() });
    world.run(secs(100));
    assert_eq!((world.phone.registered_at(), world.count(0, Ask::Register)), (Some(address(1)), 1));
    world.give(PhoneInput::Busy(false));
    assert_eq!(world.phone.registered_at(), Some(address(0)), "it asks again after the call");
}

#[test]
fn without_heartbeats_a_phone_stays_until_it_is_called() {
    let mut world = displaced(plain());
    world.registrars[0].life = Life::Up;
    world.run(secs(5_000));
    assert_eq!(world.phone.registered_at(), Some(address(1)));
}
