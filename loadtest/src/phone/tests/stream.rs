//! TCP phones: the stream comes first, nothing is repeated, a closed stream is a dead CallManager.

use super::*;

fn tcp() -> PhoneSettings {
    PhoneSettings { transport: Transport::Tcp, ..plain() }
}

#[test]
fn the_stream_is_opened_first_and_its_port_is_the_contact() {
    let world = World::registered(2, tcp(), 1);
    let text = &world.last().text;
    assert!(text.contains("Via: SIP/2.0/TCP 127.0.0.9:50001;branch="), "{text}");
    assert!(text.contains("Contact: <sip:SEP0001@127.0.0.9:50001;transport=tcp>"), "{text}");
}

#[test]
fn nothing_is_repeated_on_a_stream() {
    let mut world = World::new(2, tcp(), 1);
    world.registrars[0].life = Life::Silent;
    world.give(PhoneInput::Start);
    world.run(secs(32));
    assert!(world.sent.iter().all(|s| !s.again));
    assert_eq!(world.asked(), [(0, Ask::Register), (1, Ask::Register)]);
    assert_eq!(world.phone.registered_at(), Some(address(1)));
}

#[test]
fn a_refused_stream_leads_to_the_next_callmanager() {
    let mut world = World::new(2, tcp(), 1);
    world.registrars[0].life = Life::Closed;
    world.give(PhoneInput::Start);
    assert_eq!((world.asked(), world.phone.registered_at()), (vec![(1, Ask::Register)], Some(address(1))));
}

#[test]
fn a_closed_stream_is_a_dead_callmanager_at_once_and_a_new_one_is_opened_there_later() {
    let settings = PhoneSettings { standby_heartbeat: Some(secs(10)), monitor: secs(20), ..tcp() };
    let mut world = World::registered(2, settings, 1);
    world.registrars[0].life = Life::Closed;
    world.give(PhoneInput::Broken { to: address(0) });
    world.run(Duration::ZERO);
    assert_eq!(world.phone.registered_at(), Some(address(1)));
    world.registrars[0].life = Life::Up;
    world.run(secs(60));
    assert_eq!(world.phone.registered_at(), Some(address(0)));
    assert!(!world.last().text.contains(":50001;"), "the old stream's port is gone");
}

#[test]
fn a_closed_standby_stream_disturbs_nothing() {
    let settings = PhoneSettings { standby_heartbeat: Some(secs(10)), ..tcp() };
    let mut world = World::registered(2, settings, 1);
    world.run(secs(30));
    world.give(PhoneInput::Broken { to: address(1) });
    world.run(secs(30));
    assert_eq!((world.phone.registered_at(), world.log.len()), (Some(address(0)), 2));
    assert!(world.count(1, Ask::Beat) > 3);
}
