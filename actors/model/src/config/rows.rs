//! The configuration as rows of the database: from a file's text to rows, from rows to typed tables and to a [`Config`].
//!
//! A row has the fields of its table in the file, without its name: that is its key. What a row may hold, and what must hold between rows, is
//! judged by the same checks as a file's. It must never show a secret.

use super::check::check;
use super::read::{Document, Tables};
use super::report::{Report, SECRETS};
use super::{Cluster, Config, Device, DevicePool, DeviceSeries, Group, Node, Problem, Problems, Settings};
use crate::admin::config::ConfigTable;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use xxhash_rust::xxh3::Xxh3Default;

/// Key of the one row of `cluster`.
pub const CLUSTER_KEY: &str = "cluster";

/// One row.
#[derive(Clone, PartialEq)]
pub struct ConfigRowData {
    /// In which table.
    pub table: ConfigTable,
    /// Its key.
    pub key: String,
    /// Its fields.
    pub fields: Map<String, Value>,
}

/// One row before and after a change; neither is no change.
#[derive(Clone, PartialEq)]
pub struct RowChange {
    /// In which table.
    pub table: ConfigTable,
    /// Its key.
    pub key: String,
    /// Its fields before; none: it was not there.
    pub before: Option<Map<String, Value>>,
    /// Its fields after; none: it is gone.
    pub after: Option<Map<String, Value>>,
}

impl fmt::Debug for ConfigRowData {
    /// Without its fields: there may be a password among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.table, self.key)
    }
}
impl fmt::Debug for RowChange {
    /// Without its fields.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match (&self.before, &self.after) {
            (_, None) => "deleted",
            (None, _) => "created",
            _ => "changed",
        };
        write!(f, "{} {:?} {what}", self.table, self.key)
    }
}

/// A row as what it is.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is the type in it")]
pub enum TypedRow {
    Cluster(Cluster),
    Node(Node),
    Group(Group),
    Pool(DevicePool),
    Device(Box<Device>),
    Series(DeviceSeries),
    /// One setting of the cluster.
    Setting(String, Value),
    /// People and tokens: no business of whoever serves devices.
    Other,
}

/// Reads one row by itself.
///
/// # Errors
/// [`Problem`]: what is wrong with which field. References are not looked at.
pub fn typed(table: ConfigTable, key: &str, fields: &Map<String, Value>) -> Result<TypedRow, Box<Problem>> {
    Ok(match table {
        ConfigTable::Cluster => TypedRow::Cluster(read(table, key, fields, None)?),
        ConfigTable::Node => TypedRow::Node(read(table, key, fields, Some("name"))?),
        ConfigTable::Group => TypedRow::Group(read(table, key, fields, Some("name"))?),
        ConfigTable::DevicePool => TypedRow::Pool(read(table, key, fields, Some("name"))?),
        ConfigTable::Device => TypedRow::Device(Box::new(read(table, key, fields, Some("name"))?)),
        ConfigTable::DeviceSeries => TypedRow::Series(read(table, key, fields, None)?),
        ConfigTable::Setting => {
            let value = fields.get("value").cloned().unwrap_or_default();
            let one = Map::from_iter([(key.to_owned(), value.clone())]);
            read::<Settings>(table, key, &one, None)?;
            TypedRow::Setting(key.to_owned(), value)
        }
        ConfigTable::User | ConfigTable::Token => TypedRow::Other,
    })
}

fn read<T: DeserializeOwned>(
    table: ConfigTable,
    key: &str,
    fields: &Map<String, Value>,
    name: Option<&str>,
) -> Result<T, Box<Problem>> {
    let mut all = fields.clone();
    if let Some(name) = name {
        all.insert(name.to_owned(), key.into());
    }
    let all = Value::Object(all);
    let error = match T::deserialize(&all) {
        Ok(read) => return Ok(read),
        Err(error) => error.to_string(),
    };
    let all = match all {
        Value::Object(all) => all,
        _ => Map::new(),
    };
    // The field without which it would say something else is the one that is wrong.
    let guilty = all.keys().find(|field| {
        let mut without = all.clone();
        without.remove(*field);
        serde_json::from_value::<T>(Value::Object(without)).err().is_none_or(|e| e.to_string() != error)
    });
    let field = guilty.cloned();
    let secret = field.as_deref().is_some_and(|f| SECRETS.contains(&f));
    let value = field.as_ref().filter(|_| !secret).and_then(|f| all.get(f)).map(ToString::to_string);
    let (what, expected) = super::read::halves(&error);
    let what = if secret { "it is not a text".to_owned() } else { super::read::plain(&what) };
    let row = format!("{table} {}", key.escape_debug());
    Err(Box::new(Problem { row, field, value, what, expected, ..Problem::default() }))
}

