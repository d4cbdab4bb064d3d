//! Changing rows: from words on the command line to one request, and what came of it in words.
//!
//! A secret comes from a file or the standard input, never from an argument: arguments show in the process list.

use super::args::Change;
use super::client::{Answer, Client, Method, escaped, query};
use super::failure::{Exit, Failure};
use super::output::{Out, joined};
use super::state;
use serde_json::{Map, Value};
use std::io::Read;
use std::path::Path;
use tandem_model::admin::config::{ConfigTable, Field, Form, HIDDEN, Written};
use tandem_model::admin::nearest;
use tandem_model::config::FILE_BYTES_MAX;

/// Longest secret, in bytes.
const SECRET_MAX: usize = 4_096;

/// What is to become of a row.
pub enum Write {
    /// These fields are laid over it; null takes one away.
    Merge(Map<String, Value>),
    /// It has these fields and no other, whether it was there or not.
    Replace(Map<String, Value>),
    /// It is new and has these fields.
    Create(Map<String, Value>),
    /// It goes.
    Delete,
}

/// Writes one row and prints what came of it.
///
/// # Errors
/// When nobody answers, it is refused, or the output cannot be written.
pub fn row(
    client: &Client,
    table: ConfigTable,
    key: &str,
    write: Write,
    change: &Change,
    out: &mut Out<'_>,
) -> Result<(), Failure> {
    let mut headers = Vec::new();
    if let Some(etag) = &change.if_match {
        headers.push(("If-Match", format!("\"{}\"", etag.trim_matches('"'))));
    }
    let without_nulls = |fields: Map<String, Value>| fields.into_iter().filter(|(_, v)| !v.is_null()).collect();
    let (method, fields) = match write {
        Write::Merge(fields) => (Method::PATCH, Some(fields)),
        Write::Replace(fields) => (Method::PUT, Some(without_nulls(fields))),
        Write::Create(fields) => {
            headers.push(("If-None-Match", "*".to_owned()));
            (Method::PUT, Some(without_nulls(fields)))
        }
        Write::Delete => (Method::DELETE, None),
    };
    let parameters = parameters(change.dry_run, change.comment.as_ref());
    let path = format!("/config/{table}/{}{}", escaped(key), query(&parameters));
    let answer = client.send::<Written>(method, &path, &headers, fields.map(Value::from).as_ref())?;
    written(&answer, out)
}

/// What every change asks for.
pub fn parameters(dry_run: bool, comment: Option<&String>) -> Vec<(&'static str, Option<String>)> {
    vec![("dry_run", dry_run.then(|| "true".to_owned())), ("comment", comment.cloned())]
}

/// Prints what came of a change.
///
/// # Errors
/// When the output cannot be written.
pub fn written(answer: &Answer<Written>, out: &mut Out<'_>) -> Result<(), Failure> {
    if out.is_data() {
        return out.data(&answer.raw);
    }
    let Written { change, revision, unchanged, impact, secret, .. } = &answer.body;
    match change {
        _ if *unchanged => return out.line(&format!("nothing to change: it is so already, at revision {revision}")),
        Some(change) if change.ops == 1 => out.line(&format!("revision {}: 1 row", change.revision))?,
        Some(change) => out.line(&format!("revision {}: {} rows", change.revision, change.ops))?,
        None => out.line("nothing was changed; this would happen:")?,
    }
    if !impact.sentence.is_empty() {
        out.line(&impact.sentence)?;
    }
    if !impact.examples.is_empty() {
        out.line(&format!("among them: {}", joined(&impact.examples, ", ")))?;
    }
    impact.restart.iter().try_for_each(|why| out.line(&format!("to be started anew: {why}")))?;
    secret.as_ref().map_or(Ok(()), |token| out.line(&format!("token, told this once: {token}")))
}

/// Words of a command line as fields of a table. A word without a value is null: the field is taken away.
///
/// # Errors
/// There is no such field, or a secret stands in the clear.
pub fn fields(table: ConfigTable, words: &[(String, String)]) -> Result<Map<String, Value>, Failure> {
    let mut fields = Map::new();
    for (name, word) in words {
        let field = table.field(name).ok_or_else(|| unknown(table, name))?;
        let value = if word.is_empty() { Value::Null } else { value(field, word)? };
        fields.insert(name.clone(), value);
    }
    Ok(fields)
}

