//! RFC 4475 and RFC 5118 against the message layer: as a datagram, as a stream in one piece and byte by byte, cut off at
//! every byte, and with every byte changed. What each message must lead to stands in `torture/set.rs`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test: the lints' own exception covers test functions, not what they share"
)]

#[path = "torture/set.rs"]
mod set;

use set::{Class, Facts, Message, Outcome, RFC4475, RFC5118};
use sha2::{Digest, Sha256};
use sipx_sip::{Limits, headers};
use tandem_sip::{Contact, Datagram, Frame, FrameError, Framer, Header, Side, Writer};

fn all() -> impl Iterator<Item = Message> {
    RFC4475.into_iter().chain(RFC5118)
}

fn named(name: &str) -> Message {
    all().find(|m| m.name == name).expect("a message of the set")
}

/// What an element does with bytes before any of its users sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    Accepted,
    Answered(u16),
    Dropped,
}

/// Parses, validates, writes the refusal where there is one, and reads everything that can be read.
fn judge(wire: &[u8]) -> Judgement {
    let Datagram::Message(bytes) = tandem_sip::datagram(wire) else { return Judgement::Dropped };
    let (message, refusal) = match tandem_sip::Message::parse(bytes) {
        Err(malformed) => (malformed.partial, Some(malformed.reason.into())),
        Ok(m) if m.is_request() => (m, tandem_sip::validate_request(&m).err()),
        Ok(m) => (m, tandem_sip::validate_response(&m).err()),
    };
    read_all(&message);
    match refusal {
        None => Judgement::Accepted,
        Some(_) if !message.is_answerable() => Judgement::Dropped,
        Some(refusal) => {
            let mut buffer = [0; 8 * 1024];
            let mut writer = Writer::new(&mut buffer);
            let source = "198.51.100.7:5061".parse().expect("an address");
            tandem_sip::refuse(&mut writer, &message, &refusal, tandem_sip::validate::SUPPORTED, b"t1", source);
            let written = writer.finish().expect("8 KiB are enough");
            if !tandem_sip::response::may_refuse(&message, written) {
                return Judgement::Dropped;
            }
            let answer = tandem_sip::Message::parse(&buffer[..written]).expect("our own answer");
            assert_eq!(answer.status(), Some(refusal.status));
            assert_eq!(flat(answer.call_id()), flat(message.call_id()));
            assert_eq!(answer.header(Header::CSeq).map(flat), message.header(Header::CSeq).map(flat));
            let branch = |m: &tandem_sip::Message<'_>| m.top_via().map(|v| v.branch.map(flat));
            assert_eq!(branch(&answer), branch(&message));
            Judgement::Answered(refusal.status.0)
        }
    }
}

/// Without folds and other differences of white space, which an answer need not keep.
fn flat(value: &[u8]) -> Vec<u8> {
    value.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty()).collect::<Vec<_>>().join(&b' ')
}

/// Every reader, for its absence of panics; what it returns is checked elsewhere.
fn read_all(message: &tandem_sip::Message<'_>) -> usize {
    let lists = Header::ALL.into_iter().map(|h| message.headers(h).count() + message.lines(h).count()).sum::<usize>();
    let contacts = message
        .contacts()
        .filter(|c| matches!(c, Contact::Binding(b) if b.sip_uri().is_some() && b.addr.tag.is_none()))
        .count();
    let uris = [message.from(), message.to()].into_iter().flatten().filter(|a| a.sip_uri().is_some()).count();
    let vias = message.headers(Header::Via).filter_map(tandem_sip::Via::read).map(|v| v.params.count()).sum::<usize>();
    let numbers = [message.expires().is_some(), message.max_forwards().is_some(), message.cseq().is_some()];
    let digest = message.credentials(Header::Authorization, b"r").is_some();
    let text = format!("{message:?}").len() + message.all_lines().count() + message.body().len();
    lists + contacts + uris + vias + numbers.len() + usize::from(digest) + text
}

