//! SIP URIs (RFC 3261 section 19.1): taken apart, never copied. Other schemes are kept as text by whoever read them.
//!
//! Comparing and hashing users goes through their escapes (`%6a` is `j`), because a phone and its provisioning need not
//! write them alike. It never resolves a name: what is no address is the resolver's business.

use crate::text::{decimal, is_host, is_uri, split_number, split_while, trim, trim_start};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use memchr::memchr;

/// The port of sip over UDP and TCP.
pub const SIP_PORT: u16 = 5060;
/// The port of sips and of TLS.
pub const SIPS_PORT: u16 = 5061;

/// A host as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// A name, or digits and dots that are no address.
    Name(&'a [u8]),
    /// An IPv4 address.
    V4(&'a [u8], Ipv4Addr),
    /// An IPv6 reference, the text with its brackets.
    V6(&'a [u8], Ipv6Addr),
}

impl Default for Host<'_> {
    fn default() -> Self {
        Self::Name(&[])
    }
}

impl<'a> Host<'a> {
    /// `None` when the text cannot be a host. A bracketed text that is no IPv6 address but has only its characters (RFC 5118
    /// section 4.9) is a `Name`, so that a sender's mistake is echoed and not refused.
    pub fn read(text: &'a [u8]) -> Option<Self> {
        match text {
            [] => None,
            [b'[', inner @ .., b']'] => {
                let legal =
                    !inner.is_empty() && inner.iter().all(|&b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
                let parsed = core::str::from_utf8(inner).ok().and_then(|t| t.parse().ok());
                legal.then(|| parsed.map_or(Self::Name(text), |ip| Self::V6(text, ip)))
            }
            _ if text.iter().all(|&b| is_host(b)) => Self::of(text),
            _ => None,
        }
    }

    /// Of a text that has only what a name or an IPv4 address may ([`is_host`]). `None` when it is empty.
    #[inline]
    fn of(text: &'a [u8]) -> Option<Self> {
        match leading_ipv4(text) {
            Some((host, [])) => Some(host),
            _ => (!text.is_empty()).then_some(Self::Name(text)),
        }
    }

    /// As written, brackets included.
    pub const fn text(&self) -> &'a [u8] {
        match self {
            Self::Name(text) | Self::V4(text, _) | Self::V6(text, _) => text,
        }
    }

    /// The address, unless it is a name. An IPv4 address inside an IPv6 one becomes IPv4.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(_, ip) => Some(IpAddr::V4(*ip)),
            Self::V6(_, ip) => Some(IpAddr::V6(*ip).to_canonical()),
        }
    }

    /// Whether both name the same host: names without case, addresses by value.
    pub fn same(&self, other: &Host<'_>) -> bool {
        match (self.ip(), other.ip()) {
            (Some(a), Some(b)) => a == b,
            (None, None) => self.text().eq_ignore_ascii_case(other.text()),
            _ => false,
        }
    }
}

/// Four numbers from 0 to 255 of at most three digits at the front of a text, if what is behind it belongs to no host any more.
#[inline]
fn leading_ipv4(text: &[u8]) -> Option<(Host<'_>, &[u8])> {
    let (mut address, mut octet, mut digits, mut dots, mut len) = (0u32, 0u32, 0, 0, 0);
    for &b in text {
        let digit = u32::from(b.wrapping_sub(b'0'));
        if digit < 10 {
            (octet, digits) = (octet * 10 + digit, digits + 1);
            if digits > 3 {
                return None;
            }
        } else if b == b'.' && digits > 0 && octet < 256 && dots < 3 {
            (address, octet, digits, dots) = (address << 8 | octet, 0, 0, dots + 1);
        } else {
            break;
        }
        len += 1;
    }
    let (host, rest) = text.split_at_checked(len)?;
    let whole = digits > 0 && octet < 256 && dots == 3 && !rest.first().is_some_and(|&b| is_host(b));
    whole.then(|| (Host::V4(host, Ipv4Addr::from_bits(address << 8 | octet)), rest))
}

