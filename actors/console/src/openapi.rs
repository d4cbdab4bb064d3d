//! The OpenAPI 3.1 document: generated from the table of routes and the very structs that are read and written.
//!
//! Served at `/api/v1/openapi.json` and committed as `docs/openapi.json`; a test holds the two together. Nothing is described here twice:
//! what is missing in the document is missing in a docstring.

use crate::route::{Answer, Body, Form, Parameter, Route, of};
use crate::routes::{ROUTES, paths};
use crate::serve::Call;
use actix_web::HttpResponse;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;
use tandem_model::admin::config::{ConfigTable, Form as FieldForm, USER_FIELDS};
use tandem_model::admin::{API, AdminError, ErrorKind, PROBLEM_JSON, ProblemDocument};

const ABOUT: &str = "Watches, steers and configures a Tandem cluster. Every JSON answer has \"api\": 1 beside its fields; within a version \
                     fields are only added, so a client must take fields that it does not know. Refusals are problem documents (RFC 9457): \
                     look at `type`. Moments are milliseconds since 1970 (UTC). A secret stands in an answer as \"*\"; \"*\" in a change \
                     leaves it as it is.";
const SCHEMAS: &str = "/components/schemas";

static DOCUMENT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", build()));

/// The document as text.
pub fn openapi() -> &'static str {
    &DOCUMENT
}
// Has the form of every handler.
#[expect(clippy::unused_async, reason = "a route's handler is a future")]
pub(crate) async fn document(_: &Call) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(openapi())
}

/// What users set for a device, as it is sent.
pub(crate) fn user_settings(_: &mut SchemaGenerator) -> Schema {
    let properties: Map<String, Value> = USER_FIELDS.iter().map(|f| ((*f).to_owned(), json!({}))).collect();
    json_schema!({ "type": "object", "properties": properties, "additionalProperties": false })
}
/// All fields of a row of some table.
pub(crate) fn fields(_: &mut SchemaGenerator) -> Schema {
    any_table("Fields")
}
/// Fields of a row of some table that change.
pub(crate) fn changed_fields(_: &mut SchemaGenerator) -> Schema {
    any_table("Change")
}
fn any_table(of: &str) -> Schema {
    let each = ConfigTable::ALL.map(|table| json!({ "$ref": format!("#{SCHEMAS}/{}", schema_name(table, of)) }));
    json_schema!({ "anyOf": each })
}
fn schema_name(table: ConfigTable, of: &str) -> String {
    let words = table.word().split('_').filter_map(|w| w.split_at_checked(1));
    words.map(|(first, rest)| format!("{}{rest}", first.to_ascii_uppercase())).collect::<String>() + of
}

/// The fields of each table, as a row and as a change.
fn tables() -> Map<String, Value> {
    let mut all = Map::new();
    for table in ConfigTable::ALL {
        let mut row = Map::new();
        let mut change = Map::new();
        for field in table.fields() {
            let kind = match field.form {
                FieldForm::Text | FieldForm::Word(_) => "string",
                FieldForm::Integer => "integer",
                FieldForm::Bool => "boolean",
                FieldForm::List => "array",
                FieldForm::Any => "",
            };
            let mut shape = Map::new();
            if let FieldForm::Word(words) = field.form {
                shape.insert("enum".to_owned(), json!(words));
            }
            if field.form == FieldForm::List {
                shape.insert("items".to_owned(), json!({ "type": "string" }));
            }
            if field.secret {
                shape.insert("description".to_owned(), "Secret: \"*\" leaves it as it is.".into());
            }
            let mut nullable = shape.clone();
            if !kind.is_empty() {
                shape.insert("type".to_owned(), kind.into());
                nullable.insert("type".to_owned(), json!([kind, "null"]));
            }
            if let Some(Value::Array(words)) = nullable.get_mut("enum") {
                words.push(Value::Null);
            }
            row.insert(field.name.to_owned(), shape.into());
            change.insert(field.name.to_owned(), nullable.into());
        }
        let required: Vec<&str> = table.fields().iter().filter(|f| f.required).map(|f| f.name).collect();
        let about = format!("A row of the table `{table}`, without its key.");
        let whole = json!({ "type": "object", "description": about, "properties": row, "required": required, "additionalProperties": false });
        let part = json!({ "type": "object", "properties": change, "additionalProperties": false });
        all.insert(schema_name(table, "Fields"), whole);
        all.insert(schema_name(table, "Change"), part);
    }
    all
}

