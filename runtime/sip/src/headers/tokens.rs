//! Lists of tokens: Require, Proxy-Require, Supported, Unsupported, Allow (RFC 3261 section 25.1).

use crate::header::Header;
use crate::message::Message;
use crate::text::all_token;

/// The tokens of every line of `header`, in order. Empty items and items that are no token are left out.
pub fn tokens<'a>(message: &Message<'a>, header: Header) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    message.headers(header).filter(|t| all_token(t))
}

/// Whether a list names a token, in any case: `has_option(&message, Header::Supported, "path")`.
pub fn has_option(message: &Message<'_>, header: Header, option: &str) -> bool {
    tokens(message, header).any(|t| t.eq_ignore_ascii_case(option.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_all_lines_are_found_in_any_case() {
        let text = "OPTIONS sip:a SIP/2.0\r\nSupported: replaces, Path,, \r\nk: timer\r\nSupported: b ad\r\n\r\n";
        let message = Message::parse(text.as_bytes()).unwrap();
        let all: Vec<_> = tokens(&message, Header::Supported).collect();
        assert_eq!(all, [&b"replaces"[..], b"Path", b"timer"]);
        assert!(has_option(&message, Header::Supported, "path"));
        assert!(!has_option(&message, Header::Supported, "outbound"));
        assert!(!has_option(&message, Header::Require, "path"));
    }
}
