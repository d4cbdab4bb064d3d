//! A message: borrowed bytes and the index over them. Everything else is read on demand, from the bytes, when asked.
//!
//! It never owns, copies or changes a byte, and never fails after `parse`: what cannot be read is `None`.

use crate::error::Malformed;
use crate::head::{self, Head, Kind, Line};
use crate::header::{Header, Shape};
use crate::headers::{Authorization, CSeq, Contact, NameAddr, Via, content_length};
use crate::method::Method;
use crate::reason::RefusalReason;
use crate::status::Status;
use crate::text::{List, decimal, unescaped};
use core::fmt;
use memchr::memchr;

/// A SIP message in a buffer.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    head: Head,
}

impl<'a> Message<'a> {
    /// Reads one message that starts at the front of `bytes` (empty lines before it are skipped) and is at most 65,535
    /// bytes long. Bytes behind the body that Content-Length announces are no part of it.
    ///
    /// # Errors
    /// Bytes that are no message. They carry what could be read, so that a 400 can often be sent.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed<'a>> {
        let mut message = Self::EMPTY;
        match message.parse_here(bytes) {
            Ok(()) => Ok(message),
            Err(reason) => Err(Malformed { reason, partial: message }),
        }
    }

    /// Reads another message into this place, as [`Self::parse`] does: for whoever reads many, because an index is long to copy.
    ///
    /// # Errors
    /// The first thing that was wrong; what could be read is here nevertheless.
    pub fn parse_here(&mut self, bytes: &'a [u8]) -> Result<(), RefusalReason> {
        *self = Self { bytes, head: Head::EMPTY };
        head::scan(&mut self.head, bytes).map_or(Ok(()), Err)
    }

    /// No message yet: a place for one.
    pub const EMPTY: Self = Self { bytes: &[], head: Head::EMPTY };

    /// The bytes it was read from.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) const fn head(&self) -> &Head {
        &self.head
    }

    /// Start line and header lines, without the empty line at the end.
    pub fn header_section(&self) -> &'a [u8] {
        let end = usize::from(self.head.body);
        self.bytes.get(..end).unwrap_or(self.bytes)
    }

    /// Whether every value is free of line ends: no line is folded, none ends otherwise than it should. Only a parsed message says so.
    pub(crate) const fn is_plain(&self) -> bool {
        !self.head.folded && !self.head.suspect
    }

    /// Whether the start line is that of a request.
    pub const fn is_request(&self) -> bool {
        matches!(self.head.kind, Kind::Request)
    }

    /// Whether the start line is that of a response.
    pub const fn is_response(&self) -> bool {
        matches!(self.head.kind, Kind::Response)
    }

    /// The request's method; `Other` for responses.
    pub const fn method(&self) -> Method {
        self.head.method
    }

    /// The request's method as written; empty for responses.
    pub fn method_name(&self) -> &'a [u8] {
        self.head.method_name.of(self.bytes)
    }

    /// The Request-URI as written; empty for responses.
    pub fn request_uri(&self) -> &'a [u8] {
        self.head.request_uri.of(self.bytes)
    }

    /// `SIP/2.0`, as written.
    pub fn version(&self) -> &'a [u8] {
        self.head.version.of(self.bytes)
    }

    /// The status of a response; `None` for requests and for codes that are none (not 100 to 699).
    pub fn status(&self) -> Option<Status> {
        (self.head.status != 0).then_some(Status(self.head.status))
    }

    /// The reason phrase of a response, as written.
    pub fn reason_phrase(&self) -> &'a [u8] {
        self.head.phrase.of(self.bytes)
    }

    /// The body: as long as Content-Length says, or up to the end of the bytes when it says nothing readable or more
    /// than there is (validation refuses those).
    pub fn body(&self) -> &'a [u8] {
        let rest = self.bytes.get(usize::from(self.head.body)..).unwrap_or_default();
        match self.header(Header::ContentLength).and_then(content_length) {
            Some(length) => rest.get(..length as usize).unwrap_or(rest),
            None => rest,
        }
    }

    /// Bytes behind the header section, whatever Content-Length says.
    pub fn available_body(&self) -> usize {
        self.bytes.len().saturating_sub(usize::from(self.head.body))
    }

    /// The value of the first line with that header, trimmed, commas included.
    #[inline]
    pub fn header(&self, header: Header) -> Option<&'a [u8]> {
        self.head.first(header).map(|span| span.of(self.bytes))
    }

    /// Whether the header stands in more than one line.
    pub const fn is_repeated(&self, header: Header) -> bool {
        self.head.repeated & header.bit() != 0
    }

    /// The values of all lines with that header, trimmed, commas included.
    pub fn lines(&self, header: Header) -> Lines<'a> {
        let Some(span) = self.head.first(header) else { return Lines { first: None, rest: self.no_lines(), header } };
        let rest = if self.is_repeated(header) {
            // The rest of the first line is white space; the search goes on behind it.
            let next = head::line(self.bytes, usize::from(span.end)).map_or(self.bytes.len(), |l| l.next);
            AllLines { bytes: self.header_section(), at: next }
        } else {
            self.no_lines()
        };
        Lines { first: Some(span.of(self.bytes)), rest, header }
    }

    /// All values of that header in order: every line, and within a line the values between commas where the header is
    /// a list (Via, Contact, Route, Path, Supported, ...).
    pub fn headers(&self, header: Header) -> Values<'a> {
        let split = header.shape() == Shape::List;
        Values { lines: self.lines(header), list: List::empty(), split }
    }

    /// The value of the first line with a header that has no place in the index. The whole header section is searched.
    pub fn other(&self, name: &str) -> Option<&'a [u8]> {
        self.others(name).next()
    }

    /// The values of all lines with a header that has no place in the index.
    pub fn others<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.all_lines().filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// Every header line: name as written and trimmed value. Lines that are none are left out.
    pub fn all_lines(&self) -> AllLines<'a> {
        AllLines { bytes: self.header_section(), at: usize::from(self.head.headers) }
    }

    fn no_lines(&self) -> AllLines<'a> {
        AllLines { bytes: &[], at: 0 }
    }

    /// The topmost Via.
    pub fn top_via(&self) -> Option<Via<'a>> {
        self.headers(Header::Via).next().and_then(Via::read)
    }

    /// From.
    pub fn from(&self) -> Option<NameAddr<'a>> {
        self.header(Header::From).and_then(NameAddr::read)
    }

    /// To.
    pub fn to(&self) -> Option<NameAddr<'a>> {
        self.header(Header::To).and_then(NameAddr::read)
    }

    /// Call-ID; empty when absent.
    pub fn call_id(&self) -> &'a [u8] {
        self.header(Header::CallId).unwrap_or_default()
    }

    /// CSeq.
    pub fn cseq(&self) -> Option<CSeq<'a>> {
        self.header(Header::CSeq).and_then(CSeq::read)
    }

    /// The contacts that can be read, in order. After validation that is all of them.
    pub fn contacts(&self) -> impl Iterator<Item = Contact<'a>> + use<'a> {
        self.headers(Header::Contact).filter_map(Contact::read)
    }

    /// Expires in seconds; `None` when absent or unreadable (RFC 3261 section 20.19: then the default counts).
    pub fn expires(&self) -> Option<u32> {
        self.header(Header::Expires).and_then(crate::headers::delta_seconds)
    }

    /// Max-Forwards; `None` when absent or not 0 to 255.
    pub fn max_forwards(&self) -> Option<u8> {
        self.header(Header::MaxForwards).and_then(decimal).and_then(|n| u8::try_from(n).ok())
    }

    /// The Digest credentials for a realm among all lines of `Authorization` or `Proxy-Authorization`.
    pub fn credentials(&self, header: Header, realm: &[u8]) -> Option<Authorization<'a>> {
        let same = |written: &[u8]| written == realm || unescaped(written).eq(realm.iter().copied());
        self.lines(header).filter_map(Authorization::read).find(|a| same(a.realm))
    }

    /// Whether an answer to it may be sent and has a way back, however broken the rest is: a request other than ACK whose
    /// topmost Via says where it came from, whatever stands behind that.
    pub fn is_answerable(&self) -> bool {
        let way_back = || self.headers(Header::Via).next().is_some_and(Via::has_sent_by);
        self.is_request() && self.method() != Method::Ack && way_back()
    }

    /// Whether it has all that its sender knows an answer by (RFC 3261 sections 8.2.6.2 and 17.1.3).
    pub fn is_identified(&self) -> bool {
        [Header::Via, Header::From, Header::To, Header::CallId, Header::CSeq]
            .into_iter()
            .all(|header| self.header(header).is_some())
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.bytes.split(|&b| b == b'\n');
        let first = lines.find(|l| !matches!(l, [] | [b'\r'])).unwrap_or_default();
        write!(f, "Message({}, {} bytes)", first.escape_ascii(), self.bytes.len())
    }
}

