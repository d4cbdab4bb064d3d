//! Where a message ends on a stream (RFC 3261 section 18.3): by the blank line and Content-Length. It reads nothing else.

/// Longest message a phone takes; a stream that sends more is closed.
const MESSAGE_MAX: usize = 65_535;

/// What stands at the beginning of a stream's buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A message of so many bytes.
    Whole(usize),
    /// Line ends between messages, so many bytes (section 7.5, and the keep-alive of RFC 5626).
    Blank(usize),
    /// More has to arrive.
    Partial,
    /// No message can come of it.
    Broken,
}

pub(super) fn next_frame(buffer: &[u8]) -> Frame {
    let blank = buffer.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    if blank > 0 {
        return Frame::Blank(blank);
    }
    let Some(head) = buffer.windows(4).position(|w| w == b"\r\n\r\n") else {
        return if buffer.len() > MESSAGE_MAX { Frame::Broken } else { Frame::Partial };
    };
    let lines = buffer.get(..head).unwrap_or_default().split(|&b| b == b'\n');
    let length = lines.filter_map(content_length).next().unwrap_or(Some(0));
    match length.map(|body| head + 4 + body) {
        Some(whole) if whole > MESSAGE_MAX => Frame::Broken,
        Some(whole) if whole <= buffer.len() => Frame::Whole(whole),
        Some(_) => Frame::Partial,
        None => Frame::Broken,
    }
}

/// `Some(None)` for a Content-Length that is no number.
fn content_length(line: &[u8]) -> Option<Option<usize>> {
    let colon = line.iter().position(|&b| b == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    let name = name.trim_ascii();
    if !name.eq_ignore_ascii_case(b"content-length") && !name.eq_ignore_ascii_case(b"l") {
        return None;
    }
    let digits = value.get(1..).unwrap_or_default().trim_ascii();
    let fits = !digits.is_empty() && digits.len() <= 6 && digits.iter().all(u8::is_ascii_digit);
    Some(fits.then(|| digits.iter().fold(0, |n, d| n * 10 + usize::from(d - b'0'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_where_its_length_says_however_it_arrives() {
        let message = b"NOTIFY sip:a SIP/2.0\r\nl : 5\r\n\r\nhello";
        for end in 0..message.len() {
            assert_eq!(next_frame(&message[..end]), Frame::Partial, "{end}");
        }
        assert_eq!(next_frame(message), Frame::Whole(message.len()));
        assert_eq!(next_frame(&[message.as_slice(), b"NEXT"].concat()), Frame::Whole(message.len()));
    }

    #[test]
    fn without_a_length_there_is_no_body() {
        assert_eq!(next_frame(b"SIP/2.0 200 OK\r\nCSeq: 1 REGISTER\r\n\r\nSIP"), Frame::Whole(36));
    }

    #[test]
    fn line_ends_in_between_are_skipped() {
        assert_eq!(next_frame(b"\r\n\r\nSIP/2.0"), Frame::Blank(4));
        assert_eq!(next_frame(b""), Frame::Partial);
    }

    #[test]
    fn what_can_never_become_a_message_is_refused() {
        assert_eq!(next_frame(b"SIP/2.0 200 OK\r\nContent-Length: x\r\n\r\n"), Frame::Broken);
        assert_eq!(next_frame(b"SIP/2.0 200 OK\r\nContent-Length: 999999\r\n\r\n"), Frame::Broken);
        assert_eq!(next_frame(&vec![b'x'; MESSAGE_MAX + 1]), Frame::Broken);
    }
}
