//! The way of one request: who asks, whether he may, what he brings, who carries it out, what is written down.
//!
//! The same for every route, so that no handler can forget a step. Nothing of a body is read before it is known who sends it.

use crate::access::{self, Who};
use crate::audit;
use crate::reply::{self, Revision, refusal};
use crate::route::{Body, Form, Need, Route};
use crate::routes::{BODY_MAX, QUERY_MAX, Shared};
use actix_web::http::{StatusCode, header};
use actix_web::web::{Bytes, Payload};
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::time::Duration;
use tandem_model::admin::config::{ConfigReply, ConfigRequest, ConfigTable};
use tandem_model::admin::{AdminError, ErrorKind, Reply, Request, nearest};
use tokio::sync::SemaphorePermit;

/// Longest time that a small body may take, and a file.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
const FILE_TIMEOUT: Duration = Duration::from_secs(300);

/// A request that may be carried out.
pub(crate) struct Call {
    pub(crate) shared: web::Data<Shared>,
    pub(crate) request: HttpRequest,
    pub(crate) who: Who,
    pub(crate) body: Bytes,
    path: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
}

impl Call {
    /// A name in the path.
    pub(crate) fn place(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }
    /// A parameter of the query.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.query.get(name).cloned()
    }
    /// A parameter that is a number; it was seen to be one.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.query.get(name)?.parse().ok()
    }
    /// A parameter that is true or false.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.query.get(name).is_some_and(|v| matches!(v.as_str(), "true" | "1" | ""))
    }
    /// Parameters that the route does not name: fields of a table.
    pub(crate) fn others(&self, route: &[crate::route::Parameter]) -> BTreeMap<String, String> {
        let others = self.query.iter().filter(|(k, _)| route.iter().all(|p| p.name != k.as_str()));
        others.map(|(k, v)| (k.clone(), v.clone())).collect()
    }
    /// Who asks, as the author of a change.
    pub(crate) fn author(&self) -> String {
        self.who.identity.name.clone()
    }
    /// The body as JSON.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, AdminError> {
        serde_json::from_slice(&self.body).map_err(|e| {
            AdminError::new(ErrorKind::Invalid, format!("the body cannot be read: {e}"))
                .remedy("send JSON; /api/v1/openapi.json has its shape")
        })
    }
    /// The table that the path names; who asks may see it.
    ///
    /// # Errors
    /// There is none of that name, or he may not.
    pub(crate) fn table(&self) -> Result<ConfigTable, AdminError> {
        let table = table(self.place("table"))?;
        self.who.may_table(table).map(|()| table)
    }
    /// Asks the configuration database.
    ///
    /// # Errors
    /// What it refuses with.
    pub(crate) async fn config(&self, request: ConfigRequest) -> Result<ConfigReply, AdminError> {
        self.config_within(request, reply::CALL_TIMEOUT).await
    }
    /// The same with a patience of its own.
    ///
    /// # Errors
    /// What it refuses with.
    pub(crate) async fn config_within(
        &self,
        request: ConfigRequest,
        patience: Duration,
    ) -> Result<ConfigReply, AdminError> {
        let request = Request::Config(Box::new(request));
        match reply::ask(self.shared.admin.as_ref(), request, patience).await? {
            Reply::Config(reply) => Ok(reply),
            _ => Err(AdminError::new(ErrorKind::Internal, "the nodes answered something else than was asked")),
        }
    }
    /// A place among the few that handle whole files at a time.
    ///
    /// # Errors
    /// All are taken.
    pub(crate) fn file_seat(&self) -> Result<SemaphorePermit<'_>, AdminError> {
        self.shared.files.try_acquire().map_err(|_| {
            AdminError::new(ErrorKind::Unavailable, "other files are read or written at this moment")
                .remedy("try again")
        })
    }
}

/// A table by its word.
///
/// # Errors
/// There is none.
pub(crate) fn table(word: &str) -> Result<ConfigTable, AdminError> {
    ConfigTable::from_word(word)
        .ok_or_else(|| AdminError::unknown("table", word, ConfigTable::ALL.map(ConfigTable::word)))
}

/// Answers a request of `route`.
pub(crate) async fn serve(
    route: &'static Route,
    shared: web::Data<Shared>,
    request: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let who = match route.need {
        None => Who::nobody(),
        Some(need) => match enter(&shared, &request, Some(need)).await {
            Ok(who) => who,
            Err(refused) => return refused,
        },
    };
    let name = who.identity.name.clone();
    let response = match prepare(route, shared.clone(), request.clone(), payload, who).await {
        Ok(call) => (route.handler)(&call).await,
        Err(error) => refusal(&error),
    };
    if route.verb.writes() || response.status() == StatusCode::FORBIDDEN {
        let revision = response.extensions().get::<Revision>().map(|r| r.0);
        audit::note(&shared, &request, &name, response.status().as_u16(), revision).await;
    }
    response
}