fn unknown(table: ConfigTable, name: &str) -> Failure {
    let known = || table.fields().iter().map(|f| f.name);
    let failure = Failure::new(Exit::Usage, format!("{table} has no field {name:?}"));
    match nearest(name, known()) {
        Some(near) => failure.remedy(format!("did you mean {near}?")),
        None => failure.remedy(format!("known: {}", known().collect::<Vec<_>>().join(", "))),
    }
}

fn value(field: &Field, word: &str) -> Result<Value, Failure> {
    if field.form == Form::List && word.contains(',') {
        let message =
            format!("{}={word}: a list has ; between its elements, and nothing in one has a comma", field.name);
        return Err(Failure::new(Exit::Usage, message).remedy(format!(
            "write {}='{}'",
            field.name,
            word.replace(',', ";")
        )));
    }
    if !field.secret {
        return Ok(field.value(word));
    }
    match word.strip_prefix('@') {
        Some(file) => Ok(secret(Path::new(file))?.into()),
        None if word == HIDDEN => Ok(word.into()),
        None => {
            let message = format!("{} is a secret: it would show in the process list", field.name);
            let name = field.name;
            Err(Failure::new(Exit::Usage, message)
                .remedy(format!("put it into a file and write {name}=@FILE, or {name}=@- for the standard input")))
        }
    }
}

/// A secret from a file, or from the standard input for `-`; without the line break at its end.
///
/// # Errors
/// It cannot be read, or is empty.
pub fn secret(path: &Path) -> Result<String, Failure> {
    let text = if path == Path::new("-") { standard_input(SECRET_MAX)? } else { state::read_small(path)? };
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() || text.contains('\n') {
        let message = format!("{} holds no secret on one line", path.display());
        return Err(Failure::new(Exit::Failed, message).remedy("put it there, on its first and only line"));
    }
    Ok(text.to_owned())
}

/// A file, or the standard input for `-`.
///
/// # Errors
/// It cannot be read.
pub fn file(path: &Path) -> Result<String, Failure> {
    if path == Path::new("-") { standard_input(FILE_BYTES_MAX) } else { state::read_config(path) }
}

fn standard_input(most: usize) -> Result<String, Failure> {
    let mut text = String::new();
    let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let read = std::io::stdin().lock().take(bound).read_to_string(&mut text);
    match read {
        Ok(_) if text.len() <= most => Ok(text),
        Ok(_) => Err(Failure::new(Exit::Failed, format!("the standard input has more than {most} bytes"))),
        Err(error) => Err(Failure::new(Exit::Failed, format!("the standard input cannot be read: {error}"))),
    }
}

/// Puts fields together that have options of their own; those that are not given are left out.
pub fn given(options: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Map<String, Value> {
    options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
/// A list that was given; none when it is empty.
pub fn list(words: &[String]) -> Option<Value> {
    (!words.is_empty()).then(|| words.iter().map(|w| Value::from(w.as_str())).collect())
}
/// A text that was given.
pub fn text(word: Option<&String>) -> Option<Value> {
    word.map(|w| Value::from(w.as_str()))
}
/// A value for people, as a table has it.
pub fn shown(table: ConfigTable, field: &str, value: &Value) -> String {
    let form = table.field(field).map_or(Form::Any, |f| f.form);
    match (form, value) {
        (Form::List, Value::Array(list)) => {
            joined(list.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)), ", ")
        }
        (_, Value::String(text)) => text.clone(),
        (_, other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Result<Value, Failure> {
        let pairs: Vec<_> =
            words.iter().map(|w| w.split_once('=').unwrap()).map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
        fields(ConfigTable::Device, &pairs).map(Value::from)
    }

    #[test]
    fn words_become_fields_of_their_form() {
        assert_eq!(
            of(&["lines=1001;1002", "description=", "pool=DP1", "password=*"]).unwrap(),
            serde_json::json!({"lines": ["1001", "1002"], "description": null, "pool": "DP1", "password": "*"})
        );
        assert_eq!(of(&["polo=DP1"]).unwrap_err().remedies, ["did you mean pool?"]);
    }

    #[test]
    fn a_secret_is_not_taken_from_an_argument() {
        let refused = of(&["password=hunter2"]).unwrap_err();
        assert_eq!(refused.exit, Exit::Usage);
        assert!(
            refused.to_string().contains("password=@FILE") && !refused.to_string().contains("hunter2"),
            "{refused}"
        );
    }
}
