//! The judgement on a parsed message: is it acceptable, and if not, which response says so (RFC 3261 sections 8.1.1, 8.2
//! and 16.3, with the verdicts of RFC 4475).
//!
//! A pass of its own, so that reading stays quick and a test can show what each refusal is for. It refuses only what has
//! to be refused: headers that nobody here needs may hold nonsense (section 16.3 step 1).

use crate::head::name as split_name;
use crate::header::Header;
use crate::headers::{CSeq, Contact, NameAddr, Via, content_length, max_forwards, tokens};
use crate::message::Message;
use crate::method::Method;
use crate::reason::RefusalReason;
use crate::status::Status;
use crate::uri::{self, SipUri};

/// A request that is answered with an error, or a response that is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The response to send.
    pub status: Status,
    /// What was wrong: label, and reason phrase of the response.
    pub reason: RefusalReason,
    /// In which header, if it was one of the indexed.
    pub header: Option<Header>,
}

impl Refusal {
    const fn new(status: Status, reason: RefusalReason) -> Self {
        Self { status, reason, header: None }
    }

    const fn bad(reason: RefusalReason, header: Header) -> Self {
        Self { status: Status::BAD_REQUEST, reason, header: Some(header) }
    }
}

impl From<RefusalReason> for Refusal {
    /// The 400 for a message that could not be parsed.
    fn from(reason: RefusalReason) -> Self {
        Self::new(Status::BAD_REQUEST, reason)
    }
}

/// What the judge has to know about whom the request is for.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'p> {
    /// Option tags that may stand in Require.
    pub supported: &'p [&'p str],
    /// The request would be sent on: Max-Forwards 0 ends it with 483, and Proxy-Require counts. A registrar and whoever
    /// answers OPTIONS itself leave this off.
    pub forwards: bool,
    /// A Request-URI that is known to mean the server itself (see [`Facts::for_the_server`]), so that it is not read again for
    /// every phone that writes it.
    pub own_uri: Option<&'p [u8]>,
}

/// Option tags that this layer's users support.
pub const SUPPORTED: &[&str] = &["path"];

impl Default for Policy<'_> {
    fn default() -> Self {
        Self { supported: SUPPORTED, forwards: false, own_uri: None }
    }
}

/// Judges a request that is answered here, with [`SUPPORTED`] options.
///
/// # Errors
/// The response to send. For an ACK none may be sent: drop it.
pub fn validate_request(message: &Message<'_>) -> Result<(), Refusal> {
    validate_request_with(message, &Policy::default())
}

/// Judges a request.
///
/// # Errors
/// The response to send. For an ACK none may be sent: drop it.
pub fn validate_request_with(message: &Message<'_>, policy: &Policy<'_>) -> Result<(), Refusal> {
    read_request(&mut Facts::default(), message, policy)?;
    read_contacts(message).map(|_| ())
}

/// What the judge has read of a request that it found acceptable: whoever serves it needs not read it again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The topmost Via.
    pub via: Via<'a>,
    /// From.
    pub from: Party<'a>,
    /// To.
    pub to: Party<'a>,
    /// CSeq; its method is the request's.
    pub cseq: CSeq<'a>,
    /// Whether the Request-URI is a SIP URI without a user: the server itself is meant.
    pub for_the_server: bool,
}

/// The contacts of a request, found acceptable together.
#[derive(Clone, Copy, Debug)]
pub struct Contacts<'a> {
    /// The first of them; `None` when there is none.
    pub first: Option<Contact<'a>>,
    /// How many there are, `*` included.
    pub count: u32,
}

/// From or To.
#[derive(Clone, Copy, Debug, Default)]
pub struct Party<'a> {
    /// Its tag.
    pub tag: Option<&'a [u8]>,
    /// The user of its SIP URI as written (see [`uri::Unescaped`]); `None` when there is none, or no SIP URI.
    pub user: Option<&'a [u8]>,
    /// Its URI is a SIP URI.
    pub is_sip: bool,
}