/// Lets somebody in who is known and may what `need` says; otherwise there is the answer for him.
pub(crate) async fn enter(shared: &Shared, request: &HttpRequest, need: Option<Need>) -> Result<Who, HttpResponse> {
    let who = match access::identify(shared, request).await {
        Ok(who) => who,
        Err(not_known) => {
            let response = refusal(&not_known.error);
            audit::note(shared, request, &not_known.claimed, response.status().as_u16(), None).await;
            return Err(response);
        }
    };
    audit::signed_in(shared, request, &who).await;
    let may = if access::is_from_elsewhere(request) {
        Err(AdminError::new(ErrorKind::Forbidden, "a page of another site asked for this").code("T0403"))
    } else {
        need.map_or(Ok(()), |need| who.may(need))
    };
    match may {
        Ok(()) => Ok(who),
        Err(error) => {
            let response = refusal(&error);
            audit::note(shared, request, &who.identity.name, response.status().as_u16(), None).await;
            Err(response)
        }
    }
}

async fn prepare(
    route: &Route,
    shared: web::Data<Shared>,
    request: HttpRequest,
    payload: Payload,
    who: Who,
) -> Result<Call, AdminError> {
    let query = query(route, &request)?;
    let places = web::Path::<Vec<String>>::extract(&request).await;
    let places = places.map_err(|e| AdminError::new(ErrorKind::Invalid, format!("the path cannot be read: {e}")))?;
    let path = route.places().map(str::to_owned).zip(places.into_inner()).collect();
    let body = body(route, &request, payload).await?;
    Ok(Call { shared, request, who, body, path, query })
}

fn query(route: &Route, request: &HttpRequest) -> Result<BTreeMap<String, String>, AdminError> {
    let invalid = |what: String| AdminError::new(ErrorKind::Invalid, what);
    let text = request.query_string();
    if text.len() > QUERY_MAX {
        return Err(invalid(format!("the query is longer than {QUERY_MAX} bytes")));
    }
    let pairs = web::Query::<Vec<(String, String)>>::from_query(text)
        .map_err(|e| invalid(format!("the query cannot be read: {e}")))?;
    let mut query = BTreeMap::new();
    for (name, value) in pairs.into_inner() {
        match route.query.iter().find(|p| p.name == name) {
            Some(parameter) => fits(&name, &value, parameter.form).map_err(invalid)?,
            None if route.filters => {}
            None => {
                let known = || route.query.iter().map(|p| p.name);
                let error = invalid(format!("there is no parameter {name:?} here"));
                let error = AdminError { nearest: nearest(&name, known()).map(str::to_owned), ..error };
                let names = known().collect::<Vec<_>>().join(", ");
                return Err(if names.is_empty() { error } else { error.remedy(format!("known: {names}")) });
            }
        }
        if query.insert(name.clone(), value).is_some() {
            return Err(invalid(format!("the parameter {name:?} is there twice")));
        }
    }
    match route.query.iter().find(|p| p.form == Form::Required && !query.contains_key(p.name)) {
        Some(missing) => Err(invalid(format!("the parameter {:?} is missing", missing.name)).remedy(missing.what)),
        None => Ok(query),
    }
}

/// Whether a parameter's value can be read.
fn fits(name: &str, value: &str, form: Form) -> Result<(), String> {
    match form {
        Form::Text => Ok(()),
        Form::Flag if matches!(value, "true" | "false" | "1" | "0" | "") => Ok(()),
        Form::Flag => Err(format!("{name} is {value:?}; true or false is right")),
        Form::Number | Form::Required => {
            value.parse::<u64>().map(|_| ()).map_err(|e| format!("{name} is {value:?}, no whole number: {e}"))
        }
        Form::Word(words) if words.contains(&value) => Ok(()),
        Form::Word(words) => Err(format!("{name} is {value:?}; one of {} is right", words.join(", "))),
    }
}

async fn body(route: &Route, request: &HttpRequest, payload: Payload) -> Result<Bytes, AdminError> {
    let (most, patience) = match route.body {
        Body::None => (BODY_MAX, BODY_TIMEOUT),
        Body::Json { most, .. } | Body::Merge { most, .. } if most <= crate::routes::ROW_MAX => (most, BODY_TIMEOUT),
        Body::Json { most, .. } | Body::Merge { most, .. } | Body::File { most } => (most, FILE_TIMEOUT),
    };
    let too_large = || AdminError::new(ErrorKind::TooLarge, format!("the body is larger than {most} bytes"));
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|l| l > u64::try_from(most).unwrap_or(u64::MAX)) {
        return Err(too_large());
    }
    match tokio::time::timeout(patience, payload.to_bytes_limited(most)).await {
        Ok(Ok(Ok(bytes))) => Ok(bytes),
        Ok(Ok(Err(error))) => Err(AdminError::new(ErrorKind::Invalid, format!("the body cannot be read: {error}"))),
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(AdminError::new(ErrorKind::Invalid, "the body took too long")),
    }
}