/// The rows of a configuration file. `None` when the text is no such file: [`Config::parse`] says why.
pub fn rows_of(text: &str) -> Option<Vec<ConfigRowData>> {
    let file: toml::Table = toml::from_str(text).ok()?;
    let mut rows = Vec::new();
    for table in ConfigTable::ALL {
        let word = if table == ConfigTable::Setting { "settings" } else { table.word() };
        match file.get(word) {
            None => {}
            Some(toml::Value::Table(one)) if table == ConfigTable::Setting => {
                for (key, value) in one {
                    let fields = Map::from_iter([("value".to_owned(), json(value))]);
                    rows.push(ConfigRowData { table, key: key.clone(), fields });
                }
            }
            Some(toml::Value::Table(one)) => rows.push(row(table, one)),
            Some(toml::Value::Array(many)) => {
                rows.extend(many.iter().filter_map(toml::Value::as_table).map(|one| row(table, one)));
            }
            Some(_) => return None,
        }
    }
    Some(rows)
}

fn json(value: &toml::Value) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// One row of a file in the form of the database: named by its key, lists as lists, durations as texts.
fn row(table: ConfigTable, one: &toml::Table) -> ConfigRowData {
    let mut fields: Map<String, Value> = one.iter().map(|(field, value)| (field.clone(), json(value))).collect();
    let key = match table {
        ConfigTable::Cluster => CLUSTER_KEY.to_owned(),
        ConfigTable::DeviceSeries => series_key(&fields),
        _ => fields.remove("name").and_then(|n| n.as_str().map(str::to_owned)).unwrap_or_default(),
    };
    normalise(table, &mut fields);
    ConfigRowData { table, key, fields }
}

/// A series is named like its first device.
fn series_key(fields: &Map<String, Value>) -> String {
    let number = |field: &str| fields.get(field).and_then(Value::as_u64);
    let prefix = fields.get("prefix").and_then(Value::as_str).unwrap_or_default();
    let width = number("digits").and_then(|d| usize::try_from(d).ok()).unwrap_or_default().min(18);
    format!("{prefix}{:0width$}", number("first").unwrap_or(1))
}

/// What people may write in more than one way, in the one way of the database.
pub fn normalise(table: ConfigTable, fields: &mut Map<String, Value>) {
    match table {
        ConfigTable::Node => {
            // Who publishes is the database's own business.
            fields.remove("publisher");
            if let Some(address) = fields.get_mut("address").filter(|a| a.is_string()) {
                *address = Value::Array(vec![address.take()]);
            }
        }
        ConfigTable::DevicePool => {
            if let Some(seconds) = fields.get("connection_monitor").filter(|v| v.is_number()).cloned() {
                fields.insert("connection_monitor".to_owned(), format!("{seconds}s").into());
            }
        }
        _ => {}
    }
}

/// Gathers rows, then makes a [`Config`] of them. `publisher` is the name of the node that commits changes.
#[derive(Default)]
pub struct Rows {
    names: BTreeMap<&'static str, Vec<String>>,
    tables: Tables,
    settings: Map<String, Value>,
    problems: Vec<Problem>,
    hash: Xxh3Default,
}

impl Rows {
    /// One more row. Those of a table in the order of their keys: all nodes must count them alike.
    pub fn add(&mut self, table: ConfigTable, key: &str, fields: &Map<String, Value>) {
        let typed = match typed(table, key, fields) {
            Ok(typed) => typed,
            Err(problem) => return self.problems.push(*problem),
        };
        if !matches!(typed, TypedRow::Other) {
            let text = serde_json::to_string(fields).unwrap_or_default();
            for part in [table.word(), "\0", key, "\0", &text] {
                self.hash.update(part.as_bytes());
            }
        }
        let names = self.names.entry(table.word()).or_default();
        let at = names.len();
        let tables = &mut self.tables;
        match typed {
            TypedRow::Cluster(row) => tables.cluster = Some(row),
            TypedRow::Node(row) => tables.nodes.push((at, row)),
            TypedRow::Group(row) => tables.groups.push((at, row)),
            TypedRow::Pool(row) => tables.pools.push((at, row)),
            TypedRow::Device(row) => tables.devices.push((at, *row)),
            TypedRow::Series(row) => tables.series.push((at, row)),
            TypedRow::Setting(key, value) => drop(self.settings.insert(key, value)),
            TypedRow::Other => return,
        }
        names.push(key.to_owned());
    }

