//! What comes twice is done once and answered with the same bytes (RFC 3261 section 17.2.2); what comes late is refused (section 10.3).

use crate::cluster::Cluster;
use crate::phone::{Line, Phone};

const ROWS: &str = "tandem_replication_rows_total";
const RETRANSMISSIONS: &str = "tandem_sip_retransmissions_total";

fn lines(cluster: &Cluster) -> [Line; 2] {
    [Line::udp(cluster.udp(0)), Line::tcp(cluster.tcp(0))]
}

#[test]
fn a_repeated_registration_gets_the_same_bytes_and_is_not_done_again() {
    let cluster = Cluster::one("");
    for line in lines(&cluster) {
        let mut phone = Phone::new("A001", line);
        for _ in 0..2 {
            let first = phone.register(600);
            assert_eq!(first.status, 200);
            let before = (cluster.metric(0, ROWS, &[]), cluster.metric(0, RETRANSMISSIONS, &[]));
            for _ in 0..3 {
                let again = phone.last.clone();
                assert_eq!(phone.exchange(&again), first);
            }
            let after = (cluster.metric(0, ROWS, &[]), cluster.metric(0, RETRANSMISSIONS, &[]));
            assert_eq!(after, (before.0, before.1 + 3.0));
        }
    }
}

#[test]
fn a_repeated_removal_gets_the_same_bytes_and_is_not_done_again() {
    // Over UDP only: a stream loses nothing, so nothing is remembered there (RFC 3261 section 17.2.2, Timer J).
    let cluster = Cluster::one("");
    let mut phone = Phone::udp("A001", cluster.udp(0)).registered();
    let first = phone.register(0);
    assert_eq!((first.status, first.all("Contact").len()), (200, 0));
    for _ in 0..3 {
        let again = phone.last.clone();
        assert_eq!(phone.exchange(&again), first);
    }
    assert_eq!(cluster.events(0, "unregister", "device"), 1.0);
    assert_eq!(cluster.metric(0, RETRANSMISSIONS, &[]), 3.0);
    assert_eq!(cluster.served(), [0]);
}

#[test]
fn the_removal_of_another_contact_may_be_repeated_too() {
    let cluster = Cluster::one("");
    let mut phone = Phone::udp("A001", cluster.udp(0)).registered();
    let first = phone.ask("REGISTER", "Contact: <sip:other@127.0.0.1:9>\r\nExpires: 0\r\n");
    assert!(first.header("Contact").starts_with(&format!("<{}>", phone.contact)), "{}", first.text);
    let again = phone.last.clone();
    assert_eq!(phone.exchange(&again), first);
}

#[test]
fn a_registration_that_comes_after_a_newer_one_is_refused() {
    let cluster = Cluster::one("");
    let mut phone = Phone::udp("A001", cluster.udp(0)).registered();
    let more = phone.binding(600);
    let late = phone.build("REGISTER", &more);
    let newer = phone.register(600);
    assert_eq!(newer.status, 200);
    let answer = phone.exchange(&late);
    assert_eq!(answer.status, 500, "{}", answer.text);
    assert_eq!(cluster.events(0, "refused", "out_of_order"), 1.0);
    phone.cseq -= 2;
    assert_eq!(phone.register(0).status, 500, "a late removal is refused too");
    phone.cseq += 5;
    assert!(phone.is_bound());
    // Another Call-ID is another life of the phone: its numbers begin anew.
    (phone.call_id, phone.cseq) = ("after-a-restart".to_owned(), 0);
    assert_eq!(phone.register(600).status, 200);
}

#[test]
fn a_token_is_given_once_however_often_it_is_asked_for() {
    let cluster = Cluster::start(2, "", &[&[0], &[1]]);
    let token = "Refer-To: <urn:X-cisco-remotecc:token-registration>\r\n";
    let mut phone = Phone::udp("A001", cluster.udp(0));
    let first = phone.ask("REFER", token);
    assert_eq!(first.status, 202, "{}", first.text);
    let before = cluster.metric(0, RETRANSMISSIONS, &[]);
    let again = phone.last.clone();
    assert_eq!(phone.exchange(&again), first);
    assert_eq!(cluster.metric(0, RETRANSMISSIONS, &[]), before + 1.0);
    assert_eq!(phone.ask("REFER", "Refer-To: <sip:somebody@else.example>\r\n").status, 405, "no other REFER is served");
    let mut outside = Phone::udp("A002", cluster.udp(1));
    let answer = outside.ask("REFER", token);
    assert_eq!(answer.status, 302, "{}", answer.text);
    assert!(answer.header("Contact").starts_with(&format!("<sip:{};", cluster.udp(0))), "{}", answer.text);
}
