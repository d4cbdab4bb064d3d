//! User settings in one store: stamps, merging, comparing in parts.

use super::{Folder, device, draft, epoch, founded, node, open};
use crate::{BUCKETS, DraftOp, Store, Table, UserField, UserSetting};
use serde_json::Value;
use tandem_base::UnixMillis;

fn setting(device: &str, value: &str, at: u64, by: &str) -> UserSetting {
    UserSetting {
        device: device.into(),
        field: UserField::CallForwardAll,
        value: Some(Value::from(value)),
        at: UnixMillis(at),
        author: "ann".into(),
        node: node(by),
    }
}
fn value(store: &Store, device: &str) -> Option<String> {
    let found = store.user_setting(device, UserField::CallForwardAll).unwrap();
    found.and_then(|s| s.value).and_then(|v| v.as_str().map(str::to_owned))
}

#[test]
fn what_is_set_later_here_is_newer_whatever_the_clock_says() {
    let folder = Folder::new("users");
    let mut store = open(&folder.file("a"));
    store.set_user(vec![setting("SEP1", "1", 1_000, "A")]).unwrap();
    // The clock went back.
    let written = store.set_user(vec![setting("SEP1", "2", 900, "A")]).unwrap().remove(0).unwrap();
    assert_eq!((written.at, value(&store, "SEP1").as_deref()), (UnixMillis(1_001), Some("2")));
    let taken_back = UserSetting { value: None, ..setting("SEP1", "", 2_000, "A") };
    store.set_user(vec![taken_back]).unwrap();
    assert_eq!(value(&store, "SEP1"), None);
    assert!(store.merge_user(vec![setting("SEP1", "2", 1_500, "B")]).unwrap().is_empty(), "it does not come back");
}

#[test]
fn merging_is_the_same_in_any_order_and_twice() {
    let folder = Folder::new("users");
    let (mut a, mut b) = (open(&folder.file("a")), open(&folder.file("b")));
    let all: Vec<_> = (0..60)
        .map(|n| setting(&format!("SEP{}", n % 7), &n.to_string(), 100 + n % 13, ["A", "B"][n as usize % 2]))
        .collect();
    let mut backwards = all.clone();
    backwards.reverse();
    a.merge_user(all.clone()).unwrap();
    all.chunks(7).for_each(|c| drop(a.merge_user(c.to_vec()).unwrap()));
    backwards.into_iter().for_each(|s| drop(b.merge_user(vec![s]).unwrap()));
    assert_eq!(a.head().unwrap().settings, b.head().unwrap().settings);
    assert_eq!(a.sum_user().unwrap(), b.sum_user().unwrap());
    assert_eq!(a.head().unwrap().settings.count, 7);
}

