//! Nothing panics and nothing reads beyond the message: random bytes, every truncation, and random edits of good messages go
//! through the parser, all readers, validation, the writers and the framer. Failing inputs are kept by proptest.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "in a test a panic is the verdict"
)]

use proptest::prelude::*;
use tandem_sip::headers::{self, challenges, tokens};
use tandem_sip::text::{List, Params, unescaped};
use tandem_sip::{
    Authorization, Contact, Datagram, Frame, Framer, Header, Host, Message, NameAddr, Policy, Side, SipUri, Status,
    Via, Writer, ack, refuse, response, validate_request, validate_request_with, validate_response,
};

const SEEDS: [&str; 5] = [
    "REGISTER sip:bench.example SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:20000;branch=z9hG4bKsl;rport\r\nMax-Forwards: 70\r\n\
     From: <sip:u1@bench.example>;tag=t\r\nTo: <sip:u1@bench.example>\r\nCall-ID: c@127.0.0.1\r\nCSeq: 17 REGISTER\r\n\
     Contact: <sip:u1@127.0.0.1:21000;transport=udp>;expires=3600;+sip.instance=\"<urn:uuid:1>\";reg-id=1;q=0.5\r\n\
     Authorization: Digest username=\"u\\\"1\", realm=\"r\", nonce=\"n\", uri=\"sip:b\", response=\"00\", nc=00000001, qop=auth, cnonce=\"c\"\r\n\
     Content-Length: 0\r\n\r\n",
    "INVITE sip:a;b@[2001:db8::1]:5070;lr?x=y SIP/2.0\r\nv: SIP / 2.0\r\n / TCP  h : 5060 ;branch = z9hG4bK1, SIP/2.0/UDP i;received=[::1];ttl=1\r\n\
     f: \"A \\\" <b>\" <sip:%61@h>;tag = 1\r\nt: sip:b@h;tag=2\r\ni: c\r\nCSeq:\r\n 1 INVITE\r\nm: <sip:x@y>, \"z,\" <sips:z@z>;q=0.1\r\n\
     Route: <sip:p;lr>, <sip:q>\r\nRequire: a, b\r\nSupported: path\r\nDate: Sat, 13 Nov 2010 23:29:00 GMT\r\nl: 4\r\n\r\nbody",
    "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP h;rport=1;received=1.2.3.4\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\n\
     Call-ID: c\r\nCSeq: 1 REGISTER\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256, Basic realm=\"x\"\r\n\
     Retry-After: 5 (a (b) c);duration=7\r\nMin-Expires: 60\r\nContent-Length: 0\r\n\r\n",
    "NOTIFY sip:a@b SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bK\r\nFrom: <sip:a@b>\r\nTo: <tel:+1;x=y>\r\nCall-ID: c\r\nCSeq: 1 NOTIFY\r\n\
     Event: service-control;id=1\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\naction=restart",
    "REFER sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: a <sip:a@b>\r\nTo: <urn:x:y>\r\nCall-ID: c\r\nCSeq: 1 REFER\r\n\
     Refer-To: <urn:X-cisco-remotecc:token-registration>\r\nContact: *\r\nExpires: 0\r\n\r\n",
];

/// Every reader on every value of every header, right or wrong for it.
fn read_value(value: &[u8]) -> usize {
    let mut sum =
        List::new(value).map(<[u8]>::len).sum::<usize>() + Params::new(value).count() + unescaped(value).count();
    let uri = |u: &[u8]| {
        SipUri::read(u).map_or(0, |u| {
            u.user_bytes().count()
                + u.params().count()
                + usize::from(u.effective_port())
                + u.copy_user(&mut [0; 8]).map_or(0, <[u8]>::len)
                + usize::from(u.socket_addr().is_some())
        })
    };
    sum += uri(value) + NameAddr::read(value).map_or(0, |n| uri(n.uri) + n.params.count());
    sum += Via::read(value).map_or(0, |v| v.params.count() + usize::from(v.top().branch.is_some()));
    sum += match Contact::read(value) {
        Some(Contact::Binding(b)) => uri(b.uri()) + b.params().count(),
        Some(Contact::Star) => 1,
        None => 0,
    };
    sum += Authorization::read(value).map_or(0, |a| a.credentials().uri.len());
    sum += headers::CSeq::read(value).map_or(0, |c| c.method_name.len());
    sum += headers::RetryAfter::read(value).map_or(0, |r| r.seconds as usize);
    sum += headers::Event::read(value).map_or(0, |e| e.params.count());
    sum += headers::ReferTo::read(value).map_or(0, |r| r.uri.len());
    sum += headers::Hop::read(value).map_or(0, |h| h.uri.len());
    let numbers = [
        headers::date(value).is_some(),
        headers::content_length(value).is_some(),
        headers::delta_seconds(value).is_some(),
        headers::max_forwards(value).is_some(),
        Host::read(value).is_some(),
    ];
    sum + numbers.into_iter().filter(|b| *b).count()
}