/// What another reading may not contradict.
fn check_facts(name: &str, message: &tandem_sip::Message<'_>, facts: &Facts) {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let tag = |a: Option<tandem_sip::NameAddr<'_>>| a.unwrap_or_else(|| panic!("{name}: address")).tag.map(text);
    assert_eq!(tag(message.from()).as_deref(), facts.from_tag, "{name}");
    assert_eq!(tag(message.to()).as_deref(), facts.to_tag, "{name}");
    let cseq = message.cseq().unwrap_or_else(|| panic!("{name}: CSeq"));
    assert_eq!((cseq.number, text(cseq.method_name).as_str()), facts.cseq, "{name}");
    let via = message.top_via().unwrap_or_else(|| panic!("{name}: Via"));
    assert_eq!(via.branch.map(text).as_deref(), facts.branch, "{name}");
    assert_eq!(message.headers(Header::Via).count(), facts.vias, "{name}");
    assert_eq!(message.body().len(), facts.body, "{name}");
}

#[test]
fn each_message_is_accepted_refused_or_dropped_as_the_rfc_says() {
    for m in all() {
        let judgement = judge(m.wire);
        let fits = match m.outcome {
            Outcome::Accepted => judgement == Judgement::Accepted,
            Outcome::Dropped => judgement == Judgement::Dropped,
            Outcome::Refused(codes) => matches!(judgement, Judgement::Answered(code) if codes.contains(&code)),
            Outcome::Tolerable(codes) => match judgement {
                Judgement::Answered(code) => codes.contains(&code),
                other => other == Judgement::Accepted,
            },
        };
        assert!(fits, "{} (section {}): {judgement:?}, expected {:?}", m.name, m.section, m.outcome);
        if let Some(facts) = m.facts {
            let message = tandem_sip::Message::parse(m.wire).unwrap_or_else(|e| panic!("{}: {e}", m.name));
            check_facts(m.name, &message, &facts);
        }
    }
}

