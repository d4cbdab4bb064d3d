//! A directory from a file, changed row by row: what is found afterwards, what is shared, what people are told.

use super::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tandem_model::admin::config::ConfigTable;
use tandem_model::config::rows::{RowChange, rows_of};
use tandem_model::config::{Config, HumanDuration};

const FILE: &str = "[cluster]\nname = \"t\"\n[settings]\nalgorithms = [\"SHA-256\", \"MD5\"]\n\
    [[node]]\nname = \"A\"\naddress = \"127.0.0.1\"\n[[node]]\nname = \"B\"\naddress = \"127.0.0.2\"\n\
    [[group]]\nname = \"G\"\nmembers = [\"A\", \"B\"]\n[[group]]\nname = \"H\"\nmembers = [\"B\"]\n\
    [[device_pool]]\nname = \"P\"\ngroup = \"G\"\n[[device_pool]]\nname = \"Q\"\ngroup = \"H\"\n\
    [[device]]\nname = \"ONE\"\npool = \"P\"\npassword = \"pw\"\nlines = [\"1001\", \"1009\"]\n\
    [[device]]\nname = \"TWO\"\npool = \"Q\"\npassword = \"pw\"\ndigest_user = \"two\"\nlines = [\"1002\", \"1009\"]\n\
    [[device_series]]\nprefix = \"S\"\ncount = 40\ndigits = 3\npool = \"P\"\npassword = \"pw\"\nfirst_line = \"5001\"\n";

fn built() -> Directory {
    Directory::first(&Config::parse("t", FILE).unwrap())
}
fn fields(value: Value) -> Option<Map<String, Value>> {
    value.as_object().cloned()
}
/// A row is so from now on; null: it is gone. What was there before is not looked at.
fn row(table: ConfigTable, key: &str, after: Value) -> RowChange {
    RowChange { table, key: key.to_owned(), before: fields(json!({"any": "thing"})), after: fields(after) }
}
fn device(key: &str, after: Value) -> RowChange {
    row(ConfigTable::Device, key, after)
}
fn mark(revision: u64) -> Mark {
    Mark { revision, digest: 0 }
}
fn index(directory: &Directory, name: &str) -> DeviceIndex {
    directory.device_named(name).unwrap()
}
fn lines(directory: &Directory, device: DeviceIndex) -> Vec<&str> {
    directory.lines_of(device).collect()
}

#[test]
fn only_hashes_of_offered_algorithms_are_kept_and_each_belongs_to_its_device() {
    let with = |settings: &str| {
        Directory::first(&Config::parse("t", &FILE.replace("algorithms = [\"SHA-256\", \"MD5\"]", settings)).unwrap())
    };
    let both = built();
    let wanted = Stored::from_password(b"S002", b"t", b"pw");
    let second = index(&both, "S002");
    assert_eq!(both.credentials(second), wanted);
    assert_eq!(with("algorithms = [\"MD5\"]").credentials(second), Stored { sha256: None, ..wanted });
    assert_eq!(with("digest = false").credentials(second), Stored::UNKNOWN);
    assert_eq!(both.credentials(DeviceIndex(42)), Stored::UNKNOWN, "beyond the directory");
}

