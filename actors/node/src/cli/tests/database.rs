//! Commands about the configuration, against a real console and a small configuration in memory.

use super::*;
use serde_json::{Value, json};

fn file(tandem: &Tandem, name: &str, text: &str) -> String {
    let path = tandem.folder.join(name);
    #[expect(clippy::disallowed_methods, reason = "a test makes the files that the commands read")]
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}
fn fails(tandem: &Tandem, arguments: &str) -> Failure {
    tandem.tandem(arguments).2.unwrap_err()
}

#[test]
fn the_state_of_the_copies_is_told_and_what_to_do_when_the_publisher_is_away() {
    let tandem = Tandem::start("config-status", 0);
    assert_eq!(
        tandem.prints("config status"),
        "publisher CCM1, term 1, answered by CCM1\n\nNODE  STATE  REVISION  LAG  DIGEST\nCCM1  up            1    0  -\n"
    );
    tandem.admin.config.lock().unwrap().away = true;
    let text = tandem.prints("config status");
    assert!(
        text.contains("cannot be reached since 2023-11-14T22:13:20Z") && text.contains("tandem node promote"),
        "{text}"
    );
    let refused = fails(&tandem, "device delete SEP1");
    assert!(refused.to_string().contains("promote another node"), "{refused}");
}

#[test]
fn rows_are_listed_shown_and_searched_in_every_form() {
    let tandem = Tandem::start("config-get", 0);
    assert_eq!(
        tandem.prints("config get device"),
        "KEY   pool  description  password  lines\nSEP1  DP1   -            *         1001\nSEP2  DP1   lobby        -         -\n"
    );
    assert_eq!(tandem.json("config get device --where lines=1001")["rows"][0]["key"], "SEP1");
    let (text, notes, _) = tandem.tandem("config get device --limit 1");
    assert_eq!(text.lines().count(), 2);
    assert!(notes.contains("--cursor SEP1 goes on"), "{notes}");
    let etag = tandem.json("config get device SEP1")["etag"].as_str().unwrap().to_owned();
    assert_eq!(
        tandem.prints("config get device SEP1"),
        format!("device SEP1, entity tag {etag}\nlines     1001\npassword  *\npool      DP1\n")
    );
    assert_eq!(
        tandem.prints("config get device --prefix SEP1 -o yaml"),
        format!(
            "api: 1\nrevision: 1\nrows:\n- etag: {etag_yaml}\n  fields:\n    lines:\n    - \"1001\"\n    password: \"*\"\n    pool: DP1\n  key: SEP1\n  table: device\nnext: null\n",
            etag_yaml =
                if etag.starts_with(|c: char| c.is_ascii_alphabetic()) { etag.clone() } else { format!("\"{etag}\"") }
        )
    );
    assert_eq!(tandem.prints("config get token -o yaml"), "api: 1\nrevision: 1\nrows: []\nnext: null\n");
    assert_eq!(fails(&tandem, "config get device SEP3").remedies, ["did you mean SEP1?"]);
    assert!(parse(["tandem", "config", "get", "devices"]).unwrap_err().to_string().contains("did you mean device?"));
}

#[test]
fn a_field_is_changed_after_a_dry_run_and_by_nobody_who_saw_an_older_row() {
    let tandem = Tandem::start("config-set", 0);
    assert_eq!(
        tandem.prints("config set device SEP1 lines=1;2 --dry-run"),
        "nothing was changed; this would happen:\n1 devices re-register\n"
    );
    let etag = tandem.json("config get device SEP1")["etag"].as_str().unwrap().to_owned();
    assert_eq!(
        tandem.prints(&format!("config set device SEP1 lines=1;2 description=desk --if-match {etag} -m why")),
        "revision 2: 1 row\n1 devices re-register\n"
    );
    assert_eq!(
        tandem.prints("config set device SEP1 description=desk"),
        "nothing to change: it is so already, at revision 2\n"
    );
    let stale = fails(&tandem, &format!("config set device SEP1 description= --if-match {etag}"));
    assert!(stale.to_string().contains("the entity tag is"), "{stale}");
    tandem.prints("config set device SEP1 description=");
    let row = tandem.json("config get device SEP1");
    assert_eq!(row["fields"], json!({"pool": "DP1", "lines": ["1", "2"], "password": "*"}));
    assert_eq!(tandem.json("config get device SEP1 --at 2")["fields"]["description"], "desk");
    assert!(fails(&tandem, "config set device SEP1 pool=DP1 --create").message.contains("not as expected"));
    assert_eq!(fails(&tandem, "config set device SEP1 polo=DP1").exit, Exit::Usage);
    let secret = file(&tandem, "secret", "hunter2\n");
    tandem.prints(&format!("config set device SEP9 pool=DP1 password=@{secret} --create"));
    assert_eq!(tandem.json("config get device SEP9")["fields"]["password"], "*");
}

