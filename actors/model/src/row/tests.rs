//! Tests of the registration row: its bytes, its keys and hashes, its reasons.

use super::*;
use std::net::SocketAddrV6;

fn row() -> RegistrationRow {
    RegistrationRow {
        device: device_key_of("SEP0001"),
        stamp: Stamp(0x0123_4567_89ab_cdef),
        since: 1_700_000_000,
        expires: 4_000,
        rank: Rank::new(2).unwrap(),
        transport: Transport::Tcp,
        source: "192.0.2.7:5062".parse().unwrap(),
        contact: Arc::from("sip:SEP0001@192.0.2.7:5062;transport=tcp"),
        path: Some(Arc::from("<sip:proxy.example;lr>")),
        call_id: 77,
        cseq: 12,
        nonce: LastNonce { time: 1_700_000_001, id: 9, nc: 3 },
        reason: RegisterReason::Failover.code(),
        extensions: Box::default(),
    }
}

fn bytes(row: &RegistrationRow) -> Vec<u8> {
    let mut out = Vec::new();
    row.encode(&mut out);
    out
}

#[test]
fn a_row_survives_the_way_to_a_peer() {
    let scoped = SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 5060, 0, 3));
    let plain = RegistrationRow { path: None, transport: Transport::Udp, ..row() };
    for row in [row(), plain, RegistrationRow { source: scoped, ..row() }, RegistrationRow::default()] {
        let sent = bytes(&row);
        let mut input = &[&sent[..], b"next"].concat()[..];
        assert_eq!(RegistrationRow::decode(&mut input).unwrap(), row);
        assert_eq!(input, b"next", "the reader stops at the row's end");
        assert!(sent.len() <= wire::FIXED_MAX + row.contact.len() + row.path.as_deref().map_or(0, str::len));
    }
}

#[test]
fn the_layout_is_fixed_because_nodes_of_two_versions_share_it() {
    let sent = bytes(&RegistrationRow { device: DeviceKey(1), path: None, ..row() });
    let head: &[u8] = &[1, 1, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xef, 0xcd];
    assert_eq!(sent.get(..22), Some(head));
    assert_eq!(sent.len(), 4 + 16 + 8 + 4 + 8 + 8 + 4 + 12 + 2 + 4 + 2 + 40 + 2);
    assert_eq!(
        xxh3_64_with_seed(&sent, HASH_SEED),
        RegistrationRow { device: DeviceKey(1), path: None, ..row() }.hash()
    );
    assert_eq!(device_key_of("SEP0001").to_string(), "112118d9fe17dda120ef23a9623917a4");
}

#[test]
fn fields_of_a_later_version_are_kept_and_count_in_the_hash() {
    let later = RegistrationRow { extensions: Box::from(&b"\x07\x02hi"[..]), ..row() };
    let mut input = &bytes(&later)[..];
    let read = RegistrationRow::decode(&mut input).unwrap();
    assert_eq!(bytes(&read), bytes(&later));
    assert_eq!(read.hash(), later.hash());
    assert_ne!(read.hash(), row().hash());
}

#[test]
fn every_cut_is_refused_with_the_field_and_nothing_panics() {
    let whole = bytes(&row());
    for at in 0..whole.len() {
        let error = RegistrationRow::decode(&mut &whole[..at]).unwrap_err();
        assert!(matches!(error, ModelError::Short { .. }), "cut at {at}: {error}");
    }
}

#[test]
fn a_row_that_cannot_be_is_refused() {
    let with = |at: usize, byte: u8| {
        let mut sent = bytes(&row());
        sent[at] = byte;
        RegistrationRow::decode(&mut &sent[..]).unwrap_err().to_string()
    };
    assert_eq!(with(0, 9), "a registration row has layout 9, this node reads layout 1");
    assert_eq!(with(2, 0), "a row has a bad rank: expected 1, 2 or 3");
    assert_eq!(with(2, 4), "a row has a bad rank: expected 1, 2 or 3");
    assert!(with(1, 0x80).contains("bad flags"));
    let contact = bytes(&row()).len() - 2 - 24 - 42;
    assert!(with(contact + 1, 0xff).contains("bad contact"), "a length beyond the bound");
    assert!(with(contact + 5, 0xff).contains("bad contact"), "not UTF-8");
}

#[test]
fn a_contact_beyond_its_bound_is_cut_between_characters_and_can_still_be_read() {
    let long = RegistrationRow { contact: Arc::from("é".repeat(300)), ..row() };
    let read = RegistrationRow::decode(&mut &bytes(&long)[..]).unwrap();
    assert_eq!(read.contact.len(), CONTACT_MAX);
    assert_eq!(read.hash(), long.hash(), "both sides agree about the digest");
    let odd = RegistrationRow { contact: Arc::from(format!("x{}", "é".repeat(300))), ..row() };
    assert_eq!(RegistrationRow::decode(&mut &bytes(&odd)[..]).unwrap().contact.len(), CONTACT_MAX - 1);
}