/// `host[:port]` at the front of a text, without white space, and what is behind it.
#[inline]
pub(crate) fn host_port(text: &[u8]) -> Option<(Host<'_>, Option<u16>, &[u8])> {
    let (host, rest) = match text {
        [b'[', ..] => {
            let (host, rest) = text.split_at_checked(memchr(b']', text)? + 1)?;
            (Host::read(host)?, rest)
        }
        [b'0'..=b'9', ..] if let Some(found) = leading_ipv4(text) => found,
        _ => {
            let (name, rest) = split_while(text, is_host);
            (Host::of(name)?, rest)
        }
    };
    let [b':', rest @ ..] = rest else { return Some((host, None, rest)) };
    let (port, rest) = split_number(rest, u16::MAX.into())?;
    Some((host, Some(u16::try_from(port).ok()?), rest))
}

/// `host[:port]` with white space around it and around the colon, as in sent-by.
pub(crate) fn split_host_port(text: &[u8]) -> Option<(Host<'_>, Option<u16>)> {
    let text = trim(text);
    let (host, rest) = match text {
        [b'[', ..] => text.split_at_checked(memchr(b']', text)? + 1)?,
        _ => split_while(text, is_host),
    };
    let port = match trim_start(rest) {
        [] => None,
        [b':', digits @ ..] => Some(decimal(trim_start(digits)).and_then(|n| u16::try_from(n).ok())?),
        _ => return None,
    };
    Some((Host::read(host)?, port))
}

/// Whether the text begins with a scheme and a colon and has something behind it.
#[inline]
pub(crate) fn has_scheme(uri: &[u8]) -> bool {
    matches!(uri, [b's', b'i', b'p', b':', _, ..]) || scheme(uri).is_some_and(|(_, rest)| !rest.is_empty())
}

/// Scheme and what is behind its colon (RFC 3986 section 3.1).
pub fn scheme(uri: &[u8]) -> Option<(&[u8], &[u8])> {
    if let [s @ .., b':'] = uri.get(..4)?
        && s.eq_ignore_ascii_case(b"sip")
    {
        return Some((s, uri.get(4..)?));
    }
    let colon = memchr(b':', uri)?;
    let (scheme, rest) = (uri.get(..colon)?, uri.get(colon + 1..)?);
    let legal = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|&b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    legal.then_some((scheme, rest))
}

/// A `sip:` or `sips:` URI.
#[derive(Clone, Copy, Debug)]
pub struct SipUri<'a> {
    /// `sips`.
    pub secure: bool,
    /// As written, escapes left; `None` when there is no `@`.
    pub user: Option<&'a [u8]>,
    /// Behind a colon in front of the `@`.
    pub password: Option<&'a [u8]>,
    /// The host.
    pub host: Host<'a>,
    /// The port, if written.
    pub port: Option<u16>,
    params: &'a [u8],
    /// Behind the `?`, as written.
    pub headers: Option<&'a [u8]>,
}

impl<'a> SipUri<'a> {
    /// A URI without brackets and without a header's parameters. `None` for another scheme, white space, brackets, quotes
    /// or control bytes anywhere, an empty user in front of `@`, and a host or port that cannot be read.
    pub fn read(uri: &'a [u8]) -> Option<Self> {
        split_while(uri, is_uri).1.is_empty().then(|| Self::read_clean(uri)).flatten()
    }

    /// The same for a text that is known to hold only what a URI may ([`is_uri`]).
    #[inline]
    pub(crate) fn read_clean(uri: &'a [u8]) -> Option<Self> {
        let (secure, rest) = match uri {
            [b's', b'i', b'p', b':', rest @ ..] => (false, rest),
            _ => other_case(uri)?,
        };
        // The user may hold semicolons, question marks and slashes (RFC 4475 section 3.1.1.9), but no `@`.
        let (info, behind) = split_while(rest, |b| b != b'@');
        let (user, password, host) = match behind {
            [] => (None, None, rest),
            _ if info.is_empty() => return None,
            [_, host @ ..] => match split_while(info, |b| b != b':') {
                (user, []) => (Some(user), None, host),
                ([], _) => return None,
                (user, [_, password @ ..]) => (Some(user), Some(password), host),
            },
        };
        let (host, port, behind) = host_port(host)?;
        let (params, headers) = match behind {
            [] => (behind, None),
            // Nor may there be one behind the host.
            [b';' | b'?', ..] if memchr(b'@', behind).is_none() => match memchr(b'?', behind) {
                Some(mark) => (behind.get(..mark)?, behind.get(mark + 1..)),
                None => (behind, None),
            },
            _ => return None,
        };
        Some(Self { secure, user, password, host, port, params, headers })
    }