/// Judges a request and writes down what it has read, in a place of the caller's: it is too long to be copied for each request. Contacts are
/// not looked at: a registrar reads them when it knows who asks (RFC 3261 section 10.3, steps 3 and 6), see [`read_contacts`].
///
/// # Errors
/// The response to send; `facts` holds nothing of use then. For an ACK none may be sent: drop it.
#[inline]
pub fn read_request<'a>(facts: &mut Facts<'a>, message: &Message<'a>, policy: &Policy<'_>) -> Result<(), Refusal> {
    if !message.is_request() {
        return Err(RefusalReason::StartLine.into());
    }
    if message.version() != b"SIP/2.0" && !message.version().eq_ignore_ascii_case(b"SIP/2.0") {
        return Err(Refusal::new(Status::VERSION_NOT_SUPPORTED, RefusalReason::Version));
    }
    if message.head().sloppy_start {
        return Err(RefusalReason::StartLine.into());
    }
    headers_of_both(facts, message)?;
    facts.cseq = cseq(message)?;
    if facts.cseq.method_name != message.method_name() {
        return Err(Refusal::bad(RefusalReason::CSeqMethod, Header::CSeq));
    }
    facts.for_the_server =
        policy.own_uri == Some(message.request_uri()) || request_uri(message)?.is_some_and(|uri| uri.user.is_none());
    let hops = match message.header(Header::MaxForwards) {
        // Clients of RFC 2543 send none (RFC 4475 section 3.1.1.13 wants them served).
        None => None,
        Some(value) => Some(max_forwards(value).ok_or(Refusal::bad(RefusalReason::MaxForwards, Header::MaxForwards))?),
    };
    if policy.forwards && hops == Some(0) {
        return Err(Refusal::new(Status::TOO_MANY_HOPS, RefusalReason::TooManyHops));
    }
    extensions(message, policy)
}

/// Judges a response. Nobody is told about a refused response: it is dropped and counted.
///
/// # Errors
/// What was wrong with it.
pub fn validate_response(message: &Message<'_>) -> Result<(), Refusal> {
    if !message.is_response() {
        return Err(RefusalReason::StartLine.into());
    }
    if !message.version().eq_ignore_ascii_case(b"SIP/2.0") {
        return Err(Refusal::new(Status::VERSION_NOT_SUPPORTED, RefusalReason::Version));
    }
    if message.status().is_none() {
        return Err(RefusalReason::StatusCode.into());
    }
    headers_of_both(&mut Facts::default(), message)?;
    cseq(message).map(|_| ())
}

/// What requests and responses have in common: Via, From and To.
#[inline]
fn headers_of_both<'a>(facts: &mut Facts<'a>, message: &Message<'a>) -> Result<(), Refusal> {
    let mandatory = [
        (Header::Via, RefusalReason::MissingVia),
        (Header::From, RefusalReason::MissingFrom),
        (Header::To, RefusalReason::MissingTo),
        (Header::CallId, RefusalReason::MissingCallId),
        (Header::CSeq, RefusalReason::MissingCSeq),
    ];
    for (header, reason) in mandatory {
        if message.header(header).is_none() {
            return Err(Refusal::bad(reason, header));
        }
    }
    if message.head().repeated & SINGLE != 0 {
        let twice = Header::ALL.into_iter().find(|h| h.is_single() && message.is_repeated(*h));
        return Err(Refusal { status: Status::BAD_REQUEST, reason: RefusalReason::DuplicateHeader, header: twice });
    }
    if has_control_bytes(message) {
        return Err(RefusalReason::ControlByte.into());
    }
    if let Some(value) = message.header(Header::ContentLength) {
        let fits = content_length(value).is_some_and(|n| n as usize <= message.available_body());
        if !fits {
            return Err(Refusal::bad(RefusalReason::ContentLength, Header::ContentLength));
        }
    }
    facts.via = match only(message, Header::Via).and_then(Via::read) {
        Some(via) => via,
        None => several_vias(message)?,
    };
    let (to_uri, to) = party(message, Header::To, RefusalReason::To, None)?;
    // A phone that registers itself writes the same address in both.
    (_, facts.from) = party(message, Header::From, RefusalReason::From, Some((to_uri, &to)))?;
    facts.to = to;
    let call_id = message.call_id();
    if call_id.is_empty() || call_id.iter().fold(false, |any, &b| any | (b <= b' ')) {
        return Err(Refusal::bad(RefusalReason::CallId, Header::CallId));
    }
    Ok(())
}

