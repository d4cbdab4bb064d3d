//! The tables of the configuration as data: names, columns, bounds, references. Everything generic (checks, statements, canonical
//! bytes) is derived from here; `schema/*.sql` says the same to SQLite, and a test holds the two together.
//!
//! It knows shapes, not telephony: what a device pool means is for `actors/model`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A configuration table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// One row, with the key `cluster`.
    Cluster,
    /// CallManagers.
    Node,
    /// CallManager groups; the field `members` is a list.
    Group,
    /// Device pools.
    DevicePool,
    /// Devices; the field `lines` is a list.
    Device,
    /// Many devices in one row.
    DeviceSeries,
    /// One setting of the cluster each; the field `value` is any JSON.
    Setting,
    /// People who may use the admin API.
    User,
    /// Tokens for the admin API.
    Token,
}

impl Table {
    /// All tables; what is referred to stands before what refers.
    pub const ALL: [Self; 9] = [
        Self::Cluster,
        Self::Node,
        Self::Group,
        Self::DevicePool,
        Self::Device,
        Self::DeviceSeries,
        Self::Setting,
        Self::User,
        Self::Token,
    ];
    /// Its word, in frames, in the log, in the API.
    pub const fn word(self) -> &'static str {
        self.spec().word
    }
    /// From its word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.word() == word)
    }
    /// Its shape.
    pub const fn spec(self) -> &'static Spec {
        match self {
            Self::Cluster => &CLUSTER,
            Self::Node => &NODE,
            Self::Group => &GROUP,
            Self::DevicePool => &DEVICE_POOL,
            Self::Device => &DEVICE,
            Self::DeviceSeries => &DEVICE_SERIES,
            Self::Setting => &SETTING,
            Self::User => &USER,
            Self::Token => &TOKEN,
        }
    }
}
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
impl Serialize for Table {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.word())
    }
}
impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let word = String::deserialize(d)?;
        Self::from_word(&word).ok_or_else(|| serde::de::Error::custom(format!("there is no table {word:?}")))
    }
}

/// The shape of a table.
#[derive(Debug)]
pub struct Spec {
    /// Its word outside.
    pub word: &'static str,
    /// Its name in SQL.
    pub sql: &'static str,
    /// The column of its key.
    pub key: &'static str,
    /// The only key it may have, if so.
    pub only_key: Option<&'static str>,
    /// Its fields, without the key.
    pub columns: &'static [Column],
}
impl Spec {
    /// A field by name.
    pub fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|c| c.name == name)
    }
}

/// A field of a row.
#[derive(Debug)]
pub struct Column {
    /// Its name, in documents and in SQL.
    pub name: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// Whether it must be there.
    pub required: bool,
    /// Whether it must not be shown.
    pub secret: bool,
    /// Whether no two rows may have the same.
    pub unique: bool,
    /// The table in which its value (or each element) is a key.
    pub references: Option<Table>,
}

/// What a field may hold.
#[derive(Debug)]
pub enum Kind {
    /// Text of at most so many bytes.
    Text(usize),
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number within these bounds.
    Integer(i64, i64),
    /// True or false.
    Bool,
    /// Any JSON but null.
    Json,
    /// A list of texts, in a table of its own.
    List(&'static List),
}

/// A list of texts inside a row.
#[derive(Debug)]
pub struct List {
    /// Its table in SQL: owner, position from 1, element.
    pub sql: &'static str,
    /// The column with the key of the row it belongs to.
    pub owner: &'static str,
    /// The column with the element.
    pub element: &'static str,
    /// Fewest elements.
    pub least: usize,
    /// Most elements.
    pub most: usize,
    /// Whether no element may stand twice.
    pub distinct: bool,
    /// Longest element in bytes.
    pub longest: usize,
}

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 128;
/// Longest row as canonical JSON, in bytes: one change of one row fits into a frame.
pub const DOCUMENT_BYTES_MAX: usize = 24 << 10;

const NAME: usize = 64;
const PROSE: usize = 1_024;
const SECRET: usize = 512;

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, required: false, secret: false, unique: false, references: None }
}
impl Column {
    const fn required(self) -> Self {
        Self { required: true, ..self }
    }
    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }
    const fn unique(self) -> Self {
        Self { unique: true, ..self }
    }
    const fn of(self, table: Table) -> Self {
        Self { references: Some(table), ..self }
    }
}

const DESCRIPTION: Column = column("description", Kind::Text(PROSE));
const KINDS: Kind = Kind::Word(&["phone", "gateway", "cti-port", "cti-route-point", "media-resource"]);
const ROLES: Kind = Kind::Word(&["admin", "operator", "read-only"]);
const PORT: Kind = Kind::Integer(0, 65_535);
const UNIX_MILLIS: Kind = Kind::Integer(0, i64::MAX);

