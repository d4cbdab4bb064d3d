//! The configuration database of a running cluster: the file founds it, changes reach every copy, users set things while the publisher is away.

use crate::cluster::Cluster;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use tandem_base::NodeName;
use tandem_model::admin::config::{
    ConfigDraft, ConfigOp, ConfigOverview, ConfigReply, ConfigRequest, ConfigTable, Expect, Proof, Role, Written,
};
use tandem_model::admin::{AdminError, ErrorKind, NodeCommand, Reply, Request};

fn asked(cluster: &Cluster, request: ConfigRequest) -> Result<ConfigReply, AdminError> {
    match cluster.ask(Request::Config(Box::new(request)))? {
        Reply::Config(reply) => Ok(reply),
        other => panic!("{other:?}"),
    }
}

fn overview(cluster: &Cluster) -> ConfigOverview {
    match asked(cluster, ConfigRequest::Overview) {
        Ok(ConfigReply::Overview(overview)) => overview,
        other => panic!("{other:?}"),
    }
}

/// Every copy is up, at this revision, and equal.
pub(crate) fn all_at(cluster: &Cluster, revision: u64) {
    cluster.wait_until(&format!("all copies are at revision {revision}"), |c| {
        let copies = overview(c).copies;
        let digests: BTreeSet<_> = copies.iter().map(|c| c.digest.clone()).collect();
        copies.iter().all(|c| c.up && c.revision == Some(revision)) && digests.len() == 1
    });
}