#[test]
fn a_device_that_comes_changes_and_goes_is_found_as_it_is_and_keeps_its_number() {
    let first = built();
    let number = DeviceIndex(first.bound());
    let came =
        first.apply(mark(2), &[device("NEW", json!({"pool": "Q", "password": "x", "lines": ["7001"]}))]).unwrap();
    let came_directory = &came.directory;
    assert_eq!(
        (came_directory.find(b"NEW"), came_directory.find(b"7001")),
        (Some(Alias::Device(number)), Some(Alias::Device(number)))
    );
    assert_eq!((came_directory.len(), came_directory.bound(), came_directory.mark.revision), (43, number.0 + 1, 2));
    assert_eq!(came_directory.credentials(number), Stored::from_password(b"NEW", b"t", b"x"));
    assert_eq!((came_directory.pool_of(number), came_directory.devices_of_pool(1)), (Some(1), 2));
    assert_eq!(came.effects.devices, [number]);
    assert_eq!((came.impact.reregister, came.impact.sentence.as_str()), (0, "no device moves"));
    assert_eq!((first.find(b"NEW"), first.len()), (None, 42), "the one before is what it was");

    let changed = came_directory
        .apply(
            mark(3),
            &[device(
                "NEW",
                json!({"pool": "Q", "password": "y", "digest_user": "new", "lines": ["7002"], "description": "d"}),
            )],
        )
        .unwrap();
    let now = &changed.directory;
    assert_eq!(
        (now.find(b"7001"), now.find(b"7002"), now.find(b"new")),
        (None, Some(Alias::Device(number)), Some(Alias::Device(number)))
    );
    assert_eq!((now.user(number), lines(now, number)), ("new", vec!["7002"]));
    assert_eq!(now.credentials(number), Stored::from_password(b"new", b"t", b"y"));
    assert!(changed.effects.devices.is_empty() && !changed.effects.places, "nobody is looked at");

    let gone = now.apply(mark(4), &[device("NEW", Value::Null)]).unwrap();
    let now = &gone.directory;
    assert_eq!((now.find(b"NEW"), now.find(b"new"), now.find(b"7002"), now.has(number)), (None, None, None, false));
    assert_eq!((now.name(number), now.pool_of(number), now.credentials(number)), (None, None, Stored::UNKNOWN));
    assert_eq!((now.len(), gone.effects.devices.as_slice()), (42, &[number][..]));
    assert_eq!((gone.impact.unregister, gone.impact.examples.as_slice()), (1, &["NEW".to_owned()][..]));

    let other = now.apply(mark(5), &[device("OTHER", json!({"pool": "P", "password": "x"}))]).unwrap().directory;
    let again = other.apply(mark(6), &[device("NEW", json!({"pool": "P", "password": "x"}))]).unwrap().directory;
    assert_eq!((index(&other, "OTHER"), index(&again, "NEW")), (DeviceIndex(number.0 + 1), number));
}

#[test]
fn a_number_on_several_devices_follows_each_of_them() {
    let first = built();
    let (one, two) = (index(&first, "ONE"), index(&first, "TWO"));
    assert_eq!((first.find(b"1009"), first.devices_of(b"1009")), (Some(Alias::Shared), vec![one, two]));
    let with = |lines: Value| device("ONE", json!({"pool": "P", "password": "pw", "lines": lines}));
    let without = first.apply(mark(2), &[with(json!(["1001"]))]).unwrap().directory;
    assert_eq!((without.find(b"1009"), without.devices_of(b"1009")), (Some(Alias::Device(two)), vec![two]));
    let back = without.apply(mark(3), &[with(json!(["1009", "1002"]))]).unwrap().directory;
    assert_eq!(
        (back.devices_of(b"1009"), back.devices_of(b"1002"), back.find(b"1001")),
        (vec![one, two], vec![one, two], None)
    );
    assert!(back.has_line(one, b"1002") && !back.has_line(one, b"1001"));
    // A number that changes hands within one change, whoever comes first.
    for order in [[0, 1], [1, 0]] {
        let changes = [
            device("ONE", json!({"pool": "P", "password": "pw"})),
            device("TWO", json!({"pool": "Q", "password": "pw", "lines": ["1001"]})),
        ];
        let changes: Vec<_> = order.iter().map(|n| changes[*n].clone()).collect();
        let now = first.apply(mark(2), &changes).unwrap().directory;
        assert_eq!((now.find(b"1001"), now.find(b"1009"), now.find(b"two")), (Some(Alias::Device(two)), None, None));
    }
}

#[test]
fn groups_and_pools_keep_their_numbers_and_have_them_again() {
    let first = built();
    let changes = [
        row(ConfigTable::Group, "NEW", json!({"members": ["B", "A"], "failback": "manual"})),
        row(ConfigTable::DevicePool, "POOL", json!({"group": "NEW", "connection_monitor": "5s"})),
        device("ONE", json!({"pool": "POOL", "password": "pw"})),
    ];
    let now = first.apply(mark(2), &changes).unwrap();
    let (group, pool) = (
        now.directory.group_of(index(&first, "ONE")).unwrap(),
        now.directory.pool_index(&DevicePoolName::new("POOL").unwrap()),
    );
    assert_eq!((group, pool), (2, Some(2)));
    assert_eq!((now.directory.rank(2, 1), now.directory.groups[2].failback), (Some(Rank::HOME), Failback::Manual));
    assert_eq!(now.directory.pools[2].monitor, Duration::from_secs(5));
    assert_eq!((now.directory.devices_of_group(0), now.directory.devices_of_group(2)), (40, 1));
    assert_eq!((now.impact.reregister, now.impact.examples.as_slice()), (1, &["ONE".to_owned()][..]));
    let back = [
        device("ONE", json!({"pool": "P", "password": "pw"})),
        row(ConfigTable::DevicePool, "POOL", Value::Null),
        row(ConfigTable::Group, "NEW", Value::Null),
    ];
    let gone = now.directory.apply(mark(3), &back).unwrap().directory;
    assert_eq!(gone.live_groups().map(|(n, g)| (n, g.name.as_str())).collect::<Vec<_>>(), [(0, "G"), (1, "H")]);
    assert_eq!((gone.live_pools().count(), gone.groups[2].name.as_str(), gone.groups[2].gone), (2, "NEW", true));
    assert_eq!(gone.group_index(&GroupName::new("NEW").unwrap()), None);
    let more = gone.apply(mark(4), &[row(ConfigTable::Group, "MORE", json!({"members": ["A"]}))]).unwrap().directory;
    let again = more.apply(mark(5), &[row(ConfigTable::Group, "NEW", json!({"members": ["A"]}))]).unwrap().directory;
    let number = |name| again.group_index(&GroupName::new(name).unwrap());
    assert_eq!((number("NEW"), number("MORE")), (Some(2), Some(3)));
}