/// The one line of a header. Nearly always it holds one value, which can be read without looking for commas: a line of several is no
/// value, as each reader here refuses a comma behind one.
fn only<'a>(message: &Message<'a>, header: Header) -> Option<&'a [u8]> {
    message.header(header).filter(|_| !message.is_repeated(header))
}

/// The topmost of them; all must be readable.
#[cold]
fn several_vias<'a>(message: &Message<'a>) -> Result<Via<'a>, Refusal> {
    let refusal = Refusal::bad(RefusalReason::Via, Header::Via);
    let mut vias = message.headers(Header::Via);
    let via = vias.next().and_then(Via::read).ok_or(refusal)?;
    if vias.any(|value| Via::read(value).is_none()) {
        return Err(refusal);
    }
    Ok(via)
}

/// The headers that may stand once.
const SINGLE: u32 = {
    let mut bits = 0;
    let mut i = 0;
    while i < Header::ALL.len() {
        #[expect(clippy::indexing_slicing, reason = "constant evaluation, i < len")]
        let header = Header::ALL[i];
        if header.is_single() {
            bits |= header.bit();
        }
        i += 1;
    }
    bits
};

/// From or To, and its URI: any scheme will do (RFC 4475 section 3.3.3), but what says it is SIP has to be. `read` is a URI that was read
/// already, and of whom.
fn party<'a>(
    message: &Message<'a>,
    header: Header,
    reason: RefusalReason,
    read: Option<(&[u8], &Party<'a>)>,
) -> Result<(&'a [u8], Party<'a>), Refusal> {
    let refusal = Refusal::bad(reason, header);
    let addr = message.header(header).and_then(NameAddr::read).ok_or(refusal)?;
    let party = match read {
        Some((uri, party)) if uri == addr.uri => Party { tag: addr.tag, ..*party },
        _ => match addr.sip_uri() {
            Some(uri) => Party { tag: addr.tag, user: uri.user, is_sip: true },
            None if is_sip(addr.uri) => return Err(refusal),
            None => Party { tag: addr.tag, user: None, is_sip: false },
        },
    };
    Ok((addr.uri, party))
}

fn is_sip(uri: &[u8]) -> bool {
    uri::scheme(uri).is_some_and(|(s, _)| s.eq_ignore_ascii_case(b"sip") || s.eq_ignore_ascii_case(b"sips"))
}

fn cseq<'a>(message: &Message<'a>) -> Result<CSeq<'a>, Refusal> {
    message.cseq().ok_or(Refusal::bad(RefusalReason::CSeq, Header::CSeq))
}

/// `None` for a scheme other than SIP's that is served all the same.
fn request_uri<'a>(message: &Message<'a>) -> Result<Option<SipUri<'a>>, Refusal> {
    let text = message.request_uri();
    // Headers have no meaning in a Request-URI and are forbidden there (section 19.1.1, table 1).
    if let Some(uri @ SipUri { headers: None, .. }) = SipUri::read(text) {
        return Ok(Some(uri));
    }
    let (true, false, Some((scheme, rest))) = (uri::is_clean(text), is_sip(text), uri::scheme(text)) else {
        return Err(RefusalReason::RequestUri.into());
    };
    match scheme.eq_ignore_ascii_case(b"tel") {
        true if !rest.is_empty() => Ok(None),
        true => Err(RefusalReason::RequestUri.into()),
        false => Err(Refusal::new(Status::UNSUPPORTED_URI_SCHEME, RefusalReason::UriScheme)),
    }
}

