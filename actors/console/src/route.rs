//! What a route is: method and path, who may use it, what it takes, what it answers, and who carries it out.
//!
//! Plain data, so that the listener, the OpenAPI document and the tests read the same table (`routes`). No request is looked at here.

use crate::BoxedAnswer;
use crate::serve::Call;
use actix_web::http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use tandem_model::admin::Scope;
use tandem_model::admin::config::Role;

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}
impl Verb {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
    pub(crate) const fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }
    /// Whether it changes something.
    pub(crate) fn writes(self) -> bool {
        self != Self::Get
    }
}

/// Who may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// This role or a higher one.
    pub(crate) role: Role,
    /// Of a token that has scopes: this among them.
    pub(crate) scope: Scope,
    /// Whether somebody whose own password was checked may it for himself, whatever his role.
    pub(crate) own: bool,
}
impl Need {
    pub(crate) const fn new(role: Role, scope: Scope) -> Self {
        Self { role, scope, own: false }
    }
}

/// What a body may be.
#[derive(Clone, Copy)]
pub(crate) enum Body {
    /// Nothing that is looked at.
    None,
    /// JSON of this shape.
    Json {
        /// Largest, in bytes.
        most: usize,
        /// Its schema.
        shape: Shape,
    },
    /// JSON that is laid over what is there (RFC 7396).
    Merge {
        /// Largest, in bytes.
        most: usize,
        /// Its schema.
        shape: Shape,
    },
    /// A file, TOML or CSV.
    File {
        /// Largest, in bytes.
        most: usize,
    },
}
/// Makes the schema of a body or an answer.
pub(crate) type Shape = fn(&mut SchemaGenerator) -> Schema;
/// The schema of a type.
pub(crate) fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A parameter of the query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) form: Form,
}
/// What a parameter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Flag,
    Number,
    /// A number that must be given.
    Required,
    Word(&'static [&'static str]),
}

/// What is answered when all is well.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    /// JSON of this shape, with `api` beside its fields.
    Json(Shape),
    /// The same with an `ETag`.
    Tagged(Shape),
    /// The same, or an endless stream.
    JsonOrStream(Shape),
    /// Text of these media types.
    Text(&'static [&'static str]),
    /// A JSON document as it is.
    Document,
}

/// Carries a request out.
pub(crate) type Handler = for<'a> fn(&'a Call) -> BoxedAnswer<'a>;

/// A route. Made by [`Route::get`] and its sisters.
#[derive(Clone, Copy)]
pub(crate) struct Route {
    pub(crate) verb: Verb,
    /// Below `/api/v1`.
    pub(crate) path: &'static str,
    /// Its name in the OpenAPI document.
    pub(crate) id: &'static str,
    /// What it does, in one sentence.
    pub(crate) what: &'static str,
    /// Who may; `None`: everybody.
    pub(crate) need: Option<Need>,
    pub(crate) body: Body,
    pub(crate) query: &'static [Parameter],
    /// Whether fields of the table are parameters as well.
    pub(crate) filters: bool,
    pub(crate) answer: Answer,
    /// Whether `If-Match` and `If-None-Match` are looked at.
    pub(crate) conditional: bool,
    /// Whether 201 is answered, and when: always, or only in some cases.
    pub(crate) creates: Option<bool>,
    pub(crate) handler: Handler,
}
impl Route {
    const fn new(verb: Verb, path: &'static str, id: &'static str, what: &'static str, handler: Handler) -> Self {
        Self {
            verb,
            path,
            id,
            what,
            need: None,
            body: Body::None,
            query: &[],
            filters: false,
            answer: Answer::Document,
            conditional: false,
            creates: None,
            handler,
        }
    }
    pub(crate) const fn get(path: &'static str, id: &'static str, what: &'static str, handler: Handler) -> Self {
        Self::new(Verb::Get, path, id, what, handler)
    }
    pub(crate) const fn post(path: &'static str, id: &'static str, what: &'static str, handler: Handler) -> Self {
        Self::new(Verb::Post, path, id, what, handler)
    }
    pub(crate) const fn put(path: &'static str, id: &'static str, what: &'static str, handler: Handler) -> Self {
        Self::new(Verb::Put, path, id, what, handler)
    }
    pub(crate) const fn patch(path: &'static str, id: &'static str, what: &'static str, handler: Handler) -> Self {
        Self::new(Verb::Patch, path, id, what, handler)
    }
    pub(crate) const fn delete(path: &'static str, id: &'static str, what: &'static str, handler: Handler) -> Self {
        Self::new(Verb::Delete, path, id, what, handler)
    }
    pub(crate) const fn needs(self, need: Need) -> Self {
        Self { need: Some(need), ..self }
    }
    pub(crate) const fn takes(self, body: Body) -> Self {
        Self { body, ..self }
    }
    pub(crate) const fn asks(self, query: &'static [Parameter]) -> Self {
        Self { query, ..self }
    }
    pub(crate) const fn filters(self) -> Self {
        Self { filters: true, ..self }
    }
    pub(crate) const fn answers(self, answer: Answer) -> Self {
        Self { answer, ..self }
    }
    pub(crate) const fn conditional(self) -> Self {
        Self { conditional: true, ..self }
    }
    pub(crate) const fn creates(self, always: bool) -> Self {
        Self { creates: Some(always), ..self }
    }
    /// Names between braces in the path.
    pub(crate) fn places(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}
