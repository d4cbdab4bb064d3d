//! The paths: each reads its words from path and query, asks, and answers.
//!
//! No decision is taken here. It must never answer anything but JSON below `/api`, a wrong path or method included.

use crate::Admin;
use crate::access::{self, Access};
use crate::events;
use crate::page;
use crate::reply::{answer, call, refusal};
use actix_web::http::header;
use actix_web::middleware::from_fn;
use actix_web::{Handler, HttpRequest, HttpResponse, Resource, Responder, web};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tandem_base::{DeviceName, GroupName, NodeName};
use tandem_model::admin::{AdminError, DeviceQuery, ErrorKind, Health, NodeCommand, Request};

/// What every handler sees.
pub(crate) struct Shared {
    pub(crate) admin: Arc<dyn Admin>,
    pub(crate) access: Access,
    /// Streams of events that are open.
    pub(crate) followers: Arc<AtomicUsize>,
}
type Data = web::Data<Shared>;

/// Puts every path into an application.
pub(crate) fn configure(app: &mut web::ServiceConfig) {
    let v1 = web::scope("/v1")
        .service(get("/status", status))
        .service(get("/devices", device_list))
        .service(get("/devices/{name}", device_show))
        .service(get("/devices/{name}/explain", device_explain))
        .service(post("/devices/{name}/release", device_release))
        .service(get("/groups", group_list))
        .service(get("/groups/{name}", group_show))
        .service(post("/groups/{name}/failback", failback))
        .service(post("/nodes/{name}/{command}", node_command))
        .service(get("/events", events::events));
    // The inner default makes sure that a wrong path below /api asks for the token first and tells nothing before.
    let api = web::scope("/api").wrap(from_fn(access::token)).service(v1).default_service(web::to(unknown_path));
    app.service(api)
        .service(get("/metrics", metrics))
        .service(get("/healthz", healthz))
        .service(get("/readyz", readyz))
        .service(get("/", page::html))
        .service(get("/page.js", page::script))
        .service(get("/page.css", page::style))
        .default_service(web::to(unknown_path));
}

fn get<F, A>(path: &str, handler: F) -> Resource
where
    F: Handler<A>,
    A: actix_web::FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path).route(web::get().to(handler)).default_service(web::to(wrong_method))
}
fn post<F, A>(path: &str, handler: F) -> Resource
where
    F: Handler<A>,
    A: actix_web::FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path).route(web::post().to(handler)).default_service(web::to(wrong_method))
}

async fn unknown_path(request: HttpRequest) -> HttpResponse {
    let error = AdminError::new(ErrorKind::NotFound, format!("there is nothing at {}", request.path()));
    refusal(
        &error.remedy("the paths are /api/v1/{status,devices,groups,nodes,events}, /metrics, /healthz, /readyz and /"),
    )
}
async fn wrong_method(request: HttpRequest) -> HttpResponse {
    let right = if request.method() == actix_web::http::Method::POST { "GET" } else { "POST" };
    let error = AdminError::new(ErrorKind::Invalid, format!("{} does not take {}", request.path(), request.method()));
    let mut response = refusal(&error.remedy(format!("use {right}")));
    *response.status_mut() = actix_web::http::StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(right));
    response
}

/// The words of the query, or why they cannot be read.
pub(crate) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, AdminError> {
    web::Query::<T>::from_query(request.query_string())
        .map(web::Query::into_inner)
        .map_err(|e| invalid("the query", &e))
}
fn invalid(what: &str, why: &dyn Display) -> AdminError {
    AdminError::new(ErrorKind::Invalid, format!("{what} cannot be read: {why}"))
}
fn device(name: &str) -> Result<DeviceName, AdminError> {
    DeviceName::new(name).map_err(|e| AdminError::new(ErrorKind::Invalid, e.to_string()))
}
fn group(name: &str) -> Result<GroupName, AdminError> {
    GroupName::new(name).map_err(|e| AdminError::new(ErrorKind::Invalid, e.to_string()))
}

async fn ask(shared: &Shared, request: Result<Request, AdminError>) -> HttpResponse {
    match request {
        Ok(request) => call(shared.admin.as_ref(), request).await,
        Err(error) => refusal(&error),
    }
}

async fn status(shared: Data) -> HttpResponse {
    ask(&shared, Ok(Request::Status)).await
}
async fn device_list(shared: Data, request: HttpRequest) -> HttpResponse {
    ask(&shared, query::<DeviceQuery>(&request).map(Request::DeviceList)).await
}
async fn device_show(shared: Data, name: web::Path<String>) -> HttpResponse {
    ask(&shared, device(&name).map(Request::DeviceShow)).await
}
async fn device_explain(shared: Data, name: web::Path<String>) -> HttpResponse {
    ask(&shared, device(&name).map(Request::DeviceExplain)).await
}
async fn device_release(shared: Data, name: web::Path<String>) -> HttpResponse {
    ask(&shared, device(&name).map(Request::DeviceRelease)).await
}
async fn group_list(shared: Data) -> HttpResponse {
    ask(&shared, Ok(Request::GroupList)).await
}
async fn group_show(shared: Data, name: web::Path<String>) -> HttpResponse {
    ask(&shared, group(&name).map(Request::GroupShow)).await
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct FailbackQuery {
    preview: bool,
}
async fn failback(shared: Data, name: web::Path<String>, request: HttpRequest) -> HttpResponse {
    let asked = query::<FailbackQuery>(&request)
        .and_then(|q| group(&name).map(|group| Request::Failback { group, preview: q.preview }));
    ask(&shared, asked).await
}
async fn node_command(shared: Data, path: web::Path<(String, String)>) -> HttpResponse {
    let (name, command) = path.into_inner();
    let name = NodeName::new(&name).map_err(|e| AdminError::new(ErrorKind::Invalid, e.to_string()));
    let asked = name.and_then(|name| {
        let command = NodeCommand::from_word(&command)
            .ok_or_else(|| AdminError::unknown("node command", &command, ["stop", "kill", "start"]))?;
        Ok(Request::Node { name, command })
    });
    ask(&shared, asked).await
}

async fn metrics(shared: Data) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .body(shared.admin.metrics())
}
async fn healthz(shared: Data) -> HttpResponse {
    let health = shared.admin.health();
    verdict(health.healthy, health)
}
async fn readyz(shared: Data) -> HttpResponse {
    let health = shared.admin.health();
    verdict(health.ready, health)
}
fn verdict(good: bool, health: Health) -> HttpResponse {
    let mut response = answer(health);
    if !good {
        *response.status_mut() = actix_web::http::StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}