/// Header lines in order: (name, trimmed value).
#[derive(Clone, Copy, Debug)]
pub struct AllLines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for AllLines<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Line { end, next } = head::line(self.bytes, self.at)?;
            let at = core::mem::replace(&mut self.at, next);
            if let Some((name, behind)) = self.bytes.get(at..end).and_then(head::name) {
                let (from, to) = head::value(self.bytes, at + behind, end);
                return Some((name, self.bytes.get(from..to).unwrap_or_default()));
            }
        }
    }
}

/// The values of all lines of one header.
#[derive(Clone, Copy, Debug)]
pub struct Lines<'a> {
    first: Option<&'a [u8]>,
    rest: AllLines<'a>,
    header: Header,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let header = self.header;
        self.rest.find(|(name, _)| Header::from_name(name) == Some(header)).map(|(_, value)| value)
    }
}

/// All values of one header, lists taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    lines: Lines<'a>,
    list: List<'a>,
    split: bool,
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            if let Some(value) = self.list.next() {
                return Some(value);
            }
            let line = self.lines.next()?;
            // Without a comma there is nothing to take apart.
            if !self.split || memchr(b',', line).is_none() {
                return Some(line);
            }
            self.list = List::new(line);
        }
    }
}

#[cfg(test)]
mod tests;
