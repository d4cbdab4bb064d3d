//! Beginnings of responses: status line and the headers that come from the request (RFC 3261 section 8.2.6.2), with the
//! sender's real address in the topmost Via (section 18.2.1, RFC 3581). The caller appends its own headers and ends it.

use crate::header::Header;
use crate::headers::{Via, via::Rport};
use crate::message::Message;
use crate::method::Method;
use crate::status::Status;
use crate::text::Params;
use crate::validate::{Facts, Refusal, unsupported};
use crate::write::Writer;
use core::net::{IpAddr, SocketAddr};

/// Status line, every Via, From, To, Call-ID and CSeq. `to_tag` goes into To when it has no tag and the status is not 100.
/// `source` is where the request came from: it becomes `received` and `rport` as RFC 3581 wants. What a broken request
/// does not have is left out.
pub fn response(w: &mut Writer<'_>, request: &Message<'_>, status: Status, to_tag: &[u8], source: SocketAddr) {
    response_with_phrase(w, request, status, status.phrase(), to_tag, source);
}

/// The same with a reason phrase of one's own (no line ends in it).
pub fn response_with_phrase(
    w: &mut Writer<'_>,
    request: &Message<'_>,
    status: Status,
    phrase: &str,
    to_tag: &[u8],
    source: SocketAddr,
) {
    let first = request.headers(Header::Via).next();
    let via = first.and_then(Via::read);
    let tagged = request.to().is_some_and(|to| to.tag.is_some());
    w.put(b"SIP/2.0 ").number(u64::from(status.0)).put(b" ").text(phrase);
    from_request(w, request, via.as_ref(), (!tagged && status != Status::TRYING).then_some(to_tag), source);
}

/// The same for a request that was read already: what is known of it is not read again.
pub fn response_to(
    w: &mut Writer<'_>,
    request: &Message<'_>,
    facts: &Facts<'_>,
    status: Status,
    to_tag: &[u8],
    source: SocketAddr,
) {
    let tag = (facts.to.tag.is_none() && status != Status::TRYING).then_some(to_tag);
    if status == Status::OK {
        w.put(b"SIP/2.0 200 OK");
    } else {
        w.put(b"SIP/2.0 ").number(u64::from(status.0)).put(b" ").text(status.phrase());
    }
    from_request(w, request, Some(&facts.via), tag, source);
}

/// What every response takes from its request, behind a status line that has not ended yet.
fn from_request(
    w: &mut Writer<'_>,
    request: &Message<'_>,
    via: Option<&Via<'_>>,
    to_tag: Option<&[u8]>,
    source: SocketAddr,
) {
    let plain = request.is_plain();
    let mut vias = request.lines(Header::Via);
    if let Some(top) = vias.next() {
        w.put(b"\r\nVia: ");
        top_via(w, top, via, source, plain);
    }
    for via in vias {
        w.put(b"\r\nVia: ").copied(via);
    }
    if let Some(from) = request.header(Header::From) {
        w.put(b"\r\nFrom: ").value(from, plain);
    }
    if let Some(to) = request.header(Header::To) {
        w.put(b"\r\nTo: ").value(to, plain);
        if let Some(tag) = to_tag.filter(|t| !t.is_empty()) {
            w.put(b";tag=").put(tag);
        }
    }
    if let Some(call_id) = request.header(Header::CallId) {
        w.put(b"\r\nCall-ID: ").value(call_id, plain);
    }
    if let Some(cseq) = request.header(Header::CSeq) {
        w.put(b"\r\nCSeq: ").value(cseq, plain);
    }
    w.put(b"\r\n");
}

/// The whole response to a refused request, with Unsupported for a 420. `supported` is that of the policy which refused.
pub fn refuse(
    w: &mut Writer<'_>,
    request: &Message<'_>,
    refusal: &Refusal,
    supported: &[&str],
    to_tag: &[u8],
    source: SocketAddr,
) {
    response_with_phrase(w, request, refusal.status, refusal.reason.phrase(), to_tag, source);
    if let (Status::BAD_EXTENSION, Some(header)) = (refusal.status, refusal.header) {
        let mut separator = "Unsupported: ";
        for option in unsupported(request, header, supported) {
            w.text(separator).copied(option);
            separator = ", ";
        }
        w.put(b"\r\n");
    }
    w.end();
}

