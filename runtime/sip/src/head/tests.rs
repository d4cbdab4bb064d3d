//! The index: what it finds, and what it calls no message.

use super::*;
use crate::Message;

fn defect(text: &str) -> Option<RefusalReason> {
    Message::parse(text.as_bytes()).err().map(|m| m.reason)
}

fn head(lines: &str) -> String {
    format!("OPTIONS sip:a@b SIP/2.0\r\n{lines}\r\n")
}

#[test]
fn a_request_line_has_three_parts() {
    let text = head("Via: SIP/2.0/UDP h\r\n");
    let m = Message::parse(text.as_bytes()).unwrap();
    assert!(m.is_request() && !m.is_response());
    assert_eq!((m.method(), m.method_name(), m.request_uri()), (Method::Options, &b"OPTIONS"[..], &b"sip:a@b"[..]));
    assert_eq!((m.version(), m.status()), (&b"SIP/2.0"[..], None));
}

#[test]
fn a_status_line_may_lack_its_phrase() {
    for (line, phrase) in [("200 OK", "OK"), ("200 ", ""), ("200", ""), ("200 Two words", "Two words")] {
        let text = format!("SIP/2.0 {line}\r\n\r\n");
        let m = Message::parse(text.as_bytes()).unwrap();
        assert_eq!(m.status().map(|s| s.0), Some(200));
        assert_eq!(m.reason_phrase(), phrase.as_bytes());
        assert!(m.is_response() && m.method() == Method::Other);
    }
}

#[test]
fn a_code_out_of_range_is_no_status() {
    for code in ["4294967301", "99", "0200", "700", "1000"] {
        let text = format!("SIP/2.0 {code} x\r\n\r\n");
        assert_eq!(Message::parse(text.as_bytes()).unwrap().status(), None, "{code}");
    }
}

#[test]
fn what_is_not_sip_is_refused_at_its_first_line() {
    for line in [
        "GET / HTTP/1.1",
        "OPTIONS",
        "OPTIONS sip:a",
        "OPTIONS SIP/2.0",
        "OP(IONS sip:a SIP/2.0",
        "SIP/2.0",
        "SIP/2.0 x",
        "{}",
    ] {
        assert_eq!(defect(&format!("{line}\r\nVia: x\r\n\r\n")), Some(RefusalReason::StartLine), "{line}");
    }
    assert_eq!(defect(""), Some(RefusalReason::Empty));
    assert_eq!(defect("\r\n\r\n"), Some(RefusalReason::Empty));
    assert_eq!(defect("no line end"), Some(RefusalReason::StartLine));
}

#[test]
fn empty_lines_in_front_are_skipped() {
    let text = format!("\r\n\r\n{}", head("Call-ID: c\r\n"));
    assert_eq!(Message::parse(text.as_bytes()).unwrap().call_id(), b"c");
}

#[test]
fn names_are_long_compact_and_of_any_case_with_space_before_the_colon() {
    for line in ["Call-ID: c", "call-id:c", "CALL-ID \t:  c", "i:c", "I : c", "Call-ID:\r\n c", "Call-ID: \r\n\t c  "] {
        let text = head(&format!("{line}\r\n"));
        assert_eq!(Message::parse(text.as_bytes()).unwrap().call_id(), b"c", "{line}");
    }
}

#[test]
fn a_folded_value_is_one_value_with_its_folds() {
    let text = head("Subject: a\r\n b\r\n\tc\r\nTo: <sip:a@b>\r\n  ;tag=1\r\n");
    let m = Message::parse(text.as_bytes()).unwrap();
    assert_eq!(m.other("Subject"), Some(&b"a\r\n b\r\n\tc"[..]));
    assert_eq!(m.to().and_then(|t| t.tag), Some(&b"1"[..]));
}

#[test]
fn a_bad_name_is_a_defect_and_what_follows_is_read_nevertheless() {
    for line in ["no colon here", ": no name", "Na me: x", "Na\u{1}me: x", "N\u{e9}: x", "N(: x", " folded: first"] {
        let text = head(&format!("{line}\r\nCall-ID: c\r\n"));
        let m = Message::parse(text.as_bytes()).unwrap_err();
        assert_eq!(m.reason, RefusalReason::HeaderName, "{line}");
        if !line.starts_with(' ') {
            assert_eq!(m.partial.call_id(), b"c", "{line}");
        }
    }
}

#[test]
fn a_line_feed_alone_ends_a_line_but_is_a_defect() {
    let m = Message::parse(b"OPTIONS sip:a SIP/2.0\nCall-ID: c\n\nbody").unwrap_err();
    assert_eq!(m.reason, RefusalReason::LineEnd);
    assert_eq!((m.partial.call_id(), m.partial.body()), (&b"c"[..], &b"body"[..]));
    assert_eq!(defect("OPTIONS sip:a SIP/2.0\r\nA: b\n c\r\n\r\n"), Some(RefusalReason::LineEnd));
    assert_eq!(defect("OPTIONS sip:a SIP/2.0\r\nA: b\r\n\n"), Some(RefusalReason::LineEnd));
}

#[test]
fn a_head_without_an_empty_line_is_truncated() {
    for text in
        ["OPTIONS sip:a SIP/2.0\r\n", "OPTIONS sip:a SIP/2.0\r\nCall-ID: c\r\n", "OPTIONS sip:a SIP/2.0\r\nCall-ID: c"]
    {
        let m = Message::parse(text.as_bytes()).unwrap_err();
        assert_eq!(m.reason, RefusalReason::Truncated, "{text:?}");
        assert_eq!(m.partial.body(), b"");
    }
}

#[test]
fn offsets_reach_to_the_last_byte_of_the_largest_message_and_not_beyond() {
    let mut text = head("Call-ID: c\r\n").into_bytes();
    let at = text.len() - 2;
    let line = [b"X: ".to_vec(), vec![b'x'; MAX_MESSAGE - text.len() - 5], b"\r\n".to_vec()].concat();
    text.splice(at..at, line);
    assert_eq!(text.len(), MAX_MESSAGE);
    let m = Message::parse(&text).unwrap();
    assert_eq!(m.other("x").map(<[u8]>::len), Some(MAX_MESSAGE - head("Call-ID: c\r\n").len() - 5));
    text.push(b'x');
    assert_eq!(Message::parse(&text).unwrap_err().reason, RefusalReason::TooLarge);
}

#[test]
fn the_index_stays_small() {
    assert!(size_of::<Head>() <= 152, "{}", size_of::<Head>());
}
