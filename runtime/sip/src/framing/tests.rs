//! Cutting streams: any cut gives the same frames, and nothing grows without bound.

use super::*;
use crate::Message;

fn message(body: &str) -> String {
    format!("OPTIONS sip:a SIP/2.0\r\nCall-ID: {}\r\nl: {}\r\n\r\n{body}", body.len(), body.len())
}

/// What comes out, as text, when the stream arrives in pieces of `size` bytes.
fn cut(side: Side, stream: &[u8], size: usize) -> (Vec<String>, Option<FrameError>) {
    let mut framer = Framer::new(side);
    let mut frames = Vec::new();
    for piece in stream.chunks(size) {
        let mut rest = piece;
        loop {
            rest = &rest[framer.push(rest)..];
            loop {
                match framer.poll() {
                    Ok(Some(Frame::Message(m))) => frames.push(String::from_utf8_lossy(m).into_owned()),
                    Ok(Some(Frame::Ping)) => frames.push("ping".into()),
                    Ok(Some(Frame::Pong)) => frames.push("pong".into()),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error)),
                }
            }
            if rest.is_empty() {
                break;
            }
        }
    }
    (frames, None)
}

#[test]
fn every_cut_of_a_stream_gives_the_same_frames() {
    let (a, b) = (message(""), message("v=0\r\n\r\nx"));
    let stream = format!("\r\n{a}\r\n\r\n{b}\r\n{b}{a}\r\n\r\n\r\n\r\n");
    let expected = vec![a.clone(), "ping".into(), b.clone(), b, a, "ping".into(), "ping".into()];
    for size in 1..=stream.len() {
        assert_eq!(cut(Side::Server, stream.as_bytes(), size), (expected.clone(), None), "{size}");
    }
}

#[test]
fn a_client_hears_pongs() {
    let a = message("x");
    let stream = format!("\r\n{a}\r\n\r\n");
    for size in 1..=stream.len() {
        let (frames, error) = cut(Side::Client, stream.as_bytes(), size);
        assert_eq!((frames, error), (vec!["pong".into(), a.clone(), "pong".into(), "pong".into()], None));
    }
}

#[test]
fn what_cannot_be_cut_ends_the_stream_for_good() {
    let long_head = format!("OPTIONS sip:a SIP/2.0\r\nX: {}\r\nl: 0\r\n\r\n", "x".repeat(MAX_HEAD));
    let endless = "OPTIONS ".repeat(MAX_HEAD);
    for (stream, error) in [
        ("\u{16}\u{3}\u{1}", FrameError::Garbage),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", FrameError::Garbage),
        ("\r\n(", FrameError::Garbage),
        ("OPTIONS sip:a SIP/2.0\r\nCall-ID: c\r\n\r\n", FrameError::MissingContentLength),
        ("OPTIONS sip:a SIP/2.0\r\nl: x\r\n\r\n", FrameError::BadContentLength),
        ("OPTIONS sip:a SIP/2.0\r\nl: -1\r\n\r\n", FrameError::BadContentLength),
        ("OPTIONS sip:a SIP/2.0\r\nl: 1\r\nContent-Length: 1\r\n\r\n", FrameError::BadContentLength),
        ("OPTIONS sip:a SIP/2.0\r\nl: 65535\r\n\r\n", FrameError::MessageTooLarge),
        ("OPTIONS sip:a SIP/2.0\r\nl: 4294967296\r\n\r\n", FrameError::BadContentLength),
        (&long_head, FrameError::HeadTooLarge),
        (&endless, FrameError::HeadTooLarge),
    ] {
        for size in [1, 7, 1000, stream.len()] {
            assert_eq!(cut(Side::Server, stream.as_bytes(), size), (vec![], Some(error)), "{size}");
        }
    }
    let mut framer = Framer::new(Side::Server);
    framer.push(b"OPTIONS sip:a SIP/2.0\r\nCall-ID: c\r\n\r\n");
    assert_eq!(framer.poll(), Err(FrameError::MissingContentLength));
    assert_eq!(Message::parse(framer.head()).unwrap().call_id(), b"c");
    assert_eq!((framer.push(b"x"), framer.poll()), (0, Err(FrameError::MissingContentLength)));
}

