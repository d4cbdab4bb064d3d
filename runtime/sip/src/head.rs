//! The index of a message: where its start line, its header values and its body lie. Made by one pass over the header
//! section, a plain `Copy` value of fixed size, so that a message costs no allocation however it is passed on.
//!
//! It judges only what makes bytes no message at all (the start line's shape, header names, line ends); whether a
//! message is *acceptable* is [`crate::validate`]. It goes on after a defect, because a 400 needs the headers behind it.

use crate::blocks::Feeds;
use crate::header::{COUNT, Header};
use crate::method::Method;
use crate::reason::RefusalReason;
use crate::text::{all_token, decimal, trim, trim_end};
use memchr::{memchr, memrchr};

/// Longest message that is read: an offset must fit 16 bits, and no datagram is longer.
pub const MAX_MESSAGE: usize = 65_535;

/// A piece of the message. `start` 0 means absent: a start line comes before everything that has a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u16,
    pub(crate) end: u16,
}

impl Span {
    /// Offsets are at most [`MAX_MESSAGE`], which `scan` has checked.
    const fn new(start: usize, end: usize) -> Self {
        Self { start: start as u16, end: end as u16 }
    }

    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(usize::from(self.start)..usize::from(self.end)).unwrap_or_default()
    }
}

/// Where everything lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// The first value of each header, trimmed.
    first: [Span; COUNT],
    /// Which headers stand in more than one line.
    pub(crate) repeated: u32,
    pub(crate) method_name: Span,
    pub(crate) request_uri: Span,
    pub(crate) version: Span,
    /// The reason phrase of a response.
    pub(crate) phrase: Span,
    /// Where the first header line starts.
    pub(crate) headers: u16,
    /// Where the body starts; the message's length when the header section never ends.
    pub(crate) body: u16,
    /// 0 for a request and for a response whose code is out of range.
    pub(crate) status: u16,
    pub(crate) method: Method,
    pub(crate) kind: Kind,
    /// White space where none may be in the start line: tolerated by the index, refused by validation.
    pub(crate) sloppy_start: bool,
    /// A line goes on behind its line end.
    pub(crate) folded: bool,
    /// There may be control bytes or bare line ends; without this there are none.
    pub(crate) suspect: bool,
}

/// What the start line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Response,
    Neither,
}

impl Head {
    pub(crate) const EMPTY: Self = Self {
        first: [Span { start: 0, end: 0 }; COUNT],
        repeated: 0,
        method_name: Span { start: 0, end: 0 },
        request_uri: Span { start: 0, end: 0 },
        version: Span { start: 0, end: 0 },
        phrase: Span { start: 0, end: 0 },
        headers: 0,
        body: 0,
        status: 0,
        method: Method::Other,
        kind: Kind::Neither,
        sloppy_start: false,
        folded: false,
        suspect: false,
    };

    pub(crate) fn first(&self, header: Header) -> Option<Span> {
        self.first.get(header as usize).copied().filter(|s| s.start != 0)
    }

    fn add(&mut self, header: Header, span: Span) {
        if let Some(place) = self.first.get_mut(header as usize) {
            if place.start == 0 {
                *place = span;
            } else {
                self.repeated |= header.bit();
            }
        }
    }
}

/// One line, folds included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    /// Behind its last byte, line end excluded.
    pub(crate) end: usize,
    /// Where the next line starts.
    pub(crate) next: usize,
}

/// The line that starts at `at`, or goes on there. `None` when no line end follows.
#[inline]
pub(crate) fn line(bytes: &[u8], at: usize) -> Option<Line> {
    let mut from = at;
    loop {
        let feed = from + memchr(b'\n', bytes.get(from..)?)?;
        let next = feed + 1;
        let crlf = feed > at && bytes.get(feed - 1) == Some(&b'\r');
        if !matches!(bytes.get(next), Some(b' ' | b'\t')) {
            return Some(Line { end: feed - usize::from(crlf), next });
        }
        from = next;
    }
}