#[test]
fn a_list_with_commas_is_told_how_lists_are_written() {
    let tandem = Tandem::start("config-list", 0);
    let failure = fails(&tandem, "config set group G1 members=CCM1,CCM2");
    assert!(failure.message.contains("a list has ; between its elements"), "{failure:?}");
    assert_eq!(failure.remedies, ["write members='CCM1;CCM2'"]);
}

#[test]
fn history_is_told_compared_and_undone() {
    let tandem = Tandem::start("config-history", 0);
    tandem.prints("config set device SEP2 description=hall -m moved");
    assert_eq!(
        tandem.prints("config history --limit 1"),
        "REVISION  WHEN                  WHO            ROWS  AT    WHY\n       2  2023-11-14T22:13:20Z  control-token     1  CCM1  moved\n"
    );
    assert!(tandem.prints("config history 2").ends_with("\n\n~ device SEP2\n    description: lobby -> hall\n"));
    assert_eq!(tandem.prints("config diff 1 2"), "~ device SEP2\n    description: lobby -> hall\n");
    assert!(tandem.prints("config diff 0 1").contains("+ group G1\n    members: CCM1, CCM2\n"));
    assert_eq!(tandem.json("config history --row device/SEP2")["changes"][0]["revision"], 2);
    assert!(tandem.prints("config revert 2 --dry-run").starts_with("nothing was changed"));
    assert!(tandem.prints("config revert 2 -m wrong").starts_with("revision 3: 1 row\n"));
    assert!(tandem.prints("config history --limit 1").ends_with("  wrong\n"));
    assert_eq!(fails(&tandem, "config revert 2").remedies, ["force it"]);
    assert_eq!(tandem.json("config get device SEP2")["fields"]["description"], "lobby");
    assert!(tandem.prints("config unsent").starts_with("set aside at "));
}

#[test]
fn files_come_in_whole_or_not_at_all_and_every_bad_row_is_told() {
    let tandem = Tandem::start("config-files", 0);
    let bad = file(&tandem, "bad.csv", "name,pool\nSEP7,DP1\nSEP8,DP9\n");
    let refused = fails(&tandem, &format!("config import {bad} --table device"));
    assert!(refused.message.contains("bad.csv: "), "{refused}");
    assert_eq!(refused.remedies, ["line 3, device SEP8, pool: there is no device pool \"DP9\""]);
    assert_eq!(fails(&tandem, &format!("config import {bad}")).exit, Exit::Usage);
    let good = file(&tandem, "good.csv", "name,pool,lines\nSEP7,DP1,7;77\n");
    assert!(tandem.prints(&format!("config import {good} --table device")).starts_with("revision 2: 1 row\n"));
    let toml = file(&tandem, "all.toml", &tandem.prints("config export"));
    assert!(tandem.prints(&format!("config apply {toml} --prune")).starts_with("nothing to change"));
    let less = file(&tandem, "less.toml", "[[device]]\nname = \"SEP7\"\npool = \"DP1\"\n");
    assert!(tandem.prints(&format!("config apply {less} --prune --dry-run")).contains("would happen:\n3 devices"));
    assert!(tandem.prints(&format!("config apply {less} --prune")).starts_with("revision 3: 3 rows\n"));
    assert_eq!(tandem.prints("config export --format csv --table device").lines().count(), 2);
    assert_eq!(fails(&tandem, "config import /nowhere/x.toml").exit, Exit::Failed);
}

