//! Small scanners that every reader shares: tokens, white space, quoted strings, lists and parameters.
//!
//! They work on the bytes of one header value, in which CR and LF stand only where a line was folded, so all four of
//! space, tab, CR and LF count as white space (LWS, RFC 3261 section 25.1). Nothing here allocates, recurses or looks
//! at a byte more than a constant number of times.

use memchr::{memchr2, memchr3};

const TOKEN: u8 = 1;
const VALUE: u8 = 2;
const URI: u8 = 4;
const HOST: u8 = 8;

/// What each byte may be part of.
const CLASS: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut i = 0usize;
    while i < 256 {
        let b = i as u8;
        let token = b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        // Unquoted parameter values are tokens and hosts; what phones put there beyond that is harmless unless it is
        // a separator of the layer above.
        let value = b > b' ' && b != 0x7f && !matches!(b, b'"' | b',' | b';' | b'<' | b'>');
        // Between angle brackets anything goes but white space, controls, quotes and brackets.
        let uri = b > b' ' && b != 0x7f && !matches!(b, b'"' | b'<' | b'>');
        let host = b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let classes = [(token, TOKEN), (token || value, VALUE), (uri, URI), (host, HOST)];
        let mut j = 0usize;
        while j < classes.len() {
            #[expect(clippy::indexing_slicing, reason = "constant evaluation, i < 256, j < 4")]
            if classes[j].0 {
                table[i] |= classes[j].1;
            }
            j += 1;
        }
        i += 1;
    }
    table
};

#[expect(clippy::indexing_slicing, reason = "a byte indexes a table of 256")]
#[inline]
fn class(b: u8) -> u8 {
    CLASS[b as usize]
}

/// A character of `token` (RFC 3261 section 25.1).
#[inline]
pub(crate) fn is_token(b: u8) -> bool {
    class(b) & TOKEN != 0
}

/// A character that may stand in a URI between angle brackets. Tolerant: what is no separator does no harm.
#[inline]
pub(crate) fn is_uri(b: u8) -> bool {
    class(b) & URI != 0
}

/// A character of a host name or an IPv4 address; underscores too, because they exist.
#[inline]
pub(crate) fn is_host(b: u8) -> bool {
    class(b) & HOST != 0
}

/// Whether the whole text is a token of at least one character.
pub(crate) fn all_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| is_token(b))
}

/// White space, folds included.
pub(crate) fn is_lws(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

/// Without white space in front.
#[inline]
pub(crate) fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = text {
        text = rest;
    }
    text
}

/// Without white space at the end.
#[inline]
pub(crate) fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t' | b'\r' | b'\n'] = text {
        text = rest;
    }
    text
}

/// Without white space around it.
#[inline]
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    trim_end(trim_start(text))
}

/// Cuts off the longest prefix whose bytes satisfy `f`.
#[inline]
pub(crate) fn split_while(text: &[u8], f: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let (fours, _) = text.as_chunks::<4>();
    // Four at a time: nearly all texts are longer.
    let mut n = 4 * fours.iter().take_while(|[a, b, c, d]| f(*a) & f(*b) & f(*c) & f(*d)).count();
    while text.get(n).is_some_and(|&b| f(b)) {
        n += 1;
    }
    text.split_at_checked(n).unwrap_or((text, &[]))
}

/// Cuts off a token, which may be empty.
#[inline]
pub(crate) fn split_token(text: &[u8]) -> (&[u8], &[u8]) {
    split_while(text, is_token)
}

/// What follows an opening quote: (between the quotes, behind the closing one). `None` when it is never closed.
pub(crate) fn split_quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0usize;
    loop {
        let n = at + memchr2(b'"', b'\\', text.get(at..)?)?;
        if text.get(n) == Some(&b'"') {
            return Some((text.get(..n)?, text.get(n + 1..)?));
        }
        at = n + 2;
    }
}

