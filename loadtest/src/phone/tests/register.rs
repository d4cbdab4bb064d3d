//! Registering, refreshing, and what a registrar's answers lead to.

use super::*;

#[test]
fn it_registers_with_the_first_of_its_list_in_the_words_of_the_rfc() {
    let world = World::registered(3, plain(), 1);
    assert_eq!(world.asked(), [(0, Ask::Register)]);
    let text = &world.last().text;
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(lines[0], "REGISTER sip:tandem.test SIP/2.0");
    assert!(lines[1].starts_with("Via: SIP/2.0/UDP 127.0.0.9:40000;branch=z9hG4bK00000007"), "{text}");
    for line in ["To: <sip:SEP0001@tandem.test>", "Contact: <sip:SEP0001@127.0.0.9:40000>", "Expires: 120"] {
        assert!(lines.contains(&line), "{line} is missing in {text}");
    }
    assert_eq!(world.phone.rank(), Some(Rank::HOME));
    assert_eq!(world.whys(), [Why::Started, Why::Accepted]);
}

#[test]
fn another_run_with_the_same_seed_is_another_client() {
    let sent = |run| World::registered(3, PhoneSettings { run, ..plain() }, 1).last().text.clone();
    let line = |text: &str, name: &str| text.split("\r\n").find(|l| l.starts_with(name)).expect("a line").to_owned();
    let (first, second) = (sent(1_700_000_000_000), sent(1_700_000_000_001));
    for name in ["Call-ID: ", "From: "] {
        assert_ne!(line(&first, name), line(&second, name));
    }
    assert_eq!(line(&first, "CSeq: "), line(&second, "CSeq: "), "nothing else differs");
}