#[test]
fn the_hash_sees_every_field() {
    let base = row();
    let changed = [
        RegistrationRow { device: DeviceKey(5), ..base.clone() },
        RegistrationRow { stamp: Stamp(5), ..base.clone() },
        RegistrationRow { since: 5, ..base.clone() },
        RegistrationRow { expires: 5, ..base.clone() },
        RegistrationRow { rank: Rank::HOME, ..base.clone() },
        RegistrationRow { transport: Transport::Udp, ..base.clone() },
        RegistrationRow { source: "192.0.2.7:5063".parse().unwrap(), ..base.clone() },
        RegistrationRow { contact: Arc::from("sip:x"), ..base.clone() },
        RegistrationRow { path: None, ..base.clone() },
        RegistrationRow { call_id: 5, ..base.clone() },
        RegistrationRow { cseq: 5, ..base.clone() },
        RegistrationRow { nonce: LastNonce { time: 1_700_000_001, id: 9, nc: 4 }, ..base.clone() },
        RegistrationRow { reason: 200, ..base.clone() },
    ];
    let mut scratch = Vec::new();
    for (i, row) in changed.iter().enumerate() {
        assert_ne!(row.hash(), base.hash(), "change number {i}");
        assert_eq!(row.hash(), row.hash_with(&mut scratch));
    }
}

#[test]
fn keys_of_a_name_and_of_its_text_agree_and_letters_count() {
    assert_eq!(device_key(&DeviceName::new("SEP1").unwrap()), device_key_of("SEP1"));
    assert_ne!(device_key_of("SEP1"), device_key_of("sep1"));
}

#[test]
fn reasons_keep_their_numbers_and_words() {
    for reason in RegisterReason::ALL {
        assert_eq!(RegisterReason::from_code(reason.code()), reason);
    }
    assert_eq!(RegisterReason::from_code(250), RegisterReason::Unknown);
    for reason in UnregisterReason::ALL {
        assert_eq!(UnregisterReason::from_code(reason.code()), reason);
    }
    let numbers = UnregisterReason::ALL.map(UnregisterReason::code);
    assert_eq!(numbers, [1, 5, 8, 9, 13, 15, 16, 18, 23, 24, 28, 29], "CISCO-CCM-MIB");
    assert_eq!(UnregisterReason::SourceIpAddrChanged.to_string(), "sourceIPAddrChanged");
}

#[test]
fn whatever_bytes_come_they_are_a_row_that_encodes_to_itself_or_are_refused() {
    // A small generator of our own: the same bytes on every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let good = bytes(&RegistrationRow { extensions: Box::from(&b"later"[..]), ..row() });
    let (mut read, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut sent = good.clone();
        for _ in 0..=next() % 3 {
            let at = usize::try_from(next()).unwrap() % sent.len();
            sent[at] = u8::try_from(next() % 256).unwrap();
        }
        let mut input = &sent[..];
        match RegistrationRow::decode(&mut input) {
            Ok(row) => {
                read += 1;
                assert_eq!(bytes(&row), sent[..sent.len() - input.len()], "what was read is written again");
            }
            Err(_) => refused += 1,
        }
    }
    assert!(read > 1_000 && refused > 1_000, "{read} read, {refused} refused");
}

#[test]
fn a_refresh_holds_the_texts_of_the_row_it_replaces() {
    let before = RegistrationRow {
        contact: Arc::from("sip:a@192.0.2.1"),
        path: Some(Arc::from("<sip:p>")),
        ..RegistrationRow::default()
    };
    let mut refresh = RegistrationRow {
        contact: Arc::from("sip:a@192.0.2.1"),
        path: Some(Arc::from("<sip:p>")),
        cseq: 2,
        ..before.clone()
    };
    let as_it_came = refresh.clone();
    refresh.share(&before);
    assert!(
        Arc::ptr_eq(&refresh.contact, &before.contact)
            && refresh.path.as_ref().map(Arc::as_ptr) == before.path.as_ref().map(Arc::as_ptr)
    );
    assert_eq!(refresh, as_it_came, "it says what it said");
    let mut moved = RegistrationRow { contact: Arc::from("sip:a@192.0.2.2"), path: None, ..before.clone() };
    moved.share(&before);
    assert_eq!((&*moved.contact, moved.path.as_deref()), ("sip:a@192.0.2.2", None));
}
