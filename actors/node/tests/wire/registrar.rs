//! Bindings as a phone sees them: RFC 3261 section 10, RFC 3581, RFC 3327, RFC 5626, and the heartbeat of Cisco-style phones.

use crate::cluster::{Cluster, REALM};
use crate::phone::{Line, Phone, unique};
use tandem_sip::digest::Algorithm;

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn is_date(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let (day, rest) = shape.split_once(", ").unwrap_or_default();
    let parts: Vec<&str> = rest.split(' ').collect();
    day.len() == 3 && matches!(parts[..], ["00", month, "0000", "00:00:00", "GMT"] if month.len() == 3)
}

#[test]
fn a_phone_is_challenged_and_then_registered_with_what_it_was_granted() {
    let cluster = Cluster::one("");
    let mut phones = [Phone::udp("A001", cluster.udp(0)), Phone::tcp("A002", cluster.tcp(0))];
    for phone in &mut phones {
        let more = phone.binding(600);
        let challenge = phone.once("REGISTER", &more);
        assert_eq!(challenge.status, 401);
        let header = challenge.header("WWW-Authenticate");
        assert!(header.starts_with(&format!("Digest realm=\"{REALM}\", nonce=\"")), "{header}");
        assert!(header.ends_with(", stale=false, algorithm=MD5, qop=\"auth\""), "{header}");
        phone.learn(&challenge);
        let answer = phone.once("REGISTER", &more);
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(answer.header("Contact").starts_with(&format!("<{}>;expires=", phone.contact)));
        assert!((480..=600).contains(&answer.granted()), "{}", answer.granted());
        assert!(is_date(answer.header("Date")), "{}", answer.text);
        assert_eq!(answer.header("CSeq"), "2 REGISTER");
        assert_eq!(answer.header("Call-ID"), phone.call_id);
        assert!(answer.header("To").contains(";tag="), "{}", answer.text);
    }
    assert_eq!(cluster.served(), [2]);
}

#[test]
fn contacts_are_looked_at_when_it_is_known_who_asks() {
    let cluster = Cluster::one("");
    let mut phone = Phone::udp("A001", cluster.udp(0)).registered();
    for bad in ["Contact: <sip:a b@c>\r\n", "Contact: *\r\n", "Contact: sip:a@b?Route=%3Csip:c%3E\r\n"] {
        let mut stranger = Phone::udp("A001", cluster.udp(0));
        assert_eq!(stranger.once("REGISTER", bad).status, 401, "{bad}");
        assert_eq!(phone.ask("REGISTER", bad).status, 400, "{bad}");
        assert_eq!(stranger.once("MESSAGE", bad).status, 400, "{bad}: only a registrar asks first");
    }
    assert!(phone.is_bound());
}

#[test]
fn each_algorithm_that_is_offered_is_taken_and_no_other() {
    let cluster = Cluster::one("algorithms = [\"SHA-256\", \"MD5\"]");
    for (user, algorithm) in [("A001", Algorithm::Sha256), ("A002", Algorithm::Md5)] {
        let mut phone = Phone::udp(user, cluster.udp(0));
        phone.algorithm = algorithm;
        let more = phone.binding(600);
        let challenge = phone.once("REGISTER", &more);
        let offered = challenge.all("WWW-Authenticate");
        assert!(offered[0].contains("algorithm=SHA-256") && offered[1].contains("algorithm=MD5"), "{offered:?}");
        phone.learn(&challenge);
        let answer = phone.once("REGISTER", &more);
        assert_eq!(answer.status, 200, "{algorithm}: {}", answer.text);
    }
}

#[test]
fn an_algorithm_that_is_not_offered_is_not_taken() {
    let cluster = Cluster::one("algorithms = [\"SHA-256\"]");
    let mut phone = Phone::udp("A001", cluster.udp(0));
    phone.algorithm = Algorithm::Sha256;
    let more = phone.binding(600);
    let challenge = phone.once("REGISTER", &more);
    phone.learn(&challenge);
    phone.algorithm = Algorithm::Md5;
    let answer = phone.once("REGISTER", &more);
    assert_eq!(answer.status, 401, "{}", answer.text);
    assert_eq!(cluster.served(), [0]);
}

