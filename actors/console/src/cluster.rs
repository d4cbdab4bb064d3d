//! What runs: nodes, groups, devices, and the commands to them; health and metrics.
//!
//! Each handler reads its words from path and query, asks, and answers. No decision is taken here.

use crate::reply::{CALL_TIMEOUT, answer, ask, refusal, replied};
use crate::routes::Shared;
use crate::serve::Call;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::de::DeserializeOwned;
use std::fmt::Display;
use tandem_base::{DeviceName, GroupName, NodeName};
use tandem_model::admin::{AdminError, DeviceQuery, ErrorKind, Health, NodeCommand, Request};

fn invalid(why: &dyn Display) -> AdminError {
    AdminError::new(ErrorKind::Invalid, why.to_string())
}
/// The words of the query, or why they cannot be read.
pub(crate) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, AdminError> {
    web::Query::<T>::from_query(request.query_string())
        .map(web::Query::into_inner)
        .map_err(|e| AdminError::new(ErrorKind::Invalid, format!("the query cannot be read: {e}")))
}
fn device(call: &Call) -> Result<DeviceName, AdminError> {
    DeviceName::new(call.place("name")).map_err(|e| invalid(&e))
}
fn group(call: &Call) -> Result<GroupName, AdminError> {
    GroupName::new(call.place("name")).map_err(|e| invalid(&e))
}
pub(crate) fn node(name: &str) -> Result<NodeName, AdminError> {
    NodeName::new(name).map_err(|e| invalid(&e))
}

async fn pass(call: &Call, request: Result<Request, AdminError>) -> HttpResponse {
    match request {
        Ok(request) => replied(ask(call.shared.admin.as_ref(), request, CALL_TIMEOUT).await),
        Err(error) => refusal(&error),
    }
}

pub(crate) async fn status(call: &Call) -> HttpResponse {
    pass(call, Ok(Request::Status)).await
}
pub(crate) async fn device_list(call: &Call) -> HttpResponse {
    pass(call, query::<DeviceQuery>(&call.request).map(Request::DeviceList)).await
}
pub(crate) async fn device_show(call: &Call) -> HttpResponse {
    pass(call, device(call).map(Request::DeviceShow)).await
}
pub(crate) async fn device_explain(call: &Call) -> HttpResponse {
    pass(call, device(call).map(Request::DeviceExplain)).await
}
pub(crate) async fn device_release(call: &Call) -> HttpResponse {
    pass(call, device(call).map(Request::DeviceRelease)).await
}
pub(crate) async fn device_reset(call: &Call) -> HttpResponse {
    pass(call, device(call).map(Request::DeviceReset)).await
}
pub(crate) async fn group_list(call: &Call) -> HttpResponse {
    pass(call, Ok(Request::GroupList)).await
}
pub(crate) async fn group_show(call: &Call) -> HttpResponse {
    pass(call, group(call).map(Request::GroupShow)).await
}
pub(crate) async fn failback(call: &Call) -> HttpResponse {
    pass(call, group(call).map(|group| Request::Failback { group, preview: call.flag("preview") })).await
}
pub(crate) async fn node_command(call: &Call) -> HttpResponse {
    let asked = node(call.place("name")).and_then(|name| {
        let word = call.place("command");
        let command = NodeCommand::from_word(word)
            .ok_or_else(|| AdminError::unknown("node command", word, ["stop", "kill", "start"]))?;
        Ok(Request::Node { name, command })
    });
    pass(call, asked).await
}

pub(crate) async fn metrics(shared: web::Data<Shared>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .body(shared.admin.metrics())
}
pub(crate) async fn healthz(shared: web::Data<Shared>) -> HttpResponse {
    let health = shared.admin.health();
    verdict(health.healthy, health)
}
pub(crate) async fn readyz(shared: web::Data<Shared>) -> HttpResponse {
    let health = shared.admin.health();
    verdict(health.ready, health)
}
fn verdict(good: bool, health: Health) -> HttpResponse {
    let mut response = answer(health);
    if !good {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}
