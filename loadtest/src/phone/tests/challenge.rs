//! Digest: both algorithms, one nonce for many requests and CallManagers, and no endless guessing.

use super::*;

fn guarded(algorithms: &[Algorithm], settings: PhoneSettings) -> World {
    let mut world = World::new(2, settings, 1);
    for registrar in &mut world.registrars {
        registrar.guard = Some((algorithms.to_vec(), "abc".into()));
    }
    world
}

fn nc(sent: &Sent) -> Option<&str> {
    sent.text.split_once(", nc=").and_then(|(_, rest)| rest.get(..8))
}

#[test]
fn both_algorithms_are_answered_and_the_topmost_known_one_is_taken() {
    for (algorithms, sha256, taken) in [
        (&[Algorithm::Md5][..], true, "algorithm=MD5"),
        (&[Algorithm::Sha256], true, "algorithm=SHA-256"),
        (&[Algorithm::Sha256, Algorithm::Md5], true, "algorithm=SHA-256"),
        (&[Algorithm::Md5, Algorithm::Sha256], true, "algorithm=MD5"),
        (&[Algorithm::Sha256, Algorithm::Md5], false, "algorithm=MD5"),
    ] {
        let mut world = guarded(algorithms, PhoneSettings { sha256, ..plain() });
        world.give(PhoneInput::Start);
        assert_eq!(world.phone.status(), Status::Registered, "{algorithms:?}");
        assert!(world.last().text.contains(taken), "{}", world.last().text);
        assert_eq!((world.sent.len(), world.phone.counters().challenges), (2, 1));
    }
}

#[test]
fn a_phone_that_knows_none_of_the_algorithms_backs_off() {
    let mut world = guarded(&[Algorithm::Sha256], PhoneSettings { sha256: false, ..plain() });
    world.give(PhoneInput::Start);
    assert_eq!((world.phone.status(), world.sent.len(), world.phone.counters().refusals), (Status::Waiting, 1, 1));
}

#[test]
fn the_nonce_is_kept_counted_and_carried_to_the_next_callmanager() {
    let mut world = guarded(&[Algorithm::Md5], plain());
    world.give(PhoneInput::Start);
    world.run(secs(115));
    world.give(PhoneInput::Broken { to: address(0) });
    world.run(Duration::ZERO);
    assert_eq!(world.phone.registered_at(), Some(address(1)));
    let counts: Vec<_> = world.sent.iter().map(nc).collect();
    assert_eq!(counts, [None, Some("00000001"), Some("00000002"), Some("00000003")]);
    assert_eq!(world.phone.counters().challenges, 1, "no further challenge anywhere");
}

#[test]
fn a_proxy_gets_its_own_header() {
    let mut world = guarded(&[Algorithm::Md5], plain());
    world.registrars[0].asker = Asker::Proxy;
    world.give(PhoneInput::Start);
    assert_eq!(world.phone.status(), Status::Registered);
    assert!(world.last().text.contains("\r\nProxy-Authorization: Digest "));
}

#[test]
fn an_old_nonce_is_replaced_when_the_server_says_stale_and_once_when_it_does_not() {
    for stale in [true, false] {
        let mut world = guarded(&[Algorithm::Md5], plain());
        world.give(PhoneInput::Start);
        world.registrars[0].guard = Some((vec![Algorithm::Md5], "fresh".into()));
        world.registrars[0].stale = stale;
        world.run(secs(115));
        assert_eq!((world.phone.status(), world.sent.len()), (Status::Registered, 4));
        assert_eq!(nc(world.last()), Some("00000001"), "a new nonce begins at one");
        assert_eq!(world.phone.counters().refreshes, 1);
    }
}

#[test]
fn stale_is_answered_once_and_then_believed_no_more() {
    let mut world = guarded(&[Algorithm::Md5], plain());
    let line = "401 No\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"x\", stale=true, qop=\"auth\"\r\n";
    world.registrars[0].always.insert(Ask::Register, line.into());
    world.registrars[0].guard = None;
    world.give(PhoneInput::Start);
    assert_eq!((world.phone.status(), world.sent.len()), (Status::Waiting, 2));
    assert_eq!(world.phone.counters().refusals, 1);
}

#[test]
fn a_wrong_password_is_tried_once_and_never_again_before_the_back_off() {
    let list = [address(0)];
    let profile = Profile::new("tandem.test", &list, plain()).expect("profile");
    let who = Identity { user: "SEP0001".into(), digest_user: "alice".into(), password: "wrong".into() };
    let mut world = guarded(&[Algorithm::Md5], plain());
    world.phone = Phone::new(7, profile, &who, "127.0.0.9:40000".parse().expect("address"), 1).expect("phone");
    world.give(PhoneInput::Start);
    assert_eq!((world.phone.status(), world.sent.len(), world.phone.counters().refusals), (Status::Waiting, 2, 1));
    world.run(secs(14));
    assert_eq!(world.sent.len(), 2);
}

#[test]
fn heartbeats_tokens_and_unregistering_prove_themselves_too() {
    let settings = PhoneSettings { standby_heartbeat: Some(secs(10)), monitor: secs(30), ..plain() };
    let mut world = guarded(&[Algorithm::Sha256], settings);
    world.registrars[0].life = Life::Closed;
    world.give(PhoneInput::Start);
    world.registrars[0].life = Life::Up;
    world.run(secs(60));
    world.give(PhoneInput::Stop);
    for ask in [Ask::Beat, Ask::Token, Ask::Unregister] {
        let proven = world.sent.iter().filter(|s| s.ask == ask && nc(s).is_some()).count();
        assert!(proven > 0, "{ask:?}");
    }
    assert_eq!((world.phone.status(), world.phone.counters().failbacks), (Status::Off, 1));
}