#[test]
fn a_binding_is_queried_refreshed_and_removed() {
    let cluster = Cluster::one("");
    let mut phone = Phone::udp("A001", cluster.udp(0));
    assert!(phone.query().all("Contact").is_empty());
    let first = phone.register(300);
    assert_eq!(first.status, 200);
    let found = phone.query();
    assert!(phone.is_bound());
    assert!((first.granted() - 60..=first.granted()).contains(&found.granted()), "what is left: {}", found.text);
    let refreshed = phone.register(1_200);
    assert!((960..=1_200).contains(&refreshed.granted()), "{}", refreshed.text);
    assert!((refreshed.granted() - 60..=refreshed.granted()).contains(&phone.query().granted()));
    let another = phone.ask("REGISTER", "Contact: <sip:other@127.0.0.1:9>\r\nExpires: 0\r\n");
    assert_eq!(another.status, 200);
    assert!(phone.is_bound(), "only the contact that is named goes");
    let removed = phone.register(0);
    assert_eq!((removed.status, removed.all("Contact").len()), (200, 0), "{}", removed.text);
    assert!(is_date(removed.header("Date")));
    assert!(phone.query().all("Contact").is_empty());
    assert_eq!((cluster.events(0, "register", "new"), cluster.events(0, "refresh", "refresh")), (1.0, 1.0));
    assert_eq!(cluster.events(0, "unregister", "device"), 1.0);
    assert_eq!(cluster.served(), [0]);
}

#[test]
fn a_star_removes_whatever_is_bound_but_only_with_expires_0() {
    let cluster = Cluster::one("");
    let mut phone = Phone::udp("A001", cluster.udp(0)).registered();
    for wrong in ["Contact: *\r\n", "Contact: *\r\nExpires: 60\r\n", "Contact: *, <sip:a@b>\r\nExpires: 0\r\n"] {
        assert_eq!(phone.ask("REGISTER", wrong).status, 400, "{wrong}");
    }
    assert!(phone.is_bound());
    let removed = phone.ask("REGISTER", "Contact: *\r\nExpires: 0\r\n");
    assert_eq!((removed.status, removed.all("Contact").len()), (200, 0));
    assert!(!phone.is_bound());
}

#[test]
fn the_granted_time_is_within_bounds_and_spread() {
    let cluster = Cluster::one("min_expires = 100\nmax_expires = 1000\ndefault_expires = 500\nexpires_spread = 0.5");
    let mut phone = Phone::udp("A001", cluster.udp(0));
    let brief = phone.register(99);
    assert_eq!((brief.status, brief.number("Min-Expires")), (423, 100));
    assert!(!phone.is_bound());
    let granted: Vec<u32> = (0..40).map(|_| phone.register(800).granted()).collect();
    assert!(granted.iter().all(|g| (400..=800).contains(g)), "{granted:?}");
    let (least, most) = (granted.iter().min().expect("some"), granted.iter().max().expect("some"));
    assert!(most - least > 100, "{granted:?}");
    assert!((500..=1_000).contains(&phone.register(1_000_000).granted()));
    let more = format!("Contact: <{}>\r\n", phone.contact);
    assert!((250..=500).contains(&phone.ask("REGISTER", &more).granted()));
    assert!((100..=100).contains(&phone.register(100).granted()), "never below the shortest");
    let own = format!("Contact: <{}>;expires=300\r\nExpires: 900\r\n", phone.contact);
    assert!((150..=300).contains(&phone.ask("REGISTER", &own).granted()), "the contact's own word counts");
}

