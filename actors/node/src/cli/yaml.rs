//! JSON values as YAML 1.2, for `-o yaml`: blocks for maps and lists, quotes wherever a reader could take a text for something else.
//!
//! Only what JSON can say: no anchors, no tags. A quoted text is a JSON string, which YAML reads alike.

use serde_json::Value;
use std::fmt::Write;

/// Words that YAML readers of one version or another take for something else than text.
const RESERVED: [&str; 12] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity"];

/// A value as a document, with a line break at its end.
pub(super) fn document(value: &Value) -> String {
    let mut text = String::new();
    put(&mut text, value, 0, false);
    text
}
/// A value as an element of a list that stands at the left edge.
pub(super) fn element(value: &Value) -> String {
    let mut text = "- ".to_owned();
    put(&mut text, value, 2, true);
    text
}

/// Puts a value; `inline`: something stands before it on its line.
fn put(text: &mut String, value: &Value, indent: usize, inline: bool) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (n, (key, value)) in map.iter().enumerate() {
                begin(text, indent, inline && n == 0);
                text.push_str(&scalar(key));
                text.push(':');
                match value {
                    Value::Object(inner) if !inner.is_empty() => {
                        text.push('\n');
                        put(text, value, indent + 2, false);
                    }
                    // A list may stand as far left as its key.
                    Value::Array(list) if !list.is_empty() => {
                        text.push('\n');
                        put(text, value, indent, false);
                    }
                    _ => {
                        text.push(' ');
                        put(text, value, indent, true);
                    }
                }
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for (n, value) in list.iter().enumerate() {
                begin(text, indent, inline && n == 0);
                text.push_str("- ");
                put(text, value, indent + 2, true);
            }
        }
        plain => {
            begin(text, indent, inline);
            match plain {
                Value::Object(_) => text.push_str("{}"),
                Value::Array(_) => text.push_str("[]"),
                Value::String(words) => text.push_str(&scalar(words)),
                other => text.push_str(&other.to_string()),
            }
            text.push('\n');
        }
    }
}
fn begin(text: &mut String, indent: usize, inline: bool) {
    if !inline {
        text.extend(std::iter::repeat_n(' ', indent));
    }
}

/// A text as it may stand in YAML.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_./-".contains(c))
        && !RESERVED.contains(&text.to_ascii_lowercase().as_str());
    if plain {
        return text.to_owned();
    }
    let mut quoted = String::new();
    for c in Value::from(text).to_string().chars() {
        // What JSON may leave as it is and YAML may not.
        if ('\u{7f}'..='\u{9f}').contains(&c) || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') {
            // Writing to a String cannot fail.
            let _ = write!(quoted, "\\u{:04x}", u32::from(c));
        } else {
            quoted.push(c);
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn maps_and_lists_are_blocks_and_doubtful_texts_are_quoted() {
        let value = json!({
            "name": "CCM1", "no": "no", "port": "5060", "count": 5060, "none": null, "empty": [], "nothing": {},
            "text": "a: b # c", "steers": "\u{1b}[2J\u{9b}", "date": "2023-11-14", "list": ["a", ["b", 1], {"c": true, "d": {"e": 1.5}}],
            "map": {"x": {"y": "z"}}
        });
        assert_eq!(
            document(&value),
            "count: 5060\ndate: \"2023-11-14\"\nempty: []\nlist:\n- a\n- - b\n  - 1\n- c: true\n  d:\n    e: 1.5\nmap:\n  x:\n    \"y\": z\n\
             name: CCM1\n\"no\": \"no\"\nnone: null\nnothing: {}\nport: \"5060\"\nsteers: \"\\u001b[2J\\u009b\"\ntext: \"a: b # c\"\n"
        );
        assert_eq!(element(&json!({"a": [1], "b": ""})), "- a:\n  - 1\n  b: \"\"\n");
        assert_eq!(document(&json!("")), "\"\"\n");
    }
}