/// Cuts a stream that arrives in pieces of `size` bytes; each message with its judgement, and how it ended.
fn stream(wire: &[u8], size: usize) -> (Vec<(Vec<u8>, Judgement)>, Option<FrameError>) {
    let (mut framer, mut messages) = (Framer::new(Side::Server), Vec::new());
    for piece in wire.chunks(size) {
        assert_eq!(framer.push(piece), piece.len());
        loop {
            match framer.poll() {
                Ok(Some(Frame::Message(bytes))) => messages.push((bytes.to_vec(), judge(bytes))),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

#[test]
fn a_stream_yields_the_same_as_datagrams_in_one_piece_and_byte_by_byte() {
    for m in all() {
        let whole = stream(m.wire, m.wire.len());
        for size in [1, 2, 7, 64] {
            assert_eq!(stream(m.wire, size), whole, "{} in pieces of {size}", m.name);
        }
        let (messages, error) = whole;
        let expected = match m.name {
            // One announces more than comes, the other lacks the end of its header: the framer waits.
            "clerr" | "baddn" => (0, None),
            "ncl" | "mcl01" => (0, Some(FrameError::BadContentLength)),
            "inv2543" => (0, Some(FrameError::MissingContentLength)),
            // Two requests, and behind the second a few bytes more than it announces, which begin no message.
            "dblreq" => (2, Some(FrameError::Garbage)),
            _ => (1, None),
        };
        let after_it = messages.first().map_or(0, |(bytes, _)| m.wire.len() - bytes.len());
        if m.name == "dblreq" || after_it == 0 {
            assert_eq!((messages.len(), error), expected, "{}", m.name);
        } else {
            assert_eq!(messages.len(), expected.0, "{}", m.name);
        }
        if let Some((bytes, judgement)) = messages.first() {
            assert_eq!(*judgement, judge(m.wire), "{}", m.name);
            if let Some(facts) = m.facts {
                let message = tandem_sip::Message::parse(bytes).unwrap_or_else(|e| panic!("{}: {e}", m.name));
                check_facts(m.name, &message, &facts);
            }
        }
    }
}

#[test]
fn a_refusal_that_nobody_would_know_is_never_longer_than_what_it_refuses() {
    let judged = |text: &str| judge(text.as_bytes());
    let via = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\n";
    // Without Call-ID and the rest: silence while the answer would be longer, a 400 from then on.
    assert_eq!(judged(&format!("OPTIONS sip:a SIP/2.0\r\n{via}\r\n")), Judgement::Dropped);
    let padded = format!("OPTIONS sip:a SIP/2.0\r\n{via}Subject: {}\r\n\r\n", "x".repeat(80));
    assert_eq!(judged(&padded), Judgement::Answered(400));
    // With all of them the sender knows what is answered, and is.
    let whole = format!("OPTIONS sip:a SIP/2.0\r\n{via}f: <sip:a>\r\nt: <sip:a>\r\ni: c\r\nCSeq: x\r\n\r\n");
    assert_eq!(judged(&whole), Judgement::Answered(400));
    // What is no request, or has no way back, is never answered.
    for silent in [
        padded.replace("OPTIONS", "ACK"),
        padded.replace("192.0.2.1", ";"),
        padded.replace("SIP/2.0\r\nVia", "HTTP/1.1\r\nVia"),
    ] {
        assert_eq!(judged(&silent), Judgement::Dropped, "{silent}");
    }
}

#[test]
fn the_last_answer_of_a_stream_says_what_was_wrong() {
    let whole = |length: &str| {
        format!(
            "REGISTER sip:a SIP/2.0\r\nv: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKx\r\nf: <sip:a>;tag=1\r\nt: <sip:a>\r\n\
             i: c\r\nCSeq: 1 REGISTER\r\n{length}\r\n"
        )
    };
    let long = whole("").replace("i: c", &format!("i: c\r\nX: {}", "x".repeat(20_000)));
    for (text, status, phrase) in [
        (whole(""), 400, "Missing Content-Length"),
        (whole("l: x\r\n"), 400, "Bad Content-Length"),
        (whole("l: 0\r\nl: 0\r\n"), 400, "Bad Content-Length"),
        (whole("l: 70000\r\n"), 413, "Message Too Large"),
    ] {
        let mut framer = Framer::new(Side::Server);
        framer.push(text.as_bytes());
        let error = framer.poll().expect_err("it cannot be cut");
        let (message, refusal) = tandem_sip::last_answer(framer.head(), error).expect("an answer");
        assert_eq!((refusal.status.0, refusal.reason.phrase()), (status, phrase));
        assert_eq!(message.call_id(), b"c");
    }
    // The header section never ended: what of it came may or may not be enough.
    let after = long.replace("CSeq: 1 REGISTER\r\n", "").replace("t: <sip:a>", "t: <sip:a>\r\nCSeq: 1 REGISTER");
    for (text, answered) in [(long, None), (after, Some(513))] {
        let mut framer = Framer::new(Side::Server);
        framer.push(text.as_bytes());
        let error = framer.poll().expect_err("it cannot be cut");
        assert_eq!(tandem_sip::last_answer(framer.head(), error).map(|(_, r)| r.status.0), answered);
    }
    for silent in [whole("").replace("REGISTER", "ACK"), whole("").replace("i: c\r\n", ""), "\x16\x03\x01".to_owned()] {
        let error = FrameError::MissingContentLength;
        assert!(tandem_sip::last_answer(silent.as_bytes(), error).is_none(), "{silent}");
    }
}

#[test]
fn a_message_that_is_cut_off_is_never_taken_for_a_whole_one() {
    for m in all() {
        let whole = tandem_sip::Message::parse(m.wire);
        let needed = whole.as_ref().map_or(m.wire.len(), |w| match w.header(Header::ContentLength) {
            Some(_) => m.wire.len() - w.available_body() + w.body().len(),
            None => m.wire.len() - w.available_body(),
        });
        for length in 0..m.wire.len() {
            let judgement = judge(&m.wire[..length]);
            assert!(judgement != Judgement::Accepted || length >= needed, "{} cut at {length}", m.name);
            let cut = stream(&m.wire[..length], 1_000);
            assert!(cut.1 != Some(FrameError::Garbage), "{} cut at {length}", m.name);
        }
    }
}

#[test]
fn no_changed_byte_brings_it_down() {
    const PUT: [u8; 13] = [0, b'\n', b'\r', b' ', b'"', b'<', b';', b',', b':', b'%', b'\\', b'9', 0xff];
    let (mut accepted, mut turn) = (0, 0);
    for m in all() {
        let mut wire = m.wire.to_vec();
        for at in 0..wire.len() {
            // Two at each place, so that each comes by often: all at all places would take a minute.
            for _ in 0..2 {
                turn += 1;
                let was = std::mem::replace(&mut wire[at], PUT[turn % PUT.len()]);
                accepted += usize::from(judge(&wire) == Judgement::Accepted);
                wire[at] = was;
            }
            if at % 4 == turn % 3 {
                let shorter = [&wire[..at], &wire[at + 1..]].concat();
                accepted += usize::from(judge(&shorter) == Judgement::Accepted);
            }
        }
    }
    assert!(accepted > 5_000, "many changes are harmless: {accepted}");
}

#[test]
fn contacts_are_read_with_their_parameters_where_they_belong() {
    let contacts = |name: &str| {
        let message = named(name);
        let message = tandem_sip::Message::parse(message.wire).unwrap_or_else(|e| panic!("{name}: {e}"));
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        let mut all = Vec::new();
        for contact in message.contacts() {
            let Contact::Binding(binding) = contact else { panic!("{name}: a star") };
            all.push((text(binding.addr.uri), binding.addr.params.count(), binding.q));
        }
        all
    };
    let gateway = "sip:+19725552222@gw1.example.net";
    assert_eq!(contacts("cparam01"), [(gateway.to_owned(), 1, None)], "without brackets it is the header's");
    assert_eq!(contacts("cparam02"), [(format!("{gateway};unknownparam"), 0, None)], "within brackets the URI's");
    assert_eq!(contacts("wsinv"), [("sip:jdrosen@example.com".to_owned(), 3, Some(330))]);
    assert_eq!(contacts("esc02").len(), 2, "C%6Fntact is not Contact");
    assert_eq!(contacts("escnull").len(), 2);
    assert_eq!(contacts("regescrt")[0].0, "sip:user@example.com?Route=%3Csip:sip.example.com%3E");
    assert_eq!(contacts("unksm2")[0].0, "name:John_Smith");
}

fn fingerprint(messages: &[Message]) -> String {
    let mut hash = Sha256::new();
    messages.iter().for_each(|m| hash.update(m.wire));
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn the_set_is_the_published_one_byte_for_byte() {
    let count = |class| RFC4475.iter().filter(|m| m.class == class).count();
    assert_eq!([Class::Valid, Class::Invalid, Class::Application].map(count), [13, 19, 17]);
    assert_eq!(fingerprint(&RFC4475), "b24878056b0a361ed187ee3649973fbc153be07370925a38cd30011786b66b48");
    assert_eq!(fingerprint(&RFC5118), "601a25632cbec8f647f0c385d90a72b5f7c46ecbca5e195d3c0e9dcf4ff8bf25");
}

/// What another implementation reads. The set's facts were read by hand; two readers err in different places.
fn facts_of_the_oracle(message: &Message) -> Option<(Facts, [String; 5])> {
    let text = |b: Option<&[u8]>| b.map_or_else(|| "-".to_owned(), |b| String::from_utf8_lossy(b).into_owned());
    let parsed = sipx_sip::parse_datagram(bytes::Bytes::from_static(message.wire), &Limits::datagram()).ok()?;
    let header = parsed.headers();
    let cseq = header.typed::<headers::CSeq>()?.ok()?;
    let vias = header.typed_all::<headers::Via>().collect::<Result<Vec<_>, _>>().ok()?;
    let read = [
        text(header.typed::<headers::From>()?.ok()?.0.tag()),
        text(header.typed::<headers::To>()?.ok()?.0.tag()),
        cseq.sequence.to_string(),
        text(Some(cseq.method.as_bytes())),
        text(vias.first()?.branch()),
    ];
    let counted = Facts {
        from_tag: None,
        to_tag: None,
        cseq: (cseq.sequence, ""),
        branch: None,
        vias: vias.len(),
        body: parsed.body().len(),
    };
    Some((counted, read))
}

#[test]
fn another_implementation_reads_the_same_facts() {
    for message in all() {
        let Some(facts) = message.facts else {
            assert!(matches!(message.outcome, Outcome::Refused(_) | Outcome::Dropped), "{}", message.name);
            continue;
        };
        let (counted, read) = facts_of_the_oracle(&message).unwrap_or_else(|| panic!("{} is not read", message.name));
        let dash = |s: Option<&str>| s.unwrap_or("-").to_owned();
        let expected = [
            dash(facts.from_tag),
            dash(facts.to_tag),
            facts.cseq.0.to_string(),
            facts.cseq.1.to_owned(),
            dash(facts.branch),
        ];
        assert_eq!(read, expected, "{}", message.name);
        assert_eq!((counted.vias, counted.body), (facts.vias, facts.body), "{}", message.name);
    }
}