#[test]
fn people_are_told_who_moves_before_anything_is_done() {
    let first = built();
    let foreseen = |changes: &[RowChange]| first.foresee(changes).unwrap();
    let told = |table, key, after| foreseen(&[row(table, key, after)]);
    let reordered = told(ConfigTable::Group, "G", json!({"members": ["B", "A"]}));
    assert_eq!((reordered.reregister, reordered.sentence.as_str()), (41, "41 devices register again"));
    assert_eq!(reordered.examples.len(), 10);
    let left = told(ConfigTable::Group, "G", json!({"members": ["B"]}));
    assert_eq!(left.reregister, 41);
    for (key, after) in [
        ("G", json!({"members": ["A"]})),
        ("G", json!({"members": ["A", "B"], "description": "x", "failback": "at-idle"})),
    ] {
        assert_eq!(told(ConfigTable::Group, key, after.clone()).sentence, "no device moves", "{after}");
    }
    let monitor = json!({"group": "G", "connection_monitor": "1s", "description": "x"});
    assert_eq!(told(ConfigTable::DevicePool, "P", monitor).sentence, "no device moves");
    assert_eq!(told(ConfigTable::DevicePool, "P", json!({"group": "H"})).reregister, 41);
    let both = foreseen(&[
        row(ConfigTable::DevicePool, "P", json!({"group": "H"})),
        device("ONE", Value::Null),
        device("TWO", json!({"pool": "P", "password": "pw"})),
    ]);
    assert_eq!((both.reregister, both.unregister), (40, 1), "each device once: TWO stays at B, ONE is gone");
    let node = told(ConfigTable::Node, "C", json!({"address": ["127.0.0.3"]}));
    assert!(node.restart[0].starts_with("C is new"), "{:?}", node.restart);
    let address = told(ConfigTable::Node, "B", json!({"address": ["127.0.0.9"]}));
    assert_eq!(address.restart, ["start B anew so that it takes its new addresses"]);
    let link = told(ConfigTable::Node, "B", json!({"address": ["127.0.0.2"], "link": "quic/127.0.0.2:7000"}));
    assert_eq!(link.restart, address.restart);
    assert!(told(ConfigTable::Cluster, "cluster", json!({"name": "u"})).restart[0].contains("every process"));
    let setting = told(ConfigTable::Setting, "heartbeat", json!({"value": "200ms"}));
    assert!(setting.restart[0].contains("heartbeat"), "{:?}", setting.restart);
    assert_eq!(
        (first.groups.len(), first.interner.groups().len(), first.interner.nodes().len()),
        (2, 2, 2),
        "nothing is kept"
    );
}

#[test]
fn settings_take_effect_and_go_back_to_what_is_usual() {
    let first = built();
    let set = |d: &Directory, key, after| d.apply(mark(2), &[row(ConfigTable::Setting, key, after)]);
    let now = set(&first, "nonce_lifetime", json!({"value": "10s"})).unwrap().directory;
    assert_eq!((now.nonce_lifetime_secs(), now.settings.algorithms.len()), (10, 2));
    let usual = set(&now, "nonce_lifetime", Value::Null).unwrap().directory;
    assert_eq!(usual.settings.nonce_lifetime, HumanDuration(Duration::from_secs(300)));
    let order = set(&first, "algorithms", json!({"value": ["MD5", "SHA-256"]})).unwrap();
    assert_eq!(order.directory.settings.algorithms.first().map(|a| a.word()), Some("MD5"));
    assert!(set(&first, "algorithms", json!({"value": ["MD5"]})).is_err(), "other hashes are needed");
    assert!(set(&first, "digest", json!({"value": false})).is_err());
    assert!(set(&first, "min_expires", json!({"value": "soon"})).is_err());
}