/// A header line taken apart: the name without the white space that may stand before the colon, and where the value
/// starts. `None` when it has no colon or its name is no token.
pub(crate) fn name(line: &[u8]) -> Option<(&[u8], usize)> {
    let colon = memchr(b':', line)?;
    let mut name = line.get(..colon)?;
    // Not `trim_end`: a fold inside a name is no name.
    while let [rest @ .., b' ' | b'\t'] = name {
        name = rest;
    }
    all_token(name).then_some((name, colon + 1))
}

/// The trimmed value of a header line of which `start..end` is behind the colon.
#[inline]
pub(crate) fn value(bytes: &[u8], mut start: usize, mut end: usize) -> (usize, usize) {
    let is_space = |b: Option<&u8>| b.is_some_and(|&b| b <= b' ' && crate::text::is_lws(b));
    while start < end && is_space(bytes.get(start)) {
        start += 1;
    }
    while start < end && is_space(bytes.get(end - 1)) {
        end -= 1;
    }
    (start, end)
}

/// Reads the index into an empty head and names the first defect. Time is linear in the header section.
pub(crate) fn scan(head: &mut Head, bytes: &[u8]) -> Option<RefusalReason> {
    if bytes.len() > MAX_MESSAGE {
        return Some(RefusalReason::TooLarge);
    }
    head.body = bytes.len() as u16;
    head.headers = head.body;
    // RFC 3261 section 7.5: empty lines before the start line are ignored.
    let mut start = 0;
    while matches!(bytes.get(start), Some(b'\r' | b'\n')) {
        start += 1;
    }
    if start == bytes.len() {
        return Some(RefusalReason::Empty);
    }
    // A start line is never folded: white space behind it belongs to a header line without a name.
    let mut feeds = Feeds::from(bytes, start);
    let Some(feed) = feeds.next() else {
        return Some(RefusalReason::StartLine);
    };
    let clean = feed > start && bytes.get(feed - 1) == Some(&b'\r');
    if !start_line(head, bytes, start, feed - usize::from(clean)) {
        return Some(RefusalReason::StartLine);
    }
    head.headers = (feed + 1) as u16;
    let defect = if clean { None } else { Some(RefusalReason::LineEnd) };
    let rest = header_lines(head, bytes, feed + 1, &mut feeds);
    head.suspect |= feeds.suspect() || !clean;
    defect.or(rest)
}

fn header_lines(head: &mut Head, bytes: &[u8], mut at: usize, feeds: &mut Feeds<'_>) -> Option<RefusalReason> {
    let mut defect = None;
    loop {
        let Some(feed) = feeds.next() else { return defect.or(Some(RefusalReason::Truncated)) };
        // A usual line is followed by another or by the empty one, so by a byte at least.
        let (text, next) = match bytes.get(at..feed + 2) {
            Some([text @ .., b'\r', b'\n', behind]) if !text.is_empty() && !matches!(behind, b' ' | b'\t') => {
                (text, feed + 1)
            }
            _ if matches!(bytes.get(at..feed), Some([b'\r'])) => {
                head.body = (feed + 1) as u16;
                return defect;
            }
            _ => match unusual_line(head, bytes, at, feed, feeds, &mut defect) {
                Some(line) => (bytes.get(at..line.end).unwrap_or_default(), line.next),
                None => return defect,
            },
        };
        let found = match Header::at_line_start(text) {
            Some((header, behind)) => Some((Some(header), behind)),
            None => name(text).map(|(name, behind)| (Header::from_name(name), behind)),
        };
        match found {
            Some((Some(header), behind)) => {
                let (from, to) = match text.get(behind..) {
                    // Nearly always one space in front and none behind.
                    Some([b' ', first, .., last]) if *first > b' ' && *last > b' ' => {
                        (at + behind + 1, at + text.len())
                    }
                    _ => value(bytes, at + behind, at + text.len()),
                };
                head.add(header, Span::new(from, to));
            }
            Some((None, _)) => {}
            None => defect = defect.or(Some(RefusalReason::HeaderName)),
        }
        at = next;
    }
}

