//! Streams that cannot be cut into messages any more: a last answer where one can be made, behind all that were owed, then an end in good
//! order; silence otherwise (RFC 3261 section 18.3). And the bound of a message over TCP, to the byte.

use crate::cluster::{Cluster, REALM};
use crate::phone::{Line, Phone};

/// A request over TCP without an end to its header section.
fn head(method: &str, call_id: &str) -> String {
    format!(
        "{method} sip:{REALM} SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK{call_id};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:x@{REALM}>;tag=f\r\nTo: <sip:{REALM}>\r\nCall-ID: {call_id}\r\nCSeq: 7 {method}\r\n"
    )
}

/// What comes until the connection ends, which it must.
fn until_the_end(line: &mut Line) -> Vec<(u16, String)> {
    std::iter::from_fn(|| line.next())
        .map(|a| (a.status, a.text.lines().next().unwrap_or_default()[12..].to_owned()))
        .collect()
}

#[test]
fn a_stream_that_cannot_be_cut_is_told_why_and_ends() {
    let cluster = Cluster::one("");
    let long = format!("{}X: {}\r\n", head("OPTIONS", "long"), "x".repeat(17_000));
    let cases = [
        (head("OPTIONS", "none") + "\r\n", 400, "Missing Content-Length"),
        (head("REGISTER", "word") + "Content-Length: many\r\n\r\n", 400, "Bad Content-Length"),
        (head("INVITE", "minus") + "l: -1\r\n\r\n", 400, "Bad Content-Length"),
        (head("INVITE", "two") + "l: 1\r\nContent-Length: 2\r\n\r\nab", 400, "Bad Content-Length"),
        (head("INVITE", "body") + "l: 70000\r\n\r\n", 413, "Message Too Large"),
        (long, 513, "Header Section Too Large"),
    ];
    for size in [usize::MAX, 64] {
        for (text, status, phrase) in &cases {
            let mut line = Line::tcp(cluster.tcp(0));
            let port = line.local().port();
            for piece in text.as_bytes().chunks(size.min(text.len())) {
                if !line.try_send(piece) {
                    break;
                }
            }
            let answer = line.receive();
            assert_eq!(answer.status, *status, "{}", answer.text);
            assert!(answer.text.starts_with(&format!("SIP/2.0 {status} {phrase}\r\n")), "{}", answer.text);
            assert!(answer.header("Via").contains(&format!("rport={port}")), "{}", answer.text);
            assert_eq!(answer.header("CSeq").split(' ').next(), Some("7"));
            assert!(line.next().is_none(), "the connection ends");
        }
    }
    for (reason, count) in
        [("missing_content_length", 2.0), ("content_length", 6.0), ("too_large", 2.0), ("head_too_large", 2.0)]
    {
        assert_eq!(cluster.metric(0, "tandem_sip_parse_errors_total", &[&format!("reason=\"{reason}\"")]), count);
    }
}

#[test]
fn answers_that_were_owed_come_first() {
    let cluster = Cluster::one("");
    let ping = |n: usize| head("OPTIONS", &format!("ping{n}")) + "Content-Length: 0\r\n\r\n";
    let pipeline: String = (0..100).map(ping).collect();
    for (bad, last) in
        [(head("OPTIONS", "bad") + "\r\n", Some(400)), ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), None)]
    {
        let mut line = Line::tcp(cluster.tcp(0));
        line.send(format!("{pipeline}{bad}{pipeline}").as_bytes());
        let statuses: Vec<u16> = until_the_end(&mut line).into_iter().map(|(status, _)| status).collect();
        let expected: Vec<u16> = std::iter::repeat_n(200, 100).chain(last).collect();
        assert_eq!(statuses, expected, "what comes behind is not looked at");
    }
}

#[test]
fn what_is_no_request_that_could_be_answered_ends_the_stream_without_a_word() {
    let cluster = Cluster::one("");
    let answer = "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKx\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:a>\r\n\
                  Call-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n";
    for text in [
        "\u{16}\u{3}\u{1}\u{2}\u{0}",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        answer,
        &(head("ACK", "ack") + "\r\n"),
        &(head("OPTIONS", "c").replace("Call-ID", "Call-Id-Not") + "\r\n"),
        &(head("OPTIONS", "c").replace("192.0.2.1", ";") + "\r\n"),
        &"OPTIONS ".repeat(3_000),
    ] {
        let mut line = Line::tcp(cluster.tcp(0));
        line.try_send(text.as_bytes());
        assert_eq!(until_the_end(&mut line), [], "{}", text.escape_default());
    }
}

#[test]
fn a_registration_over_a_stream_that_breaks_ends_with_it_and_others_stay() {
    let cluster = Cluster::one("");
    let mut phone = Phone::tcp("A001", cluster.tcp(0)).registered();
    let mut other = Phone::tcp("A002", cluster.tcp(0)).registered();
    assert_eq!(cluster.served(), [2]);
    phone.line.send((head("OPTIONS", "bad") + "\r\n").as_bytes());
    assert_eq!(until_the_end(&mut phone.line), [(400, "Missing Content-Length".to_owned())]);
    drop(phone);
    cluster.wait_until("the registration is gone", |c| c.served() == [1]);
    assert!(other.is_bound());
}

#[test]
fn the_longest_message_over_tcp_is_what_the_settings_say() {
    let cluster = Cluster::one("tcp_message_bytes = 2000");
    let of_length = |length: usize| {
        let head = head("OPTIONS", &format!("of{length}"));
        let frame = "Content-Length: 1000\r\nX: \r\n\r\n".len();
        let padding = "x".repeat(length - head.len() - frame - 1_000);
        format!("{head}Content-Length: 1000\r\nX: {padding}\r\n\r\n{}", "b".repeat(1_000))
    };
    let mut line = Line::tcp(cluster.tcp(0));
    for _ in 0..3 {
        let text = of_length(2_000);
        assert_eq!(text.len(), 2_000);
        line.send(text.as_bytes());
        assert_eq!(line.receive().status, 200);
    }
    line.send(of_length(2_001).as_bytes());
    assert_eq!(until_the_end(&mut line), [(413, "Message Too Large".to_owned())]);
    let mut line = Line::tcp(cluster.tcp(0));
    line.send(format!("{}X: {}", head("OPTIONS", "head"), "x".repeat(2_000)).as_bytes());
    assert_eq!(until_the_end(&mut line), [(513, "Header Section Too Large".to_owned())]);
    // A datagram is what it is: the bound is TCP's.
    let mut line = Line::udp(cluster.udp(0));
    line.send(of_length(2_001).replace("/TCP", "/UDP").as_bytes());
    assert_eq!(line.receive().status, 200);
}