#[test]
fn several_contacts_are_refused_unless_the_settings_say_replace() {
    let two = "Contact: <sip:a@127.0.0.1:9>;q=0.4\r\nContact: <sip:b@127.0.0.1:9>;q=0.7\r\nExpires: 600\r\n";
    let cluster = Cluster::one("");
    let mut phone = Phone::udp("A001", cluster.udp(0)).registered();
    assert_eq!(phone.ask("REGISTER", two).status, 403);
    assert!(phone.is_bound(), "what was bound stays");
    assert_eq!(cluster.events(0, "refused", "multiple_contacts"), 1.0);

    let cluster = Cluster::one("multiple_contacts = \"replace\"");
    let mut phone = Phone::udp("A001", cluster.udp(0)).registered();
    let answer = phone.ask("REGISTER", two);
    assert!(answer.header("Contact").starts_with("<sip:b@127.0.0.1:9>;expires="), "{}", answer.text);
    assert!(phone.query().header("Contact").starts_with("<sip:b@127.0.0.1:9>;expires="));
    let swap = "Contact: <sip:b@127.0.0.1:9>;expires=0, <sip:c@127.0.0.1:9>;expires=600\r\n";
    let answer = phone.ask("REGISTER", swap);
    assert!(answer.header("Contact").starts_with("<sip:c@127.0.0.1:9>;expires="), "{}", answer.text);
}

