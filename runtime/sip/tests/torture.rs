//! RFC 4475 and RFC 5118 against the message layer.

#[path = "torture/set.rs"]
mod set;

use set::{Class, Facts, Message, Outcome, RFC4475, RFC5118};
use sha2::{Digest, Sha256};
use sipx_sip::{Limits, headers};

fn all() -> impl Iterator<Item = Message> {
    RFC4475.into_iter().chain(RFC5118)
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
