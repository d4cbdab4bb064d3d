//! CSeq: the order of requests within a Call-ID (RFC 3261 section 20.16).

use crate::method::Method;
use crate::text::{is_lws, split_number, split_token, trim_start};

/// The largest number that may be sent (section 8.1.1.5: less than 2^31).
pub const MAX: u32 = 0x7fff_ffff;

/// `4711 REGISTER`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// At most [`MAX`].
    pub number: u32,
    /// As written.
    pub method_name: &'a [u8],
}

impl<'a> CSeq<'a> {
    /// `None` when it is not a number up to 2^31-1, white space and a token.
    pub fn read(value: &'a [u8]) -> Option<Self> {
        let (number, rest) = split_number(trim_start(value), MAX)?;
        let method = trim_start(rest);
        let (method_name, behind) = match method {
            b"REGISTER" => (method, &[][..]),
            _ => split_token(method),
        };
        let complete = !method_name.is_empty() && method.len() < rest.len() && behind.iter().all(|&b| is_lws(b));
        complete.then_some(Self { number, method_name })
    }

    /// The method.
    pub fn method(&self) -> Method {
        Method::from_name(self.method_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_method_are_read_with_any_white_space_between() {
        let cseq = CSeq::read(b"0009\r\n  INVITE").unwrap();
        assert_eq!((cseq.number, cseq.method_name, cseq.method()), (9, &b"INVITE"[..], Method::Invite));
        assert_eq!(CSeq::read(b"2147483647 X").map(|c| c.number), Some(MAX));
    }

    #[test]
    fn everything_else_is_refused() {
        for bad in
            ["", "1", "1 ", "REGISTER", "1REGISTER", "-1 REGISTER", "2147483648 X", "36893488147419103232 X", "1 A B"]
        {
            assert_eq!(CSeq::read(bad.as_bytes()), None, "{bad}");
        }
    }
}
