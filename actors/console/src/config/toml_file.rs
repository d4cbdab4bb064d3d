//! The form of the configuration file: its tables as rows of the database, and back.
//!
//! Reading says everything that is wrong with the form at once, each with its line; what the fields mean is judged by the database.
//! `publisher` of a node is left out: who publishes is a matter of promotion.

use super::{Faults, Lines};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fmt::Write;
use std::ops::Range;
use tandem_model::admin::config::{ConfigOp, ConfigRow, ConfigTable, Expect, RowProblem};
use tandem_model::admin::nearest;
use tandem_model::config::rows::normalise;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

/// The word of the settings in the file, where they are one table.
const SETTINGS: &str = "settings";
/// Tables that stand once.
const SINGLE: [&str; 2] = ["cluster", SETTINGS];

/// Reads a file. Each row becomes one op, with its line; `merge` says whether it is laid over the row that is there.
pub(super) fn read(text: &str, merge: bool) -> Result<Vec<ConfigOp>, Faults> {
    let lines = Lines::of(text.as_bytes());
    let mut reader = Reader { lines: &lines, merge, ops: Vec::new(), faults: Faults::default() };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let line = error.span().and_then(|span| lines.line(&span)).or(Some(1));
        let what = format!("this is not TOML: {}", error.message().trim().replace('\n', ", "));
        reader.faults.add(RowProblem { line, what, ..RowProblem::default() });
    }
    if errors.is_empty() {
        for (name, value) in document.get_ref() {
            reader.table(name.get_ref(), &name.span(), value);
        }
    }
    if reader.faults.total > 0 { Err(reader.faults) } else { Ok(reader.ops) }
}

struct Reader<'a> {
    lines: &'a Lines,
    merge: bool,
    ops: Vec<ConfigOp>,
    faults: Faults,
}

impl Reader<'_> {
    fn table(&mut self, name: &str, at: &Range<usize>, value: &Spanned<DeValue<'_>>) {
        let table = if name == SETTINGS { Some(ConfigTable::Setting) } else { ConfigTable::from_word(name) };
        // `[setting]` would be a second word for the same.
        let Some(table) = table.filter(|t| name != ConfigTable::Setting.word() || *t != ConfigTable::Setting) else {
            let words = || ConfigTable::ALL.map(|t| if t == ConfigTable::Setting { SETTINGS } else { t.word() });
            let expected = nearest(name, words()).map_or_else(|| words().join(", "), str::to_owned);
            return self.fault(None, at, format!("there is no table {name:?}"), Some(expected));
        };
        let single = SINGLE.contains(&name);
        match value.get_ref() {
            DeValue::Table(row) if name == SETTINGS => self.settings(row),
            DeValue::Table(row) if single => self.row(table, row, &value.span()),
            DeValue::Array(rows) if !single => {
                for row in rows {
                    match row.get_ref() {
                        DeValue::Table(fields) => self.row(table, fields, &row.span()),
                        _ => self.fault(Some(table), &row.span(), "this is no row".to_owned(), None),
                    }
                }
            }
            _ => {
                let right = if single { format!("[{name}]") } else { format!("[[{name}]]") };
                self.fault(Some(table), at, format!("{name:?} is not written as it should be"), Some(right));
            }
        }
    }

    fn fault(&mut self, table: Option<ConfigTable>, at: &Range<usize>, what: String, expected: Option<String>) {
        self.faults.add(RowProblem { line: self.lines.line(at), table, what, expected, ..RowProblem::default() });
    }

    fn op(&mut self, table: ConfigTable, key: String, fields: Map<String, Value>, at: &Range<usize>) {
        let line = self.lines.line(at);
        let op = ConfigOp { table, key, fields: Some(fields), merge: self.merge, expect: Expect::Any, line };
        self.ops.push(op);
    }

    /// Each setting is a row of its own.
    fn settings(&mut self, settings: &DeTable<'_>) {
        for (name, value) in settings {
            match json(value) {
                Ok(json) => {
                    let fields = Map::from_iter([("value".to_owned(), json)]);
                    self.op(ConfigTable::Setting, name.get_ref().to_string(), fields, &name.span());
                }
                Err(what) => self.fault(Some(ConfigTable::Setting), &value.span(), what, None),
            }
        }
    }

    fn row(&mut self, table: ConfigTable, row: &DeTable<'_>, at: &Range<usize>) {
        let mut fields = Map::new();
        for (name, value) in row {
            match json(value) {
                Ok(json) => drop(fields.insert(name.get_ref().to_string(), json)),
                Err(what) => return self.fault(Some(table), &value.span(), what, None),
            }
        }
        normalise(table, &mut fields);
        if table == ConfigTable::Cluster {
            return self.op(table, ConfigTable::Cluster.word().to_owned(), fields, at);
        }
        let key = match fields.remove("name") {
            Some(Value::String(name)) => Some(name),
            None if table == ConfigTable::DeviceSeries => series_key(&fields),
            _ => None,
        };
        match key {
            Some(key) => self.op(table, key, fields, at),
            None => self.fault(
                Some(table),
                at,
                "this row has no name".to_owned(),
                Some("a line `name = \"...\"`".to_owned()),
            ),
        }
    }
}

