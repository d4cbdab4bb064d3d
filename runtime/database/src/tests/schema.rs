//! The schema: every version migrates to the newest, a newer file is refused, the SQL and the table of shapes say the same.

use super::{Folder, draft, epoch, layout, open, settings};
use crate::store::{STEPS, migrate};
use crate::{Kind, Store, StoreError, Table};
use rusqlite::Connection;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// Hash of each step as it was released. A step is never changed: another one is added.
const RELEASED: [u64; 1] = [0x6eac_1bb7_7e27_52b4];

#[test]
fn a_released_step_is_not_changed() {
    let now: Vec<String> = STEPS.iter().map(|s| format!("{:#x}", xxh3_64(s.as_bytes()))).collect();
    let then: Vec<String> = RELEASED.iter().map(|h| format!("{h:#x}")).collect();
    assert_eq!(now, then);
}

#[test]
fn every_earlier_version_becomes_the_newest_and_keeps_its_rows() {
    for version in 0..=STEPS.len() {
        let folder = Folder::new("schema");
        let path = folder.file("a");
        let old = Connection::open(&path).unwrap();
        migrate(&old, &path, &STEPS[..version]).unwrap();
        if version > 0 {
            old.execute_batch(
                "INSERT INTO node (name) VALUES ('CCM1'); INSERT INTO node_address VALUES ('CCM1', 1, '10.0.0.1');",
            )
            .unwrap();
        }
        drop(old);
        let mut store = open(&path);
        assert_eq!(store.exists(Table::Node, "CCM1").unwrap(), version > 0);
        if version == 0 {
            store.commit(&epoch(1, "CCM1"), &draft(layout())).unwrap();
        }
        drop(store);
        // A file of the newest version is opened as it is.
        open(&path);
    }
}

#[test]
fn steps_run_in_order_and_a_failing_one_leaves_the_file_as_it_was() {
    let folder = Folder::new("schema");
    let path = folder.file("a");
    let db = Connection::open(&path).unwrap();
    let steps = ["CREATE TABLE a (x TEXT) STRICT", "ALTER TABLE a ADD COLUMN y TEXT", "nonsense"];
    migrate(&db, &path, &steps[..1]).unwrap();
    assert!(matches!(migrate(&db, &path, &steps), Err(StoreError::Sql(_))));
    let version = |db: &Connection| db.query_row("PRAGMA user_version", [], |r| r.get::<_, i64>(0)).unwrap();
    assert_eq!(version(&db), 1);
    assert!(db.prepare("SELECT y FROM a").is_err());
    migrate(&db, &path, &steps[..2]).unwrap();
    assert_eq!(version(&db), 2);
    assert!(db.prepare("SELECT x, y FROM a").is_ok());
}

#[test]
fn a_file_of_a_newer_version_is_refused_and_untouched() {
    let folder = Folder::new("schema");
    let path = folder.file("a");
    drop(open(&path));
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let error = Store::open(&path, settings()).unwrap_err();
    assert!(matches!(error, StoreError::TooNew { found: 99, .. }), "{error}");
}

fn columns(db: &Connection, table: &str) -> Vec<(String, bool)> {
    let mut statement = db.prepare(&format!("PRAGMA table_info(\"{table}\")")).unwrap();
    let rows = statement.query_map([], |r| Ok((r.get(1)?, r.get(3)?)));
    rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
}
fn references(db: &Connection, table: &str, column: &str) -> Option<String> {
    let mut statement = db.prepare(&format!("PRAGMA foreign_key_list(\"{table}\")")).unwrap();
    let rows = statement.query_map([], |r| Ok((r.get::<_, String>(3)?, r.get::<_, String>(2)?))).unwrap();
    rows.map(Result::unwrap).find(|(c, _)| c == column).map(|(_, target)| target)
}

#[test]
fn the_sql_and_the_shapes_say_the_same() {
    let folder = Folder::new("schema");
    drop(open(&folder.file("a")));
    let db = Connection::open(folder.file("a")).unwrap();
    for table in Table::ALL {
        let spec = table.spec();
        let target = |t: Option<Table>| t.map(|t| t.spec().sql.to_owned());
        let mut expected = vec![(spec.key.to_owned(), true)];
        for column in spec.columns {
            if let Kind::List(list) = column.kind {
                let inside = columns(&db, list.sql);
                let wanted = [list.owner, "position", list.element].map(|c| (c.to_owned(), true));
                assert_eq!(inside, wanted, "{}", list.sql);
                assert_eq!(references(&db, list.sql, list.element), target(column.references), "{}", list.sql);
                assert_eq!(references(&db, list.sql, list.owner).as_deref(), Some(spec.sql));
            } else {
                expected.push((column.name.to_owned(), column.required));
                assert_eq!(
                    references(&db, spec.sql, column.name),
                    target(column.references),
                    "{table} {}",
                    column.name
                );
            }
        }
        assert_eq!(columns(&db, spec.sql), expected, "{table}");
    }
}

#[test]
fn a_damaged_file_is_reported_and_set_aside_under_a_name_of_its_own() {
    let folder = Folder::new("schema");
    let path = folder.file("a");
    for n in 1..=2 {
        let mut store = open(&path);
        store.commit(&epoch(1, "CCM1"), &draft(layout())).unwrap();
        drop(store);
        damage(&path);
        let error = Store::open(&path, settings()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        let aside = crate::set_aside(&path).unwrap();
        assert_eq!(aside, folder.file(&format!("a.damaged-{n}")));
        assert!(aside.exists() && !path.exists());
    }
    assert_eq!(open(&path).head().unwrap().revision, 0);
}

/// Overwrites the middle of the file.
fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let quarter = bytes.len() / 4;
    bytes[quarter..3 * quarter].fill(0xA5);
    std::fs::write(path, bytes).unwrap();
}

/// A disk was read-only and mounted anew: in the moment between, its folder was empty, and a new file was made there.
#[test]
fn a_file_that_is_away_is_not_made_anew_and_an_older_one_is_not_taken_for_it() {
    let folder = Folder::new("reopen");
    let (disk, away) = (folder.file("disk"), folder.file("away"));
    let path = disk.join("a");
    std::fs::create_dir(&disk).unwrap();
    let mut store = open(&path);
    store.commit(&epoch(1, "CCM1"), &draft(layout())).unwrap();
    std::fs::rename(&disk, &away).unwrap();
    std::fs::create_dir(&disk).unwrap();
    assert!(matches!(store.reopen(1), Err(StoreError::Io(_))));
    assert!(!path.exists(), "nothing is made where nothing was");
    drop(open(&path));
    assert!(matches!(store.reopen(1), Err(StoreError::Io(why)) if why.contains("another disk")));
    std::fs::remove_dir_all(&disk).unwrap();
    std::fs::rename(&away, &disk).unwrap();
    store.reopen(1).unwrap();
    assert_eq!(store.head().unwrap().revision, 1);
}