    /// The configuration that these rows are.
    ///
    /// # Errors
    /// [`Problems`]: every row that breaks a rule.
    pub fn finish(mut self, publisher: Option<&str>) -> Result<Config, Problems> {
        let mut report = Report::new("", "");
        for problem in self.problems {
            report.error(None, problem);
        }
        // Each was read by itself before; together they are judged below.
        self.tables.settings = serde_json::from_value(Value::Object(self.settings)).unwrap_or_default();
        for (_, node) in &mut self.tables.nodes {
            node.publisher = publisher == Some(node.name.as_str());
        }
        self.names.entry("cluster").or_default().truncate(1);
        let found = check(&Document::Rows(self.names), &self.tables, &mut report);
        let warnings = report.finish()?;
        found.into_config(self.tables, warnings, self.hash.digest()).ok_or_else(Problems::default)
    }
}

impl Config {
    /// The configuration that rows of the database are; see [`Rows`] for many of them.
    ///
    /// # Errors
    /// [`Problems`]: every row that breaks a rule.
    pub fn from_rows(rows: impl IntoIterator<Item = ConfigRowData>, publisher: Option<&str>) -> Result<Self, Problems> {
        let mut ordered: Vec<ConfigRowData> = rows.into_iter().collect();
        ordered.sort_by(|a, b| (a.table, &a.key).cmp(&(b.table, &b.key)));
        let mut all = Rows::default();
        for row in &ordered {
            all.add(row.table, &row.key, &row.fields);
        }
        all.finish(publisher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[cluster]\nname = \"lab\"\nsecret = \"0123456789abcdef\"\n[settings]\nheartbeat = \"200ms\"\nsuspect_after = \"1s\"\n\
        dead_after = \"2s\"\n[[node]]\nname = \"CCM2\"\naddress = \"127.0.0.2\"\npublisher = true\n[[node]]\nname = \"CCM1\"\n\
        address = [\"127.0.0.1\"]\n[[group]]\nname = \"G1\"\nmembers = [\"CCM2\", \"CCM1\"]\n[[device_pool]]\nname = \"DP1\"\ngroup = \"G1\"\n\
        connection_monitor = 60\ndescription = \"ground floor\"\n[[device]]\nname = \"SEP1\"\npool = \"DP1\"\npassword = \"hunter2\"\n\
        lines = [\"1001\"]\n[[device_series]]\nprefix = \"T\"\ncount = 3\ndigits = 2\npool = \"DP1\"\npassword = \"hunter3\"\n";

    #[test]
    fn a_file_and_its_rows_say_the_same() {
        let rows = rows_of(FILE).unwrap();
        let from_file = Config::parse("f", FILE).unwrap();
        let config = Config::from_rows(rows.clone(), Some("CCM2")).unwrap();
        assert_eq!(
            (&config.cluster, &config.groups, &config.pools),
            (&from_file.cluster, &from_file.groups, &from_file.pools)
        );
        assert_eq!(
            (&config.devices, &config.series, &config.settings),
            (&from_file.devices, &from_file.series, &from_file.settings)
        );
        assert_eq!(config.nodes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["CCM1", "CCM2"], "by name");
        assert_eq!(config.publisher_name().unwrap().as_str(), "CCM2");
        let other = Config::from_rows(rows.into_iter().rev(), Some("CCM2")).unwrap();
        assert_eq!(config.revision, other.revision, "whatever order they come in");
    }

    #[test]
    fn what_is_wrong_with_a_row_is_told_with_its_field_and_never_with_its_secret() {
        let fields = |json: &str| serde_json::from_str::<Map<String, Value>>(json).unwrap();
        let told = |table, json: &str| typed(table, "X", &fields(json)).unwrap_err();
        let kind = told(ConfigTable::Device, r#"{"pool":"DP1","kind":"toaster","password":"hunter2"}"#);
        assert_eq!(
            (kind.row.as_str(), kind.field.as_deref(), kind.value.as_deref()),
            ("device X", Some("kind"), Some("\"toaster\""))
        );
        let missing = told(ConfigTable::Device, "{}");
        assert!(missing.what.contains("pool"), "{}", missing.what);
        let secret = told(ConfigTable::Device, r#"{"pool":"DP1","password":12345}"#);
        assert!(!format!("{secret:?}").contains("12345"), "{secret:?}");
        let setting = typed(ConfigTable::Setting, "heartbeet", &fields(r#"{"value":"1s"}"#)).unwrap_err();
        assert!(setting.what.contains("heartbeet"), "{}", setting.what);
    }

    #[test]
    fn rules_between_rows_are_those_of_a_file() {
        let mut rows = rows_of(FILE).unwrap();
        rows.retain(|r| r.key != "G1");
        let problems = Config::from_rows(rows, None).unwrap_err().to_string();
        assert!(problems.contains("there is no group \"G1\""), "{problems}");
    }
}
