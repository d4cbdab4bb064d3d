//! `docs/CONFIGURATION.md`, generated from the JSON Schema that the program itself reads its file with: no field can be missing.
//!
//! It must never add a fact of its own; a field that reads badly here is to be described better in `actors/model/src/config`.

use crate::{File, Finding, docs};
use serde_json::Value;
use std::fmt::Write as _;

/// The generated page.
pub const PAGE: &str = "docs/CONFIGURATION.md";
/// The tables of the file, in the order in which a person writes them.
const TABLES: &[&str] = &["cluster", "node", "group", "device_pool", "device", "device_series", "settings"];

/// What [`PAGE`] should say.
pub fn page() -> String {
    let schema = tandem_model::config::json_schema();
    let mut page = String::from(
        "# Configuration file\n\n\
         One TOML file describes a cluster; `tandem check --config FILE` reads it and names everything that is wrong, with its line.\n\
         Durations are texts such as `\"120s\"`, `\"2m\"`, `\"500ms\"`, or numbers of seconds. Examples are in `examples/config`. This page is\n\
         generated from the schema (`tandem config schema`); `TANDEM_BLESS=1 cargo test -p tandem-tidy` writes it anew.\n",
    );
    for name in tables(&schema) {
        let table = schema.pointer(&format!("/properties/{name}")).unwrap_or(&Value::Null);
        let many = table.get("items").is_some();
        let table = followed(&schema, table.get("items").unwrap_or(table));
        let head = if many { format!("[[{name}]]") } else { format!("[{name}]") };
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## `{head}`\n\n{}\n\n", upper_first(&beyond(&sentence(table), &head)));
        page.push_str("| field | default | meaning |\n|---|---|---|\n");
        let required = |field: &str| {
            let list = table.get("required").and_then(Value::as_array);
            list.is_some_and(|l| l.iter().any(|r| r == field))
        };
        let mut fields: Vec<(&String, &Value)> =
            table.get("properties").and_then(Value::as_object).into_iter().flatten().collect();
        fields.sort_by_key(|(field, _)| (!required(field), field.as_str()));
        for (field, value) in fields {
            let default = match value.get("default") {
                _ if required(field) => "required".to_owned(),
                None | Some(Value::Null) => "-".to_owned(),
                Some(default) => format!("`{}`", default.to_string().replace('|', "\\|")),
            };
            let _ = writeln!(page, "| `{field}` | {default} | {}{} |", sentence(value), words(&schema, value));
        }
    }
    page
}

/// Our order first, then whatever the schema has besides: a new table appears without anybody's care.
fn tables(schema: &Value) -> Vec<&str> {
    let known: Vec<&str> =
        schema.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(k, _)| k.as_str()).collect();
    let mut all: Vec<&str> = TABLES.iter().copied().filter(|t| known.contains(t)).collect();
    all.extend(known.iter().filter(|t| !TABLES.contains(t)));
    all
}

/// What a reference leads to; the value itself when it is none.
fn followed<'a>(schema: &'a Value, value: &'a Value) -> &'a Value {
    let target = value.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#'));
    target.and_then(|t| schema.pointer(t)).unwrap_or(value)
}

fn sentence(value: &Value) -> String {
    let text = value.get("description").and_then(Value::as_str).unwrap_or_default();
    text.replace('\n', " ").replace('|', "\\|")
}

/// The words that a field may have, each with its meaning.
fn words(schema: &Value, value: &Value) -> String {
    let value = followed(schema, value.get("items").unwrap_or(value));
    let choices = value.get("oneOf").and_then(Value::as_array);
    let words = choices.into_iter().flatten().filter_map(|choice| {
        let word = choice.get("const").and_then(Value::as_str)?;
        Some(format!(" `{word}`: {}", lower_first(&sentence(choice))))
    });
    words.collect()
}

/// What a sentence says beyond the head of its table.
fn beyond(sentence: &str, head: &str) -> String {
    let rest = sentence.strip_prefix(&format!("`{head}`")).unwrap_or(sentence).trim_start_matches([':', ',', '.', ' ']);
    if rest.is_empty() { "What holds for the whole cluster.".to_owned() } else { rest.to_owned() }
}

fn upper_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    let second_is_lower = text.chars().nth(1).is_none_or(|c| !c.is_uppercase());
    match letters.next() {
        Some(first) if second_is_lower => first.to_lowercase().chain(letters).collect(),
        _ => text.to_owned(),
    }
}

/// [`PAGE`] equals [`page`].
pub fn check(files: &[File]) -> Vec<Finding> {
    docs::generated(files, PAGE, &page(), "the schema of tandem_model::config")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_schema_is_on_the_page() {
        let page = page();
        let schema = tandem_model::config::json_schema();
        let definitions = schema.get("$defs").and_then(Value::as_object).expect("the schema has definitions");
        let fields: Vec<&String> = definitions
            .values()
            .filter_map(|d| d.get("properties").and_then(Value::as_object))
            .flat_map(|p| p.keys())
            .collect();
        assert!(fields.len() > 40, "{}", fields.len());
        for field in fields {
            assert!(page.contains(&format!("| `{field}` |")), "{field}");
        }
    }

    #[test]
    fn a_page_that_is_behind_is_found() {
        assert_eq!(check(&[File::new(PAGE, &page())]), vec![]);
        assert_eq!(check(&[File::new(PAGE, "# Configuration file\n")]).first().map(|f| f.line), Some(2));
    }
}