/// A series without a name is called as its first device: no two may have the same.
fn series_key(fields: &Map<String, Value>) -> Option<String> {
    let prefix = fields.get("prefix")?.as_str()?;
    let first = fields.get("first").map_or(Some(1), Value::as_u64)?;
    let digits = usize::try_from(fields.get("digits")?.as_u64()?).ok().filter(|d| *d <= 18)?;
    Some(format!("{prefix}{first:0digits$}"))
}

fn json(value: &Spanned<DeValue<'_>>) -> Result<Value, String> {
    match value.get_ref() {
        DeValue::Datetime(when) => Ok(Value::from(when.to_string())),
        _ => Value::deserialize(ValueDeserializer::from(value.clone())).map_err(|e| e.message().to_owned()),
    }
}

/// Puts rows into a file, table by table.
#[derive(Default)]
pub(super) struct Writer {
    text: String,
    settings: bool,
}
impl Writer {
    pub(super) fn begin(revision: u64) -> Self {
        let text = format!(
            "# Configuration at revision {revision}. A secret stands here as \"*\"; `tandem config import` leaves such a field as it is.\n"
        );
        Self { text, settings: false }
    }
    pub(super) fn row(&mut self, row: &ConfigRow) {
        match row.table {
            ConfigTable::Setting => {
                if !self.settings {
                    self.text.push_str("\n[settings]\n");
                    self.settings = true;
                }
                if let Some(value) = row.fields.get("value") {
                    self.field(&row.key, value);
                }
            }
            ConfigTable::Cluster => self.fields("[cluster]", None, &row.fields),
            table => self.fields(&format!("[[{table}]]"), Some(&row.key), &row.fields),
        }
    }
    fn fields(&mut self, header: &str, name: Option<&str>, fields: &Map<String, Value>) {
        let _ = writeln!(self.text, "\n{header}");
        if let Some(name) = name {
            self.field("name", &Value::from(name));
        }
        fields.iter().for_each(|(field, value)| self.field(field, value));
    }
    fn field(&mut self, name: &str, value: &Value) {
        // What TOML has no word for (null) is not there.
        let Ok(value) = toml::Value::try_from(value) else { return };
        let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        let name = if bare { name.to_owned() } else { toml::Value::from(name).to_string() };
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{name} = {value}");
    }
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }
    pub(super) fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[cluster]
name = "lab"

[[node]]
name = "CCM1"
address = "127.0.0.1"
publisher = true

[[device_pool]]
name = "DP1"
group = "G1"
connection_monitor = 90

[[device_series]]
prefix = "SEP"
first = 7
count = 3
digits = 4
pool = "DP1"

[settings]
digest = true
algorithms = ["MD5", "SHA-256"]
"#;

    #[test]
    fn a_configuration_file_becomes_rows_with_their_lines() {
        let ops = read(FILE, true).unwrap();
        let find = |table, key: &str| ops.iter().find(|op| op.table == table && op.key == key).unwrap();
        let node = find(ConfigTable::Node, "CCM1");
        assert_eq!(Value::from(node.fields.clone().unwrap()), serde_json::json!({"address": ["127.0.0.1"]}));
        assert_eq!((node.line, node.merge), (Some(5), true));
        let pool = find(ConfigTable::DevicePool, "DP1");
        assert_eq!(pool.fields.as_ref().unwrap()["connection_monitor"], "90s");
        assert_eq!(find(ConfigTable::DeviceSeries, "SEP0007").line, Some(15));
        let setting = find(ConfigTable::Setting, "algorithms");
        assert_eq!(setting.fields.as_ref().unwrap()["value"], serde_json::json!(["MD5", "SHA-256"]));
        assert_eq!(find(ConfigTable::Cluster, "cluster").fields.as_ref().unwrap()["name"], "lab");
    }

    #[test]
    fn everything_that_is_wrong_with_the_form_is_told_with_its_line() {
        let faults =
            read("[[nod]]\nname = \"x\"\n[[group]]\nmembers = [\"A\"]\n[device]\nname = \"y\"\n", false).unwrap_err();
        let told: Vec<_> = faults.told.iter().map(|p| (p.line.unwrap(), p.what.as_str())).collect();
        assert_eq!(faults.total, 3, "{told:?}");
        assert!(told.iter().any(|(line, what)| *line == 1 && what.contains("no table \"nod\"")), "{told:?}");
        assert!(told.iter().any(|(line, what)| *line == 3 && what.contains("no name")), "{told:?}");
        assert!(told.iter().any(|(line, what)| *line == 5 && what.contains("not written")), "{told:?}");
        let broken = read("[cluster]\nname = \n", false).unwrap_err();
        assert_eq!(broken.told[0].line, Some(2), "{:?}", broken.told);
    }

    #[test]
    fn what_is_written_is_read_again_as_the_same_rows() {
        let mut writer = Writer::begin(7);
        let ops = read(FILE, false).unwrap();
        for op in &ops {
            let fields = op.fields.clone().unwrap();
            writer.row(&ConfigRow { table: op.table, key: op.key.clone(), etag: String::new(), fields });
        }
        let text = writer.finish();
        let mut again = read(&text, false).unwrap();
        let bare = |ops: &mut Vec<ConfigOp>| ops.iter_mut().for_each(|op| op.line = None);
        let mut ops = ops;
        bare(&mut ops);
        bare(&mut again);
        let key = |op: &ConfigOp| (op.table, op.key.clone());
        ops.sort_by_key(key);
        again.sort_by_key(key);
        assert_eq!(again, ops, "{text}");
    }
}