/// Whether a refusal of so many bytes may be sent. One that its sender would not know (no Call-ID, say) is never longer than the
/// request: whoever wrote somebody else's address on it must not gain by it.
pub fn may_refuse(request: &Message<'_>, answer: usize) -> bool {
    request.is_identified() || answer <= request.bytes().len()
}

/// Copies every line of a header, such as Record-Route into a 200 or Path into the 200 of a REGISTER (RFC 3327).
pub fn copy(w: &mut Writer<'_>, from: &Message<'_>, header: Header) {
    for value in from.lines(header) {
        w.header(header, value);
    }
}

/// The first Via line with `received` and `rport` filled in; further values in the same line as they are. `via` is its first
/// value, if that could be read.
fn top_via(w: &mut Writer<'_>, line: &[u8], via: Option<&Via<'_>>, source: SocketAddr, plain: bool) {
    let Some(via) = via else {
        w.copied(line);
        return;
    };
    let first = via.raw;
    let ip = source.ip().to_canonical();
    let asked = via.rport != Rport::Absent;
    let received = asked || via.host.ip() != Some(ip);
    if !received && via.received.is_none() {
        w.copied(line);
        return;
    }
    match first.split_at_checked(via.asked_at) {
        // As nearly all phones ask: one place to fill in, the rest as it is.
        Some((front @ [.., b't' | b'T'], behind)) if via.received.is_none() => {
            w.value(front, plain).put(b"=").number(u64::from(source.port())).value(behind, plain);
        }
        _ => {
            // Up to the parameters as it is, then one by one: a `received` that the sender wrote would be a lie or an echo.
            let params = via.params.rest().len();
            w.copied(first.get(..first.len().saturating_sub(params)).unwrap_or_default());
            params_with_source(w, via.params, source.port());
        }
    }
    if received {
        w.put(b";received=").ip(ip);
    }
    // The list's first item is trimmed at its end only by white space, so what follows it is found by the comma.
    if let Some(rest) = behind_first(line, first) {
        w.copied(rest);
    }
}

/// Each parameter as it was written, quotes and all: a branch that comes back in another form matches nothing.
fn params_with_source(w: &mut Writer<'_>, mut params: Params<'_>, port: u16) {
    loop {
        let before = params.rest();
        let Some(param) = params.next() else { return };
        if param.is("rport") {
            w.put(b";").put(param.name).put(b"=").number(u64::from(port));
        } else if !param.is("received") {
            let text = before.get(..before.len().saturating_sub(params.rest().len())).unwrap_or_default();
            w.copied(crate::text::trim(text));
        }
    }
}

/// What follows the first item in its line: from the comma on.
fn behind_first<'a>(line: &'a [u8], first: &[u8]) -> Option<&'a [u8]> {
    let start = line.len() - crate::text::trim_start(line).len();
    let rest = line.get(start + first.len()..)?;
    let rest = crate::text::trim_start(rest);
    (!rest.is_empty()).then_some(rest)
}

/// Where a response goes (RFC 3261 section 18.2.2, RFC 3581 section 4), read from the topmost Via *of the response or of the
/// request as received*: `maddr` is not followed (nobody multicasts here). `None` when it takes a resolver. Over a stream the
/// response goes back over the connection and this is only for when that is gone.
pub fn destination(via: &Via<'_>, source: Option<SocketAddr>) -> Option<SocketAddr> {
    let default = if via.transport == crate::headers::Transport::Tls { 5061 } else { 5060 };
    let written = via.port.unwrap_or(default);
    if let Some(source) = source {
        return Some(SocketAddr::new(source.ip(), if via.rport == Rport::Absent { written } else { source.port() }));
    }
    let received = via.received.and_then(|r| {
        let bare = r.strip_prefix(b"[").and_then(|r| r.strip_suffix(b"]")).unwrap_or(r);
        core::str::from_utf8(bare).ok()?.parse::<IpAddr>().ok()
    });
    let port = if let Rport::Port(port) = via.rport { port } else { written };
    received.or(via.host.ip()).map(|ip| SocketAddr::new(ip, port))
}

/// Whether a request may be answered at all: ACK never is (section 17).
pub fn may_answer(request: &Message<'_>) -> bool {
    request.is_request() && request.method() != Method::Ack
}

#[cfg(test)]
mod tests;
