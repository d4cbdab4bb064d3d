//! What is refused, with which response and which reason.

use super::*;

const GOOD: &str = "REGISTER sip:h SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
    Max-Forwards: 70\r\n\
    From: <sip:a@h>;tag=1\r\n\
    To: <sip:a@h>\r\n\
    Call-ID: c\r\n\
    CSeq: 1 REGISTER\r\n\
    Contact: <sip:a@192.0.2.1>;expires=60\r\n\
    Content-Length: 0\r\n\r\n";

fn judge(text: &str) -> Result<(), (u16, RefusalReason, Option<Header>)> {
    let message = Message::parse(text.as_bytes()).unwrap_or_else(|m| panic!("{m} in {text}"));
    validate_request(&message).map_err(|r| (r.status.0, r.reason, r.header))
}

fn swap(from: &str, to: &str) -> Result<(), (u16, RefusalReason, Option<Header>)> {
    assert!(GOOD.contains(from), "{from}");
    judge(&GOOD.replacen(from, to, 1))
}

#[test]
fn a_good_request_passes_and_so_do_odd_but_legal_ones() {
    assert_eq!(judge(GOOD), Ok(()));
    for (from, to) in [
        ("Max-Forwards: 70\r\n", ""),
        ("Content-Length: 0\r\n", ""),
        ("REGISTER sip:h", "REGISTER tel:+1"),
        ("To: <sip:a@h>", "To: <isbn:2983792873>"),
        ("From: <sip:a@h>;tag=1", "From: \"\\\u{7}\\\u{0}\\\u{7f}\" <sip:a@h>"),
        ("SIP/2.0\r\n", "sip/2.0\r\n"),
        ("Contact: <sip:a@192.0.2.1>;expires=60", "Contact: *\r\nExpires: 0"),
        ("Contact: <sip:a@192.0.2.1>", "Contact: <mailto:a@b>, <sip:c@d?Route=%3Csip:x%3E>"),
        ("Max-Forwards: 70", "Max-Forwards: 0\r\nDate: yesterday\r\nProxy-Require: x"),
        ("Max-Forwards: 70", "Max-Forwards: 70\r\nRequire: PATH\r\nX: \u{e9}\t\r\n \tx"),
    ] {
        assert_eq!(swap(from, to), Ok(()), "{to}");
    }
}

#[test]
fn each_mandatory_header_is_missed_by_name() {
    for (line, reason, header) in [
        ("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n", RefusalReason::MissingVia, Header::Via),
        ("From: <sip:a@h>;tag=1\r\n", RefusalReason::MissingFrom, Header::From),
        ("To: <sip:a@h>\r\n", RefusalReason::MissingTo, Header::To),
        ("Call-ID: c\r\n", RefusalReason::MissingCallId, Header::CallId),
        ("CSeq: 1 REGISTER\r\n", RefusalReason::MissingCSeq, Header::CSeq),
    ] {
        assert_eq!(swap(line, ""), Err((400, reason, Some(header))));
    }
}

#[test]
fn headers_that_stand_once_may_not_stand_twice() {
    for (header, line) in [
        (Header::From, "From: <sip:a@h>;tag=1"),
        (Header::To, "t: <sip:a@h>"),
        (Header::CallId, "i: c"),
        (Header::CSeq, "CSeq: 1 REGISTER"),
        (Header::MaxForwards, "Max-Forwards: 70"),
        (Header::ContentLength, "l: 0"),
    ] {
        let twice = judge(&GOOD.replace("\r\n\r\n", &format!("\r\n{line}\r\n\r\n")));
        assert_eq!(twice, Err((400, RefusalReason::DuplicateHeader, Some(header))), "{line}");
    }
}

#[test]
fn start_lines_are_judged() {
    assert_eq!(swap("SIP/2.0\r\n", "SIP/7.0\r\n"), Err((505, RefusalReason::Version, None)));
    assert_eq!(swap("SIP/2.0\r\n", "SIP/2.0  \r\n"), Err((400, RefusalReason::StartLine, None)));
    assert_eq!(swap("REGISTER sip:h ", "REGISTER  sip:h "), Err((400, RefusalReason::StartLine, None)));
    for uri in ["<sip:h>", "sip:h; lr", "sip:", "sip:h?Route=x", "h", "sip:h:x", "tel:"] {
        let judged = swap("REGISTER sip:h ", &format!("REGISTER {uri} "));
        assert_eq!(judged, Err((400, RefusalReason::RequestUri, None)), "{uri}");
    }
    for uri in ["soap.beep://192.0.2.103:3002", "nobodyKnowsThisScheme:totallyopaquecontent", "http://h"] {
        let judged = swap("REGISTER sip:h ", &format!("REGISTER {uri} "));
        assert_eq!(judged, Err((416, RefusalReason::UriScheme, None)), "{uri}");
    }
}

