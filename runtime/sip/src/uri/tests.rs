//! SIP URIs: parts, escapes, addresses.

use super::*;
use crate::headers::Transport;

fn read(text: &str) -> SipUri<'_> {
    SipUri::read(text.as_bytes()).unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn all_parts_are_found() {
    let u = read("sips:alice:secret@[2001:db8::1]:5070;transport=tcp;lr;x=[1]/2?Subject=a&b=c");
    assert!(u.secure);
    assert_eq!((u.user, u.password, u.port), (Some(&b"alice"[..]), Some(&b"secret"[..]), Some(5070)));
    assert_eq!(u.host.text(), b"[2001:db8::1]");
    assert_eq!((u.transport(), u.params().has("LR")), (Some(Transport::Tcp), true));
    assert_eq!(u.params().get("x").map(|p| p.text()), Some(&b"[1]/2"[..]));
    assert_eq!(u.headers, Some(&b"Subject=a&b=c"[..]));
    let u = read("SIP:example.com");
    assert_eq!((u.secure, u.user, u.port, u.headers), (false, None, None, None));
    assert_eq!(u.params().count(), 0);
}

#[test]
fn a_user_may_hold_what_separates_elsewhere() {
    let u = read("sip:user;par=u%40example.net@example.com");
    assert_eq!((u.user, u.host.text()), (Some(&b"user;par=u%40example.net"[..]), &b"example.com"[..]));
    assert!(u.user_is(b"user;par=u@example.net"));
    let odd =
        "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com";
    assert_eq!(read(odd).host.text(), b"example.com");
}

#[test]
fn escapes_in_users_are_resolved_for_comparison() {
    let u = read("sip:%6a%4F%00@h");
    assert!(u.user_is(b"jO\0") && !u.user_is(b"jo\0") && u.plain_user().is_none());
    assert_eq!(u.user_bytes().collect::<Vec<_>>(), b"jO\0");
    assert_eq!(u.copy_user(&mut [0; 3]), Some(&b"jO\0"[..]));
    assert_eq!(u.copy_user(&mut [0; 2]), None);
    assert_eq!(read("sip:100%@h").user_bytes().collect::<Vec<_>>(), b"100%");
    assert_eq!(read("sip:h").copy_user(&mut [0; 2]), None);
    assert!(!read("sip:h").user_is(b""));
    assert_eq!(read("sip:abc@h").plain_user(), Some(&b"abc"[..]));
}

#[test]
fn literal_hosts_give_socket_addresses() {
    for (text, addr) in [
        ("sip:a@192.0.2.1", Some("192.0.2.1:5060")),
        ("sip:a@192.0.2.1:5070", Some("192.0.2.1:5070")),
        ("sips:a@192.0.2.1", Some("192.0.2.1:5061")),
        ("sip:a@192.0.2.1;transport=TLS", Some("192.0.2.1:5061")),
        ("sip:[::1]:7", Some("[::1]:7")),
        ("sip:[::ffff:192.0.2.1]:7", Some("192.0.2.1:7")),
        ("sip:a@example.com", None),
        ("sip:a@1.2.3", None),
        ("sip:a@1.2.3.256", None),
        ("sip:a@[2001:db8:::192.0.2.1]", None),
    ] {
        assert_eq!(read(text).socket_addr(), addr.map(|a| a.parse().unwrap()), "{text}");
    }
}

#[test]
fn what_is_no_sip_uri_is_refused() {
    for bad in [
        "",
        "sip:",
        "sip",
        "tel:+1",
        "sipx:a@b",
        "sip:@b",
        "sip:a@",
        "sip:a@b:x",
        "sip:a@b:65536",
        "sip:a@b:",
        "sip:a b@c",
        "<sip:a@b>",
        "sip:a@b c",
        "sip:a@b;x=\"y\"",
        "sip:2001:db8::10",
        "sip:[2001:db8::10",
        "sip:a@b@c",
        "sip:a@b;c@d",
        "sip:a@[]",
        "sip:a@[x]",
        "sip:a@h\u{1}",
        "sip:a@b/c",
        "sip:a@b?c@d",
    ] {
        assert!(SipUri::read(bad.as_bytes()).is_none(), "{bad}");
    }
}

#[test]
fn hosts_are_compared_by_meaning() {
    let host = |t: &'static str| Host::read(t.as_bytes()).unwrap();
    assert!(host("Example.COM").same(&host("example.com")));
    assert!(host("[2001:DB8::0:1]").same(&host("[2001:db8::1]")));
    assert!(host("[::ffff:10.0.0.1]").same(&host("10.0.0.1")));
    assert!(!host("10.0.0.1").same(&host("10.0.0.2")));
    assert!(!host("a").same(&host("10.0.0.2")));
}

#[test]
fn schemes_have_the_characters_of_their_rfc() {
    assert_eq!(scheme(b"soap.beep://h"), Some((&b"soap.beep"[..], &b"//h"[..])));
    assert_eq!(scheme(b"SIP:x").map(|(s, _)| s), Some(&b"SIP"[..]));
    for bad in ["x", "1a:b", ":b", "a b:c", "<sip:a@b>"] {
        assert!(scheme(bad.as_bytes()).is_none(), "{bad}");
    }
}
