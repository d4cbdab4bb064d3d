//! The REGISTER path allocates nothing: parse, validation, every typed read and the 200, counted by the allocator itself.

#![expect(unsafe_code, reason = "an allocator that counts can only be installed by an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use tandem_sip::headers::{challenges, has_option, tokens};
use tandem_sip::response::copy;
use tandem_sip::{
    Contact, Header, Message, Overflow, Policy, RefusalReason, Status, Writer, refuse, response, validate_request,
    validate_request_with,
};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed to the system's allocator unchanged; counting touches a thread-local without allocating.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|c| c.set(c.get() + 1));
        // SAFETY: the caller's obligations are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's obligations are the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(f: impl FnOnce()) -> usize {
    let before = COUNT.with(Cell::get);
    f();
    COUNT.with(Cell::get) - before
}

const REGISTER: &[u8] = b"REGISTER sip:bench.example SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:20000;branch=z9hG4bKsl00a1000000ffr;rport, SIP/2.0/TCP [2001:db8::1]:5060;branch=z9hG4bK2\r\n\
    Max-Forwards: 70\r\n\
    From: \"A \\\" B\" <sip:u%30@bench.example>;tag=t\r\n\
    t: <sip:u0@bench.example>\r\n\
    Call-ID: u0-7f3a9c51e2@192.0.2.1\r\n\
    CSeq: 1732000000 REGISTER\r\n\
    Contact: <sip:u0@192.0.2.1:21000;transport=udp>;expires=3600;+sip.instance=\"<urn:uuid:0-1>\";reg-id=1, <sip:b@c>\r\n\
    Contact: \"x\" <sip:u1@[2001:db8::1]>;q=0.5\r\n\
    Path: <sip:p1;lr>,\r\n <sip:p2;lr>\r\n\
    Supported: replaces, path\r\n\
    Authorization: Digest username=\"u0\", realm=\"r\", nonce=\"n\", uri=\"sip:x\", response=\"0\", qop=auth, nc=00000001, cnonce=\"c\"\r\n\
    X-Other: y\r\n\
    Content-Length: 0\r\n\r\n";

fn register(out: &mut [u8]) -> Result<usize, Overflow> {
    let message = Message::parse(REGISTER).unwrap_or_else(|m| m.partial);
    assert!(validate_request(&message).is_ok());
    assert!(message.to().and_then(|t| t.sip_uri()).is_some_and(|u| u.user_is(b"u0")));
    assert!(message.from().and_then(|t| t.sip_uri()).is_some_and(|u| u.user_is(b"u0")));
    assert!(message.top_via().is_some_and(|v| v.host.ip().is_some()));
    assert!(message.cseq().is_some_and(|c| c.number == 1_732_000_000));
    let bindings = message.contacts().filter(|c| matches!(c, Contact::Binding(b) if b.sip_uri().is_some()));
    assert_eq!(bindings.count(), 3);
    assert!(has_option(&message, Header::Supported, "path"));
    assert_eq!(tokens(&message, Header::Require).count(), 0);
    assert!(message.credentials(Header::Authorization, b"r").is_some_and(|a| a.nc == Some(b"00000001")));
    assert_eq!(message.other("x-other"), Some(&b"y"[..]));
    assert_eq!(challenges(&message, Header::WwwAuthenticate).count(), 0);
    let mut w = Writer::new(out);
    let source = std::net::SocketAddr::from(([10, 0, 0, 1], 20_001));
    response(&mut w, &message, Status::OK, b"tag", source);
    copy(&mut w, &message, Header::Path);
    w.date(tandem_base::UnixMillis(1_700_000_000_000)).addr(source).quoted(b"x").end();
    w.finish()
}

#[test]
fn a_register_is_read_judged_and_answered_without_an_allocation() {
    let mut out = [0u8; 4096];
    let mut written = Err(Overflow { needed: 0, capacity: 0 });
    assert_eq!(allocations(|| written = register(&mut out)), 0);
    assert!(written.is_ok_and(|n| n > 400));
}

#[test]
fn a_refusal_allocates_nothing_either() {
    let mut out = [0u8; 4096];
    let parsed = Message::parse(b"REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nRequire: x\r\nbad line\r\n\r\n");
    let malformed = parsed.expect_err("a line without a colon");
    let mut written = 0;
    let count = allocations(|| {
        let _ = validate_request_with(&malformed.partial, &Policy::default());
        let mut w = Writer::new(&mut out);
        let source = std::net::SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 1));
        refuse(&mut w, &malformed.partial, &malformed.reason.into(), &[], b"t", source);
        written = w.finish().unwrap_or(0);
    });
    assert_eq!((count, malformed.reason), (0, RefusalReason::HeaderName));
    assert!(out[..written].starts_with(b"SIP/2.0 400 Bad Header Name\r\nVia: SIP/2.0/UDP h;received=::1\r\n"));
}

#[test]
fn the_counter_counts() {
    assert!(allocations(|| drop(std::hint::black_box(vec![1u8; 100]))) >= 1);
}