#[test]
fn values_that_cannot_be_read_are_refused_with_their_header() {
    use RefusalReason as R;
    for (from, to, reason, header) in [
        ("192.0.2.1;branch", "192.0.2.1;;,;,,branch", R::Via, Header::Via),
        ("From: <sip:a@h>", "From: Bell, Alexander <sip:a@h>", R::From, Header::From),
        ("From: <sip:a@h>", "From: <sip:a@>", R::From, Header::From),
        ("To: <sip:a@h>", "To: \"Mr. J. User <sip:a@h>", R::To, Header::To),
        ("To: <sip:a@h>", "To: \"Watson, Thomas\" < sip:a@h >", R::To, Header::To),
        ("Call-ID: c", "Call-ID: ", R::CallId, Header::CallId),
        ("Call-ID: c", "Call-ID: c d", R::CallId, Header::CallId),
        ("CSeq: 1 ", "CSeq: 36893488147419103232 ", R::CSeq, Header::CSeq),
        ("CSeq: 1 ", "CSeq: 2147483648 ", R::CSeq, Header::CSeq),
        ("CSeq: 1 REGISTER", "CSeq: 1 OPTIONS", R::CSeqMethod, Header::CSeq),
        ("CSeq: 1 REGISTER", "CSeq: 1 register", R::CSeqMethod, Header::CSeq),
        ("Content-Length: 0", "Content-Length: -999", R::ContentLength, Header::ContentLength),
        ("Content-Length: 0", "Content-Length: 9999", R::ContentLength, Header::ContentLength),
        ("Content-Length: 0", "Content-Length: none", R::ContentLength, Header::ContentLength),
        ("Max-Forwards: 70", "Max-Forwards: 300", R::MaxForwards, Header::MaxForwards),
        ("<sip:a@192.0.2.1>;expires=60", "\"Joe\" <sip:joe@example.org>;;;;", R::Contact, Header::Contact),
        ("<sip:a@192.0.2.1>", "sip:user@example.com?Route=%3Csip:sip.example.com%3E", R::Contact, Header::Contact),
        ("<sip:a@192.0.2.1>;", "<sip:a@>;", R::Contact, Header::Contact),
    ] {
        assert_eq!(swap(from, to), Err((400, reason, Some(header))), "{to}");
    }
}

#[test]
fn control_bytes_are_refused_wherever_they_are_not_escaped() {
    for (from, to) in [
        ("Max-Forwards: 70", "X: a\u{0}b"),
        ("Max-Forwards: 70", "X: a\rb"),
        ("Max-Forwards: 70", "X: \\\u{7}"),
        ("Max-Forwards: 70", "X: \"\u{7}\""),
        ("Max-Forwards: 70", "X: \"a\\\\\u{7}\""),
        ("Max-Forwards: 70", "X: \"a\" \\\u{7f}"),
        ("From: <sip:a@h>", "From: <sip:\u{1}a@h>"),
        ("sip:h SIP", "sip:\u{8}h SIP"),
    ] {
        assert_eq!(swap(from, to), Err((400, RefusalReason::ControlByte, None)), "{to:?}");
    }
    assert_eq!(
        judge(&format!("\r\n{}", GOOD.replace("sip:h ", "sip:\u{8}h "))).map_err(|e| e.1),
        Err(RefusalReason::ControlByte)
    );
}

#[test]
fn a_star_contact_only_removes_everything() {
    let contact = "Contact: <sip:a@192.0.2.1>;expires=60";
    for lines in
        ["Contact: *", "Contact: *\r\nExpires: 1", "Contact: *, <sip:a@h>\r\nExpires: 0", "Contact: *, *\r\nExpires: 0"]
    {
        assert_eq!(swap(contact, lines), Err((400, RefusalReason::ContactStar, Some(Header::Contact))), "{lines}");
    }
    let invite = GOOD.replace("REGISTER", "INVITE").replace(contact, "Contact: *\r\nExpires: 0");
    assert_eq!(judge(&invite).map_err(|e| e.1), Err(RefusalReason::ContactStar));
}

#[test]
fn unknown_requirements_are_named_for_the_420() {
    let text = GOOD.replace("Max-Forwards: 70", "Require: path, nothingSupportsThis\r\nRequire: norThis");
    assert_eq!(judge(&text), Err((420, RefusalReason::Extension, Some(Header::Require))));
    let message = Message::parse(text.as_bytes()).unwrap();
    let named: Vec<_> = unsupported(&message, Header::Require, SUPPORTED).collect();
    assert_eq!(named, [&b"nothingSupportsThis"[..], b"norThis"]);
    assert_eq!(judge(&text.replace("REGISTER", "CANCEL")), Ok(()));
}