/// Everything that a datagram can meet.
fn everything(bytes: &[u8]) {
    let parsed = Message::parse(bytes);
    let m = parsed.as_ref().unwrap_or_else(|e| &e.partial);
    assert!(m.body().len() <= bytes.len());
    let mut values = 0;
    for (_, value) in m.all_lines() {
        values += 1;
        read_value(value);
    }
    for header in Header::ALL {
        let lines = m.lines(header).count();
        assert!(lines <= values && (lines > 1) == m.is_repeated(header), "{header} {lines}");
        assert!(m.headers(header).map(read_value).count() >= lines);
        let _ = (tokens(m, header).count(), challenges(m, header).filter(|c| c.for_digest().is_some()).count());
    }
    let _ = format!("{m:?}");
    let forwards = Policy { forwards: true, ..Policy::default() };
    let verdicts = [validate_request(m), validate_response(m), validate_request_with(m, &forwards)];
    for size in [4096, 100] {
        let mut out = vec![0; size];
        let source = "[2001:db8::1]:5060".parse().unwrap();
        let mut w = Writer::new(&mut out);
        response(&mut w, m, Status::OK, b"tag", source);
        w.end();
        if let Ok(n) = w.finish() {
            // A response to a request that passed is itself readable and valid.
            let answer = Message::parse(&out[..n]);
            if parsed.is_ok() && verdicts[0].is_ok() {
                assert_eq!(validate_response(&answer.expect("our own response")), Ok(()), "{}", bytes.escape_ascii());
            }
        }
        for refusal in verdicts.into_iter().filter_map(Result::err) {
            let mut w = Writer::new(&mut out);
            refuse(&mut w, m, &refusal, &[], b"t", source);
            let _ = w.finish();
        }
        let mut w = Writer::new(&mut out);
        ack(&mut w, m, m);
        let _ = w.finish();
    }
    let _ = matches!(tandem_sip::datagram(bytes), Datagram::Message(_));
}

/// What comes out of a framer fed with pieces of that size.
fn frames(side: Side, bytes: &[u8], size: usize) -> (Vec<Vec<u8>>, bool) {
    let mut framer = Framer::new(side);
    let mut all = Vec::new();
    for piece in bytes.chunks(size.max(1)) {
        let mut rest = piece;
        while !rest.is_empty() {
            rest = &rest[framer.push(rest)..];
            loop {
                match framer.poll() {
                    Ok(Some(Frame::Message(m))) => all.push(m.to_vec()),
                    Ok(Some(_)) => all.push(Vec::new()),
                    Ok(None) => break,
                    Err(_) => return (all, true),
                }
            }
        }
    }
    (all, false)
}

#[test]
fn every_truncation_of_every_message_is_survived() {
    for seed in SEEDS {
        for n in 0..=seed.len() {
            everything(&seed.as_bytes()[..n]);
            everything(&seed.as_bytes()[n..]);
        }
    }
}

#[test]
fn the_unchanged_messages_are_good() {
    for seed in SEEDS {
        assert!(Message::parse(seed.as_bytes()).is_ok(), "{seed}");
    }
    assert_eq!(validate_request(&Message::parse(SEEDS[0].as_bytes()).unwrap()), Ok(()));
    assert_eq!(validate_response(&Message::parse(SEEDS[2].as_bytes()).unwrap()), Ok(()));
}

/// The bytes that mean something to a SIP reader, and any other.
fn telling_byte() -> impl Strategy<Value = u8> {
    prop_oneof![3 => prop::sample::select(b"\r\n \t\":;,<>@=\\/?%*[]()0123456789aSZ\0\x7f\xff".to_vec()), 1 => any::<u8>()]
}

#[derive(Clone, Debug)]
enum Edit {
    Replace(u8),
    Insert(u8),
    Remove,
    Duplicate(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        telling_byte().prop_map(Edit::Replace),
        telling_byte().prop_map(Edit::Insert),
        Just(Edit::Remove),
        (1usize..80).prop_map(Edit::Duplicate)
    ]
}

fn mutant() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), edit()), 1..=4);
    (prop::sample::select(SEEDS.to_vec()), edits).prop_map(|(seed, edits)| {
        let mut bytes = seed.as_bytes().to_vec();
        for (at, edit) in edits {
            let at = at.index(bytes.len());
            match edit {
                Edit::Replace(b) => bytes[at] = b,
                Edit::Insert(b) => bytes.insert(at, b),
                Edit::Remove => drop(bytes.remove(at)),
                Edit::Duplicate(n) => {
                    let piece = bytes[at..(at + n).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_to_four_edits_of_a_good_message_are_survived(bytes in mutant()) {
        everything(&bytes);
    }

    #[test]
    fn random_bytes_are_survived(bytes in prop::collection::vec(telling_byte(), 0..300)) {
        everything(&bytes);
        read_value(&bytes);
        let headed = [b"OPTIONS sip:a SIP/2.0\r\n", &bytes[..]].concat();
        everything(&headed);
    }

    #[test]
    fn a_framer_yields_the_same_however_the_bytes_arrive(
        stream in prop::collection::vec(prop_oneof![mutant(), Just(b"\r\n\r\n".to_vec())], 1..4),
        size in 1usize..200,
        client in any::<bool>(),
    ) {
        let bytes = stream.concat();
        let side = if client { Side::Client } else { Side::Server };
        prop_assert_eq!(frames(side, &bytes, size), frames(side, &bytes, bytes.len()));
    }
}