pub(crate) fn fields(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

pub(crate) fn op(table: ConfigTable, key: &str, fields: Option<Map<String, Value>>, expect: Expect) -> ConfigOp {
    ConfigOp { table, key: key.to_owned(), fields, merge: false, expect, line: None }
}

pub(crate) fn draft(ops: Vec<ConfigOp>) -> ConfigDraft {
    ConfigDraft { author: "test".to_owned(), ops, ..ConfigDraft::default() }
}

pub(crate) fn write(cluster: &Cluster, draft: ConfigDraft) -> Result<Written, AdminError> {
    match asked(cluster, ConfigRequest::Write(draft))? {
        ConfigReply::Written(written) => Ok(written),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_file_founds_the_database_and_changes_reach_every_copy() {
    let cluster = Cluster::start(3, "", &[&[0, 1, 2]]);
    all_at(&cluster, 1);
    let seen = overview(&cluster);
    assert_eq!((seen.publisher, seen.epoch), (Some(cluster.name(0)), 1));

    let phone = json!({"pool": "PA", "password": "a long password", "description": "hall"});
    let made =
        write(&cluster, draft(vec![op(ConfigTable::Device, "NEW1", Some(fields(phone)), Expect::Absent)])).unwrap();
    assert_eq!((made.revision, made.unchanged), (2, false));
    all_at(&cluster, 2);
    let Ok(ConfigReply::Row(row)) =
        asked(&cluster, ConfigRequest::Get { table: ConfigTable::Device, key: "NEW1".to_owned(), at: None })
    else {
        panic!("no row")
    };
    assert_eq!((row.fields.get("password"), row.fields.get("description")), (Some(&json!("*")), Some(&json!("hall"))));
    assert_eq!(Some(row.etag.clone()), made.etags[0]);

    // A patch leaves the hidden password alone; another tag than the row's is refused.
    let patch = |etag: &str| ConfigOp {
        merge: true,
        ..op(ConfigTable::Device, "NEW1", Some(fields(json!({"description": "yard"}))), Expect::Etag(etag.to_owned()))
    };
    let wrong = write(&cluster, draft(vec![patch(&"0".repeat(32))])).unwrap_err();
    assert_eq!(wrong.kind, ErrorKind::Precondition, "{wrong}");
    assert_eq!(write(&cluster, draft(vec![patch(&row.etag)])).unwrap().revision, 3);
    all_at(&cluster, 3);

    let revert = |revision, comment: &str| {
        let (author, comment) = ("test".to_owned(), comment.to_owned());
        asked(&cluster, ConfigRequest::Revert { revision, force: true, dry_run: false, author, comment })
    };
    assert!(matches!(revert(2, ""), Ok(ConfigReply::Written(w)) if w.revision == 4));
    all_at(&cluster, 4);
    assert!(matches!(revert(4, "wanted after all"), Ok(ConfigReply::Written(w)) if w.revision == 5));
    assert!(matches!(revert(5, ""), Ok(ConfigReply::Written(w)) if w.revision == 6));
    all_at(&cluster, 6);
    let said = asked(&cluster, ConfigRequest::History { before: None, limit: 3, row: None });
    let Ok(ConfigReply::History { changes, .. }) = said else { panic!("no history") };
    assert_eq!(changes.iter().map(|c| &*c.comment).collect::<Vec<_>>(), ["revert 5", "wanted after all", "revert 2"]);
    let gone = asked(&cluster, ConfigRequest::Get { table: ConfigTable::Device, key: "NEW1".to_owned(), at: None });
    assert_eq!(gone.unwrap_err().kind, ErrorKind::NotFound);
    let old = asked(&cluster, ConfigRequest::Get { table: ConfigTable::Device, key: "NEW1".to_owned(), at: Some(3) });
    assert!(matches!(old, Ok(ConfigReply::Row(row)) if row.fields.get("description") == Some(&json!("yard"))));
}

#[test]
fn two_who_change_parts_of_one_row_at_the_same_time_overwrite_nothing_of_each_other() {
    const CHANGES: usize = 12;
    let cluster = Cluster::start(1, "", &[&[0]]);
    all_at(&cluster, 1);
    let row = fields(json!({"pool": "PA", "password": "a long password"}));
    write(&cluster, draft(vec![op(ConfigTable::Device, "NEW1", Some(row), Expect::Absent)])).unwrap();
    let patch = |field: &str, n: usize| {
        let part = fields(json!({ field: format!("{field}{n}") }));
        let op = ConfigOp { merge: true, ..op(ConfigTable::Device, "NEW1", Some(part), Expect::Present) };
        write(&cluster, draft(vec![op])).unwrap();
    };
    std::thread::scope(|scope| {
        for field in ["description", "digest_user"] {
            scope.spawn(move || (1..=CHANGES).for_each(|n| patch(field, n)));
        }
    });
    let get = ConfigRequest::Get { table: ConfigTable::Device, key: "NEW1".to_owned(), at: None };
    let Ok(ConfigReply::Row(row)) = asked(&cluster, get) else { panic!("no row") };
    for field in ["description", "digest_user"] {
        assert_eq!(row.fields.get(field), Some(&json!(format!("{field}{CHANGES}"))));
    }
    assert_eq!(overview(&cluster).copies[0].revision, Some(2 + 2 * CHANGES as u64), "each is a revision");
}

#[test]
fn what_is_wrong_with_a_change_is_told_row_by_row_and_nothing_of_it_is_made() {
    let cluster = Cluster::start(1, "", &[&[0]]);
    all_at(&cluster, 1);
    let good = op(ConfigTable::Device, "NEW1", Some(fields(json!({"pool": "PA", "password": "p"}))), Expect::Any);
    let refused = |ops| write(&cluster, draft(ops)).unwrap_err();
    for (table, key, row, field) in [
        (ConfigTable::Device, "NEW2", json!({"pool": "nowhere", "password": "p"}), "pool"),
        (ConfigTable::Device, "NEW2", json!({"pool": "PA", "password": "p", "digest_user": "A001"}), "digest_user"),
        (ConfigTable::Device, "NEW2", json!({"pool": "PA", "password": "p", "lines": ["A002"]}), "lines"),
        (ConfigTable::Device, "NEW2", json!({"pool": "PA", "password": "p", "kind": "toaster"}), "kind"),
        (ConfigTable::Device, "NEW2", json!({"pool": "PA"}), "password"),
        (ConfigTable::Group, "G9", json!({"members": ["nobody"]}), "members"),
        (ConfigTable::Setting, "min_expires", json!({"value": "soon"}), "min_expires"),
    ] {
        let error = refused(vec![good.clone(), op(table, key, Some(fields(row)), Expect::Any)]);
        assert_eq!(error.kind, ErrorKind::Invalid, "{key}: {error}");
        let told: Vec<_> = error.problems.iter().filter_map(|p| p.field.as_deref()).collect();
        assert!(told.contains(&field), "{field}: {:?}", error.problems);
    }
    let rows = [
        (ConfigTable::Device, "NEW2", json!({"pool": "PA", "password": "p", "kind": "toaster"})),
        (ConfigTable::Device, "NEW3", json!({"pool": "nowhere", "password": "p"})),
        (ConfigTable::Device, "NEW4", json!({"pool": "PA"})),
        (ConfigTable::Group, "G9", json!({"members": [cluster.name(0).as_str()], "failback": "never"})),
        (ConfigTable::DevicePool, "P9", json!({"group": "G9"})),
    ];
    let rows = rows.map(|(table, key, row)| op(table, key, Some(fields(row)), Expect::Any)).to_vec();
    let told_of = |rows: &[ConfigOp]| {
        let told = refused(rows.to_vec()).problems;
        told.into_iter().map(|p| (p.op.unwrap_or(usize::MAX), p.field.unwrap_or_default())).collect::<Vec<_>>()
    };
    let told = |list: &[(usize, &str)]| list.iter().map(|(n, f)| (*n, (*f).to_owned())).collect::<Vec<_>>();
    // P9 is well as soon as G9 is; while G9 cannot be read, what depends on all of the configuration waits.
    assert_eq!(told_of(&rows), told(&[(0, "kind"), (1, "pool"), (3, "failback")]));
    assert_eq!(told_of(&rows[..3]), told(&[(0, "kind"), (1, "pool"), (2, "password")]));
    let nowhere = refused(rows[1..2].to_vec()).problems;
    assert_eq!(nowhere.first().map(|p| p.what.as_str()), Some("there is no device_pool \"nowhere\""));
    // A long file is judged as a whole.
    let many = (0..2_000).map(|n| json!({"pool": "PA", "password": "p", "description": n.to_string()}));
    let many = many.zip(0..).map(|(row, n)| op(ConfigTable::Device, &format!("M{n}"), Some(fields(row)), Expect::Any));
    let long: Vec<ConfigOp> = many.chain(rows[..3].iter().cloned()).collect();
    assert_eq!(told_of(&long), told(&[(2_000, "kind"), (2_001, "pool"), (2_002, "")]));
    let in_use = refused(vec![op(ConfigTable::DevicePool, "PA", None, Expect::Any)]);
    assert_eq!(in_use.kind, ErrorKind::Refused, "{in_use}");
    assert_eq!(overview(&cluster).copies[0].revision, Some(1), "nothing was made");
}

/// A copy with such a device breaks the rules of a file: its node fell back to the file at its next start.
#[test]
fn no_device_takes_a_name_user_or_number_of_a_series() {
    let cluster = Cluster::start(1, "", &[&[0]]);
    all_at(&cluster, 1);
    let series = json!({"prefix": "W", "count": 99, "digits": 2, "pool": "PA", "password": "p", "first_line": "2001", "digest_user_prefix": "usr"});
    let made = op(ConfigTable::DeviceSeries, "W", Some(fields(series)), Expect::Absent);
    assert_eq!(write(&cluster, draft(vec![made])).unwrap().revision, 2);
    for (name, row, expected) in [
        ("W07", json!({}), "\"W07\" is also the name of W07"),
        ("2050", json!({}), "\"2050\" is also a line of W50"),
        ("usr08", json!({}), "\"usr08\" is also the digest user of W08"),
        ("NEW1", json!({"digest_user": "2099"}), "\"2099\" is also a line of W99"),
        ("NEW1", json!({"digest_user": "W99"}), "\"W99\" is also the name of W99"),
    ] {
        let mut row = fields(row);
        row.extend(fields(json!({"pool": "PA", "password": "p"})));
        let error = write(&cluster, draft(vec![op(ConfigTable::Device, name, Some(row), Expect::Absent)])).unwrap_err();
        assert!(error.problems.iter().any(|p| p.what == expected), "{name}: {:?}", error.problems);
    }
    let shared = fields(json!({"pool": "PA", "password": "p", "lines": ["2050"]}));
    let shares = op(ConfigTable::Device, "NEW1", Some(shared), Expect::Absent);
    assert_eq!(write(&cluster, draft(vec![shares])).unwrap().revision, 3, "a line may be shared");
}

#[test]
fn while_the_publisher_is_away_users_set_things_and_nobody_changes_the_configuration() {
    let cluster = Cluster::start(3, "", &[&[0, 1, 2]]);
    all_at(&cluster, 1);
    cluster.kill(0);
    cluster.wait_until("the publisher is missed", |c| overview(c).away_since.is_some());
    let device = |key: &str| {
        let row = json!({"pool": "PA", "password": "a long password"});
        draft(vec![op(ConfigTable::Device, key, Some(fields(row)), Expect::Absent)])
    };
    let refused = write(&cluster, device("NEW1")).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unavailable, "{refused}");
    assert!(refused.message.contains(cluster.name(0).as_str()), "{refused}");
    assert!(refused.message.contains(" since 20"), "{refused}");
    let forward = ConfigRequest::SetUser {
        device: "A001".to_owned(),
        field: "call_forward_all".to_owned(),
        value: Some(json!("2001")),
        author: "A001".to_owned(),
    };
    let settings = |reply| match reply {
        Ok(ConfigReply::UserSettings { settings, .. }) => settings,
        other => panic!("{other:?}"),
    };
    assert_eq!(settings(asked(&cluster, forward))["call_forward_all"], "2001");
    start(&cluster, &cluster.name(0));
    all_at(&cluster, 1);
    // The first node of the process answers: it is the publisher again, and has heard of it.
    let ask = || asked(&cluster, ConfigRequest::UserSettings { device: "A001".to_owned() });
    cluster.wait_until("the publisher knows", |_| settings(ask()).get("call_forward_all") == Some(&json!("2001")));
    assert_eq!(write(&cluster, device("NEW1")).unwrap().revision, 2);
    all_at(&cluster, 2);
}

fn start(cluster: &Cluster, name: &NodeName) {
    let done = cluster.ask(Request::Node { name: name.clone(), command: NodeCommand::Start });
    assert!(matches!(done, Ok(Reply::Node(_))), "{done:?}");
}

#[test]
fn another_node_becomes_the_publisher_and_the_old_one_follows() {
    let cluster = Cluster::start(3, "", &[&[0, 1, 2]]);
    all_at(&cluster, 1);
    cluster.kill(0);
    let promote = || ConfigRequest::Promote { node: cluster.name(1), force: false, author: "test".to_owned() };
    cluster.wait_until("it is promoted", |c| asked(c, promote()).is_ok());
    let row = json!({"pool": "PA", "password": "a long password"});
    let made = write(&cluster, draft(vec![op(ConfigTable::Device, "NEW1", Some(fields(row)), Expect::Absent)]));
    assert_eq!(made.unwrap().revision, 2);
    start(&cluster, &cluster.name(0));
    all_at(&cluster, 2);
    let seen = overview(&cluster);
    assert_eq!((seen.publisher, seen.epoch), (Some(cluster.name(1)), 2));
    // What the old publisher is asked to write goes to the new one.
    let patch = ConfigOp {
        merge: true,
        ..op(ConfigTable::Device, "NEW1", Some(fields(json!({"description": "x"}))), Expect::Present)
    };
    assert_eq!(write(&cluster, draft(vec![patch])).unwrap().revision, 3);
    all_at(&cluster, 3);
}

#[test]
fn users_and_tokens_are_known_by_what_they_can_prove() {
    let cluster = Cluster::start(1, "", &[&[0]]);
    all_at(&cluster, 1);
    let user = json!({"role": "operator", "password": "correct horse"});
    write(&cluster, draft(vec![op(ConfigTable::User, "anna", Some(fields(user)), Expect::Absent)])).unwrap();
    let token = json!({"role": "read-only", "user": "anna", "scopes": ["config:read"]});
    let made = write(&cluster, draft(vec![op(ConfigTable::Token, "t1", Some(fields(token)), Expect::Absent)])).unwrap();
    let secret = made.secret.expect("the token is told once");
    let who = |proof| match asked(&cluster, ConfigRequest::Identify(proof)) {
        Ok(ConfigReply::Identity(identity)) => Some((identity.name, identity.role)),
        Err(error) if error.kind == ErrorKind::Unauthorized => None,
        other => panic!("{other:?}"),
    };
    let password =
        |user: &str, password: &str| Proof::Password { user: user.to_owned(), password: password.to_owned() };
    assert_eq!(who(password("anna", "correct horse")), Some(("anna".to_owned(), Role::Operator)));
    assert_eq!(who(password("anna", "correct horsf")), None);
    assert_eq!(who(password("nobody", "correct horse")), None);
    assert_eq!(who(Proof::Token(secret.clone())), Some(("t1".to_owned(), Role::ReadOnly)));
    assert_eq!(who(Proof::Token(format!("{secret}x"))), None);
    let off =
        ConfigOp { merge: true, ..op(ConfigTable::User, "anna", Some(fields(json!({"disabled": true}))), Expect::Any) };
    write(&cluster, draft(vec![off])).unwrap();
    assert_eq!((who(password("anna", "correct horse")), who(Proof::Token(secret))), (None, None));
}
