//! One gate stands before every method, and it tells nobody who is known (RFC 3261 section 22, DESIGN section 7).

use crate::cluster::{Cluster, REALM};
use crate::phone::{Answer, Phone, quoted};

const METHODS: [&str; 14] = [
    "REGISTER",
    "OPTIONS",
    "INVITE",
    "BYE",
    "CANCEL",
    "REFER",
    "NOTIFY",
    "SUBSCRIBE",
    "MESSAGE",
    "INFO",
    "UPDATE",
    "PRACK",
    "PUBLISH",
    "BREW",
];

#[test]
fn every_method_is_challenged_without_credentials_and_answered_with_them() {
    let cluster = Cluster::one("");
    for mut phone in [Phone::udp("A001", cluster.udp(0)), Phone::tcp("A002", cluster.tcp(0))] {
        for method in METHODS {
            phone.nonce = None;
            let challenge = phone.once(method, "");
            assert_eq!(challenge.status, 401, "{method}: {}", challenge.text);
            phone.learn(&challenge);
            let answer = phone.once(method, "");
            let expected = match method {
                "REGISTER" => 200,
                // For the phone itself, which is not registered.
                "OPTIONS" | "INVITE" => 480,
                "BYE" | "CANCEL" => 481,
                _ => 405,
            };
            assert_eq!(answer.status, expected, "{method}: {}", answer.text);
            if expected == 405 {
                assert!(answer.header("Allow").contains("REGISTER"), "{method}");
            }
        }
        // An ACK is never answered, with or without credentials (RFC 3261 section 17.1.1.3).
        for _ in 0..2 {
            let ack = phone.build("ACK", "");
            phone.line.send(&ack);
            assert!(phone.line.ping().is_empty());
            phone.nonce = None;
        }
    }
}

/// What an answer tells, without what differs between any two answers: what the request brought, the tag, the nonce.
fn told(answer: &Answer) -> Vec<String> {
    let line = |line: &str| match line.split_once(": ") {
        Some((name @ ("Via" | "From" | "Call-ID" | "Date"), _)) => name.to_owned(),
        Some(("To", value)) => format!("To with {} parameters", value.matches(';').count()),
        Some(("WWW-Authenticate", value)) => value.replace(quoted(value, "nonce"), ""),
        _ => line.to_owned(),
    };
    answer.text.split("\r\n").map(line).collect()
}

#[test]
fn an_unknown_user_is_answered_as_a_known_one_with_a_wrong_password() {
    let cluster = Cluster::one("");
    for method in METHODS {
        let [known, unknown] = ["A001", "Z999"].map(|user| {
            let mut phone = Phone::udp(user, cluster.udp(0));
            phone.password = "guessed".to_owned();
            let more = phone.binding(600);
            let challenge = phone.once(method, &more);
            phone.learn(&challenge);
            let answer = phone.once(method, &more);
            assert_eq!(answer.status, 401, "{method} {user}");
            [told(&challenge), told(&answer)]
        });
        assert_eq!(known, unknown, "{method}");
    }
    assert_eq!(
        cluster.metric(0, "tandem_auth_failures_total", &["reason=\"credentials\""]),
        2.0 * METHODS.len() as f64
    );
    assert_eq!(cluster.served(), [0]);
}

#[test]
fn nobody_registers_for_another_and_learns_whether_he_exists() {
    let cluster = Cluster::one("");
    let victim = Phone::udp("A002", cluster.udp(0)).registered();
    let [known, unknown] = ["A002", "Z999"].map(|other| {
        let mut phone = Phone::udp("A001", cluster.udp(0));
        let challenge = phone.once("REGISTER", "");
        phone.learn(&challenge);
        let more = phone.binding(600);
        let text = String::from_utf8(phone.build("REGISTER", &more)).expect("text");
        let forged = text.replace(&format!("To: <sip:A001@{REALM}>"), &format!("To: <sip:{other}@{REALM}>"));
        let answer = phone.exchange(forged.as_bytes());
        assert_eq!(answer.status, 403, "{}", answer.text);
        told(&answer)
    });
    assert_eq!(known, unknown);
    assert_eq!(cluster.served(), [1]);
    let mut victim = victim;
    assert!(victim.is_bound());
}

#[test]
fn credentials_that_cannot_be_an_answer_are_a_bad_request() {
    let cluster = Cluster::one("");
    let mut phone = Phone::udp("A001", cluster.udp(0));
    let challenge = phone.once("REGISTER", "");
    phone.learn(&challenge);
    let text = String::from_utf8(phone.build("REGISTER", "")).expect("text");
    let proof = quoted(&text, "response").to_owned();
    let spoilt = [
        (proof.as_str(), "short", 400),
        ("nc=00000001", "nc=one", 400),
        (", cnonce=\"c0ffee\"", "", 400),
        ("algorithm=MD5", "algorithm=MD5-sess", 401),
        ("qop=auth", "qop=auth-int", 401),
        ("realm=\"wire\"", "realm=\"elsewhere\"", 401),
        ("Digest", "Basic", 401),
    ];
    for (what, with, expected) in spoilt {
        let answer = phone.exchange(text.replace(what, with).as_bytes());
        assert_eq!(answer.status, expected, "{with}: {}", answer.text);
    }
    assert_eq!(phone.exchange(text.as_bytes()).status, 200, "none of them used the nonce up");
}
