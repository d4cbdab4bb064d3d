//! A message as text: start line, headers by name, body; and the few pieces of header syntax a phone needs.
//!
//! A phone's own reader on purpose, like its writer: a stranger that shared the cluster's code would share its mistakes.
//! It reads what is there and judges nothing; what cannot be read is absent.

/// A complete message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    pub(super) start: &'a str,
    head: &'a str,
    pub(super) body: &'a str,
}

impl<'a> Text<'a> {
    /// `None` for bytes that are no text or have no blank line after the headers.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.trim_start_matches(['\r', '\n']);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let (start, head) = head.split_once("\r\n")?;
        Some(Self { start, head, body })
    }

    /// The values of a header, one per line, under its long or compact name.
    pub(super) fn lines(&self, long: &'static str, short: &'static str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.head.split("\r\n").filter_map(move |line| {
            let (name, value) = line.split_once(':')?;
            let name = name.trim();
            (name.eq_ignore_ascii_case(long) || (!short.is_empty() && name.eq_ignore_ascii_case(short)))
                .then(|| value.trim())
        })
    }

    pub(super) fn line(&self, long: &'static str, short: &'static str) -> Option<&'a str> {
        self.lines(long, short).next()
    }

    /// A header that is a number, whatever follows it.
    pub(super) fn number(&self, long: &'static str, short: &'static str) -> Option<u32> {
        leading_number(self.line(long, short)?)
    }

    /// The status code of an answer; `None` for a request.
    pub(super) fn status(&self) -> Option<u16> {
        let rest = self.start.strip_prefix("SIP/2.0 ")?;
        rest.get(..3)?.parse().ok().filter(|code| (100..700).contains(code))
    }

    /// Method and Request-URI of a request; `None` for an answer.
    pub(super) fn request(&self) -> Option<(&'a str, &'a str)> {
        let (method, rest) = self.start.split_once(' ')?;
        let (uri, version) = rest.rsplit_once(' ')?;
        (version == "SIP/2.0").then_some((method, uri))
    }

    /// The number of CSeq.
    pub(super) fn cseq(&self) -> Option<u32> {
        self.number("CSeq", "")
    }

    /// The branch of the topmost Via.
    pub(super) fn branch(&self) -> Option<&'a str> {
        let via = split_list(self.line("Via", "v")?).next()?;
        parameter(via, "branch")
    }
}

pub(super) fn leading_number(text: &str) -> Option<u32> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

/// Splits at commas that stand outside quotes and angle brackets.
pub(super) fn split_list(text: &str) -> impl Iterator<Item = &str> {
    split_outside(text, b',')
}

fn split_outside(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut escaped, mut angle) = (false, false, false);
        let at = text.bytes().position(|b| {
            if escaped {
                escaped = false;
                return false;
            }
            match b {
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'<' if !quoted => angle = true,
                b'>' if !quoted => angle = false,
                _ => return b == separator && !quoted && !angle,
            }
            false
        });
        let (piece, after) = match at.and_then(|at| text.split_at_checked(at)) {
            Some((piece, after)) => (piece, after.get(1..)),
            None => (text, None),
        };
        rest = after;
        Some(piece.trim())
    })
}

/// A parameter after `;`, quotes removed; empty for one without value. What stands in angle brackets is not looked at.
pub(super) fn parameter<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    split_outside(text, b';').skip(1).find_map(|piece| value_of(piece, name))
}

/// `name=value` or `name`.
pub(super) fn value_of<'a>(piece: &'a str, name: &str) -> Option<&'a str> {
    let (found, value) = piece.split_once('=').unwrap_or((piece, ""));
    if !found.trim().eq_ignore_ascii_case(name) {
        return None;
    }
    let value = value.trim();
    Some(value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value))
}

/// The URI of a Contact, From or To value: between the angle brackets, or all before the first `;`.
pub(super) fn uri(text: &str) -> &str {
    match text.split_once('<').and_then(|(_, rest)| rest.split_once('>')) {
        Some((uri, _)) => uri,
        None => text.split(';').next().unwrap_or_default().trim(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_split_at_commas_outside_quotes_and_brackets_only() {
        let list = r#""a, \"b" <sip:a,b@c>;q=1, <sip:d>;x="1,2",sip:e"#;
        let pieces: Vec<&str> = split_list(list).collect();
        assert_eq!(pieces, [r#""a, \"b" <sip:a,b@c>;q=1"#, r#"<sip:d>;x="1,2""#, "sip:e"]);
    }

    #[test]
    fn parameters_in_brackets_belong_to_the_uri() {
        let contact = r#"<sip:a@b;transport=tcp;expires=1>;Expires = 60;flag;v="q""#;
        assert_eq!(parameter(contact, "expires"), Some("60"));
        assert_eq!(parameter(contact, "transport"), None);
        assert_eq!(parameter(contact, "flag"), Some(""));
        assert_eq!(parameter(contact, "v"), Some("q"));
        assert_eq!(uri(contact), "sip:a@b;transport=tcp;expires=1");
        assert_eq!(uri("sip:a@b;expires=3"), "sip:a@b");
    }

    #[test]
    fn a_message_gives_its_headers_under_both_names() {
        let bytes = b"\r\nSIP/2.0 200 OK\r\nv: SIP/2.0/UDP h;branch=z9hG4bKx , SIP/2.0/UDP i\r\nCSEQ: 7 REGISTER\r\nm: <a>\r\n\r\nbody";
        let text = Text::read(bytes).expect("readable");
        assert_eq!(text.status(), Some(200));
        assert_eq!(text.request(), None);
        assert_eq!((text.branch(), text.cseq(), text.body), (Some("z9hG4bKx"), Some(7), "body"));
        assert_eq!(text.line("Contact", "m"), Some("<a>"));
        let request = Text::read(b"NOTIFY sip:a@b SIP/2.0\r\nX: y\r\n\r\n").expect("readable");
        assert_eq!((request.request(), request.status()), (Some(("NOTIFY", "sip:a@b")), None));
    }

    #[test]
    fn what_is_no_message_reads_as_none() {
        assert!(Text::read(b"").is_none());
        assert!(Text::read(b"\xff\xfe\r\n\r\n\r\n").is_none());
        assert!(Text::read(b"SIP/2.0 200 OK\r\nVia: x").is_none());
        assert_eq!(Text::read(b"SIP/2.0 9 OK\r\nA: b\r\n\r\n").and_then(|t| t.status()), None);
    }
}
