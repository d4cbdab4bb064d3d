//! Certificates as an operator may find them: good ones, old ones, another cluster's, half of a pair, something else.

use super::make::{Authority, Made};
use super::*;
use crate::disk::Access;
use crate::link::unix::tests::Folder;
use std::net::Ipv4Addr;

const DAY: u64 = 86_400;
/// A moment in 2026.
const NOW: UnixMillis = UnixMillis(1_770_000_000_000);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn name() -> NodeName {
    NodeName::new("CCM1").unwrap()
}
fn days(count: u64) -> Duration {
    Duration::from_secs(count * DAY)
}
fn later(count: u64) -> UnixMillis {
    UnixMillis(NOW.0 + count * DAY * 1_000)
}
fn put(folder: &Folder, file: &str, text: &str, access: Access) {
    RealDisk.write(&folder.0.join(file), text.as_bytes(), access).unwrap();
}
fn write(folder: &Folder, made: &Made) {
    put(folder, "CCM1.pem", &made.certificate, Access::Shared);
    put(folder, "CCM1.key", &made.key, Access::Private);
}
fn load_at(folder: &Folder, now: UnixMillis) -> Result<Credentials, CertificateError> {
    load(&folder.0, &name(), HERE, now)
}

/// A folder with an authority that is good for 100 days.
fn folder(test: &str) -> (Folder, Authority) {
    let folder = Folder::new(test);
    let (authority, made) = Authority::new("lab", NOW, days(100)).unwrap();
    put(&folder, "ca.pem", &made.certificate, Access::Shared);
    put(&folder, "ca.key", &made.key, Access::Private);
    (folder, authority)
}
fn issue(authority: &Authority, life: Duration) -> Made {
    authority.issue("lab", &name(), HERE, NOW, life).unwrap()
}

#[test]
fn what_was_made_is_good_and_its_end_is_known() {
    let (folder, authority) = folder("good");
    write(&folder, &issue(&authority, days(90)));
    let good = load_at(&folder, NOW).unwrap();
    assert_eq!(good.seconds_left(NOW), [90 * DAY as i64, 100 * DAY as i64]);
    assert_eq!(good.warning(NOW), None);
    let text = good.warning(later(70)).unwrap();
    assert!(text.contains("CCM1.pem expires in 20 days") && text.contains("certs --force`"), "{text}");
    assert_eq!(good.seconds_left(later(91))[0], -(DAY as i64));
    assert!(good.warning(later(93)).unwrap().contains("expired 3 days ago"));
    assert!(!format!("{good:?}").contains("PRIVATE"), "a key is never shown");
    // An authority that was read back signs as before.
    let read = |file: &str| String::from_utf8(RealDisk.read(&folder.0.join(file), 1 << 20).unwrap()).unwrap();
    let again = Authority::read(&read("ca.pem"), &read("ca.key")).unwrap();
    write(&folder, &issue(&again, days(95)));
    assert_eq!(load_at(&folder, NOW).unwrap().seconds_left(NOW)[0], 95 * DAY as i64);
    assert!(Authority::read(&read("ca.pem"), "nonsense").is_err());
}

#[test]
fn each_way_to_be_wrong_names_its_file_and_what_would_be_right() {
    let (folder, authority) = folder("wrong");
    let says = |now: UnixMillis, told: &[&str]| {
        let text = load_at(&folder, now).unwrap_err().to_string();
        assert!(told.iter().all(|t| text.contains(t)), "{text}");
    };
    says(NOW, &["there is no", "CCM1.pem", "tandem cluster certs"]);
    let good = issue(&authority, days(90));
    write(&folder, &good);
    says(later(91), &["CCM1.pem expired", "24 hours ago", "--force"]);
    says(UnixMillis(NOW.0 - DAY * 1_000), &["is good from", "clock"]);
    // Another cluster's authority of the same name.
    let (other, made) = Authority::new("lab", NOW, days(100)).unwrap();
    write(&folder, &issue(&other, days(90)));
    says(NOW, &["peers would refuse", "CCM1.pem", "ca.pem signed"]);
    // During a change both authorities are trusted.
    let both = RealDisk.read(&folder.0.join("ca.pem"), 1 << 20).unwrap();
    put(&folder, "ca.pem", &(String::from_utf8(both).unwrap() + &made.certificate), Access::Shared);
    assert!(load_at(&folder, NOW).is_ok());
    // Somebody else's address.
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));
    write(&folder, &authority.issue("lab", &name(), address, NOW, days(90)).unwrap());
    says(NOW, &["peers would refuse", "192.0.2.1"]);
    write(&folder, &Made { key: issue(&authority, days(90)).key, ..good });
    says(NOW, &["CCM1.key does not belong to the certificate"]);
    put(&folder, "CCM1.key", "-----BEGIN", Access::Private);
    says(NOW, &["CCM1.key holds no private key"]);
    put(&folder, "CCM1.key", "x", Access::Shared);
    says(NOW, &["everybody may read", "CCM1.key", "chmod 600"]);
    put(&folder, "CCM1.key", "x", Access::Private);
    put(&folder, "CCM1.pem", "nothing", Access::Shared);
    says(NOW, &["CCM1.pem holds no certificate"]);
}

#[test]
fn an_authority_that_is_over_is_said_to_be() {
    let (folder, authority) = folder("over");
    write(&folder, &issue(&authority, days(300)));
    let text = load_at(&folder, later(110)).unwrap_err().to_string();
    assert!(text.contains("ca.pem expired 10 days ago"), "{text}");
}