    /// The URI's parameters.
    pub const fn params(&self) -> UriParams<'a> {
        UriParams { rest: self.params }
    }

    /// The parameters as written, beginning with a semicolon, or empty.
    pub const fn raw_params(&self) -> &'a [u8] {
        self.params
    }

    /// The `transport` parameter.
    pub fn transport(&self) -> Option<crate::headers::Transport> {
        self.params().get("transport").and_then(|p| p.value).map(crate::headers::Transport::from_name)
    }

    /// The port to use: the one written, or the scheme's and transport's own.
    pub fn effective_port(&self) -> u16 {
        let tls = self.secure || self.transport() == Some(crate::headers::Transport::Tls);
        self.port.unwrap_or(if tls { SIPS_PORT } else { SIP_PORT })
    }

    /// Where it leads without a resolver; `None` for names. `maddr` is not looked at.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        self.host.ip().map(|ip| SocketAddr::new(ip, self.effective_port()))
    }

    /// The user's bytes with escapes resolved, for hashing and comparing. Empty without a user. An escape that is none is
    /// taken as it stands.
    pub fn user_bytes(&self) -> Unescaped<'a> {
        Unescaped { rest: self.user.unwrap_or_default() }
    }

    /// The user as a slice when it has no escapes, which is nearly always.
    pub fn plain_user(&self) -> Option<&'a [u8]> {
        self.user.filter(|u| memchr(b'%', u).is_none())
    }

    /// Whether the user, escapes resolved, is this one. Users have a case (section 19.1.4).
    pub fn user_is(&self, user: &[u8]) -> bool {
        self.user.is_some() && self.user_bytes().eq(user.iter().copied())
    }

    /// The user with escapes resolved, at the front of `out`; `None` when it does not fit or there is none.
    pub fn copy_user<'o>(&self, out: &'o mut [u8]) -> Option<&'o [u8]> {
        self.user?;
        let mut n = 0;
        for b in self.user_bytes() {
            *out.get_mut(n)? = b;
            n += 1;
        }
        out.get(..n)
    }
}

/// The scheme in another case than usual, or `sips`: whether it is that, and what is behind its colon.
#[cold]
fn other_case(uri: &[u8]) -> Option<(bool, &[u8])> {
    let (scheme, rest) = scheme(uri)?;
    match scheme.len() {
        3 if scheme.eq_ignore_ascii_case(b"sip") => Some((false, rest)),
        4 if scheme.eq_ignore_ascii_case(b"sips") => Some((true, rest)),
        _ => None,
    }
}

/// Parameters of a URI: like a header's, but without quotes and white space, and with more characters in a value.
#[derive(Clone, Copy, Debug, Default)]
pub struct UriParams<'a> {
    rest: &'a [u8],
}

impl<'a> UriParams<'a> {
    /// The first parameter of that name, in any case.
    pub fn get(mut self, name: &str) -> Option<crate::text::Param<'a>> {
        self.find(|p| p.is(name))
    }

    /// Whether there is one of that name.
    pub fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

impl<'a> Iterator for UriParams<'a> {
    type Item = crate::text::Param<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let [b';', rest @ ..] = self.rest else { return None };
        let end = memchr(b';', rest).unwrap_or(rest.len());
        let (param, behind) = rest.split_at_checked(end)?;
        self.rest = behind;
        Some(match memchr(b'=', param) {
            Some(equal) => crate::text::Param { name: param.get(..equal)?, value: param.get(equal + 1..) },
            None => crate::text::Param { name: param, value: None },
        })
    }
}

/// See [`SipUri::user_bytes`].
#[derive(Clone, Debug)]
pub struct Unescaped<'a> {
    rest: &'a [u8],
}

impl<'a> Unescaped<'a> {
    /// Of any text with `%` escapes.
    pub const fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }
}

impl Iterator for Unescaped<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        if let [b'%', high, low, rest @ ..] = self.rest
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            self.rest = rest;
            return Some(high << 4 | low);
        }
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }
}

/// Whether the text is what a URI may consist of at all: something, and no white space, brackets, quotes or controls.
pub(crate) fn is_clean(uri: &[u8]) -> bool {
    !uri.is_empty() && uri.iter().all(|&b| is_uri(b))
}

#[cfg(test)]
mod tests;
