//! What a REGISTER costs in this crate: the parse alone, with validation, and with everything a registrar does to it.
//!
//! The request is the 528-byte one that the published figures were measured with. Figures are for comparison within one
//! sitting on one machine; nothing here asserts a time.

#![expect(missing_docs, reason = "the group is made by a macro")]

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use tandem_sip::{Header, Message, Status, Writer, headers::has_option, response, validate_request};

const DIGEST: &str = "Authorization: Digest username=\"u0000042\", realm=\"bench.example\", \
    nonce=\"6743f1a07c9e12345678abcdef0123456789abcdef012345\", uri=\"sip:bench.example\", \
    response=\"0123456789abcdef0123456789abcdef\", algorithm=MD5, cnonce=\"0a4f113b\", qop=auth, nc=00000001\r\n";

fn register(more: &str) -> Vec<u8> {
    format!(
        "REGISTER sip:bench.example SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:20000;branch=z9hG4bKsl00a1000000ffr;rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:u0000042@bench.example>;tag=u0000042t\r\n\
         To: <sip:u0000042@bench.example>\r\n\
         Call-ID: u0000042-7f3a9c51e2@127.0.0.1\r\n\
         CSeq: 1732000000 REGISTER\r\n\
         Contact: <sip:u0000042@127.0.0.1:21000;transport=udp>;expires=3600\r\n\
         Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, MESSAGE, SUBSCRIBE, INFO, UPDATE\r\n\
         Supported: replaces, path, timer\r\n\
         {more}User-Agent: sipload/0.1 (bench phone)\r\n\
         Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// Every field that a registrar reads; a sum, so that nothing is left out.
fn reads(m: &Message<'_>) -> usize {
    let user = m.to().and_then(|t| t.sip_uri()).and_then(|u| u.plain_user()).map_or(0, <[u8]>::len);
    let from = m.from().and_then(|f| f.tag).map_or(0, <[u8]>::len);
    let via = m.top_via().and_then(|v| v.branch).map_or(0, <[u8]>::len);
    let cseq = m.cseq().map_or(0, |c| c.number as usize);
    let contacts = m
        .contacts()
        .filter_map(|c| {
            c.binding()
                .map(|b| b.expires.unwrap_or(0) as usize + b.sip_uri().map_or(0, |u| usize::from(u.effective_port())))
        })
        .sum::<usize>();
    let path = usize::from(has_option(m, Header::Supported, "path"));
    let digest = m.credentials(Header::Authorization, b"bench.example").map_or(0, |a| a.response.len());
    user + from + via + cseq + contacts + path + digest + m.call_id().len() + m.expires().unwrap_or(0) as usize
}

fn answer(m: &Message<'_>, out: &mut [u8]) -> usize {
    let source = "127.0.0.1:20000".parse().unwrap_or_else(|_| unreachable!());
    let mut w = Writer::new(out);
    response(&mut w, m, Status::OK, b"0011223344556677", source);
    let contact = m.header(Header::Contact).unwrap_or_default();
    w.header(Header::Contact, contact).end();
    w.finish().unwrap_or(0)
}

fn bench(c: &mut Criterion) {
    let plain = register("");
    let digest = register(DIGEST);
    let mut out = [0u8; 2048];
    c.bench_function(&format!("parse {} bytes", plain.len()), |b| b.iter(|| Message::parse(black_box(&plain)).is_ok()));
    c.bench_function(&format!("parse {} bytes", digest.len()), |b| {
        b.iter(|| Message::parse(black_box(&digest)).is_ok())
    });
    let message = Message::parse(&plain).unwrap_or_else(|m| m.partial);
    c.bench_function("validate", |b| b.iter(|| validate_request(black_box(&message))));
    c.bench_function("typed reads", |b| b.iter(|| reads(black_box(&message))));
    c.bench_function("write the 200", |b| b.iter(|| answer(black_box(&message), &mut out)));
    for (name, bytes) in [("plain", &plain), ("digest", &digest)] {
        c.bench_function(&format!("parse + reads + 200, {name}"), |b| {
            b.iter(|| Message::parse(black_box(bytes)).map_or(0, |m| reads(&m) + answer(&m, &mut out)));
        });
        c.bench_function(&format!("parse + validate + reads + 200, {name}"), |b| {
            b.iter(|| {
                let Ok(m) = Message::parse(black_box(bytes)) else { return 0 };
                if validate_request(&m).is_err() { 0 } else { reads(&m) + answer(&m, &mut out) }
            });
        });
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
