//! Responses: what is copied, and what becomes of the topmost Via.

use super::*;
use crate::validate::{SUPPORTED, validate_request, validate_response};
use crate::{Message, RefusalReason};

const SOURCE: &str = "10.0.0.9:1234";

fn request(via: &str) -> String {
    format!(
        "REGISTER sip:h SIP/2.0\r\n{via}\r\nFrom: <sip:a@h>;tag=1\r\nt: sip:a@h\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n\r\n"
    )
}

fn answered(text: &str, status: Status) -> String {
    let parsed = Message::parse(text.as_bytes());
    let message = parsed.as_ref().unwrap_or_else(|m| &m.partial);
    let mut buffer = [0u8; 2048];
    let mut w = Writer::new(&mut buffer);
    response(&mut w, message, status, b"tt", SOURCE.parse().unwrap());
    w.end();
    let n = w.finish().unwrap();
    String::from_utf8(buffer[..n].to_vec()).unwrap()
}

fn via_of(via: &str) -> String {
    let text = answered(&request(via), Status::OK);
    text.lines().filter_map(|l| l.strip_prefix("Via: ")).collect::<Vec<_>>().join("|")
}

#[test]
fn a_response_is_complete_and_valid() {
    let text = answered(&request("Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1"), Status::OK);
    assert_eq!(
        text,
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: sip:a@h;tag=tt\r\n\
         Call-ID: c\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(validate_response(&Message::parse(text.as_bytes()).unwrap()), Ok(()));
}

#[test]
fn the_to_tag_is_added_only_where_it_belongs() {
    let text = request("Via: SIP/2.0/UDP h");
    assert!(!answered(&text, Status::TRYING).contains("tag=tt"));
    assert!(!answered(&text.replace("t: sip:a@h", "To: <sip:a@h>;tag=x"), Status::OK).contains("tag=tt"));
    assert!(answered(&text.replace("t: sip:a@h", "To: <sip:a@h;tag=x>"), Status::OK).contains(";tag=x>;tag=tt\r\n"));
}

#[test]
fn received_and_rport_are_filled_in_as_rfc_3581_says() {
    for (via, answer) in [
        ("SIP/2.0/UDP 10.0.0.9;branch=1", "SIP/2.0/UDP 10.0.0.9;branch=1"),
        ("SIP/2.0/UDP 10.0.0.8;branch=1", "SIP/2.0/UDP 10.0.0.8;branch=1;received=10.0.0.9"),
        ("SIP/2.0/UDP name:5070;branch=1", "SIP/2.0/UDP name:5070;branch=1;received=10.0.0.9"),
        ("SIP/2.0/UDP 10.0.0.9;rport;branch=1", "SIP/2.0/UDP 10.0.0.9;rport=1234;branch=1;received=10.0.0.9"),
        ("SIP/2.0/UDP 10.0.0.9;branch=1;RPORT", "SIP/2.0/UDP 10.0.0.9;branch=1;RPORT=1234;received=10.0.0.9"),
        ("SIP/2.0/UDP 10.0.0.9;rport=99;branch=1", "SIP/2.0/UDP 10.0.0.9;rport=1234;branch=1;received=10.0.0.9"),
        ("SIP/2.0/UDP [::1]:7;branch=1;flag", "SIP/2.0/UDP [::1]:7;branch=1;flag;received=10.0.0.9"),
        ("SIP/2.0/UDP [::ffff:10.0.0.9]:7;x", "SIP/2.0/UDP [::ffff:10.0.0.9]:7;x"),
    ] {
        assert_eq!(via_of(&format!("Via: {via}")), answer);
    }
}

#[test]
fn a_received_that_the_sender_wrote_is_replaced() {
    assert_eq!(via_of("Via: SIP/2.0/UDP n;received=1.2.3.4;branch=1"), "SIP/2.0/UDP n;branch=1;received=10.0.0.9");
    assert_eq!(via_of("Via: SIP/2.0/UDP 10.0.0.9;received=1.2.3.4;branch=1"), "SIP/2.0/UDP 10.0.0.9;branch=1");
}

#[test]
fn only_the_topmost_via_changes_and_the_order_stays() {
    let via = via_of("Via: SIP/2.0/UDP a;x=\"q,\\\"\" , SIP/2.0/TCP b;rport\r\nFoo: x\r\nv: SIP/2.0/TLS c;rport");
    assert_eq!(via, "SIP/2.0/UDP a;x=\"q,\\\"\";received=10.0.0.9, SIP/2.0/TCP b;rport|SIP/2.0/TLS c;rport");
}

#[test]
fn an_ipv6_source_is_written_without_brackets() {
    let text = request("Via: SIP/2.0/UDP h;rport");
    let mut buffer = [0u8; 2048];
    let mut w = Writer::new(&mut buffer);
    response(&mut w, &Message::parse(text.as_bytes()).unwrap(), Status::OK, b"", "[2001:db8::9]:7".parse().unwrap());
    let n = w.finish().unwrap();
    let text = core::str::from_utf8(&buffer[..n]).unwrap();
    assert!(text.contains("SIP/2.0/UDP h;rport=7;received=2001:db8::9\r\n"));
    assert!(text.contains("To: sip:a@h\r\n"));
}

#[test]
fn a_broken_request_gets_what_it_has() {
    let text = answered(
        "REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFr om: x\r\nCall-ID: c\r\nTo: \"x <sip:a@h>",
        Status::BAD_REQUEST,
    );
    assert_eq!(
        text,
        "SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP h;received=10.0.0.9\r\nCall-ID: c\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn a_refusal_says_what_was_wrong_and_a_420_names_the_options() {
    let via = "Via: SIP/2.0/UDP h\r\nRequire: path, one, two\r\nRequire: three";
    let text = request(via);
    let message = Message::parse(text.as_bytes()).unwrap();
    let refusal = validate_request(&message).unwrap_err();
    let mut buffer = [0u8; 2048];
    let mut w = Writer::new(&mut buffer);
    refuse(&mut w, &message, &refusal, SUPPORTED, b"t", SOURCE.parse().unwrap());
    let n = w.finish().unwrap();
    let text = core::str::from_utf8(&buffer[..n]).unwrap();
    assert!(text.starts_with("SIP/2.0 420 Bad Extension\r\n"));
    assert!(text.ends_with("\r\nUnsupported: one, two, three\r\nContent-Length: 0\r\n\r\n"), "{text}");
    let mut w = Writer::new(&mut buffer);
    refuse(&mut w, &message, &RefusalReason::MissingTo.into(), SUPPORTED, b"t", SOURCE.parse().unwrap());
    let n = w.finish().unwrap();
    assert!(buffer[..n].starts_with(b"SIP/2.0 400 Missing To\r\n"));
}

#[test]
fn copied_headers_keep_their_order() {
    let text = request("Via: SIP/2.0/UDP h\r\nPath: <sip:a;lr>, <sip:b;lr>\r\nPath: <sip:c;lr>");
    let mut buffer = [0u8; 256];
    let mut w = Writer::new(&mut buffer);
    copy(&mut w, &Message::parse(text.as_bytes()).unwrap(), Header::Path);
    let n = w.finish().unwrap();
    assert_eq!(&buffer[..n], b"Path: <sip:a;lr>, <sip:b;lr>\r\nPath: <sip:c;lr>\r\n");
}

#[test]
fn responses_find_their_way_back() {
    let to = |via: &str, source: Option<&str>| {
        destination(&Via::read(via.as_bytes()).unwrap(), source.map(|s| s.parse().unwrap())).map(|a| a.to_string())
    };
    assert_eq!(to("SIP/2.0/UDP n:5070;rport", Some(SOURCE)).as_deref(), Some(SOURCE));
    assert_eq!(to("SIP/2.0/UDP n:5070", Some(SOURCE)).as_deref(), Some("10.0.0.9:5070"));
    assert_eq!(to("SIP/2.0/UDP n;received=1.2.3.4;rport=9", None).as_deref(), Some("1.2.3.4:9"));
    assert_eq!(to("SIP/2.0/UDP 1.2.3.4;received=[::1]", None).as_deref(), Some("[::1]:5060"));
    assert_eq!(to("SIP/2.0/TLS 1.2.3.4", None).as_deref(), Some("1.2.3.4:5061"));
    assert_eq!(to("SIP/2.0/UDP name", None), None);
}

#[test]
fn an_ack_is_never_answered() {
    let text = request("Via: SIP/2.0/UDP h");
    assert!(may_answer(&Message::parse(text.as_bytes()).unwrap()));
    let ack = text.replace("REGISTER", "ACK");
    assert!(!may_answer(&Message::parse(ack.as_bytes()).unwrap()));
}