#[test]
fn an_unanswered_request_is_repeated_by_timer_e_and_given_up_by_timer_f() {
    let mut world = World::new(2, plain(), 1);
    world.registrars[0].life = Life::Silent;
    let start = world.now;
    world.give(PhoneInput::Start);
    world.run(secs(40));
    let first = &world.sent[0];
    let repeats: Vec<&Sent> = world.sent.iter().filter(|s| s.again).collect();
    let after: Vec<u128> = repeats.iter().map(|s| s.at.since(start).as_millis()).collect();
    assert_eq!(after, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert!(repeats.iter().all(|s| s.text == first.text), "a repetition is the same message");
    assert_eq!(world.phone.registered_at(), Some(address(1)));
    assert_eq!(world.last().at.since(start), secs(32));
    assert_eq!((world.phone.counters().retransmissions, world.phone.counters().timeouts), (10, 1));
}

#[test]
fn a_provisional_answer_slows_the_repetitions_down() {
    let mut world = World::new(1, plain(), 1);
    world.registrars[0].say(Ask::Register, "100 Trying\r\n");
    let start = world.now;
    world.give(PhoneInput::Start);
    world.registrars[0].life = Life::Silent;
    world.run(secs(10));
    let after: Vec<u64> = world.sent.iter().skip(1).map(|s| s.at.since(start).as_secs()).collect();
    assert_eq!(after, [4, 8]);
}

#[test]
fn a_refresh_goes_out_five_seconds_before_the_end_or_after_nine_tenths_of_a_short_one() {
    for (granted, wait) in [(120, 115), (60, 55), (30, 27), (10, 9)] {
        let mut world = World::new(1, plain(), 1);
        world.registrars[0].grants = Some(granted);
        world.give(PhoneInput::Start);
        let start = world.now;
        world.run(secs(wait) - Duration::from_millis(1));
        assert_eq!(world.sent.len(), 1, "{granted}");
        world.run(Duration::from_millis(1));
        assert_eq!((world.sent.len(), world.last().at.since(start)), (2, secs(wait)), "{granted}");
        assert_eq!(world.phone.counters().refreshes, 1);
    }
}

#[test]
fn keep_alives_come_at_75_to_100_per_cent_of_their_interval() {
    let settings = PhoneSettings { keepalive: Some(secs(30)), ..plain() };
    let mut world = World::registered(1, settings, 3);
    world.run(secs(3_000));
    let times: Vec<Time> = world.sent.iter().map(|s| s.at).collect();
    let gaps: Vec<u128> = times.windows(2).map(|w| w[1].since(w[0]).as_millis()).collect();
    assert!(gaps.len() > 99 && gaps.iter().all(|g| (22_500..=30_000).contains(g)), "{gaps:?}");
    assert!(gaps.iter().any(|&g| g < 24_000) && gaps.iter().any(|&g| g > 28_500), "they must drift apart");
}

#[test]
fn retry_after_is_obeyed_at_the_same_callmanager() {
    let mut world = World::new(3, plain(), 1);
    world.registrars[0].say(Ask::Register, "503 Busy\r\nRetry-After: 7 (storm)\r\n");
    let start = world.now;
    world.give(PhoneInput::Start);
    assert_eq!(world.phone.status(), Status::Waiting);
    world.run(secs(10));
    assert_eq!(world.asked(), [(0, Ask::Register), (0, Ask::Register)]);
    assert_eq!(world.last().at.since(start), secs(7));
    assert_eq!(world.phone.registered_at(), Some(address(0)));
}

#[test]
fn a_callmanager_that_throttles_for_ever_is_left_after_the_bound() {
    let mut world = World::new(2, plain(), 1);
    world.registrars[0].always.insert(Ask::Register, "503 Busy\r\nRetry-After: 5\r\n".into());
    world.give(PhoneInput::Start);
    world.run(secs(16));
    assert_eq!((world.count(0, Ask::Register), world.count(1, Ask::Register)), (4, 1));
    assert_eq!(world.phone.registered_at(), Some(address(1)));
}

#[test]
fn a_callmanager_that_asks_for_too_much_patience_is_left_at_once() {
    let mut world = World::new(2, plain(), 1);
    world.registrars[0].say(Ask::Register, "503 Busy\r\nRetry-After: 3600\r\n");
    world.registrars[1].say(Ask::Register, "503 Busy\r\n");
    world.give(PhoneInput::Start);
    assert_eq!(world.asked(), [(0, Ask::Register), (1, Ask::Register)]);
    assert_eq!(world.phone.status(), Status::Waiting, "503 without Retry-After is a failure, so both have failed");
}

#[test]
fn a_throttled_refresh_is_tried_again_and_the_phone_stays() {
    let mut world = World::registered(2, plain(), 1);
    world.registrars[0].say(Ask::Register, "503 Busy\r\nRetry-After: 2\r\n");
    world.run(secs(118));
    assert_eq!(world.asked(), [(0, Ask::Register); 3]);
    assert_eq!((world.phone.status(), world.phone.counters().refreshes), (Status::Registered, 1));
    assert_eq!(world.log.len(), 2, "nothing changed: {:?}", world.log);
}

#[test]
fn a_redirect_is_followed_in_the_order_of_q() {
    let mut world = World::new(1, plain(), 1);
    let list = "302 Elsewhere\r\nContact: <sip:127.0.0.2:5060>;q=0.8, <sip:127.0.0.3:5060>;q=1.0\r\n";
    world.registrars[0].say(Ask::Register, list);
    world.registrars[2].life = Life::Closed;
    world.give(PhoneInput::Start);
    assert_eq!(world.asked(), [(0, Ask::Register), (2, Ask::Register), (1, Ask::Register)]);
    assert_eq!(world.phone.registered_at(), Some(address(1)));
    assert_eq!(world.phone.list(), [address(0), address(2), address(1)], "the configured one is still watched");
}

#[test]
fn when_the_redirect_leads_nowhere_the_configured_list_is_asked_again() {
    let mut world = World::new(2, plain(), 1);
    world.registrars[0].say(Ask::Register, "302 Elsewhere\r\nContact: <sip:127.0.0.3:5060>\r\n");
    world.registrars[2].life = Life::Closed;
    world.give(PhoneInput::Start);
    assert_eq!(world.asked(), [(0, Ask::Register), (2, Ask::Register), (0, Ask::Register)]);
    assert_eq!(world.phone.registered_at(), Some(address(0)));
}

#[test]
fn two_callmanagers_that_point_at_each_other_are_not_followed_for_ever() {
    let mut world = World::new(1, plain(), 1);
    world.registrars[0].always.insert(Ask::Register, "302 There\r\nContact: <sip:127.0.0.2:5060>\r\n".into());
    world.registrars[1].always.insert(Ask::Register, "302 Back\r\nContact: <sip:127.0.0.1:5060>\r\n".into());
    world.give(PhoneInput::Start);
    assert_eq!(world.phone.status(), Status::Waiting);
    assert!(world.sent.len() <= 5, "{:?}", world.asked());
    world.run(secs(3_600));
    assert!(world.sent.len() < 60, "{}", world.sent.len());
}

#[test]
fn a_too_brief_interval_is_raised_and_remembered() {
    let mut world = World::new(1, plain(), 1);
    world.registrars[0].say(Ask::Register, "423 Interval Too Brief\r\nMin-Expires: 600\r\n");
    world.give(PhoneInput::Start);
    assert!(world.last().text.contains("\r\nExpires: 600\r\n"));
    world.run(secs(595));
    assert_eq!((world.sent.len(), world.phone.counters().refreshes), (3, 1));
    assert!(world.last().text.contains("\r\nExpires: 600\r\n"));
}

#[test]
fn an_interval_that_is_raised_without_end_is_a_failure() {
    let mut world = World::new(2, plain(), 1);
    for least in [600, 601, 602, 603] {
        world.registrars[0].say(Ask::Register, &format!("423 Interval Too Brief\r\nMin-Expires: {least}\r\n"));
    }
    world.give(PhoneInput::Start);
    assert_eq!((world.count(0, Ask::Register), world.phone.registered_at()), (3, Some(address(1))));
}

#[test]
fn an_unknown_phone_backs_off_longer_each_time_and_asks_nobody_else() {
    for refusal in ["404 Not Found\r\n", "403 Forbidden\r\n"] {
        let mut world = World::new(3, plain(), 9);
        world.registrars[0].always.insert(Ask::Register, refusal.into());
        world.give(PhoneInput::Start);
        world.run(secs(3_600 * 4));
        assert!(world.asked().iter().all(|a| *a == (0, Ask::Register)));
        let times: Vec<Time> = world.sent.iter().map(|s| s.at).collect();
        let gaps: Vec<u64> = times.windows(2).map(|w| w[1].since(w[0]).as_secs()).collect();
        for (gap, whole) in gaps.iter().zip([30, 60, 120, 240, 480, 960, 1_800, 1_800]) {
            assert!((whole / 2..=whole).contains(gap), "{gaps:?}");
        }
        assert!(gaps.iter().all(|g| *g <= 1_800) && world.phone.counters().refusals > 7);
    }
}

#[test]
fn a_200_that_lacks_the_phones_contact_is_counted_as_wrong() {
    let mut world = World::new(1, plain(), 1);
    world.registrars[0].say(Ask::Register, "200 OK\r\nExpires: 60\r\n");
    world.give(PhoneInput::Start);
    assert_eq!((world.phone.counters().wrong_answers, world.phone.status()), (1, Status::Registered));
    world.registrars[0].say(Ask::Register, "200 OK\r\nContact: <sip:SEP0001@127.0.0.9:40000>;expires=0\r\n");
    world.run(secs(55));
    assert_ne!(world.phone.status(), Status::Registered, "a grant of nothing is no registration");
}

#[test]
fn an_answer_to_nothing_is_wrong_and_one_that_comes_twice_is_only_late() {
    let mut world = World::registered(1, plain(), 1);
    let echo = world.last().text.replace("REGISTER sip:tandem.test SIP/2.0", "SIP/2.0 200 OK");
    world.give(PhoneInput::Message { from: address(0), bytes: echo.as_bytes() });
    assert_eq!(world.phone.counters().wrong_answers, 0);
    let future = echo.replace("z9hG4bK0000000700000001", "z9hG4bK0000000700000099");
    world.give(PhoneInput::Message { from: address(0), bytes: future.as_bytes() });
    world.give(PhoneInput::Message { from: address(0), bytes: b"\x00\xffnoise" });
    assert_eq!(world.phone.counters().wrong_answers, 2);
    assert_eq!(world.phone.counters().registrations, 1);
}

#[test]
fn a_stopped_phone_takes_its_registration_back_and_is_silent() {
    let mut world = World::registered(2, PhoneSettings::default(), 1);
    world.give(PhoneInput::Stop);
    assert_eq!((world.last().to, world.last().ask), (0, Ask::Unregister));
    assert_eq!(world.phone.status(), Status::Off);
    let sent = world.sent.len();
    world.run(secs(1_000));
    assert_eq!((world.sent.len(), world.phone.deadline()), (sent, None));
    world.give(PhoneInput::Start);
    assert_eq!(world.phone.registered_at(), Some(address(0)));
}

#[test]
fn a_phone_stops_even_when_nobody_answers() {
    let mut world = World::registered(1, plain(), 1);
    world.registrars[0].life = Life::Silent;
    world.give(PhoneInput::Stop);
    assert_eq!(world.phone.status(), Status::Stopping);
    world.run(secs(32));
    assert_eq!(world.phone.status(), Status::Off);
}