#[test]
fn what_does_not_fit_or_is_more_than_a_patch_asks_for_a_new_directory() {
    let first = built();
    for change in [
        row(ConfigTable::DeviceSeries, "S001", Value::Null),
        device("X", json!({"pool": "nowhere", "password": "x"})),
        device("X", json!({"pool": "P", "kind": "toaster"})),
        row(ConfigTable::DevicePool, "P", json!({"group": "nowhere"})),
        row(ConfigTable::Group, "G", json!({"members": ["Z"]})),
    ] {
        assert!(first.apply(mark(2), std::slice::from_ref(&change)).is_err(), "{change:?}");
    }
    for change in [
        row(ConfigTable::User, "anna", json!({"role": "admin"})),
        // Neither came nor went: nothing has changed.
        RowChange { before: None, after: None, ..device("X", Value::Null) },
        device("NOBODY", Value::Null),
    ] {
        let applied = first.apply(mark(2), std::slice::from_ref(&change)).unwrap();
        assert_eq!((applied.directory.len(), applied.effects.devices.len()), (42, 0), "{change:?}");
        assert!(applied.directory.patch.is_none(), "{change:?}");
    }
}

/// User, lines, pool, credentials and number of a device.
type Seen = (String, Vec<String>, Option<u16>, Stored, DeviceIndex);

/// All that can be found in a directory, by name.
fn seen(d: &Directory) -> BTreeMap<String, Seen> {
    let lines = |i| d.lines_of(i).map(str::to_owned).collect();
    let of = |i: DeviceIndex| (d.user(i).to_owned(), lines(i), d.pool_of(i), d.credentials(i), i);
    d.devices().map(|i| (d.name_text(i).to_owned(), of(i))).collect()
}

#[test]
fn many_changes_one_by_one_at_once_and_from_the_whole_are_the_same() {
    let change = |n: usize| match n % 4 {
        0 => device(
            &format!("N{n}"),
            json!({"pool": if n.is_multiple_of(8) { "P" } else { "Q" }, "password": n.to_string(), "lines": ["9000", format!("8{n}")]}),
        ),
        1 => device(
            &format!("N{}", n - 1),
            json!({"pool": "Q", "password": "z", "digest_user": format!("u{n}"), "lines": ["9000"]}),
        ),
        2 => device(&format!("M{n}"), json!({"pool": "P", "password": "m"})),
        _ => device(&format!("M{}", n - 1), Value::Null),
    };
    let changes: Vec<RowChange> = (0..12_000).map(change).collect();
    let first = built();
    let mut one_by_one = Arc::new(first.clone());
    let mut merged = 0;
    for (n, change) in changes.iter().enumerate() {
        let patched = one_by_one.patch.is_some();
        one_by_one = one_by_one.apply(mark(n as u64), std::slice::from_ref(change)).unwrap().directory;
        merged += usize::from(patched && one_by_one.patch.is_none());
    }
    assert!(merged >= 1, "the patch was never worked into a base");
    let at_once = first.apply(mark(9), &changes).unwrap().directory;
    let mut rows = rows_of(FILE).unwrap();
    for n in (0..12_000).step_by(4) {
        let RowChange { table, key, after, .. } = change(n + 1);
        rows.push(tandem_model::config::rows::ConfigRowData { table, key, fields: after.unwrap() });
    }
    let whole = first.rebuilt(mark(9), &Config::from_rows(rows, Some("A")).unwrap());
    for other in [&at_once, &whole.directory] {
        assert_eq!(seen(&one_by_one), seen(other));
        assert_eq!(one_by_one.devices_of(b"9000"), other.devices_of(b"9000"));
        assert_eq!((one_by_one.len(), one_by_one.devices_of_pool(1)), (3_042, other.devices_of_pool(1)));
        assert_eq!((other.find(b"80"), other.find(b"M2"), other.find(b"u1")), (None, None, one_by_one.find(b"u1")));
    }
    assert_eq!(whole.effects.devices.len(), 3_000);
    assert!(!whole.effects.places && one_by_one.until(&whole.directory).effects.devices.is_empty());
}

#[test]
fn a_change_is_seen_by_nobody_who_has_an_older_directory_and_shares_its_base() {
    let first = built();
    let now = first.apply(mark(2), &[device("ONE", Value::Null)]).unwrap().directory;
    assert!(Arc::ptr_eq(&first.base, &now.base) && Arc::ptr_eq(&first.groups, &now.groups));
    assert!(first.has(index(&first, "ONE")) && now.find(b"ONE").is_none());
}