/// A line that is folded, or does not end in CR LF; `feed` is its first line feed. `None` at the end of the section, with or without a defect.
#[cold]
fn unusual_line(
    head: &mut Head,
    bytes: &[u8],
    at: usize,
    mut feed: usize,
    feeds: &mut Feeds<'_>,
    defect: &mut Option<RefusalReason>,
) -> Option<Line> {
    // LF alone ends the section too, but is a defect.
    if feed == at {
        head.body = (feed + 1) as u16;
        *defect = defect.or(Some(RefusalReason::LineEnd));
        return None;
    }
    let ends_well = |feed: usize| feed > at && bytes.get(feed - 1) == Some(&b'\r');
    let mut clean = ends_well(feed);
    while matches!(bytes.get(feed + 1), Some(b' ' | b'\t')) {
        head.folded = true;
        let Some(further) = feeds.next() else {
            *defect = defect.or(Some(RefusalReason::Truncated));
            return None;
        };
        feed = further;
        clean &= ends_well(feed);
    }
    if !clean {
        *defect = defect.or(Some(RefusalReason::LineEnd));
    }
    // Whatever stands before the LF, nobody has looked at it.
    head.suspect |= !clean;
    Some(Line { end: feed - usize::from(ends_well(feed)), next: feed + 1 })
}

/// `false` when it is no start line of SIP at all.
fn start_line(head: &mut Head, bytes: &[u8], start: usize, end: usize) -> bool {
    let text = bytes.get(start..end).unwrap_or_default();
    if text.get(..4).is_some_and(|t| t.eq_ignore_ascii_case(b"SIP/")) {
        return status_line(head, text, start);
    }
    if let Some(behind) = text.strip_prefix(b"REGISTER ")
        && let Some(uri) = behind.strip_suffix(b" SIP/2.0")
        && trim(uri).len() == uri.len()
    {
        let (from, to) = (start + text.len() - behind.len(), start + text.len() - b" SIP/2.0".len());
        head.kind = Kind::Request;
        head.method = Method::Register;
        head.method_name = Span::new(start, from - 1);
        head.version = Span::new(to + 1, start + text.len());
        head.request_uri = Span::new(from, to);
        return true;
    }
    let trimmed = trim_end(text);
    let (Some(first), Some(last)) = (memchr(b' ', trimmed), memrchr(b' ', trimmed)) else { return false };
    let (Some(method), Some(version)) = (trimmed.get(..first), trimmed.get(last + 1..)) else { return false };
    if first == last || !version.get(..4).is_some_and(|t| t.eq_ignore_ascii_case(b"SIP/")) || !all_token(method) {
        return false;
    }
    let uri = trimmed.get(first + 1..last).unwrap_or_default();
    head.kind = Kind::Request;
    head.method = Method::from_name(method);
    head.method_name = Span::new(start, start + first);
    head.version = Span::new(start + last + 1, start + trimmed.len());
    head.sloppy_start = trimmed.len() != text.len() || trim(uri).len() != uri.len();
    let (from, to) = value(bytes, start + first + 1, start + last);
    head.request_uri = Span::new(from, to);
    true
}

/// `SIP/2.0 200 OK`; the phrase may be missing, even with its space.
fn status_line(head: &mut Head, text: &[u8], start: usize) -> bool {
    let Some(space) = memchr(b' ', text) else { return false };
    let behind = text.get(space + 1..).unwrap_or_default();
    let digits = memchr(b' ', behind).unwrap_or(behind.len());
    let Some(code) = behind.get(..digits).and_then(decimal) else { return false };
    head.kind = Kind::Response;
    head.version = Span::new(start, start + space);
    if digits == 3 && matches!(code, 100..=699) {
        head.status = code as u16;
    }
    let phrase = (space + 1 + digits + 1).min(text.len());
    head.phrase = Span::new(start + phrase, start + text.len());
    true
}

#[cfg(test)]
mod tests;
