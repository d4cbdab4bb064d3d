//! Authorization and Proxy-Authorization: a client's Digest credentials (RFC 7616 section 3.4). Reading only; whether
//! they are right is [`crate::digest`].

use crate::digest;
use crate::text::{Params, is_lws, split_token, trim_start};

/// Digest credentials. Quotes are removed, escapes inside them are left, as [`crate::digest`] wants them.
#[derive(Clone, Copy, Debug)]
pub struct Authorization<'a> {
    /// May hold escapes: compare through [`crate::text::unescaped`] when it has a backslash.
    pub username: &'a [u8],
    /// The realm.
    pub realm: &'a [u8],
    /// The nonce.
    pub nonce: &'a [u8],
    /// The digest-uri; need not be the Request-URI byte for byte.
    pub uri: &'a [u8],
    /// The answer, hex digits.
    pub response: &'a [u8],
    /// Absent is MD5.
    pub algorithm: Option<&'a [u8]>,
    /// The client's nonce.
    pub cnonce: Option<&'a [u8]>,
    /// Nonce count, hex digits as sent (see [`crate::digest::parse_nc`]).
    pub nc: Option<&'a [u8]>,
    /// Absent is RFC 2069.
    pub qop: Option<&'a [u8]>,
    /// Returned as it was given.
    pub opaque: Option<&'a [u8]>,
}

impl<'a> Authorization<'a> {
    /// `None` for another scheme, a missing username, realm, nonce, uri or response, a field that stands twice, and text
    /// that is no parameter: all of them are no credentials, and the answer is a challenge.
    pub fn read(value: &'a [u8]) -> Option<Self> {
        let (scheme, rest) = split_token(trim_start(value));
        if !scheme.eq_ignore_ascii_case(b"Digest") {
            return None;
        }
        let mut fields = Fields::default();
        let mut walk = AuthParams::new(rest);
        while let Some((name, value)) = walk.next()? {
            fields.take(name, value)?;
        }
        Some(Self {
            username: fields.username?,
            realm: fields.realm?,
            nonce: fields.nonce?,
            uri: fields.uri?,
            response: fields.response?,
            algorithm: fields.algorithm,
            cnonce: fields.cnonce,
            nc: fields.nc,
            qop: fields.qop,
            opaque: fields.opaque,
        })
    }

    /// What the check needs.
    pub const fn credentials(&self) -> digest::Credentials<'a> {
        digest::Credentials {
            algorithm: self.algorithm,
            nonce: self.nonce,
            uri: self.uri,
            qop: self.qop,
            nc: self.nc,
            cnonce: self.cnonce,
            response: self.response,
        }
    }
}

#[derive(Default)]
struct Fields<'a> {
    username: Option<&'a [u8]>,
    realm: Option<&'a [u8]>,
    nonce: Option<&'a [u8]>,
    uri: Option<&'a [u8]>,
    response: Option<&'a [u8]>,
    algorithm: Option<&'a [u8]>,
    cnonce: Option<&'a [u8]>,
    nc: Option<&'a [u8]>,
    qop: Option<&'a [u8]>,
    opaque: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    /// `None` when the field is there already: two readers could choose differently.
    fn take(&mut self, name: &[u8], value: &'a [u8]) -> Option<()> {
        let is = |known: &str| name == known.as_bytes() || name.eq_ignore_ascii_case(known.as_bytes());
        let place = match name.len() {
            2 if is("nc") => &mut self.nc,
            3 if is("uri") => &mut self.uri,
            3 if is("qop") => &mut self.qop,
            5 if is("realm") => &mut self.realm,
            5 if is("nonce") => &mut self.nonce,
            6 if is("cnonce") => &mut self.cnonce,
            6 if is("opaque") => &mut self.opaque,
            8 if is("username") => &mut self.username,
            8 if is("response") => &mut self.response,
            9 if is("algorithm") => &mut self.algorithm,
            _ => return Some(()),
        };
        if place.is_some() {
            return None;
        }
        *place = Some(value);
        Some(())
    }
}

/// `name=value, name="value"`: what follows a scheme. Stops before the next scheme of the same line.
#[derive(Clone, Copy, Debug)]
pub(super) struct AuthParams<'a> {
    rest: &'a [u8],
}

impl<'a> AuthParams<'a> {
    pub(super) const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// What is left: empty, or the next scheme.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// `None`: text that is no parameter. `Some(None)`: the end.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Option<(&'a [u8], &'a [u8])>> {
        let mut rest = self.rest;
        // Empty list items are legal in an HTTP list, and a comma separates from the one before.
        while let [b, behind @ ..] = rest
            && (*b == b',' || is_lws(*b))
        {
            rest = behind;
        }
        self.rest = rest;
        if rest.is_empty() {
            return Some(None);
        }
        let (name, behind) = split_token(rest);
        let value = match behind {
            [b'=', value @ ..] => value,
            _ => match trim_start(behind) {
                [b'=', value @ ..] => value,
                // A token without `=`: the next challenge begins.
                _ => return (!name.is_empty()).then_some(None),
            },
        };
        // The rules for one value are those of header parameters, which begin with a semicolon; only the value is read here.
        let (value, behind) = Params::value(trim_start(value))?;
        if name.is_empty() || !matches!(behind, [] | [b',', ..]) && !matches!(trim_start(behind), [] | [b',', ..]) {
            return None;
        }
        self.rest = behind;
        Some(Some((name, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "Digest username=\"u\\\"1\", realm=\"a, b\", nonce=\"n=\", uri=\"sip:x;y\", response=\"0123\", \
                        algorithm=MD5,cnonce=\"c\" , nc=000000ff,qop = auth, opaque=\"\", unknown=1";

    #[test]
    fn every_field_is_found_with_quotes_removed_and_escapes_left() {
        let a = Authorization::read(FULL.as_bytes()).unwrap();
        assert_eq!((a.username, a.realm), (&b"u\\\"1"[..], &b"a, b"[..]));
        assert_eq!((a.nonce, a.uri, a.response), (&b"n="[..], &b"sip:x;y"[..], &b"0123"[..]));
        assert_eq!((a.algorithm, a.qop), (Some(&b"MD5"[..]), Some(&b"auth"[..])));
        assert_eq!((a.cnonce, a.nc, a.opaque), (Some(&b"c"[..]), Some(&b"000000ff"[..]), Some(&b""[..])));
        assert_eq!(a.credentials().nonce, b"n=");
    }

    #[test]
    fn what_is_no_digest_answer_is_no_credentials() {
        for bad in [
            "",
            "Basic abc",
            "NoOneKnowsThisScheme opaque-data=here",
            "Digest",
            "Digest username=\"u\", realm=\"r\", nonce=\"n\", uri=\"s\"",
            "Digest username=\"u\", realm=\"r\", nonce=\"n\", uri=\"s\", response=\"1\", response=\"2\"",
            "Digest username=\"u\", realm=\"r\", nonce=\"n\", uri=\"s\", response=\"1",
            "Digest username=\"u\" realm=\"r\", nonce=\"n\", uri=\"s\", response=\"1\"",
        ] {
            assert!(Authorization::read(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
