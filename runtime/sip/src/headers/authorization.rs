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
        let mut found = [None; Field::COUNT];
        let mut walk = AuthParams::new(rest);
        loop {
            let item = walk.item();
            let (field, behind) = match Field::at_start(item) {
                Some((field, behind)) => (Some(field), behind),
                None => match AuthParams::name(item)? {
                    Some((name, behind)) => (Field::from_name(name), behind),
                    None => break,
                },
            };
            let value = walk.value(behind)?;
            // A field that is there already: two readers could choose differently.
            if let Some(place) = field.and_then(|field| found.get_mut(field as usize))
                && place.replace(value).is_some()
            {
                return None;
            }
        }
        let [username, realm, nonce, uri, response, algorithm, cnonce, nc, qop, opaque] = found;
        Some(Self {
            username: username?,
            realm: realm?,
            nonce: nonce?,
            uri: uri?,
            response: response?,
            algorithm,
            cnonce,
            nc,
            qop,
            opaque,
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

/// What credentials may say, in the order of [`Authorization`]'s fields.
#[derive(Clone, Copy)]
enum Field {
    Username,
    Realm,
    Nonce,
    Uri,
    Response,
    Algorithm,
    Cnonce,
    Nc,
    Qop,
    Opaque,
}

impl Field {
    const COUNT: usize = 10;

    /// A name in any case.
    fn from_name(name: &[u8]) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        Some(match name.len() {
            2 if is("nc") => Self::Nc,
            3 if is("uri") => Self::Uri,
            3 if is("qop") => Self::Qop,
            5 if is("realm") => Self::Realm,
            5 if is("nonce") => Self::Nonce,
            6 if is("cnonce") => Self::Cnonce,
            6 if is("opaque") => Self::Opaque,
            8 if is("username") => Self::Username,
            8 if is("response") => Self::Response,
            9 if is("algorithm") => Self::Algorithm,
            _ => return None,
        })
    }

    /// The usual spelling, with its `=`, and what is behind it: a comparison or two instead of a walk. Whatever it does not know it
    /// leaves to [`AuthParams::name`].
    #[inline]
    fn at_start(text: &[u8]) -> Option<(Self, &[u8])> {
        macro_rules! first {
            ($($name:literal $id:ident),+) => {{
                $(if let Some(behind) = text.strip_prefix($name) { return Some((Self::$id, behind)); })+
                None
            }};
        }
        match text.first()? {
            b'u' => first!(b"username=" Username, b"uri=" Uri),
            b'r' => first!(b"realm=" Realm, b"response=" Response),
            b'n' => first!(b"nonce=" Nonce, b"nc=" Nc),
            b'a' => first!(b"algorithm=" Algorithm),
            b'c' => first!(b"cnonce=" Cnonce),
            b'q' => first!(b"qop=" Qop),
            b'o' => first!(b"opaque=" Opaque),
            _ => None,
        }
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

    /// The next parameter. `None`: text that is no parameter. `Some(None)`: the end.
    pub(super) fn next(&mut self) -> Option<Option<(&'a [u8], &'a [u8])>> {
        let item = self.item();
        let Some((name, behind)) = Self::name(item)? else { return Some(None) };
        Some(Some((name, self.value(behind)?)))
    }

    /// Goes to the next item and returns all from there on.
    #[inline]
    fn item(&mut self) -> &'a [u8] {
        // Empty list items are legal in an HTTP list, and a comma separates from the one before.
        while let [b, behind @ ..] = self.rest
            && (*b == b',' || is_lws(*b))
        {
            self.rest = behind;
        }
        self.rest
    }

    /// The name at the start of an item, and what is behind its `=`. `None`: text that is no parameter. `Some(None)`: the end.
    fn name(item: &[u8]) -> Option<Option<(&[u8], &[u8])>> {
        let (name, behind) = split_token(item);
        match trim_start(behind) {
            _ if item.is_empty() => Some(None),
            _ if name.is_empty() => None,
            [b'=', value @ ..] => Some(Some((name, value))),
            // A token without `=`: the next challenge begins.
            _ => Some(None),
        }
    }

    /// The value at the start of a text; the walk goes on behind it. `None` when there is something else between it and the next comma.
    #[inline]
    fn value(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        // The rules for one value are those of header parameters, which begin with a semicolon; only the value is read here.
        let (value, behind) = Params::value(trim_start(text))?;
        if !matches!(behind, [] | [b',', ..]) && !matches!(trim_start(behind), [] | [b',', ..]) {
            return None;
        }
        self.rest = behind;
        Some(value)
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
    fn a_name_may_be_written_in_any_case_and_with_space_behind_it() {
        let odd = FULL.replace("username=", "UserName = ").replace("nc=", "NC=").replace("uri=", "uri\t=");
        let a = Authorization::read(odd.as_bytes()).unwrap();
        assert_eq!((a.username, a.nc, a.uri), (&b"u\\\"1"[..], Some(&b"000000ff"[..]), &b"sip:x;y"[..]));
        let twice = [FULL, ", NONCE=\"n=\""].concat();
        assert!(Authorization::read(twice.as_bytes()).is_none());
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
