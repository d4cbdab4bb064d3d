//! Another implementation reads the same: generated valid messages through this crate and through `sipx-sip`, field by field.
//! Two readers that were written apart seldom make the same mistake.

#![expect(clippy::indexing_slicing, reason = "in a test a panic is the verdict")]

use bytes::Bytes;
use proptest::prelude::*;
use sipx_sip::{Limits, headers as other};
use tandem_sip::{Header, Message, Via, validate_request};

/// One header line of a valid message in one of several spellings.
fn spelled(long: &'static str, compact: &'static str, value: String) -> impl Strategy<Value = String> {
    (0usize..4, 0usize..4).prop_map(move |(name, space)| {
        let name = match name {
            0 => long.to_owned(),
            1 => long.to_uppercase(),
            2 => long.to_lowercase(),
            _ => compact.to_owned(),
        };
        let colon = [": ", ":", " : ", ":\r\n  "][space];
        format!("{name}{colon}{value}\r\n")
    })
}

fn token() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9.!%*_+`'~-]{1,12}"
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9]{0,6}(\\.[a-z]{2,5}){0,2}",
        any::<[u8; 4]>().prop_map(|o| std::net::Ipv4Addr::from(o).to_string()),
        any::<[u16; 8]>().prop_map(|s| format!("[{}]", std::net::Ipv6Addr::from(s))),
    ]
}

fn uri() -> impl Strategy<Value = String> {
    // Without parentheses, which the other one takes for comments even inside angle brackets.
    let user = prop::option::of("[a-z0-9_.!~*'&=+$,;?/-]{1,8}(%[0-9a-f]{2})?");
    let port = prop::option::of(1u16..);
    let params = prop::collection::vec(("[a-z]{1,6}", prop::option::of("[a-z0-9.-]{1,6}")), 0..3);
    (prop_oneof![Just("sip"), Just("sips")], user, host(), port, params).prop_map(
        |(scheme, user, host, port, params)| {
            let user = user.map_or(String::new(), |u| format!("{u}@"));
            let port = port.map_or(String::new(), |p| format!(":{p}"));
            // A name that stands twice is not valid in a URI.
            let mut seen = std::collections::BTreeSet::new();
            let params: String = params
                .into_iter()
                .filter(|(name, _)| seen.insert(name.clone()))
                .map(|(name, value)| value.map_or(format!(";{name}"), |v| format!(";{name}={v}")))
                .collect();
            format!("{scheme}:{user}{host}{port}{params}")
        },
    )
}

fn name_addr() -> impl Strategy<Value = String> {
    let display = prop_oneof![
        Just(String::new()),
        "[a-zA-Z]{1,6}( [a-zA-Z]{1,6})?".prop_map(|d| format!("{d} ")),
        "[a-zA-Z ,;<>@:]{0,10}".prop_map(|d| format!("\"{d}\\\" \\\\\" ")),
    ];
    (display, uri(), prop::option::of(token())).prop_map(|(display, uri, tag)| {
        let tag = tag.map_or(String::new(), |t| format!(" ; tag={t}"));
        format!("{display}<{uri}>{tag}")
    })
}

fn via() -> impl Strategy<Value = String> {
    let transport = prop::sample::select(vec!["UDP", "TCP", "TLS", "WS"]);
    let extra = prop::sample::select(vec!["", ";rport", ";rport=5062;received=192.0.2.7", ";ttl=16;maddr=224.0.1.75"]);
    (transport, host(), prop::option::of(1u16..), token(), extra).prop_map(|(t, host, port, branch, extra)| {
        let port = port.map_or(String::new(), |p| format!(":{p}"));
        format!("SIP/2.0/{t} {host}{port};branch=z9hG4bK{branch}{extra}")
    })
}

prop_compose! {
    fn message()(
        method in prop::sample::select(vec!["REGISTER", "INVITE", "OPTIONS", "NOTIFY", "BYE", "FOO"]),
        target in uri(),
        vias in prop::collection::vec(via(), 1..4),
        from in name_addr(),
        to in name_addr(),
        contacts in prop::collection::vec(name_addr(), 0..3),
        call_id in "[a-z0-9]{1,10}(@[a-z0-9.]{1,10})?",
        cseq in 0u32..=0x7fff_ffff,
        expires in any::<u32>(),
        body in "[a-z\r\n]{0,40}",
    )(
        lines in {
            let mut lines = vec![
                spelled("From", "f", from).boxed(),
                spelled("To", "t", to).boxed(),
                spelled("Call-ID", "i", call_id).boxed(),
                spelled("CSeq", "CSeq", format!("{cseq} {method}")).boxed(),
                spelled("Max-Forwards", "Max-Forwards", "70".into()).boxed(),
                spelled("Expires", "Expires", expires.to_string()).boxed(),
                spelled("Content-Length", "l", body.len().to_string()).boxed(),
                spelled("Subject", "s", "anything, at all; \"".into()).boxed(),
            ];
            if let Some((first, more)) = vias.split_first() {
                lines.push(spelled("Via", "v", first.clone()).boxed());
                lines.extend(more.first().map(|_| spelled("Via", "v", more.join(" ,\r\n ")).boxed()));
            }
            lines.extend(contacts.first().map(|_| spelled("Contact", "m", contacts.join(", ")).boxed()));
            lines
        },
        // Requests with headers in the Request-URI are not valid, and `?` may stand in a user.
        target in Just(target),
        method in Just(method),
        body in Just(body),
    ) -> String {
        format!("{method} {target} SIP/2.0\r\n{}\r\n{body}", lines.concat())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_read_the_same_fields(wire in message()) {
        let theirs = sipx_sip::parse_datagram(Bytes::from(wire.clone()), &Limits::datagram());
        let theirs = theirs.map_err(|e| TestCaseError::fail(format!("the other one: {e:?}\n{wire}")))?;
        let ours = Message::parse(wire.as_bytes()).map_err(|e| TestCaseError::fail(format!("{e}\n{wire}")))?;
        prop_assert_eq!(validate_request(&ours), Ok(()), "{}", wire);
        let request = theirs.as_request().ok_or_else(|| TestCaseError::fail("a request"))?;
        prop_assert_eq!(text(ours.method_name()), text(request.method.as_bytes()));
        prop_assert_eq!(text(ours.request_uri()), text(&request.uri.to_bytes()));
        prop_assert_eq!(text(ours.body()), text(request.body()));
        let header = &request.headers;
        let cseq = header.typed::<other::CSeq>().unwrap().unwrap();
        prop_assert_eq!(ours.cseq().map(|c| c.number), Some(cseq.sequence));
        let call_id = header.value(&sipx_sip::HeaderName::CallId).map(|v| text(&v));
        prop_assert_eq!(Some(text(ours.call_id())), call_id);
        let (from, to) = (header.typed::<other::From>().unwrap().unwrap(), header.typed::<other::To>().unwrap().unwrap());
        for (ours, theirs) in [(ours.from(), from.0), (ours.to(), to.0)] {
            let ours = ours.ok_or_else(|| TestCaseError::fail("an address"))?;
            prop_assert_eq!(ours.tag.map(text), theirs.tag().map(text), "{}", wire);
            prop_assert_eq!(text(ours.uri), text(&theirs.uri.to_bytes()), "{}", wire);
            prop_assert_eq!(ours.sip_uri().and_then(|u| u.user).map(text), theirs.uri.user().map(text));
        }
        let vias: Vec<_> = header.typed_all::<other::Via>().collect::<Result<_, _>>().unwrap();
        let own: Vec<_> = ours.headers(Header::Via).filter_map(Via::read).collect();
        prop_assert_eq!(own.len(), vias.len(), "{}", wire);
        for (ours, theirs) in own.iter().zip(&vias) {
            prop_assert_eq!(ours.branch.map(text), theirs.branch().map(text));
            prop_assert_eq!(ours.received.map(text), theirs.received().map(text));
            prop_assert_eq!(ours.maddr.map(text), theirs.maddr().map(text));
        }
        let contacts: Vec<_> = header.typed_all::<other::ContactValue>().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(ours.contacts().count(), contacts.len(), "{}", wire);
    }
}