#[test]
fn compact_forms_are_the_same_request() {
    let cluster = Cluster::one("");
    let mut phone = Phone::udp("A001", cluster.udp(0)).registered();
    let more = format!("m: <{}>;expires=600\r\n", phone.contact);
    let long = String::from_utf8(phone.build("REGISTER", &more)).expect("text");
    let names =
        [("Via: ", "v: "), ("From: ", "f: "), ("To: ", "t: "), ("Call-ID: ", "i: "), ("Content-Length: ", "l: ")];
    let short =
        names.iter().fold(long, |text, (long, short)| text.replace(&format!("\r\n{long}"), &format!("\r\n{short}")));
    let answer = phone.exchange(short.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!((480..=600).contains(&answer.granted()));
    assert_eq!(answer.header("Call-ID"), phone.call_id);
}

#[test]
fn an_answer_goes_to_where_the_request_came_from_when_it_asks_for_that() {
    let cluster = Cluster::one("");
    let mut phone = Phone::udp("A001", cluster.udp(0));
    let local = phone.line.local();
    let text = String::from_utf8(phone.build("REGISTER", "")).expect("text");
    let answer = phone.exchange(text.replace(&format!("UDP {local};"), "UDP 192.0.2.7:5999;").as_bytes());
    let via = answer.header("Via");
    let rport = format!(";rport={}", local.port());
    assert!(via.starts_with("SIP/2.0/UDP 192.0.2.7:5999;branch=z9hG4bK"), "{via}");
    assert!(via.contains(&rport) && via.contains(";received=127.0.0.1"), "{via}");
}

#[test]
fn a_path_is_stored_and_told() {
    let cluster = Cluster::one("");
    let mut phone = Phone::udp("A001", cluster.udp(0));
    let path = "Supported: path\r\nPath: <sip:p1.example.com;lr>\r\nPath: <sip:p2.example.com;lr>\r\n";
    let more = phone.binding(600) + path;
    let bound = phone.ask("REGISTER", &more);
    assert_eq!(bound.status, 200, "{}", bound.text);
    assert_eq!(bound.header("Path"), "<sip:p1.example.com;lr>, <sip:p2.example.com;lr>");
    assert_eq!(phone.query().header("Path"), bound.header("Path"));
    assert!(phone.register(600).all("Path").is_empty(), "a refresh without it takes it away");
}

#[test]
fn outbound_is_confirmed_to_who_asked_and_speaks_directly() {
    let cluster = Cluster::one("");
    let contact = |phone: &Phone| {
        format!(
            "Supported: path, outbound\r\nExpires: 600\r\n\
             Contact: <{}>;reg-id=1;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000a95a0e128>\"\r\n",
            phone.contact
        )
    };
    let mut phone = Phone::tcp("A001", cluster.tcp(0));
    let more = contact(&phone);
    let answer = phone.ask("REGISTER", &more);
    assert_eq!((answer.status, answer.header("Require")), (200, "outbound"));
    assert_eq!(answer.number("Flow-Timer"), 120);
    assert!(phone.register(600).all("Require").is_empty());
    let mut phone = Phone::udp("A002", cluster.udp(0));
    let more = contact(&phone);
    let answer = phone.ask("REGISTER", &more);
    assert_eq!((answer.header("Require"), answer.all("Flow-Timer").len()), ("outbound", 0));
    let unknown = phone.ask("REGISTER", "Require: outbound, gruu-of-tomorrow\r\n");
    assert_eq!((unknown.status, unknown.header("Unsupported")), (420, "gruu-of-tomorrow"));
}

#[test]
fn a_heartbeat_of_a_standby_leaves_every_binding_as_it_is() {
    let cluster = Cluster::one("");
    let beat = |phone: &Phone| format!("Contact: <{}>;expires=0;cisco-keep-alive\r\nExpires: 0\r\n", phone.contact);
    let mut stranger = Phone::udp("A002", cluster.udp(0));
    let more = beat(&stranger);
    assert_eq!(stranger.ask("REGISTER", &more).status, 200);
    let mut phone = Phone::udp("A001", cluster.udp(0)).registered();
    let rows = cluster.metric(0, "tandem_replication_rows_total", &[]);
    let more = beat(&phone);
    let answer = phone.ask("REGISTER", &more);
    assert_eq!((answer.status, answer.all("Contact").len()), (200, 0), "{}", answer.text);
    assert!(is_date(answer.header("Date")));
    // The count that it used is in the row, and the peers must know it.
    assert_eq!(cluster.metric(0, "tandem_replication_rows_total", &[]), rows + 1.0);
    assert!(phone.is_bound());
    assert_eq!(cluster.served(), [1]);
    assert_eq!(cluster.events(0, "unregister", "device"), 0.0);
}

#[test]
fn options_and_empty_lines_keep_a_flow_alive() {
    let cluster = Cluster::one("");
    let mut udp = Line::udp(cluster.udp(0));
    for nothing in [&b"\r\n\r\n"[..], b"\r\n", b"\0\0\0\0", b""] {
        udp.send(nothing);
        assert!(udp.ping().is_empty(), "a datagram of {nothing:?} wants no answer");
    }
    let mut tcp = Line::tcp(cluster.tcp(0));
    tcp.send(b"\r\n\r\n");
    assert_eq!(tcp.bytes(2), b"\r\n");
    tcp.send(b"\r\n");
    tcp.send(b"\r\n");
    assert_eq!(tcp.bytes(2), b"\r\n");
    assert!(tcp.ping().is_empty());
    let n = unique();
    udp.send(
        format!(
            "OPTIONS sip:{} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bK{n}\r\nMax-Forwards: 0\r\nFrom: <sip:x@y>;tag=1\r\n\
             To: <sip:{}>\r\nCall-ID: {n}\r\nCSeq: 7 OPTIONS\r\nContent-Length: 0\r\n\r\n",
            cluster.udp(0),
            udp.local(),
            cluster.udp(0)
        )
        .as_bytes(),
    );
    let answer = udp.receive();
    assert_eq!((answer.status, answer.header("Supported")), (200, "path, outbound"));
    assert!(answer.header("Allow").split(", ").any(|m| m == "REGISTER") && is_date(answer.header("Date")));
}

#[test]
fn phones_register_over_ipv6() {
    let cluster = Cluster::one("");
    for (user, line) in [("A001", Line::udp(cluster.udp6(0))), ("A002", Line::tcp(cluster.tcp6(0)))] {
        let mut phone = Phone::new(user, line).registered();
        let answer = phone.query();
        assert!(answer.header("Contact").starts_with(&format!("<sip:{user}@[::1]:")), "{}", answer.text);
        assert!(answer.header("Via").contains("received=::1"), "{}", answer.text);
    }
}

#[test]
fn a_binding_over_tcp_ends_with_its_connection() {
    let cluster = Cluster::one("");
    let phone = Phone::tcp("A001", cluster.tcp(0)).registered();
    let other = Phone::udp("A002", cluster.udp(0)).registered();
    assert_eq!(cluster.served(), [2]);
    drop(phone);
    cluster.wait_until("the binding is gone", |c| c.served() == [1]);
    assert_eq!(cluster.events(0, "unregister", "connection_lost"), 1.0);
    drop(other);
}
