//! Published vectors first, then everything a stranger may send.

use super::*;

fn text(sink: &[u8]) -> &str {
    std::str::from_utf8(sink).expect("ascii")
}

/// RFC 7616 section 3.9.1.
fn rfc7616<'a>(algorithm: &'a [u8], response: &'a [u8]) -> Credentials<'a> {
    Credentials {
        algorithm: Some(algorithm),
        nonce: b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        uri: b"/dir/index.html",
        qop: Some(b"auth"),
        nc: Some(b"00000001"),
        cnonce: Some(b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"),
        response,
    }
}
const MD5_RESPONSE: &[u8] = b"8ca523f5e9506fed4657c9700eebdbec";
const SHA256_RESPONSE: &[u8] = b"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";

fn mufasa() -> Stored {
    Stored::from_password(b"Mufasa", b"http-auth@example.org", b"Circle of Life")
}

#[test]
fn both_examples_of_rfc_7616_verify() {
    let right = Verdict::Right { nc: Some(1) };
    assert_eq!(verify(&mufasa(), &rfc7616(b"MD5", MD5_RESPONSE), b"GET"), right);
    assert_eq!(verify(&mufasa(), &rfc7616(b"SHA-256", SHA256_RESPONSE), b"GET"), right);
    assert_eq!(verify(&mufasa(), &rfc7616(b"sha-256", SHA256_RESPONSE), b"GET"), right, "names have no case");
    assert_eq!(verify(&mufasa(), &rfc7616(b"MD5", &MD5_RESPONSE.to_ascii_uppercase()), b"GET"), right);
}

#[test]
fn the_example_of_rfc_2617_verifies_and_computes() {
    let ha1 = Ha1::new(Algorithm::Md5, b"Mufasa", b"testrealm@host.com", b"Circle Of Life");
    assert_eq!(Ha1::from_hex(b"939e7578ed9e3c518a452acee763bce9"), Some(ha1));
    let nonce = b"dcd98b7102dd2f0e8b11d0f600bfb0c093";
    let qop = Protection::Auth { nc: b"00000001", cnonce: b"0a4f113b" };
    let computed = response(&ha1, nonce, b"GET", b"/dir/index.html", qop);
    assert_eq!(computed.to_string(), "6629fae49393a05397450978507c4ef1");
    // The same request without qop: RFC 2069's form of the response, as its errata corrects it.
    let old = response(&ha1, nonce, b"GET", b"/dir/index.html", Protection::None);
    assert_eq!(old.to_string(), "670fd8c2df070c60b045671b8b24ff02");
    let credentials = Credentials {
        algorithm: None,
        nonce,
        uri: b"/dir/index.html",
        qop: None,
        nc: None,
        cnonce: None,
        response: old.as_bytes(),
    };
    let stored = Stored { md5: Some(ha1), sha256: None };
    assert_eq!(verify(&stored, &credentials, b"GET"), Verdict::Right { nc: None });
}

#[test]
fn every_changed_piece_makes_the_answer_wrong() {
    let good = rfc7616(b"SHA-256", SHA256_RESPONSE);
    let wrong = [
        (Credentials { nonce: b"other", ..good }, b"GET".as_slice()),
        (Credentials { uri: b"/other", ..good }, b"GET"),
        (Credentials { nc: Some(b"00000002"), ..good }, b"GET"),
        (Credentials { cnonce: Some(b"other"), ..good }, b"GET"),
        (Credentials { qop: None, ..good }, b"GET"),
        (good, b"POST"),
    ];
    for (credentials, method) in wrong {
        assert_eq!(verify(&mufasa(), &credentials, method), Verdict::Wrong, "{credentials:?}");
    }
    for at in 0..SHA256_RESPONSE.len() {
        let mut changed = SHA256_RESPONSE.to_vec();
        changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
        assert_eq!(verify(&mufasa(), &Credentials { response: &changed, ..good }, b"GET"), Verdict::Wrong);
    }
}

#[test]
fn an_unknown_user_or_a_missing_hash_is_wrong_even_for_the_answer_made_from_zeros() {
    for (name, zeros) in [("MD5", Ha1::Md5([0; 16])), ("SHA-256", Ha1::Sha256([0; 32]))] {
        let mut credentials = rfc7616(name.as_bytes(), b"");
        let qop = Protection::Auth { nc: b"00000001", cnonce: credentials.cnonce.unwrap() };
        let forged = response(&zeros, credentials.nonce, b"GET", credentials.uri, qop);
        credentials.response = forged.as_bytes();
        assert_eq!(verify(&Stored::UNKNOWN, &credentials, b"GET"), Verdict::Wrong);
    }
    let md5_only = Stored { sha256: None, ..mufasa() };
    assert_eq!(verify(&md5_only, &rfc7616(b"SHA-256", SHA256_RESPONSE), b"GET"), Verdict::Wrong);
}

#[test]
fn session_variants_auth_int_and_unknown_hashes_are_refused_cleanly() {
    for name in ["MD5-sess", "sha-256-SESS", "SHA256", "SHA-512-256", ""] {
        assert_eq!(Algorithm::from_name(name.as_bytes()), None, "{name}");
        assert_eq!(verify(&mufasa(), &rfc7616(name.as_bytes(), MD5_RESPONSE), b"GET"), Verdict::Unsupported);
    }
    let int = Credentials { qop: Some(b"auth-int"), ..rfc7616(b"MD5", MD5_RESPONSE) };
    assert_eq!(verify(&mufasa(), &int, b"GET"), Verdict::Unsupported);
}

#[test]
fn what_cannot_be_an_answer_is_malformed() {
    let good = rfc7616(b"MD5", MD5_RESPONSE);
    let bad = [
        Credentials { response: b"", ..good },
        Credentials { response: SHA256_RESPONSE, ..good },
        Credentials { response: b"8ca523f5e9506fed4657c9700eebdbeg", ..good },
        Credentials { response: b"8ca523f5e9506fed4657c9700eebdbe\xff", ..good },
        Credentials { nc: None, ..good },
        Credentials { cnonce: None, ..good },
        Credentials { nc: Some(b""), ..good },
        Credentials { nc: Some(b"0000000g"), ..good },
        Credentials { nc: Some(b"000000001"), ..good },
    ];
    for credentials in bad {
        assert_eq!(verify(&mufasa(), &credentials, b"GET"), Verdict::Malformed, "{credentials:?}");
    }
}

#[test]
fn a_nonce_count_is_read_beyond_eight_bits() {
    assert_eq!(parse_nc(b"000000ff"), Some(255));
    assert_eq!(parse_nc(b"00000100"), Some(256));
    assert_eq!(parse_nc(b"FFFFFFFF"), Some(u32::MAX));
    assert_eq!(parse_nc(b"1"), Some(1));
    assert_eq!(parse_nc(b"+1"), None);
}

#[test]
fn a_stored_hash_is_read_from_hex_and_never_printed() {
    let ha1 = Ha1::from_hex(b"939E7578ED9E3C518A452ACEE763BCE9").expect("upper case too");
    assert_eq!(ha1.algorithm(), Algorithm::Md5);
    assert_eq!(format!("{ha1:?}"), "Ha1(MD5, secret)");
    assert_eq!(Ha1::from_hex(&[b'0'; 64]).map(|h| h.algorithm()), Some(Algorithm::Sha256));
    for bad in [&b""[..], b"93", &[b'0'; 33], &[b'x'; 32], &[b'0'; 63]] {
        assert_eq!(Ha1::from_hex(bad), None);
    }
    assert_ne!(Ha1::Md5([0; 16]), Ha1::Sha256([0; 32]));
}

#[test]
fn the_client_answers_the_example_of_rfc_7616_word_for_word() {
    let challenge = Challenge {
        algorithm: Algorithm::Sha256,
        realm: b"http-auth@example.org",
        nonce: b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        opaque: Some(b"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"),
        qop_auth: true,
    };
    let with = Answer {
        username: b"Mufasa",
        secret: Secret::Password(b"Circle of Life"),
        method: b"GET",
        uri: b"/dir/index.html",
        nc: 1,
        cnonce: b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    };
    let mut out = Vec::new();
    assert!(answer(&mut out, &challenge, &with));
    assert_eq!(
        text(&out),
        "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", \
         nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", uri=\"/dir/index.html\", \
         response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\", algorithm=SHA-256, \
         cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, nc=00000001, \
         opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
    );
    let ha1 = Ha1::new(Algorithm::Sha256, b"Mufasa", b"http-auth@example.org", b"Circle of Life");
    let mut again = Vec::new();
    assert!(answer(&mut again, &challenge, &Answer { secret: Secret::Ha1(&ha1), ..with }));
    assert_eq!(out, again);
    let other = Ha1::Md5([1; 16]);
    again.clear();
    assert!(!answer(&mut again, &challenge, &Answer { secret: Secret::Ha1(&other), ..with }));
    assert!(again.is_empty());
    out.clear();
    let old = Challenge { qop_auth: false, opaque: None, ..challenge };
    assert!(answer(&mut out, &old, &Answer { username: b"a\"b\\c\r\nd", ..with }));
    assert!(text(&out).starts_with("Digest username=\"a\\\"b\\\\cd\", realm="), "{}", text(&out));
    assert!(text(&out).ends_with(", algorithm=SHA-256"), "{}", text(&out));
}

#[test]
fn a_challenge_offers_each_algorithm_on_its_own_line_in_the_order_given() {
    let mut out = Vec::new();
    Challenges::new(Asker::Server, &[Algorithm::Sha256, Algorithm::Md5], b"tandem").write(&mut out, b"n0", false);
    assert_eq!(
        text(&out),
        "WWW-Authenticate: Digest realm=\"tandem\", nonce=\"n0\", stale=false, algorithm=SHA-256, qop=\"auth\"\r\n\
         WWW-Authenticate: Digest realm=\"tandem\", nonce=\"n0\", stale=false, algorithm=MD5, qop=\"auth\"\r\n"
    );
    out.clear();
    Challenges::new(Asker::Proxy, &[Algorithm::Md5], b"a\"b").write(&mut out, b"n0", true);
    assert_eq!(
        text(&out),
        "Proxy-Authenticate: Digest realm=\"a\\\"b\", nonce=\"n0\", stale=true, algorithm=MD5, qop=\"auth\"\r\n"
    );
}

#[test]
fn comparing_needs_equal_length_and_content() {
    assert!(same(b"", b"") && same(b"abc", b"abc"));
    assert!(!same(b"abc", b"abd") && !same(b"abc", b"xbc") && !same(b"abc", b"ab") && !same(b"ab", b"abc"));
}

#[test]
fn hex_goes_there_and_back_for_every_byte_and_refuses_every_other_character() {
    for byte in 0..=u8::MAX {
        let mut digits = [0; 2];
        assert_eq!(hex_into(&[byte], &mut digits), 2);
        assert_eq!(text(&digits), format!("{byte:02x}"));
        assert_eq!(unhex::<1>(&digits), Some([byte]));
        assert_eq!(unhex::<1>(&digits.to_ascii_uppercase()), Some([byte]));
        if !byte.is_ascii_hexdigit() {
            assert_eq!((unhex::<1>(&[byte, b'0']), unhex::<1>(&[b'0', byte])), (None, None));
        }
    }
    assert_eq!(unhex::<2>(b"000"), None);
}

#[test]
fn what_is_kept_of_the_last_request_never_answers_for_another() {
    let mut last = LastRequest::default();
    let long = vec![b'x'; 300];
    let asked: [(&[u8], &[u8]); 8] = [
        (b"REGISTER", b"sip:a"),
        (b"REGISTERs", b"ip:a"),
        (b"REGISTER", b"sip:b"),
        (b"REGISTER", &long),
        (b"REGISTER", b"sip:b"),
        (b"", b""),
        (b"OPTIONS", b"sip:b"),
        (b"OPTIONS", b"sip:b"),
    ];
    for (method, uri) in asked {
        let mut hex = [0; 64];
        hex_into(&hash::<Md5, 16>(&[method, b":", uri]), &mut hex);
        assert_eq!(last.hex::<Md5, 16>(Algorithm::Md5, method, uri), hex, "{method:?} {uri:?}");
        hex_into(&hash::<Sha256, 32>(&[method, b":", uri]), &mut hex);
        assert_eq!(last.hex::<Sha256, 32>(Algorithm::Sha256, method, uri), hex, "{method:?} {uri:?}");
    }
}
