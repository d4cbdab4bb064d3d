//! Nonces: good at every node of the cluster, each count good once, nothing that was overheard good for anything (RFC 7616 section 5.4).

use crate::cluster::{Cluster, wait_for_rows};
use crate::phone::{Answer, Line, Phone, quoted, unique};

/// A request as somebody who overheard it would send it: another transaction, another CSeq, another Call-ID, all of which the digest does
/// not cover.
fn overheard(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).expect("text");
    let lines = text.split("\r\n").map(|line| match line.split_once(": ") {
        Some(("Via", value)) => format!("Via: {}", value.replace("branch=z9hG4bK", "branch=z9hG4bKagain")),
        Some(("CSeq", value)) => format!("CSeq: 9{value}"),
        Some(("Call-ID", _)) => format!("Call-ID: thief-{}", unique()),
        Some(("Contact", _)) => "Contact: <sip:thief@127.0.0.1:9>".to_owned(),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\r\n").into_bytes()
}

fn is_stale(answer: &Answer) -> bool {
    answer.status == 401 && answer.header("WWW-Authenticate").contains("stale=true")
}

/// Sends bytes from an address of its own.
fn thief(server: std::net::SocketAddr, bytes: &[u8]) -> Answer {
    let mut line = Line::udp(server);
    line.send(bytes);
    line.receive()
}

#[test]
fn a_count_is_good_once_and_a_phone_goes_on_with_the_next() {
    let cluster = Cluster::one("");
    let mut phone = Phone::udp("A001", cluster.udp(0)).registered();
    let captured = phone.last.clone();
    let bound = phone.query();
    for _ in 0..3 {
        let answer = thief(cluster.udp(0), &overheard(&captured));
        assert!(is_stale(&answer), "{}", answer.text);
    }
    let more = phone.binding(600);
    assert_eq!(phone.once("REGISTER", &more).status, 200, "its own next count is good");
    assert!(bound.header("Contact").starts_with(&format!("<{}>", phone.contact)));
    assert!(phone.is_bound());
    assert_eq!(cluster.metric(0, "tandem_auth_failures_total", &["reason=\"replay\""]), 3.0);
}

#[test]
fn what_was_overheard_of_a_removal_or_a_question_is_good_for_nothing() {
    let cluster = Cluster::one("");
    let mut phone = Phone::udp("A001", cluster.udp(0)).registered();
    phone.query();
    let question = phone.last.clone();
    assert_eq!(phone.register(0).status, 200);
    let removal = phone.last.clone();
    assert_eq!(phone.register(600).status, 200);
    for captured in [question, removal] {
        let answer = thief(cluster.udp(0), &overheard(&captured));
        assert!(is_stale(&answer), "{}", answer.text);
    }
    assert!(phone.is_bound());
}

/// An overheard request of any kind, made into one that binds the listener's contact.
fn as_binding(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(overheard(bytes)).expect("text");
    let kept: Vec<&str> =
        text.split("\r\n").filter(|l| !l.starts_with("Contact") && !l.starts_with("Expires")).collect();
    let bound = kept.join("\r\n");
    bound
        .replace("Max-Forwards: 70\r\n", "Contact: <sip:thief@127.0.0.1:9>;expires=600\r\nMax-Forwards: 70\r\n")
        .into_bytes()
}

#[test]
fn what_was_overheard_of_a_phone_that_is_not_registered_binds_nobody() {
    let cluster = Cluster::one("");
    let mut phone = Phone::udp("A001", cluster.udp(0)).registered();
    let registration = phone.last.clone();
    assert_eq!(phone.register(0).status, 200);
    let removal = phone.last.clone();
    let mut standby = Phone::udp("A002", cluster.udp(0));
    let beat = format!("Contact: <{}>;expires=0;cisco-keep-alive\r\n", standby.contact);
    assert_eq!(standby.ask("REGISTER", &beat).status, 200);
    let heartbeat = standby.last.clone();
    // Nothing of these two was ever bound (simulator seed 3258).
    let (mut asker, mut leaver) = (Phone::udp("A003", cluster.udp(0)), Phone::udp("A004", cluster.udp(0)));
    assert_eq!((asker.query().status, leaver.register(0).status), (200, 200));
    let (question, leave) = (asker.last.clone(), leaver.last.clone());
    for captured in [registration, removal, heartbeat, question, leave] {
        let answer = thief(cluster.udp(0), &as_binding(&captured));
        assert!(is_stale(&answer), "{}", answer.text);
    }
    assert_eq!(cluster.served(), [0]);
    for mut phone in [phone, standby, asker, leaver] {
        let more = phone.binding(600);
        assert_eq!(phone.once("REGISTER", &more).status, 200, "its own next count is good");
        assert_eq!(phone.once("REGISTER", &more).status, 200);
    }
}

#[test]
fn a_heartbeat_to_the_node_that_serves_the_phone_uses_its_count_up_too() {
    let cluster = Cluster::one("");
    let mut phone = Phone::udp("A001", cluster.udp(0)).registered();
    let beat = format!("Contact: <{}>;expires=0;cisco-keep-alive\r\n", phone.contact);
    assert_eq!(phone.ask("REGISTER", &beat).status, 200);
    let captured = phone.last.clone();
    let answer = thief(cluster.udp(0), &as_binding(&captured));
    assert!(is_stale(&answer), "{}", answer.text);
    assert!(phone.is_bound());
}

#[test]
fn counts_may_overtake_each_other() {
    let cluster = Cluster::one("");
    let mut phone = Phone::udp("A001", cluster.udp(0)).registered();
    let nonce = phone.nonce.clone().expect("a nonce");
    let ahead = nonce.count + 5;
    for (count, expected) in [(ahead, 200), (ahead - 3, 200), (ahead - 3, 401), (ahead - 1, 200), (ahead, 401)] {
        phone.nonce.as_mut().expect("a nonce").count = count - 1;
        let more = phone.binding(600);
        assert_eq!(phone.once("REGISTER", &more).status, expected, "count {count}");
    }
}

#[test]
fn a_nonce_of_one_node_is_good_at_another_and_what_was_overheard_there_is_not() {
    let cluster = Cluster::start(2, "", &[&[0, 1]]);
    let phone = Phone::udp("A001", cluster.udp(0)).registered();
    wait_for_rows(&cluster, 1);
    let mut phone = phone.moved(cluster.udp(1));
    let more = phone.binding(600);
    assert_eq!(phone.once("REGISTER", &more).status, 200, "no second challenge");
    cluster.wait_until("the newest registration stays alone", |c| c.served() == [0, 1]);
    let captured = phone.last.clone();
    wait_for_rows(&cluster, 0);
    let answer = thief(cluster.udp(0), &overheard(&captured));
    assert!(is_stale(&answer), "{}", answer.text);
    let answer = thief(cluster.udp(0), &captured);
    assert_eq!(answer.status, 500, "as it was: out of order at every node");
    assert_eq!(cluster.served(), [0, 1]);
    let mut phone = phone.moved(cluster.udp(0));
    let more = phone.binding(600);
    assert_eq!(phone.once("REGISTER", &more).status, 200, "the phone itself moves on without a challenge");
    cluster.wait_until("the newest registration stays alone", |c| c.served() == [1, 0]);
}

#[test]
fn what_was_overheard_at_one_node_binds_nobody_at_another() {
    let cluster = Cluster::start(2, "", &[&[0, 1]]);
    // Removed here: the other node knows of no use of its nonce.
    let mut phone = Phone::udp("A001", cluster.udp(0)).registered();
    assert_eq!(phone.register(0).status, 200);
    let removal = phone.last.clone();
    cluster.wait_until("the row is gone", |c| c.served() == [0, 0]);
    // A heartbeat to the standby, with what the phone was asked there.
    let mut standby = Phone::udp("A002", cluster.udp(1));
    let beat = format!("Contact: <{}>;expires=0;cisco-keep-alive\r\n", standby.contact);
    assert_eq!(standby.ask("REGISTER", &beat).status, 200);
    let heartbeat = standby.last.clone();
    // A challenge that was never answered: the phone is asked anew, and told to repeat by itself.
    let mut asked = Phone::udp("A003", cluster.udp(0));
    let challenge = asked.once("REGISTER", "");
    asked.learn(&challenge);
    for (captured, elsewhere) in [(&removal, 1), (&heartbeat, 0)] {
        let answer = thief(cluster.udp(elsewhere), &as_binding(captured));
        assert!(is_stale(&answer), "{}", answer.text);
    }
    let mut asked = asked.moved(cluster.udp(1));
    let more = asked.binding(600);
    let answer = asked.once("REGISTER", &more);
    assert!(is_stale(&answer), "{}", answer.text);
    asked.learn(&answer);
    assert_eq!(asked.once("REGISTER", &more).status, 200);
}

#[test]
fn a_heartbeat_with_the_nonce_of_the_registration_is_asked_anew_or_it_would_be_good_at_home() {
    let cluster = Cluster::start(2, "", &[&[0, 1]]);
    let phone = Phone::udp("A001", cluster.udp(0)).registered();
    wait_for_rows(&cluster, 1);
    let mut phone = phone.moved(cluster.udp(1));
    let beat = format!("Contact: <{}>;expires=0;cisco-keep-alive\r\n", phone.contact);
    let answer = phone.once("REGISTER", &beat);
    assert!(is_stale(&answer), "{}", answer.text);
    phone.learn(&answer);
    assert_eq!(phone.once("REGISTER", &beat).status, 200);
    assert_eq!(cluster.served(), [1, 0]);
}

#[test]
fn a_heartbeat_to_the_node_whose_nonce_the_phone_took_along_is_asked_anew_too() {
    let cluster = Cluster::start(2, "", &[&[0, 1]]);
    let phone = Phone::udp("A001", cluster.udp(0)).registered();
    wait_for_rows(&cluster, 1);
    let mut phone = phone.moved(cluster.udp(1));
    let more = phone.binding(600);
    assert_eq!(phone.once("REGISTER", &more).status, 200, "with the nonce of the first node");
    cluster.wait_until("the newest registration stays alone", |c| c.served() == [0, 1]);
    wait_for_rows(&cluster, 0);
    let mut phone = phone.moved(cluster.udp(0));
    let beat = format!("Contact: <{}>;expires=0;cisco-keep-alive\r\n", phone.contact);
    let answer = phone.once("REGISTER", &beat);
    assert!(is_stale(&answer), "{}", answer.text);
}

#[test]
fn what_was_overheard_is_no_good_after_the_death_of_the_node_that_took_it() {
    let cluster = Cluster::start(2, "", &[&[0, 1]]);
    let mut phone = Phone::udp("A001", cluster.udp(0)).registered();
    let captured = phone.last.clone();
    wait_for_rows(&cluster, 1);
    cluster.kill(0);
    let answer = thief(cluster.udp(1), &overheard(&captured));
    assert!(is_stale(&answer), "{}", answer.text);
    phone = phone.moved(cluster.udp(1));
    let more = phone.binding(600);
    assert_eq!(phone.once("REGISTER", &more).status, 200);
    assert_eq!(cluster.served(), [0, 1]);
}

#[test]
fn a_nonce_that_the_cluster_never_made_is_refused_as_no_nonce_of_ours() {
    let (ours, theirs) = (Cluster::one(""), Cluster::one(""));
    let mut stranger = Phone::udp("A001", theirs.udp(0));
    let foreign = stranger.once("REGISTER", "");
    let mut phone = Phone::udp("A001", ours.udp(0));
    let challenge = phone.once("REGISTER", "");
    phone.learn(&challenge);
    let good = phone.nonce.clone().expect("a nonce").value;
    let all_but_last = &good[..good.len() - 1];
    let last = if good.ends_with('0') { "1" } else { "0" };
    let later = format!("{:08x}{}", u32::from_str_radix(&good[..8], 16).expect("a time") + 100, &good[8..]);
    let forged = [
        quoted(foreign.header("WWW-Authenticate"), "nonce").to_owned(),
        all_but_last.to_owned() + last,
        later,
        all_but_last.to_owned(),
        "dcd98b7102dd2f0e8b11d0f600bfb0c093".to_owned(),
        String::new(),
    ];
    for value in &forged {
        let nonce = phone.nonce.as_mut().expect("a nonce");
        (nonce.value, nonce.count) = (value.clone(), 0);
        let more = phone.binding(600);
        let answer = phone.once("REGISTER", &more);
        assert_eq!(answer.status, 401, "{value}");
        assert!(answer.header("WWW-Authenticate").contains("stale=false"), "{value}: {}", answer.text);
    }
    assert_eq!(ours.metric(0, "tandem_auth_failures_total", &["reason=\"forged_nonce\""]), forged.len() as f64);
    assert_eq!(ours.served(), [0]);
}

#[test]
fn a_nonce_grows_old_and_the_phone_is_told_so() {
    let cluster = Cluster::one("nonce_lifetime = \"1s\"");
    let mut phone = Phone::udp("A001", cluster.udp(0)).registered();
    let begun = std::time::Instant::now();
    let answer = loop {
        let more = phone.binding(600);
        let answer = phone.once("REGISTER", &more);
        if answer.status != 200 {
            break answer;
        }
        assert!(begun.elapsed() < crate::cluster::PATIENCE, "a nonce of one second lives on");
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert!(is_stale(&answer), "{}", answer.text);
    phone.learn(&answer);
    let more = phone.binding(600);
    assert_eq!(phone.once("REGISTER", &more).status, 200);
}