/// Cuts off a decimal number of at most `max`; `None` when there is no digit or it is larger.
#[inline]
pub(crate) fn split_number(text: &[u8], max: u32) -> Option<(u32, &[u8])> {
    let (mut number, mut len) = (0u64, 0);
    for &b in text {
        let digit = u64::from(b.wrapping_sub(b'0'));
        if digit >= 10 {
            break;
        }
        number = number * 10 + digit;
        // Looked at each time: zeros in front may be many, and nothing here may wrap.
        if number > u64::from(max) {
            return None;
        }
        len += 1;
    }
    let (digits, rest) = text.split_at_checked(len)?;
    Some((u32::try_from(number).ok()?, rest)).filter(|_| !digits.is_empty())
}

/// Decimal digits only, at least one; saturates at `u64::MAX`.
#[inline]
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    // Nineteen digits always fit, and nearly all numbers are shorter.
    let fits = text.len() <= 19;
    text.iter().try_fold(0u64, |n, &b| {
        let digit = u64::from(b.wrapping_sub(b'0'));
        let next =
            if fits { n.wrapping_mul(10).wrapping_add(digit) } else { n.saturating_mul(10).saturating_add(digit) };
        (digit < 10).then_some(next)
    })
}

/// The items of a comma-separated list, trimmed; empty items are kept, because a reader has to refuse them. Commas
/// between quotes and angle brackets do not separate.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> List<'a> {
    /// Of one header value.
    pub const fn new(value: &'a [u8]) -> Self {
        Self { rest: Some(value) }
    }

    pub(crate) const fn empty() -> Self {
        Self { rest: None }
    }
}

impl<'a> Iterator for List<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.rest?;
        let mut at = 0usize;
        while let Some(rest) = text.get(at..)
            && let Some(n) = memchr3(b',', b'"', b'<', rest)
        {
            at += n + 1;
            let behind = text.get(at..).unwrap_or_default();
            match text.get(at - 1) {
                Some(b',') => {
                    self.rest = Some(behind);
                    return text.get(..at - 1).map(trim);
                }
                Some(b'"') => match split_quoted(behind) {
                    Some((inner, _)) => at += inner.len() + 1,
                    None => break,
                },
                _ => match memchr::memchr(b'>', behind) {
                    Some(close) => at += close + 1,
                    None => break,
                },
            }
        }
        self.rest = None;
        Some(trim(text))
    }
}

/// One parameter: `name` or `name=value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// As written; compare without case.
    pub name: &'a [u8],
    /// `None` for a flag. Quotes are removed, escapes inside them are not (see [`unescaped`]).
    pub value: Option<&'a [u8]>,
}

impl<'a> Param<'a> {
    /// Whether this is its name, in any case.
    #[inline]
    pub fn is(&self, name: &str) -> bool {
        self.name == name.as_bytes() || self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value as text; empty for a flag.
    pub fn text(&self) -> &'a [u8] {
        self.value.unwrap_or_default()
    }
}

/// The parameters of a header value (`;a=b;c`), in order. Ends at the first one that cannot be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Params<'a> {
    rest: &'a [u8],
}

impl<'a> Params<'a> {
    /// `text` starts with the first semicolon, white space allowed, or is empty.
    pub const fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// The text that is left.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The first parameter of that name.
    pub fn get(mut self, name: &str) -> Option<Param<'a>> {
        self.find(|p| p.is(name))
    }

    /// Whether there is a parameter of that name, with or without a value.
    pub fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A value at the start of `text`: (without its quotes, what is behind). `None` when a quote is never closed.
    #[inline]
    pub(crate) fn value(text: &[u8]) -> Option<(&[u8], &[u8])> {
        match text {
            [b'"', quoted @ ..] => split_quoted(quoted),
            bare => Some(split_while(bare, |b| class(b) & VALUE != 0)),
        }
    }

    /// One step: the next parameter, the end (`Ok(None)`), or text that is no parameter.
    #[inline]
    pub(crate) fn step(&mut self) -> Result<Option<Param<'a>>, NotAParam> {
        let behind = match trim_start(self.rest) {
            [] => {
                self.rest = &[];
                return Ok(None);
            }
            [b';', behind @ ..] => behind,
            _ => return Err(NotAParam),
        };
        let (name, behind) = split_token(trim_start(behind));
        if name.is_empty() {
            return Err(NotAParam);
        }
        let (value, behind) = match behind {
            [] | [b';', ..] => (None, behind),
            _ => match trim_start(behind) {
                [b'=', behind @ ..] => {
                    let (value, behind) = Self::value(trim_start(behind)).ok_or(NotAParam)?;
                    (Some(value), behind)
                }
                behind => (None, behind),
            },
        };
        self.rest = behind;
        Ok(Some(Param { name, value }))
    }
}