static CLUSTER: Spec = Spec {
    word: "cluster",
    sql: "cluster",
    key: "id",
    only_key: Some("cluster"),
    columns: &[
        column("name", Kind::Text(NAME)).required(),
        column("realm", Kind::Text(PROSE)),
        column("secret", Kind::Text(SECRET)).secret(),
    ],
};
static NODE: Spec = Spec {
    word: "node",
    sql: "node",
    key: "name",
    only_key: None,
    columns: &[
        DESCRIPTION,
        column("address", Kind::List(&NODE_ADDRESS)).required(),
        column("sip_udp", PORT),
        column("sip_tcp", PORT),
        column("link", Kind::Text(PROSE)),
    ],
};
static NODE_ADDRESS: List =
    List { sql: "node_address", owner: "node", element: "address", least: 1, most: 4, distinct: true, longest: NAME };
static GROUP: Spec = Spec {
    word: "group",
    sql: "callmanager_group",
    key: "name",
    only_key: None,
    columns: &[
        DESCRIPTION,
        column("members", Kind::List(&GROUP_MEMBER)).required().of(Table::Node),
        column("failback", Kind::Word(&["automatic", "at-idle", "manual"])),
    ],
};
static GROUP_MEMBER: List = List {
    sql: "group_member",
    owner: "callmanager_group",
    element: "node",
    least: 1,
    most: 3,
    distinct: true,
    longest: NAME,
};
static DEVICE_POOL: Spec = Spec {
    word: "device_pool",
    sql: "device_pool",
    key: "name",
    only_key: None,
    columns: &[
        DESCRIPTION,
        column("group", Kind::Text(NAME)).required().of(Table::Group),
        column("connection_monitor", Kind::Text(NAME)),
        column("region", Kind::Text(PROSE)),
        column("media_resource_list", Kind::Text(PROSE)),
    ],
};
static DEVICE: Spec = Spec {
    word: "device",
    sql: "device",
    key: "name",
    only_key: None,
    columns: &[
        column("kind", KINDS),
        column("pool", Kind::Text(NAME)).required().of(Table::DevicePool),
        DESCRIPTION,
        column("digest_user", Kind::Text(NAME)).unique(),
        column("password", Kind::Text(SECRET)).secret(),
        column("ha1_md5", Kind::Text(NAME)).secret(),
        column("ha1_sha256", Kind::Text(NAME)).secret(),
        column("lines", Kind::List(&DEVICE_LINE)),
    ],
};
static DEVICE_LINE: List =
    List { sql: "device_line", owner: "device", element: "number", least: 0, most: 64, distinct: false, longest: NAME };
static DEVICE_SERIES: Spec = Spec {
    word: "device_series",
    sql: "device_series",
    key: "name",
    only_key: None,
    columns: &[
        column("prefix", Kind::Text(NAME)).required(),
        column("first", Kind::Integer(0, i64::MAX)),
        column("count", Kind::Integer(0, i64::MAX)).required(),
        column("digits", Kind::Integer(1, 18)).required(),
        column("pool", Kind::Text(NAME)).required().of(Table::DevicePool),
        column("kind", KINDS),
        DESCRIPTION,
        column("digest_user_prefix", Kind::Text(NAME)),
        column("password", Kind::Text(SECRET)).secret(),
        column("first_line", Kind::Text(NAME)),
    ],
};
static SETTING: Spec = Spec {
    word: "setting",
    sql: "setting",
    key: "name",
    only_key: None,
    columns: &[column("value", Kind::Json).required()],
};
static USER: Spec = Spec {
    word: "user",
    sql: "user",
    key: "name",
    only_key: None,
    columns: &[
        DESCRIPTION,
        column("role", ROLES).required(),
        column("password_hash", Kind::Text(SECRET)).secret(),
        column("disabled", Kind::Bool),
    ],
};
static TOKEN: Spec = Spec {
    word: "token",
    sql: "token",
    key: "id",
    only_key: None,
    columns: &[
        DESCRIPTION,
        column("user", Kind::Text(NAME)).of(Table::User),
        column("role", ROLES).required(),
        column("token_hash", Kind::Text(SECRET)).required().secret().unique(),
        column("created", UNIX_MILLIS),
        column("expires", UNIX_MILLIS),
        column("scopes", Kind::List(&TOKEN_SCOPE)),
    ],
};
static TOKEN_SCOPE: List =
    List { sql: "token_scope", owner: "token", element: "scope", least: 0, most: 32, distinct: true, longest: NAME };

/// Whether a field of any table is secret.
pub fn is_secret(field: &str) -> bool {
    Table::ALL.iter().any(|t| t.spec().column(field).is_some_and(|c| c.secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_and_references_point_backwards() {
        for (n, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(table as usize, n);
            assert_eq!(Table::from_word(table.word()), Some(table));
            for target in table.spec().columns.iter().filter_map(|c| c.references) {
                assert!(target < table, "{table} refers to {target}");
            }
        }
    }
}
