//! From, To and everything else of the shape `"Display" <uri>;params` or `uri;params` (RFC 3261 section 20.10).

use crate::text::{NotAParam, Param, Params, is_lws, is_uri, split_quoted, split_while, trim, trim_start};
use crate::uri::{self, SipUri};
use memchr::memchr3;

/// A name-addr or addr-spec with the parameters behind it.
#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'a> {
    /// The display name without its quotes; escapes are left (see [`crate::text::unescaped`]). Empty when there is none.
    pub display: &'a [u8],
    /// The URI as written, without angle brackets.
    pub uri: &'a [u8],
    /// Value of the `tag` parameter; `None` when absent or empty.
    pub tag: Option<&'a [u8]>,
    /// The header's parameters. Without brackets everything behind the first semicolon is the header's.
    pub params: Params<'a>,
    /// The URI holds only what one may: it stood in brackets.
    clean: bool,
}

impl<'a> NameAddr<'a> {
    /// `None` when quotes or brackets do not close, the URI has no scheme or white space in it, the display name holds a
    /// separator, a URI without brackets has a `?` or comma, or something stands where a parameter should.
    #[inline]
    pub fn read(value: &'a [u8]) -> Option<Self> {
        Self::read_each(value, |_| {})
    }

    /// The same, showing each parameter on the way.
    #[inline]
    pub(crate) fn read_each(value: &'a [u8], mut each: impl FnMut(Param<'a>)) -> Option<Self> {
        let (display, uri, params, clean) = split(value)?;
        if !uri::has_scheme(uri) {
            return None;
        }
        let params = Params::new(params);
        let mut tag = None;
        let mut walk = params;
        loop {
            // As nearly all phones write it.
            if let Some(text) = walk.rest().strip_prefix(b";tag=")
                && let Some((value, behind @ ([] | [b';', ..]))) = Params::value(text)
            {
                tag = tag.or(Some(value));
                each(Param { name: b"tag", value: Some(value) });
                walk = Params::new(behind);
                continue;
            }
            match walk.step() {
                Ok(Some(p)) => {
                    if p.name.len() == 3 && tag.is_none() && p.is("tag") {
                        tag = p.value;
                    }
                    each(p);
                }
                Ok(None) => break,
                Err(NotAParam) => return None,
            }
        }
        Some(Self { display, uri, tag: tag.filter(|t| !t.is_empty()), params, clean })
    }

    /// The URI taken apart; `None` when it is no SIP URI.
    #[inline]
    pub fn sip_uri(&self) -> Option<SipUri<'a>> {
        if self.clean { SipUri::read_clean(self.uri) } else { SipUri::read(self.uri) }
    }
}

/// Display name, URI, parameters, and whether the URI stood in brackets.
type Pieces<'a> = (&'a [u8], &'a [u8], &'a [u8], bool);

#[inline]
fn split(value: &[u8]) -> Option<Pieces<'_>> {
    let value = trim_start(value);
    if let [b'<', behind @ ..] = value {
        let (uri, params) = bracketed(behind)?;
        return Some((&[], uri, params, true));
    }
    split_named(value)
}

/// With a display name or without brackets.
fn split_named(value: &[u8]) -> Option<Pieces<'_>> {
    if let [b'"', behind @ ..] = value {
        let (display, behind) = split_quoted(behind)?;
        let [b'<', behind @ ..] = trim_start(behind) else { return None };
        let (uri, params) = bracketed(behind)?;
        return Some((display, uri, params, true));
    }
    let at = memchr3(b'<', b'"', b';', value);
    if let Some(at) = at
        && let Some([b'<', behind @ ..]) = value.get(at..)
    {
        let display = trim(value.get(..at)?);
        // A comma would make two values of it, which is what an unquoted "Bell, Alexander" is (RFC 4475 section 3.1.2.15).
        if display.iter().any(|&b| matches!(b, b',' | b'>')) {
            return None;
        }
        let (uri, params) = bracketed(behind)?;
        return Some((display, uri, params, true));
    }
    let (uri, params) = split_while(value, |b| b != b';' && !is_lws(b));
    let ambiguous = uri.iter().any(|&b| matches!(b, b'?' | b',' | b'"' | b'>'));
    (!ambiguous).then_some((&[], uri, params, false))
}

/// What follows `<`: the URI, and what is behind `>`.
#[inline]
fn bracketed(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (uri, rest) = split_while(text, is_uri);
    let [b'>', params @ ..] = rest else { return None };
    Some((uri, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(&str, &str, Option<&str>)> {
        let n = NameAddr::read(text.as_bytes())?;
        let s = |b| core::str::from_utf8(b).unwrap();
        Some((s(n.display), s(n.uri), n.tag.map(s)))
    }

    #[test]
    fn all_forms_of_display_name_and_uri_are_read() {
        assert_eq!(read("<sip:a@b>;tag=1"), Some(("", "sip:a@b", Some("1"))));
        assert_eq!(read("sip:a@b;tag=1"), Some(("", "sip:a@b", Some("1"))));
        assert_eq!(read("sip:a@b"), Some(("", "sip:a@b", None)));
        assert_eq!(read("caller<sip:a@b;x=y>;tag=1"), Some(("caller", "sip:a@b;x=y", Some("1"))));
        assert_eq!(read("Mr  Bell <sip:a@b> ; tag = 1 ;x"), Some(("Mr  Bell", "sip:a@b", Some("1"))));
        assert_eq!(read(r#""A <b>" <sip:a@b>;tag=1"#), Some(("A <b>", "sip:a@b", Some("1"))));
        assert_eq!(read(r#""say \"hi\"" <sip:a@b>"#), Some((r#"say \"hi\""#, "sip:a@b", None)));
        assert_eq!(read(r#""" <sip:a@b?x=y>"#), Some(("", "sip:a@b?x=y", None)));
        assert_eq!(read("<isbn:2983792873>"), Some(("", "isbn:2983792873", None)));
        assert_eq!(read("Jos\u{e9} <sip:a@b>"), Some(("Jos\u{e9}", "sip:a@b", None)));
    }

    #[test]
    fn an_empty_tag_is_no_tag() {
        assert_eq!(read("<sip:a@b>;tag="), Some(("", "sip:a@b", None)));
        assert_eq!(read("<sip:a@b>;tag"), Some(("", "sip:a@b", None)));
    }

    #[test]
    fn what_has_two_readings_or_none_is_refused() {
        for bad in [
            "",
            "a@b",
            "<>",
            "<sip:a@b",
            "\"Mr. J. User <sip:a@b>",
            "Bell, Alexander <sip:a@b>",
            "\"Watson, Thomas\" < sip:a@b >",
            "<sip:a@b>;;;;",
            "<sip:a@b> x",
            "sip:a@b?Route=%3Csip:c%3E",
            "\"x\" sip:a@b",
            "<sip:a b@c>",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