/// `*`, or an address that is what it says it is.
fn read_contact(value: &[u8]) -> Option<Contact<'_>> {
    Contact::read(value).filter(|contact| contact.binding().is_none_or(|b| b.sip_uri().is_some() || !is_sip(b.uri())))
}

/// Judges the contacts of a request.
///
/// # Errors
/// The response to send.
pub fn read_contacts<'a>(message: &Message<'a>) -> Result<Contacts<'a>, Refusal> {
    let (mut first, mut stars, mut addresses) = (None, 0u32, 0u32);
    let mut count = |contact: Contact<'a>| {
        match contact {
            Contact::Star => stars += 1,
            Contact::Binding(_) => addresses += 1,
        }
        first = first.or(Some(contact));
    };
    match only(message, Header::Contact).and_then(read_contact) {
        Some(contact) => count(contact),
        None => {
            for value in message.headers(Header::Contact) {
                count(read_contact(value).ok_or(Refusal::bad(RefusalReason::Contact, Header::Contact))?);
            }
        }
    }
    // RFC 3261 section 10.3 step 6.
    let removes_all = message.method() == Method::Register && message.expires() == Some(0);
    if stars == 0 || (stars == 1 && addresses == 0 && removes_all) {
        Ok(Contacts { first, count: stars + addresses })
    } else {
        Err(Refusal::bad(RefusalReason::ContactStar, Header::Contact))
    }
}

/// Require, and Proxy-Require where the request would go on (sections 8.2.2.3 and 16.3 step 5).
fn extensions(message: &Message<'_>, policy: &Policy<'_>) -> Result<(), Refusal> {
    let mut headers = [Some(Header::Require), policy.forwards.then_some(Header::ProxyRequire)].into_iter().flatten();
    let exempt = matches!(message.method(), Method::Ack | Method::Cancel);
    let is_bad =
        |h: &Header| message.header(*h).is_some() && unsupported(message, *h, policy.supported).next().is_some();
    match headers.find(is_bad) {
        Some(header) if !exempt => {
            Err(Refusal { status: Status::BAD_EXTENSION, reason: RefusalReason::Extension, header: Some(header) })
        }
        _ => Ok(()),
    }
}

/// The options in Require or Proxy-Require that are not in `supported`: what the 420's Unsupported has to name.
pub fn unsupported<'a>(message: &Message<'a>, header: Header, supported: &[&str]) -> impl Iterator<Item = &'a [u8]> {
    tokens(message, header).filter(|t| !supported.iter().any(|s| t.eq_ignore_ascii_case(s.as_bytes())))
}

/// Control bytes other than tabs and line ends, in start line or headers, unless a quoted pair makes them legal (RFC 4475
/// section 3.1.1.2 has NUL, BEL and DEL in a display name).
fn has_control_bytes(message: &Message<'_>) -> bool {
    message.head().suspect && control_outside_pairs(message.header_section())
}

/// The slow and exact answer, line by line.
fn control_outside_pairs(section: &[u8]) -> bool {
    let mut at = 0;
    while let Some(line) = crate::head::line(section, at) {
        let text = section.get(at..line.end).unwrap_or_default();
        // In the start line there are no quoted strings, and a header's name has been looked at.
        let value = if at == 0 { None } else { split_name(text).and_then(|(_, behind)| text.get(behind..)) };
        let (mut quoted, mut escaped) = (false, false);
        let mut rest = value.unwrap_or(text);
        while let Some((&b, behind)) = rest.split_first() {
            rest = behind;
            match b {
                b'\r' if rest.first() == Some(&b'\n') => {}
                b'\r' => return true,
                b'\t' | b'\n' => {}
                _ if escaped => {}
                ..b' ' | 0x7f => return true,
                _ => {}
            }
            let opens = b == b'"' && !escaped && value.is_some();
            escaped = quoted && b == b'\\' && !escaped;
            quoted ^= opens;
        }
        at = line.next;
    }
    false
}

#[cfg(test)]
mod tests;