fn build() -> Value {
    let settings = || SchemaSettings::draft2020_12().with(|s| s.definitions_path = SCHEMAS.into());
    let mut sent = settings().for_serialize().into_generator();
    let mut read = settings().for_deserialize().into_generator();
    let problem = of::<ProblemDocument>(&mut sent);
    let mut all = Map::new();
    for path in paths() {
        let of_path = ROUTES.iter().filter(|r| r.path == path);
        let operations: Map<String, Value> =
            of_path.map(|r| (r.verb.word().to_ascii_lowercase(), operation(r, &mut sent, &mut read))).collect();
        all.insert(path.to_owned(), operations.into());
    }
    let mut schemas = tables();
    schemas.extend(read.take_definitions(true));
    schemas.extend(sent.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tandem admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": format!("/api/v{API}") }],
        "paths": all,
        "components": {
            "schemas": schemas,
            "responses": refusals(&problem),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "The control token, or a token of the cluster." },
                "user": { "type": "http", "scheme": "basic", "description": "A user of the cluster." },
            },
        },
    })
}

fn operation(route: &Route, sent: &mut SchemaGenerator, read: &mut SchemaGenerator) -> Value {
    let mut operation = Map::new();
    let mut put = |name: &str, value: Value| drop(operation.insert(name.to_owned(), value));
    put("operationId", route.id.into());
    put("summary", route.what.into());
    let about = route.need.map(|need| {
        let role = serde_json::to_value(need.role).unwrap_or_default();
        let own = if need.own { ", or whose own it is" } else { "" };
        format!(
            "Needs the role {}{own}; of a token with scopes, the scope `{}`.",
            role.as_str().unwrap_or_default(),
            need.scope
        )
    });
    put("description", about.unwrap_or_else(|| "Open to everybody.".to_owned()).into());
    if let Some(need) = route.need {
        put("x-tandem-role", serde_json::to_value(need.role).unwrap_or_default());
        put("x-tandem-scope", need.scope.word().into());
        put("x-tandem-own", need.own.into());
    }
    put("security", if route.need.is_some() { json!([{ "token": [] }, { "user": [] }]) } else { json!([]) });
    let parameters = parameters(route);
    if !parameters.is_empty() {
        put("parameters", parameters.into());
    }
    match route.body {
        Body::None => {}
        Body::Json { shape, .. } => put("requestBody", body("application/json", json!(shape(read)))),
        Body::Merge { shape, .. } => {
            let schema = json!({ "schema": shape(read) });
            let content = json!({ "application/merge-patch+json": schema, "application/json": schema });
            put("requestBody", json!({ "required": true, "content": content }));
        }
        Body::File { .. } => {
            let text = json!({ "schema": { "type": "string" } });
            put("requestBody", json!({ "required": true, "content": { "application/toml": text, "text/csv": text } }));
        }
    }
    put("responses", responses(route, sent).into());
    operation.into()
}

fn body(kind: &str, schema: Value) -> Value {
    json!({ "required": true, "content": { kind: { "schema": schema } } })
}

fn parameters(route: &Route) -> Vec<Value> {
    let place = |name: &str| {
        let schema = match name {
            "table" => json!({ "type": "string", "enum": ConfigTable::ALL.map(ConfigTable::word) }),
            "revision" => json!({ "type": "integer", "minimum": 0 }),
            "command" => json!({ "type": "string", "enum": ["stop", "kill", "start"] }),
            _ => json!({ "type": "string", "minLength": 1 }),
        };
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    };
    let query = |parameter: &Parameter| {
        let schema = match parameter.form {
            Form::Text => json!({ "type": "string" }),
            Form::Flag => json!({ "type": "boolean" }),
            Form::Number | Form::Required => json!({ "type": "integer", "minimum": 0 }),
            Form::Word(words) => json!({ "type": "string", "enum": words }),
        };
        let required = parameter.form == Form::Required;
        json!({ "name": parameter.name, "in": "query", "description": parameter.what, "required": required, "schema": schema })
    };
    let mut all: Vec<Value> = route.places().map(place).chain(route.query.iter().map(query)).collect();
    if route.filters {
        all.push(json!({
            "name": "fields", "in": "query", "style": "form", "explode": true,
            "description": "Fields of the table that must have this value; a list must have it among its elements.",
            "schema": { "type": "object", "additionalProperties": { "type": "string" } },
        }));
    }
    if route.conditional {
        let reads = !route.verb.writes();
        let header = |name: &str, what: &str| json!({ "name": name, "in": "header", "description": what, "schema": { "type": "string" } });
        if !reads {
            all.push(header("If-Match", "The ETag of the row as the author has seen it; `*` for whatever is there."));
        }
        let none = if reads {
            "The ETag that is known: 304 when it still holds."
        } else {
            "`*`: only when there is no such row."
        };
        all.push(header("If-None-Match", none));
    }
    all
}

