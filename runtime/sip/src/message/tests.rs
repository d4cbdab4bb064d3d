//! Accessors of a message.

use super::*;

const INVITE: &str = "INVITE sip:b@h SIP/2.0\r\n\
    Via: SIP/2.0/UDP one;branch=z9hG4bK1, SIP/2.0/TCP two;branch=z9hG4bK2\r\n\
    From: \"A, B\" <sip:a@h>;tag=1\r\n\
    v: SIP/2.0/TLS three;branch=z9hG4bK3\r\n\
    To: <sip:b@h>\r\n\
    Call-ID: c\r\n\
    VIA : SIP/2.0/WS four;\r\n branch=z9hG4bK4\r\n\
    X-Own: 1\r\n\
    CSeq: 7 INVITE\r\n\
    x-own: 2\r\n\
    Max-Forwards: 70\r\n\
    Content-Length: 4\r\n\r\nbodybehind";

fn invite() -> Message<'static> {
    Message::parse(INVITE.as_bytes()).unwrap()
}

#[test]
fn all_occurrences_are_found_across_lines_forms_and_commas() {
    let m = invite();
    let hosts: Vec<_> = m.headers(Header::Via).map(|v| Via::read(v).unwrap().host.text().to_vec()).collect();
    assert_eq!(hosts, [&b"one"[..], b"two", b"three", b"four"]);
    assert_eq!(m.lines(Header::Via).count(), 3);
    assert!(m.is_repeated(Header::Via) && !m.is_repeated(Header::From));
    assert_eq!(m.headers(Header::Contact).count(), 0);
    assert_eq!(m.headers(Header::From).count(), 1);
    assert_eq!(m.top_via().and_then(|v| v.branch), Some(&b"z9hG4bK1"[..]));
}

#[test]
fn headers_without_a_place_in_the_index_are_found_by_name() {
    let m = invite();
    assert_eq!(m.other("X-OWN"), Some(&b"1"[..]));
    assert_eq!(m.others("x-own").collect::<Vec<_>>(), [&b"1"[..], b"2"]);
    assert_eq!(m.other("Via").map(<[u8]>::len), m.header(Header::Via).map(<[u8]>::len));
    assert_eq!(m.other("None"), None);
    assert_eq!(m.all_lines().count(), 11);
}

#[test]
fn the_body_is_as_long_as_content_length_says() {
    assert_eq!(invite().body(), b"body");
    assert_eq!(invite().available_body(), 10);
    let without = INVITE.replace("Content-Length: 4\r\n", "");
    assert_eq!(Message::parse(without.as_bytes()).unwrap().body(), b"bodybehind");
    let too_long = INVITE.replace("Content-Length: 4", "Content-Length: 40");
    assert_eq!(Message::parse(too_long.as_bytes()).unwrap().body(), b"bodybehind");
}

#[test]
fn typed_accessors_read_what_is_there() {
    let m = invite();
    assert_eq!(m.from().map(|f| (f.display, f.tag)), Some((&b"A, B"[..], Some(&b"1"[..]))));
    assert_eq!((m.max_forwards(), m.expires(), m.call_id()), (Some(70), None, &b"c"[..]));
    assert_eq!(m.cseq().map(|c| c.number), Some(7));
    assert_eq!(m.to().and_then(|t| t.sip_uri()).and_then(|u| u.user), Some(&b"b"[..]));
}

#[test]
fn credentials_are_chosen_by_realm() {
    let digest = |realm: &str| {
        format!(
            "Authorization: Digest username=\"{realm}-user\", realm=\"{realm}\", nonce=\"n\", uri=\"u\", response=\"r\"\r\n"
        )
    };
    let text = format!("REGISTER sip:h SIP/2.0\r\nAuthorization: Basic x\r\n{}{}\r\n", digest("a"), digest("b"));
    let m = Message::parse(text.as_bytes()).unwrap();
    assert_eq!(m.credentials(Header::Authorization, b"b").map(|c| c.username), Some(&b"b-user"[..]));
    assert!(m.credentials(Header::Authorization, b"c").is_none());
    assert!(m.credentials(Header::ProxyAuthorization, b"b").is_none());
    let text = format!("REGISTER sip:h SIP/2.0\r\n{}\r\n", digest(r#"the \"b\" realm"#));
    let m = Message::parse(text.as_bytes()).unwrap();
    assert!(m.credentials(Header::Authorization, br#"the "b" realm"#).is_some());
}

#[test]
fn what_has_a_way_back_is_answerable_and_what_its_sender_would_know_again_is_identified() {
    assert!(invite().is_answerable() && invite().is_identified());
    for (from, to) in [("INVITE", "ACK"), ("SIP/2.0/UDP one", "one")] {
        let text = INVITE.replace(from, to);
        assert!(!Message::parse(text.as_bytes()).unwrap().is_answerable(), "{from}");
    }
    for (from, to) in [("Call-ID: c\r\n", ""), ("CSeq: 7 INVITE\r\n", "")] {
        let text = INVITE.replace(from, to);
        let message = Message::parse(text.as_bytes()).unwrap();
        assert!(message.is_answerable() && !message.is_identified(), "{from}");
    }
    let broken = INVITE.replace("X-Own: 1", "X Own");
    let malformed = Message::parse(broken.as_bytes()).unwrap_err();
    assert!(malformed.is_answerable());
    assert_eq!(malformed.to_string(), "malformed message: Bad Header Name");
}

#[test]
fn a_debug_print_is_short() {
    assert_eq!(format!("{:?}", invite()), format!("Message(INVITE sip:b@h SIP/2.0\\r, {} bytes)", INVITE.len()));
}