#[test]
fn what_a_peer_lacks_is_read_in_pieces() {
    let folder = Folder::new("users");
    let (mut a, mut b) = (open(&folder.file("a")), open(&folder.file("b")));
    let same: Vec<_> = (0..50).map(|n| setting(&format!("SAME{n}"), "1", 1, "A")).collect();
    a.merge_user(same.clone()).unwrap();
    b.merge_user(same).unwrap();
    a.set_user((0..2_000).map(|n| setting(&format!("SEP{n}"), "x".repeat(100).as_str(), 1, "A")).collect()).unwrap();
    let (mut after, mut answers) = (None, 0);
    let theirs = b.sum_user().unwrap();
    loop {
        let (settings, next) = a.read_user(&theirs, after.as_ref()).unwrap();
        answers += 1;
        b.merge_user(settings).unwrap();
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert!(answers > 3, "{answers}");
    assert_eq!(a.head().unwrap().settings, b.head().unwrap().settings);
    let (nothing, _) = a.read_user(&b.sum_user().unwrap(), None).unwrap();
    assert!(nothing.is_empty());
    assert!(a.read_user(&theirs[..BUCKETS - 1], None).is_err());
}

#[test]
fn too_long_a_value_is_refused_and_the_others_are_written() {
    let folder = Folder::new("users");
    let mut store = open(&folder.file("a"));
    let long = setting("SEP1", &"x".repeat(2_000), 1, "A");
    let results = store.set_user(vec![long, setting("SEP2", "1", 1, "A")]).unwrap();
    assert!(results[0].is_err() && results[1].is_ok());
    assert_eq!(store.head().unwrap().settings.count, 1);
}

#[test]
fn a_deleted_device_takes_its_settings_along_at_every_copy_but_not_what_was_set_later() {
    let folder = Folder::new("users");
    let (mut a, mut b) = (founded(&folder, "a"), founded(&folder, "b"));
    let put = draft(["SEP1", "SEP2"].map(|d| DraftOp::put(Table::Device, d, device("DP1"))).to_vec());
    let made = a.commit(&epoch(1, "CCM1"), &put).unwrap();
    b.apply(made).unwrap();
    // The other copy knows of one only, and has another's later value.
    a.set_user(vec![setting("SEP1", "100", 500, "A"), setting("SEP2", "200", 500, "A")]).unwrap();
    b.set_user(vec![setting("SEP2", "201", 5_000, "B")]).unwrap();
    let gone = draft(vec![DraftOp::delete(Table::Device, "SEP1"), DraftOp::delete(Table::Device, "SEP2")]);
    assert!(a.check(&gone).is_ok());
    assert_eq!(value(&a, "SEP1").as_deref(), Some("100"), "a check changes nothing");
    let gone = a.commit(&epoch(1, "CCM1"), &gone).unwrap();
    b.apply(gone).unwrap();
    assert_eq!((value(&a, "SEP1"), value(&a, "SEP2"), value(&b, "SEP2").as_deref()), (None, None, Some("201")));
    let everything = |store: &Store| {
        let mut all = vec![];
        store.each_user_setting(|s| all.push(s)).unwrap();
        all
    };
    let (of_a, of_b) = (everything(&a), everything(&b));
    a.merge_user(of_b).unwrap();
    b.merge_user(of_a).unwrap();
    assert_eq!(a.head().unwrap().settings, b.head().unwrap().settings);
    assert_eq!((value(&b, "SEP1"), value(&a, "SEP2").as_deref()), (None, Some("201")));
}

/// The publisher deletes a device before it hears what was set for it elsewhere, and its log does not reach back to that node.
#[test]
fn a_device_that_is_gone_from_a_snapshot_takes_its_settings_along() {
    let folder = Folder::new("users");
    let (mut a, mut b) = (founded(&folder, "a"), founded(&folder, "b"));
    let put = draft(["SEP1", "SEP2", "SEP3"].map(|d| DraftOp::put(Table::Device, d, device("DP1"))).to_vec());
    let made = a.commit(&epoch(1, "CCM1"), &put).unwrap();
    b.apply(made).unwrap();
    let later = setting("SEP3", "300", 5_000, "B");
    b.set_user(vec![setting("SEP1", "100", 500, "B"), setting("SEP2", "200", 500, "B"), later]).unwrap();
    let gone = draft(vec![DraftOp::delete(Table::Device, "SEP1"), DraftOp::delete(Table::Device, "SEP3")]);
    a.commit(&epoch(1, "CCM1"), &gone).unwrap();
    super::stores::copy(&a, &mut b).unwrap();
    let left = ["SEP1", "SEP2", "SEP3"].map(|d| value(&b, d));
    assert_eq!(left.each_ref().map(Option::as_deref), [None, Some("200"), Some("300")], "what was set later stays");
    let mut all = vec![];
    b.each_user_setting(|s| all.push(s)).unwrap();
    a.merge_user(all).unwrap();
    assert_eq!((value(&a, "SEP1"), a.head().unwrap().settings), (None, b.head().unwrap().settings));
}