fn response_name(status: &str) -> String {
    format!("Problem{status}")
}
/// Every refusal, once: a problem document.
fn refusals(problem: &Schema) -> Map<String, Value> {
    let one = |kind: ErrorKind| {
        let content = json!({ PROBLEM_JSON: { "schema": versioned(json!(problem)) } });
        let answer =
            json!({ "description": ProblemDocument::from(AdminError::new(kind, "")).title, "content": content });
        (response_name(&kind.status().to_string()), answer)
    };
    ErrorKind::ALL.into_iter().map(one).collect()
}
/// What is sent of `schema`, with the version of its words.
fn versioned(schema: Value) -> Value {
    let api =
        json!({ "type": "object", "properties": { "api": { "type": "integer", "const": API } }, "required": ["api"] });
    json!({ "allOf": [schema, api] })
}

/// Every answer that can happen.
fn responses(route: &Route, sent: &mut SchemaGenerator) -> Map<String, Value> {
    let mut all = Map::new();
    let etag = json!({ "ETag": { "description": "Names the row as it is now.", "schema": { "type": "string" } } });
    let mut good = match route.answer {
        Answer::Json(shape) | Answer::Tagged(shape) => {
            json!({ "content": { "application/json": { "schema": versioned(json!(shape(sent))) } } })
        }
        Answer::JsonOrStream(shape) => {
            let page = versioned(json!(shape(sent)));
            let text = json!({ "schema": { "type": "string" } });
            json!({ "content": { "application/json": { "schema": page }, "text/event-stream": text, "application/x-ndjson": text } })
        }
        Answer::Text(kinds) => {
            let content: Map<String, Value> =
                kinds.iter().map(|k| ((*k).to_owned(), json!({ "schema": { "type": "string" } }))).collect();
            json!({ "content": content })
        }
        Answer::Document => json!({ "content": { "application/json": { "schema": { "type": "object" } } } }),
    };
    if let (Answer::Tagged(_), Some(good)) = (route.answer, good.as_object_mut()) {
        good.insert("headers".to_owned(), etag);
    }
    let described = |what: &str, mut answer: Value| {
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("description".to_owned(), what.into());
        }
        answer
    };
    if route.creates != Some(true) {
        all.insert("200".to_owned(), described("Done.", good.clone()));
    }
    if route.creates.is_some() {
        all.insert("201".to_owned(), described("Made.", good));
    }
    if route.conditional && !route.verb.writes() {
        all.insert("304".to_owned(), json!({ "description": "It is as it was." }));
    }
    let mut refused =
        |status: &str| {
            drop(all.insert(
                status.to_owned(),
                json!({ "$ref": format!("#/components/responses/{}", response_name(status)) }),
            ));
        };
    refused("400");
    if route.need.is_some() {
        refused("401");
        refused("429");
        refused("403");
        refused("404");
        refused("409");
    }
    if route.verb.writes() && route.path.starts_with("/config") {
        refused("412");
    }
    refused("413");
    refused("500");
    refused("503");
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` in a document.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|v| references(v, found));
            }
            Value::Array(list) => list.iter().for_each(|v| references(v, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_route_is_there() {
        let document = build();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 50, "{}", found.len());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        for route in ROUTES {
            let operation = &document["paths"][route.path][route.verb.word().to_ascii_lowercase()];
            assert_eq!(operation["operationId"], route.id);
            assert_eq!(operation["responses"]["401"].is_null(), route.need.is_none());
        }
    }

    #[test]
    fn what_is_read_and_what_is_sent_do_not_share_a_name() {
        let settings = || SchemaSettings::draft2020_12().with(|s| s.definitions_path = SCHEMAS.into());
        let mut sent = settings().for_serialize().into_generator();
        let mut read = settings().for_deserialize().into_generator();
        let _ = of::<ProblemDocument>(&mut sent);
        ROUTES.iter().for_each(|r| drop(operation(r, &mut sent, &mut read)));
        let (sent, read) = (sent.take_definitions(true), read.take_definitions(true));
        for (name, schema) in &read {
            assert!(sent.get(name).is_none_or(|other| other == schema), "{name}");
        }
    }
}