/// Text where a parameter should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAParam;

impl<'a> Iterator for Params<'a> {
    type Item = Param<'a>;

    fn next(&mut self) -> Option<Param<'a>> {
        let step = self.step();
        if step.is_err() {
            self.rest = &[];
        }
        step.ok().flatten()
    }
}

/// The bytes of a quoted string without its escapes: `\"` is `"`. Give it what stood between the quotes.
pub fn unescaped(text: &[u8]) -> impl Iterator<Item = u8> + Clone + '_ {
    let mut escaped = false;
    text.iter().copied().filter(move |&b| {
        escaped = b == b'\\' && !escaped;
        !escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Vec<&str> {
        List::new(text.as_bytes()).map(|i| core::str::from_utf8(i).unwrap()).collect()
    }

    #[test]
    fn commas_in_quotes_and_brackets_do_not_separate() {
        assert_eq!(items(r#""a, \" b" <sip:x,y@z> , sip:b;q="1,2""#), [r#""a, \" b" <sip:x,y@z>"#, r#"sip:b;q="1,2""#]);
        assert_eq!(items("a,,b,"), ["a", "", "b", ""]);
        assert_eq!(items("\"never closed, a"), ["\"never closed, a"]);
        assert_eq!(items("<never closed, a"), ["<never closed, a"]);
        assert_eq!(items(""), [""]);
    }

    #[test]
    fn parameters_may_have_white_space_and_quotes() {
        let all: Vec<_> = Params::new(b" ; a = b;flag\r\n ;q=\"x;\\\"y\" ; last").collect();
        let param = |name: &'static str, value: Option<&'static str>| Param {
            name: name.as_bytes(),
            value: value.map(str::as_bytes),
        };
        assert_eq!(all, [param("a", Some("b")), param("flag", None), param("q", Some("x;\\\"y")), param("last", None)]);
        assert!(Params::new(b";LR").has("lr"));
    }

    #[test]
    fn a_number_in_front_is_cut_off_up_to_a_bound() {
        assert_eq!(split_number(b"65535;x", 65_535), Some((65_535, &b";x"[..])));
        assert_eq!(split_number(b"000000000000000000000000007", 9), Some((7, &b""[..])));
        for none in [&b""[..], b"x", b"65536", b"99999999999999999999999999"] {
            assert_eq!(split_number(none, 65_535), None, "{none:?}");
        }
    }

    #[test]
    fn what_is_no_parameter_is_an_error_in_a_step_and_an_end_in_a_walk() {
        for text in [";;", "x", ";=a", ";a=\"b", ";a b", ";a=b c"] {
            let mut params = Params::new(text.as_bytes());
            let error = loop {
                match params.step() {
                    Ok(Some(_)) => {}
                    Ok(None) => break false,
                    Err(NotAParam) => break true,
                }
            };
            assert!(error, "{text}");
            assert!(Params::new(text.as_bytes()).count() < 2);
        }
    }

    #[test]
    fn numbers_are_digits_only_and_saturate() {
        assert_eq!(decimal(b"0070"), Some(70));
        assert_eq!(decimal(b"99999999999999999999999"), Some(u64::MAX));
        for bad in ["", "-1", "+1", "1 ", "0x1", "1.0"] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn escapes_are_taken_away() {
        let text: Vec<u8> = unescaped(br#"a\"b\\c\d"#).collect();
        assert_eq!(text, br#"a"b\cd"#);
    }
}
