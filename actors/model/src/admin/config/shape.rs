//! The fields of each table, for who turns text into documents: CSV, command line, OpenAPI.
//!
//! Shapes only. Whether a value is right is judged by the database; a field that is not here does not exist.

use super::ConfigTable;
use serde_json::Value;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A text.
    Text,
    /// A whole number.
    Integer,
    /// True or false.
    Bool,
    /// A list of texts.
    List,
    /// One of these texts.
    Word(&'static [&'static str]),
    /// Any JSON but null.
    Any,
}

/// A field of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in documents.
    pub name: &'static str,
    /// What it holds.
    pub form: Form,
    /// Whether a row must have it.
    pub required: bool,
    /// Whether answers hide it.
    pub secret: bool,
}
const fn field(name: &'static str, form: Form) -> Field {
    Field { name, form, required: false, secret: false }
}
impl Field {
    const fn required(self) -> Self {
        Self { required: true, ..self }
    }
    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }
    /// A text, from a cell or a command line, as the value that it stands for. A list has `;` between its elements; what is no number or
    /// truth value stays text, so that the database says what is wrong with it.
    pub fn value(&self, text: &str) -> Value {
        let json = || serde_json::from_str::<Value>(text).ok();
        match self.form {
            Form::Text | Form::Word(_) => Value::from(text),
            Form::Integer => json().filter(Value::is_i64).unwrap_or_else(|| Value::from(text)),
            Form::Bool => json().filter(Value::is_boolean).unwrap_or_else(|| Value::from(text)),
            Form::List => text.split(';').map(str::trim).filter(|t| !t.is_empty()).map(Value::from).collect(),
            Form::Any => json().filter(|v| !v.is_null()).unwrap_or_else(|| Value::from(text)),
        }
    }
    /// A value as a text that [`Field::value`] reads back.
    pub fn text(&self, value: &Value) -> String {
        match (self.form, value) {
            (Form::Any, value) => value.to_string(),
            (_, Value::String(text)) => text.clone(),
            (_, Value::Array(list)) => {
                let one = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
                list.iter().map(one).collect::<Vec<_>>().join(";")
            }
            (_, value) => value.to_string(),
        }
    }
}

const DESCRIPTION: Field = field("description", Form::Text);
const KIND: Field = field("kind", Form::Word(&["phone", "gateway", "cti-port", "cti-route-point", "media-resource"]));
const ROLE: Field = field("role", Form::Word(&["admin", "operator", "read-only"]));

const CLUSTER: &[Field] =
    &[field("name", Form::Text).required(), field("realm", Form::Text), field("secret", Form::Text).secret()];
const NODE: &[Field] = &[
    DESCRIPTION,
    field("address", Form::List).required(),
    field("sip_udp", Form::Integer),
    field("sip_tcp", Form::Integer),
    field("link", Form::Text),
];
const GROUP: &[Field] = &[
    DESCRIPTION,
    field("members", Form::List).required(),
    field("failback", Form::Word(&["automatic", "at-idle", "manual"])),
];
const DEVICE_POOL: &[Field] = &[
    DESCRIPTION,
    field("group", Form::Text).required(),
    field("connection_monitor", Form::Text),
    field("region", Form::Text),
    field("media_resource_list", Form::Text),
];
const DEVICE: &[Field] = &[
    KIND,
    field("pool", Form::Text).required(),
    DESCRIPTION,
    field("digest_user", Form::Text),
    field("password", Form::Text).secret(),
    field("ha1_md5", Form::Text).secret(),
    field("ha1_sha256", Form::Text).secret(),
    field("lines", Form::List),
];
const DEVICE_SERIES: &[Field] = &[
    field("prefix", Form::Text).required(),
    field("first", Form::Integer),
    field("count", Form::Integer).required(),
    field("digits", Form::Integer).required(),
    field("pool", Form::Text).required(),
    KIND,
    DESCRIPTION,
    field("digest_user_prefix", Form::Text),
    field("password", Form::Text).secret(),
    field("first_line", Form::Text),
];
const SETTING: &[Field] = &[field("value", Form::Any).required()];
const USER: &[Field] = &[
    DESCRIPTION,
    ROLE.required(),
    // Of a change only: it is kept as its hash.
    field("password", Form::Text).secret(),
    field("password_hash", Form::Text).secret(),
    field("disabled", Form::Bool),
];
const TOKEN: &[Field] = &[
    DESCRIPTION,
    field("user", Form::Text),
    ROLE.required(),
    field("token_hash", Form::Text).secret(),
    field("created", Form::Integer),
    field("expires", Form::Integer),
    field("scopes", Form::List),
];

impl ConfigTable {
    /// Its fields, without the key.
    pub const fn fields(self) -> &'static [Field] {
        match self {
            Self::Cluster => CLUSTER,
            Self::Node => NODE,
            Self::Group => GROUP,
            Self::DevicePool => DEVICE_POOL,
            Self::Device => DEVICE,
            Self::DeviceSeries => DEVICE_SERIES,
            Self::Setting => SETTING,
            Self::User => USER,
            Self::Token => TOKEN,
        }
    }
    /// A field by name.
    pub fn field(self, name: &str) -> Option<&'static Field> {
        self.fields().iter().find(|f| f.name == name)
    }
    /// Whether only an administrator may see it: it tells who may do what.
    pub const fn is_about_people(self) -> bool {
        matches!(self, Self::User | Self::Token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::json_schema;

    #[test]
    fn every_field_of_the_file_is_a_field_of_its_table() {
        let schema = json_schema();
        for (table, name) in [
            (ConfigTable::Cluster, "Cluster"),
            (ConfigTable::Node, "Node"),
            (ConfigTable::Group, "Group"),
            (ConfigTable::DevicePool, "DevicePool"),
            (ConfigTable::Device, "Device"),
            (ConfigTable::DeviceSeries, "DeviceSeries"),
        ] {
            let definition = &schema["$defs"][name];
            for (field, shape) in definition["properties"].as_object().unwrap() {
                // The key is not in a document, and who publishes is a matter of promotion.
                if (field == "name" && table != ConfigTable::Cluster) || field == "publisher" {
                    continue;
                }
                let known = table.field(field).unwrap_or_else(|| panic!("{table} has no {field}"));
                let required = definition["required"].as_array().unwrap().iter().any(|r| r == field);
                assert_eq!(known.required, required, "{table}.{field}");
                assert_eq!(known.form == Form::Integer, shape["type"] == "integer", "{table}.{field}");
            }
        }
    }

    #[test]
    fn a_value_comes_back_from_its_text() {
        let of = |table: ConfigTable, name: &str| table.field(name).unwrap();
        for (field, value) in [
            (of(ConfigTable::Device, "lines"), serde_json::json!(["1001", "1002"])),
            (of(ConfigTable::Device, "description"), serde_json::json!("12")),
            (of(ConfigTable::Node, "sip_udp"), serde_json::json!(5060)),
            (of(ConfigTable::User, "disabled"), serde_json::json!(true)),
            (of(ConfigTable::Setting, "value"), serde_json::json!(["MD5", 1, {"a": "b"}])),
            (of(ConfigTable::Setting, "value"), serde_json::json!("120s")),
        ] {
            assert_eq!(field.value(&field.text(&value)), value, "{}", field.name);
        }
        assert_eq!(of(ConfigTable::Node, "sip_udp").value("many"), serde_json::json!("many"));
        assert_eq!(of(ConfigTable::Setting, "value").value("120s"), serde_json::json!("120s"));
    }
}