#[test]
fn devices_groups_and_pools_have_words_of_their_own() {
    let tandem = Tandem::start("config-rows", 0);
    let secret = file(&tandem, "secret", "hunter2");
    tandem.prints(&format!("device add SEP5 --pool DP1 --line 5 --line 55 --kind phone --password-file {secret}"));
    tandem.prints("device update SEP5 --set description=hall --line 6");
    let row = tandem.json("config get device SEP5");
    assert_eq!(
        row["fields"],
        json!({"pool": "DP1", "lines": ["6"], "kind": "phone", "password": "*", "description": "hall"})
    );
    assert!(tandem.prints("device delete SEP5 --dry-run").contains("would happen"));
    tandem.prints("device delete SEP5");
    assert_eq!(fails(&tandem, "device delete SEP5").exit, Exit::Failed);
    assert_eq!(tandem.prints("device reset SEP000001"), "SEP000001 was told by CCM2 to register anew\n");
    assert_eq!(
        tandem.prints("device settings SEP1 do_not_disturb=true call_forward_all=2000"),
        "call_forward_all  2000\ndo_not_disturb    true\n"
    );
    assert_eq!(tandem.prints("device settings SEP1 do_not_disturb="), "call_forward_all  2000\n");
    tandem.prints("group add G2 --members CCM2,CCM1 --failback manual");
    tandem.prints("group update G2 --members CCM1");
    assert_eq!(tandem.json("config get group G2")["fields"], json!({"members": ["CCM1"], "failback": "manual"}));
    tandem.prints("pool add DP2 --group G2 --connection-monitor 60s");
    tandem.prints("pool update DP2 --set region=north");
    assert_eq!(
        tandem.prints("pool list"),
        "POOL  GROUP  MONITOR  DESCRIPTION\nDP1   G1     -        -\nDP2   G2     60s      -\n"
    );
    assert!(tandem.prints("pool show DP1").ends_with("\n\nused by: device SEP1, device SEP2\n"));
    tandem.prints("pool delete DP2");
    tandem.prints("group delete G2");
    assert_eq!(tandem.json("pool list")["pools"].as_array().unwrap().len(), 1);
}

#[test]
fn people_come_with_a_password_from_a_file_and_a_token_is_told_once() {
    let tandem = Tandem::start("config-people", 0);
    let secret = file(&tandem, "secret", "a long enough password\n");
    tandem.prints(&format!("user add otto --role operator --password-file {secret} --description pager"));
    assert!(tandem.prints(&format!("user password otto --password-file {secret}")).contains("new password"));
    let (token, notes, done) =
        tandem.tandem("user token pager --role operator --scope status --scope operate --days 90 --user otto");
    assert_eq!((token.as_str(), done), ("told-this-once\n", Ok(())));
    assert!(notes.contains("not told again"), "{notes}");
    let list = tandem.prints("user list");
    assert!(list.contains("otto  operator  yes       -      pager\n"), "{list}");
    assert!(list.contains("pager  operator  status, operate  otto  "), "{list}");
    assert!(!list.contains("told-this-once") && !list.contains("hash"), "{list}");
    tandem.prints("user update otto --disabled true");
    assert_eq!(tandem.json("config get user otto")["fields"]["disabled"], true);
    tandem.prints("user revoke pager");
    tandem.prints("user delete otto");
    let empty = file(&tandem, "empty", "\n");
    assert!(fails(&tandem, &format!("user add x --role admin --password-file {empty}")).message.contains("no secret"));
    let log: Value = tandem.json("user audit --limit 3");
    assert_eq!(log["entries"][0]["action"], "DELETE /api/v1/config/user/otto");
    assert!(!tandem.prints("user audit").contains("long enough"));
}

#[test]
fn the_publisher_is_moved_by_hand() {
    let tandem = Tandem::start("config-promote", 0);
    assert_eq!(fails(&tandem, "node promote CCM2").remedies, ["promote CCM1, or force it"]);
    assert_eq!(tandem.prints("node promote CCM2 --force"), "CCM2 publishes from now on, in term 2\n");
}

#[test]
fn names_of_the_running_cluster_are_completed() {
    let words = |typed: &str| complete::tables(std::ffi::OsStr::new(typed)).len();
    assert_eq!((words("device"), words("x")), (3, 0));
    let command = Cli::command();
    let completes = |path: &[&str], argument: &str| {
        let found = path.iter().fold(&command, |c, name| c.find_subcommand(name).unwrap());
        let argument = found.get_arguments().find(|a| a.get_id() == argument).unwrap();
        argument.get::<clap_complete::ArgValueCompleter>().is_some()
    };
    for (path, argument) in [
        (&["device", "show"][..], "name"),
        (&["device", "add"], "pool"),
        (&["group", "update"], "members"),
        (&["pool", "show"], "name"),
        (&["node", "promote"], "name"),
        (&["config", "get"], "table"),
    ] {
        assert!(completes(path, argument), "{path:?} {argument}");
    }
}
