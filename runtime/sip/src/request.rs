//! Beginnings of requests: request line and the headers that every request has (RFC 3261 section 8.1.1). The caller
//! appends its own headers (Route, Contact, Event, ...) and ends it with [`Writer::end`] or [`Writer::body`].

use crate::header::Header;
use crate::headers::Transport;
use crate::message::Message;
use crate::write::Writer;
use core::net::SocketAddr;

/// What every request needs. Text is written as it is: without line ends, URIs without brackets.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// `REGISTER`: [`crate::Method::as_str`], or any token.
    pub method: &'a str,
    /// The Request-URI.
    pub uri: &'a [u8],
    /// Where answers go: sent-by of the Via, with `rport` (RFC 3581).
    pub via: SocketAddr,
    /// Transport of the Via.
    pub transport: Transport,
    /// Branch behind the cookie `z9hG4bK`, which is written here.
    pub branch: &'a [u8],
    /// Hops that are left; 70 is the RFC's own.
    pub max_forwards: u8,
    /// From: URI.
    pub from: &'a [u8],
    /// From: tag.
    pub from_tag: &'a [u8],
    /// To: URI.
    pub to: &'a [u8],
    /// To: tag, inside a dialog.
    pub to_tag: Option<&'a [u8]>,
    /// Call-ID.
    pub call_id: &'a [u8],
    /// Number of CSeq.
    pub cseq: u32,
}

/// Request line, Via, Max-Forwards, From, To, Call-ID and CSeq.
pub fn request(w: &mut Writer<'_>, r: &RequestHead<'_>) {
    w.text(r.method).put(b" ").put(r.uri).put(b" SIP/2.0\r\n");
    w.put(b"Via: SIP/2.0/").text(r.transport.as_str()).put(b" ").addr(r.via);
    w.put(b";branch=z9hG4bK").put(r.branch).put(b";rport\r\n");
    w.number_line("Max-Forwards", u64::from(r.max_forwards));
    w.put(b"From: <").put(r.from).put(b">;tag=").put(r.from_tag).put(b"\r\n");
    w.put(b"To: <").put(r.to).put(b">");
    if let Some(tag) = r.to_tag {
        w.put(b";tag=").put(tag);
    }
    w.put(b"\r\nCall-ID: ").put(r.call_id).put(b"\r\nCSeq: ").number(u64::from(r.cseq));
    w.put(b" ").text(r.method).put(b"\r\n");
}

/// The whole ACK to a final response other than 2xx (section 17.1.1.3): same Request-URI, topmost Via, Route and CSeq number
/// as the INVITE, To as in the response. Nothing is written when either lacks what the ACK needs.
pub fn ack(w: &mut Writer<'_>, invite: &Message<'_>, answer: &Message<'_>) {
    let (Some(via), Some(cseq)) = (invite.headers(Header::Via).next(), invite.cseq()) else { return };
    let (Some(from), Some(to)) = (invite.header(Header::From), answer.header(Header::To)) else { return };
    w.put(b"ACK ").put(invite.request_uri()).put(b" SIP/2.0\r\n").line("Via", via).number_line("Max-Forwards", 70);
    for route in invite.lines(Header::Route) {
        w.line("Route", route);
    }
    w.line("From", from).line("To", to).line("Call-ID", invite.call_id());
    w.put(b"CSeq: ").number(u64::from(cseq.number)).put(b" ACK\r\n").end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Method, validate::validate_request};

    const HEAD: RequestHead<'_> = RequestHead {
        method: "NOTIFY",
        uri: b"sip:phone@10.0.0.7:5062;transport=tcp",
        via: SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, 1)), 5060),
        transport: Transport::Tcp,
        branch: b"77",
        max_forwards: 70,
        from: b"sip:tandem@10.0.0.1",
        from_tag: b"f",
        to: b"sip:phone@example.com",
        to_tag: None,
        call_id: b"c@10.0.0.1",
        cseq: 7,
    };

    #[test]
    fn a_written_request_is_valid_and_says_what_it_was_given() {
        let mut buffer = [0u8; 1024];
        let mut w = Writer::new(&mut buffer);
        request(&mut w, &RequestHead { to_tag: Some(b"t"), ..HEAD });
        w.line("Event", b"service-control").body("text/plain", b"action=restart");
        let n = w.finish().unwrap();
        let message = Message::parse(&buffer[..n]).unwrap();
        assert_eq!(validate_request(&message), Ok(()));
        assert_eq!((message.method(), message.request_uri()), (Method::Notify, HEAD.uri));
        let via = message.top_via().unwrap();
        assert_eq!((via.branch, via.port, via.transport), (Some(&b"z9hG4bK77"[..]), Some(5060), Transport::Tcp));
        assert_eq!(message.to().and_then(|t| t.tag), Some(&b"t"[..]));
        assert_eq!(message.body(), b"action=restart");
    }

    #[test]
    fn the_ack_to_a_refused_call_repeats_the_invite() {
        let invite = "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1;rport, SIP/2.0/UDP z;branch=z9hG4bK0\r\n\
                      Route: <sip:p;lr>\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 3 INVITE\r\n\r\n";
        let answer = "SIP/2.0 486 Busy Here\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1;rport=5\r\nFrom: <sip:a@h>;tag=1\r\n\
                      To: <sip:b@h>;tag=2\r\nCall-ID: c\r\nCSeq: 3 INVITE\r\n\r\n";
        let mut buffer = [0u8; 1024];
        let mut w = Writer::new(&mut buffer);
        ack(&mut w, &Message::parse(invite.as_bytes()).unwrap(), &Message::parse(answer.as_bytes()).unwrap());
        let n = w.finish().unwrap();
        let ack = Message::parse(&buffer[..n]).unwrap();
        assert_eq!(validate_request(&ack), Ok(()));
        assert_eq!((ack.method(), ack.headers(Header::Via).count()), (Method::Ack, 1));
        assert_eq!(ack.header(Header::Via), Some(&b"SIP/2.0/UDP a;branch=z9hG4bK1;rport"[..]));
        assert_eq!(ack.to().and_then(|t| t.tag), Some(&b"2"[..]));
        assert_eq!(ack.header(Header::Route), Some(&b"<sip:p;lr>"[..]));
    }
}
