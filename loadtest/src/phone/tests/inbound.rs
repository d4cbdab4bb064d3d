//! Requests to the phone: called home, pinged, and everything it must refuse properly.

use super::*;

fn request(method: &str, extra: &str, body: &str) -> String {
    format!(
        "{method} sip:SEP0001@127.0.0.9:40000 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bKa, SIP/2.0/UDP x;branch=z9hG4bKb\r\n\
         v: SIP/2.0/UDP y;branch=z9hG4bKc\r\nMax-Forwards: 70\r\nFrom: <sip:ccm2@tandem.test>;tag=77\r\nTo: <sip:SEP0001@tandem.test>\r\n\
         Call-ID: call-1\r\nCSeq: 5 {method}\r\n{extra}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn service_control(action: &str) -> String {
    let extra = "Event: service-control\r\nSubscription-State: active\r\nContent-Type: text/plain\r\n";
    request("NOTIFY", extra, &format!("action={action}\r\nRegisterCallID={{}}\r\n"))
}

/// At the second of two, the first one up again.
fn displaced() -> World {
    let mut world = World::new(2, plain(), 2);
    world.registrars[0].life = Life::Closed;
    world.give(PhoneInput::Start);
    world.registrars[0].life = Life::Up;
    world
}

#[test]
fn called_home_it_answers_and_registers_from_the_top_of_its_list() {
    for action in ["restart", "reset"] {
        let mut world = displaced();
        let answer = world.ask_phone(address(1), &service_control(action));
        assert!(answer.starts_with("SIP/2.0 200 OK\r\n"), "{answer}");
        assert_eq!((world.phone.registered_at(), world.phone.rank()), (Some(address(0)), Some(Rank::HOME)));
        let counters = world.phone.counters();
        assert_eq!((counters.called_home, counters.failbacks, counters.failovers), (1, 1, 0));
        assert_eq!(world.log.last().map(|c| c.outage), Some(None));
    }
}

#[test]
fn the_answer_carries_back_what_the_rfc_demands() {
    let mut world = displaced();
    let answer = world.ask_phone(address(1), &request("OPTIONS", "", ""));
    let vias: Vec<&str> = answer.split("\r\n").filter(|l| l.starts_with("Via: ")).collect();
    assert_eq!(vias.len(), 2, "one line for each line of the request: {answer}");
    assert!(vias[0].contains("z9hG4bKa") && vias[0].contains("z9hG4bKb") && vias[1].contains("z9hG4bKc"));
    for line in ["From: <sip:ccm2@tandem.test>;tag=77", "Call-ID: call-1", "CSeq: 5 OPTIONS", "Allow: OPTIONS, NOTIFY"]
    {
        assert!(answer.contains(&format!("\r\n{line}\r\n")), "{line}: {answer}");
    }
    assert!(answer.contains("\r\nTo: <sip:SEP0001@tandem.test>;tag="));
    assert!(answer.starts_with("SIP/2.0 200 OK\r\n"));
}

#[test]
fn a_repeated_order_gets_the_same_answer_and_is_obeyed_once() {
    let mut world = displaced();
    let first = world.ask_phone(address(1), &service_control("restart"));
    let again = world.ask_phone(address(1), &service_control("restart"));
    assert_eq!(first, again);
    assert_eq!(world.phone.counters().called_home, 1);
    let other = service_control("restart").replace("z9hG4bKa", "z9hG4bKother");
    world.ask_phone(address(1), &other);
    assert_eq!(world.phone.counters().called_home, 2, "another transaction is another order");
}

#[test]
fn a_busy_phone_says_yes_and_comes_after_its_call() {
    let mut world = displaced();
    world.give(PhoneInput::Busy(true));
    assert!(world.ask_phone(address(1), &service_control("restart")).starts_with("SIP/2.0 200 "));
    world.run(secs(60));
    assert_eq!((world.phone.registered_at(), world.phone.counters().called_home), (Some(address(1)), 0));
    world.give(PhoneInput::Busy(false));
    assert_eq!((world.phone.registered_at(), world.phone.counters().called_home), (Some(address(0)), 1));
}

#[test]
fn a_call_home_to_a_home_that_is_dead_again_ends_where_it_began() {
    let mut world = displaced();
    world.registrars[0].life = Life::Closed;
    world.ask_phone(address(1), &service_control("restart"));
    assert_eq!((world.phone.registered_at(), world.phone.counters().failovers), (Some(address(1)), 0));
}

#[test]
fn an_order_ends_a_back_off() {
    let mut world = World::new(2, plain(), 1);
    world.registrars.iter_mut().for_each(|r| r.life = Life::Closed);
    world.give(PhoneInput::Start);
    world.registrars.iter_mut().for_each(|r| r.life = Life::Up);
    world.ask_phone(address(1), &service_control("restart"));
    assert_eq!(world.phone.registered_at(), Some(address(0)));
}

#[test]
fn only_its_callmanagers_may_give_orders() {
    let mut world = displaced();
    let stranger = SocketAddr::from(([127, 0, 0, 66], 5060));
    assert!(world.ask_phone(stranger, &service_control("restart")).starts_with("SIP/2.0 403 "));
    assert_eq!(world.phone.registered_at(), Some(address(1)));
}

#[test]
fn what_it_cannot_do_it_refuses_with_the_right_words() {
    let mut world = displaced();
    let dialog = |method| {
        request(method, "", "").replace("To: <sip:SEP0001@tandem.test>", "To: <sip:SEP0001@tandem.test>;tag=d")
    };
    let event = |event: &str| request("NOTIFY", &format!("o: {event}\r\n"), "");
    for (text, answer) in [
        (request("INVITE", "", ""), "405 "),
        (request("MESSAGE", "", ""), "405 "),
        (request("CANCEL", "", ""), "481 "),
        (dialog("BYE"), "481 "),
        (dialog("INVITE"), "481 "),
        (event("message-summary"), "489 "),
        (event("service-control"), "400 "),
        (service_control("check-version"), "200 "),
        (request("OPTIONS", "", ""), "200 "),
    ] {
        let got = world.ask_phone(address(1), &text);
        assert!(got.starts_with(&format!("SIP/2.0 {answer}")), "{text}\ngave\n{got}");
    }
    assert_eq!(world.ask_phone(address(1), &request("ACK", "", "")), "", "an ACK is never answered");
    assert_eq!(world.phone.registered_at(), Some(address(1)));
}