#[test]
fn what_goes_on_must_have_hops_left_and_known_proxy_requirements() {
    let policy = Policy { forwards: true, ..Policy::default() };
    let judge =
        |text: &str| validate_request_with(&Message::parse(text.as_bytes()).unwrap(), &policy).map_err(|r| r.status.0);
    assert_eq!(judge(GOOD), Ok(()));
    assert_eq!(judge(&GOOD.replace(": 70", ": 0")), Err(483));
    assert_eq!(judge(&GOOD.replace("Max-Forwards: 70", "Proxy-Require: x")), Err(420));
}

#[test]
fn values_in_one_line_are_taken_apart_and_a_comma_inside_one_is_not() {
    let contacts = |line: &str| {
        let text = GOOD.replace("Contact: <sip:a@192.0.2.1>;expires=60", &format!("Contact: {line}"));
        assert!(text.contains(line), "the sample has that contact");
        read_contacts(&Message::parse(text.as_bytes()).unwrap()).map(|c| c.count).map_err(|r| r.reason)
    };
    for (line, count) in [
        ("<sip:a@h>, <sip:b@h>", 2),
        ("sip:a@h, sip:b@h", 2),
        ("sip:a@h;expires=3,sip:b@h;q=0.5", 2),
        ("<sip:a@h>;x=\"1,2\"", 1),
        ("\"A, B\" <sip:a@h> , <sip:b@h>", 2),
        ("<sip:a,b@h>", 1),
        ("A <sip:a@h>;q=1, B <sip:b@h>", 2),
    ] {
        assert_eq!(contacts(line), Ok(count), "{line}");
    }
    for line in ["<sip:a@h>,", "<sip:a@h>, *", "A, B <sip:a@h>", "*, *"] {
        assert!(contacts(line).is_err(), "{line}");
    }
    let two = GOOD.replace(";branch=z9hG4bK1", ";branch=z9hG4bK1, SIP/2.0/TCP other;branch=z9hG4bK2");
    let mut facts = Facts::default();
    let parsed = Message::parse(two.as_bytes()).unwrap();
    read_request(&mut facts, &parsed, &Policy::default()).unwrap();
    assert_eq!(facts.via.branch, Some(&b"z9hG4bK1"[..]));
}

#[test]
fn a_known_uri_means_the_server_and_an_unknown_one_is_read() {
    let known = |own_uri, text: &str| {
        let (mut facts, text) = (Facts::default(), text.to_owned());
        let policy = Policy { own_uri, ..Policy::default() };
        read_request(&mut facts, &Message::parse(text.as_bytes()).unwrap(), &policy).map_err(|r| r.reason)?;
        Ok(facts.for_the_server)
    };
    for own_uri in [None, Some(&b"sip:h"[..]), Some(b"sip:other"), Some(b"")] {
        assert_eq!(known(own_uri, GOOD), Ok(true));
        assert_eq!(known(own_uri, &GOOD.replace("sip:h SIP", "sip:u@h SIP")), Ok(false));
        assert_eq!(known(own_uri, &GOOD.replace("sip:h SIP", "sip: SIP")), Err(RefusalReason::RequestUri));
    }
    assert_eq!(
        known(None, &GOOD.replace("sip:h SIP", " SIP")),
        Err(RefusalReason::RequestUri),
        "no URI is not a known one"
    );
}

#[test]
fn a_response_is_no_request_and_is_judged_by_itself() {
    let answer = GOOD.replace("REGISTER sip:h SIP/2.0", "SIP/2.0 200 OK");
    let message = Message::parse(answer.as_bytes()).unwrap();
    assert_eq!(validate_response(&message), Ok(()));
    assert_eq!(validate_request(&message).map_err(|r| r.reason), Err(RefusalReason::StartLine));
    for (from, to, reason) in [
        ("200", "4294967301", RefusalReason::StatusCode),
        ("SIP/2.0 200", "SIP/3.0 200", RefusalReason::Version),
        ("CSeq: 1", "CSeq: 9292394834772304023312", RefusalReason::CSeq),
        ("Call-ID: c\r\n", "", RefusalReason::MissingCallId),
    ] {
        let text = answer.replacen(from, to, 1);
        let message = Message::parse(text.as_bytes()).unwrap();
        assert_eq!(validate_response(&message).map_err(|r| r.reason), Err(reason), "{to}");
    }
}
