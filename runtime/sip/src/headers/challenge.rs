//! WWW-Authenticate and Proxy-Authenticate as a client reads them (RFC 7616 section 3.3, RFC 8760 section 2.4).

use super::authorization::AuthParams;
use crate::digest;
use crate::header::Header;
use crate::message::{Lines, Message};
use crate::text::{List, split_token, trim_start};

/// One challenge. Quotes are removed, escapes left.
#[derive(Clone, Copy, Debug)]
pub struct Challenge<'a> {
    /// `Digest`, or a scheme nobody here speaks.
    pub scheme: &'a [u8],
    /// Empty when absent.
    pub realm: &'a [u8],
    /// Empty when absent.
    pub nonce: &'a [u8],
    /// To be returned unchanged.
    pub opaque: Option<&'a [u8]>,
    /// Absent is MD5.
    pub algorithm: Option<&'a [u8]>,
    /// The list of protections offered.
    pub qop: Option<&'a [u8]>,
    /// The nonce before was right but too old: no need to ask for the password again.
    pub stale: bool,
}

impl<'a> Challenge<'a> {
    /// As [`crate::digest::answer`] takes it; `None` when the scheme or the algorithm is not spoken, or when it offers
    /// protections but not `auth`.
    pub fn for_digest(&self) -> Option<digest::Challenge<'a>> {
        if !self.scheme.eq_ignore_ascii_case(b"Digest") {
            return None;
        }
        let algorithm = self.algorithm.map_or(Some(digest::Algorithm::Md5), digest::Algorithm::from_name)?;
        let qop_auth = match self.qop {
            None => false,
            Some(offers) => List::new(offers).any(|q| q.eq_ignore_ascii_case(b"auth")).then_some(true)?,
        };
        let Self { realm, nonce, opaque, .. } = *self;
        Some(digest::Challenge { algorithm, realm, nonce, opaque, qop_auth })
    }
}

/// The challenges of a response in order: every line of `header` (WWW-Authenticate or Proxy-Authenticate), and several in one
/// line where a server puts them there. Unreadable text ends its line.
pub fn challenges<'a>(message: &Message<'a>, header: Header) -> Challenges<'a> {
    Challenges { lines: message.lines(header), rest: &[] }
}

/// See [`challenges`].
#[derive(Clone, Copy, Debug)]
pub struct Challenges<'a> {
    lines: Lines<'a>,
    rest: &'a [u8],
}

impl<'a> Iterator for Challenges<'a> {
    type Item = Challenge<'a>;

    fn next(&mut self) -> Option<Challenge<'a>> {
        loop {
            let (scheme, params) = split_token(trim_start(self.rest));
            if scheme.is_empty() {
                self.rest = self.lines.next()?;
                continue;
            }
            self.rest = &[];
            if let Some((challenge, rest)) = read(scheme, params) {
                self.rest = rest;
                return Some(challenge);
            }
        }
    }
}

fn read<'a>(scheme: &'a [u8], params: &'a [u8]) -> Option<(Challenge<'a>, &'a [u8])> {
    let mut challenge =
        Challenge { scheme, realm: &[], nonce: &[], opaque: None, algorithm: None, qop: None, stale: false };
    let mut walk = AuthParams::new(params);
    while let Some((name, value)) = walk.next()? {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            3 if is("qop") => challenge.qop = Some(value),
            5 if is("realm") => challenge.realm = value,
            5 if is("nonce") => challenge.nonce = value,
            5 if is("stale") => challenge.stale = value.eq_ignore_ascii_case(b"true"),
            6 if is("opaque") => challenge.opaque = Some(value),
            9 if is("algorithm") => challenge.algorithm = Some(value),
            _ => {}
        }
    }
    Some((challenge, walk.rest()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(lines: &str) -> String {
        format!("SIP/2.0 401 Unauthorized\r\n{lines}Content-Length: 0\r\n\r\n")
    }

    #[test]
    fn several_lines_and_several_in_one_line_are_read_in_order() {
        let text = response(
            "WWW-Authenticate: Digest realm=\"r\", nonce=\"1\", algorithm=SHA-256, qop=\"auth,auth-int\", stale=TRUE\r\n\
             WWW-Authenticate: Digest realm=\"r\", nonce=\"2\", Basic realm=\"x\"\r\n",
        );
        let message = Message::parse(text.as_bytes()).unwrap();
        let all: Vec<_> = challenges(&message, Header::WwwAuthenticate).collect();
        assert_eq!(all.len(), 3);
        let first = all[0].for_digest().unwrap();
        assert_eq!((first.algorithm, first.nonce, first.qop_auth), (digest::Algorithm::Sha256, &b"1"[..], true));
        assert!(all[0].stale);
        let second = all[1].for_digest().unwrap();
        assert_eq!((second.algorithm, second.nonce, second.qop_auth), (digest::Algorithm::Md5, &b"2"[..], false));
        assert!(all[2].for_digest().is_none());
    }

    #[test]
    fn a_challenge_that_cannot_be_met_is_not_answered() {
        for params in ["algorithm=MD5-sess", "qop=\"auth-int\""] {
            let text = response(&format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"1\", {params}\r\n"));
            let message = Message::parse(text.as_bytes()).unwrap();
            let challenge = challenges(&message, Header::WwwAuthenticate).next().unwrap();
            assert!(challenge.for_digest().is_none(), "{params}");
        }
    }
}