#[test]
fn the_largest_message_passes_and_memory_is_given_back() {
    let head = "OPTIONS sip:a SIP/2.0\r\nl: 65495\r\n\r\n";
    let whole = format!("{head}{}", "x".repeat(65_495));
    assert!(whole.len() <= MAX_MESSAGE && whole.len() > MAX_MESSAGE - 20);
    let stream = [whole.as_bytes(), whole.as_bytes()].concat();
    assert_eq!(cut(Side::Server, &stream, stream.len()).0.len(), 2);
    let mut framer = Framer::new(Side::Server);
    framer.push(whole.as_bytes());
    assert!(framer.capacity() <= 2 * MAX_MESSAGE);
    assert!(matches!(framer.poll(), Ok(Some(Frame::Message(_)))));
    assert_eq!(framer.poll(), Ok(None));
    assert_eq!(framer.capacity(), 0);
}

#[test]
fn a_smaller_bound_is_exact_for_whole_messages_and_for_header_sections() {
    let most = 1_024;
    let of_length = |length: usize| {
        let head = "OPTIONS sip:a SIP/2.0\r\nl: 0900\r\n\r\n".len();
        let padding = length - 900 - head - "X: \r\n".len();
        format!("OPTIONS sip:a SIP/2.0\r\nX: {}\r\nl: 0900\r\n\r\n{}", "x".repeat(padding), "b".repeat(900))
    };
    let ended = |stream: &str, size: usize| {
        let mut framer = Framer::bounded(Side::Server, most);
        let mut messages = 0;
        for piece in stream.as_bytes().chunks(size) {
            let mut rest = piece;
            while !rest.is_empty() {
                let taken = framer.push(rest);
                assert!(taken > 0 && framer.capacity() <= 4 * most, "it takes bytes, and not too many");
                rest = &rest[taken..];
                loop {
                    match framer.poll() {
                        Ok(Some(_)) => messages += 1,
                        Ok(None) => break,
                        Err(error) => return (messages, Some(error)),
                    }
                }
            }
        }
        (messages, None)
    };
    let (fits, over) = (of_length(most), of_length(most + 1));
    let long_head = format!("OPTIONS sip:a SIP/2.0\r\nX: {}", "x".repeat(most));
    for size in [1, 7, most, 10_000] {
        assert_eq!(ended(&fits.repeat(3), size), (3, None), "{size}");
        assert_eq!(ended(&format!("{fits}{over}"), size), (1, Some(FrameError::MessageTooLarge)), "{size}");
        assert_eq!(ended(&long_head, size), (0, Some(FrameError::HeadTooLarge)), "{size}");
    }
}

#[test]
fn one_byte_at_a_time_is_not_quadratic() {
    // 16 KiB of header, byte by byte: a scan from the start each time would look at 134 million bytes.
    let stream = format!("OPTIONS sip:a SIP/2.0\r\nX: {}\r\nl: 0\r\n\r\n", "x".repeat(MAX_HEAD - 60));
    let mut framer = Framer::new(Side::Server);
    let mut looked_at = 0;
    for byte in stream.as_bytes() {
        framer.push(core::slice::from_ref(byte));
        let before = framer.searched;
        if framer.poll().unwrap().is_some() {
            assert_eq!(looked_at, 0);
            return;
        }
        // Everything but the last four bytes was searched before.
        looked_at += framer.searched.saturating_sub(before + 1);
    }
    panic!("no message came out");
}

#[test]
fn datagrams_are_told_apart_by_their_first_bytes() {
    for keep_alive in [&b""[..], b"\r\n", b"\r\n\r\n", b"\n", &[0, 0, 0, 0]] {
        assert_eq!(datagram(keep_alive), Datagram::KeepAlive);
    }
    for foreign in [&[0u8, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[0x80, 0], b" x", b"\r\n\0", &[0, 0, 0]] {
        assert_eq!(datagram(foreign), Datagram::Foreign);
    }
    for message in [&b"REGISTER"[..], b"\r\n\r\nOPTIONS"] {
        assert_eq!(datagram(message), Datagram::Message(message));
    }
}
