//! The table of routes: every path of the API once, with who may use it, what it takes and what it answers. From it come the listener,
//! the OpenAPI document, and the test that walks all routes.
//!
//! No decision is taken here. It must never answer anything but JSON below `/api`, a wrong path or method included.

use crate::Admin;
use crate::access::Access;
use crate::audit::SignIns;
use crate::cluster;
use crate::config::{bulk, changes, people, rows};
use crate::events;
use crate::openapi;
use crate::page;
use crate::reply::refusal;
use crate::route::{Answer, Body, Form, Need, Parameter, Route, of};
use crate::serve::{enter, serve};
use crate::throttle::Throttle;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{Handler, HttpRequest, HttpResponse, Resource, Responder, web};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use tandem_model::admin::config::{
    AuditLogBody, ChangeBody, ConfigDraft, ConfigOverview, ConfigRow, DiffBody, HistoryBody, Identity, PromotedBody,
    Role, RowPage, TokenBody, UnsentBody, UserSettingsBody, UsesBody, Written,
};
use tandem_model::admin::{
    AdminError, DeviceDetail, DeviceExplanation, DevicePage, DeviceReset, ErrorKind, EventPage, Failback, GroupDetail,
    GroupList, NodeDone, Released, Scope, Status,
};
use tandem_model::config::FILE_BYTES_MAX;
use tokio::sync::Semaphore;

/// Longest body of a request that needs none, in bytes.
pub(crate) const BODY_MAX: usize = 4_096;
/// Longest body that is one row, in bytes.
pub(crate) const ROW_MAX: usize = 64 << 10;
/// Longest query, in bytes.
pub(crate) const QUERY_MAX: usize = 2_048;

/// What every handler sees.
pub(crate) struct Shared {
    pub(crate) admin: Arc<dyn Admin>,
    pub(crate) access: Access,
    /// Streams of events that are open.
    pub(crate) followers: Arc<AtomicUsize>,
    /// How many credentials are checked at a time.
    pub(crate) proving: Semaphore,
    /// How many files are read or written at a time.
    pub(crate) files: Semaphore,
    pub(crate) signed_in: SignIns,
    /// Addresses whose credentials were wrong.
    pub(crate) throttle: Mutex<Throttle>,
}
impl Shared {
    pub(crate) fn new(admin: Arc<dyn Admin>, access: Access) -> Self {
        Self {
            admin,
            access,
            followers: Arc::default(),
            proving: Semaphore::new(PROVING_MAX),
            files: Semaphore::new(FILES_MAX),
            signed_in: SignIns::default(),
            throttle: Mutex::default(),
        }
    }
}
const PROVING_MAX: usize = 4;
const FILES_MAX: usize = 2;
type Data = web::Data<Shared>;

const SEE: Need = Need::new(Role::ReadOnly, Scope::Status);
const OPERATE: Need = Need::new(Role::Operator, Scope::Operate);
const READ: Need = Need::new(Role::ReadOnly, Scope::ConfigRead);
const WRITE: Need = Need::new(Role::Admin, Scope::ConfigWrite);
const USERS: Need = Need::new(Role::Admin, Scope::Users);
/// Whoever knows his own password may change it.
const OWN_PASSWORD: Need = Need { own: true, ..USERS };
const SETTINGS_READ: Need = Need::new(Role::ReadOnly, Scope::Settings);
const SETTINGS: Need = Need::new(Role::Operator, Scope::Settings);
const AUDIT: Need = Need::new(Role::Admin, Scope::Audit);

const fn text(name: &'static str, what: &'static str) -> Parameter {
    Parameter { name, what, form: Form::Text }
}
const fn flag(name: &'static str, what: &'static str) -> Parameter {
    Parameter { name, what, form: Form::Flag }
}
const fn number(name: &'static str, what: &'static str) -> Parameter {
    Parameter { name, what, form: Form::Number }
}
const DRY_RUN: Parameter = flag("dry_run", "Change nothing, only say what would happen.");
const COMMENT: Parameter = text("comment", "Why, for the history.");
const FORCE: Parameter = flag("force", "Also when that loses something; the refusal says what.");
const LIMIT: Parameter = number("limit", "At most so many; a page has a bound of its own.");
const FORMAT: Parameter = Parameter {
    name: "format",
    what: "The form of the file: that of the configuration file, or one table with a header row.",
    form: Form::Word(&["toml", "csv"]),
};
const TABLE: Parameter = text("table", "Only this table; a CSV file has exactly one.");
const CHANGE: &[Parameter] = &[DRY_RUN, COMMENT];

const DEVICES: &[Parameter] = &[
    text("group", "Only devices of this CallManager group."),
    text("pool", "Only devices of this device pool."),
    text("node", "Only devices that this node serves."),
    Parameter { name: "state", what: "Only devices in this state.", form: Form::Text },
    text("search", "Only devices with this text in their name, or with a number that begins with it."),
    text("cursor", "Only devices after this name."),
    Parameter { name: "limit", what: "At most so many.", form: Form::Text },
];
pub(crate) const EVENTS: &[Parameter] = &[
    text("after", "Only events after this number."),
    text("last", "Begin with about so many of the last events."),
    text("limit", "At most so many."),
    text("follow", "1 or true: an endless stream."),
    text("kind", "Only events of this kind."),
    text("node", "Only events of this node."),
    text("group", "Only events of this CallManager group."),
    text("device", "Only events of this device."),
    text("since", "Only events at or after this moment, in milliseconds since 1970."),
];
/// What a list of rows takes; anything else is a field of the table.
pub(crate) const ROWS: &[Parameter] = &[
    text("search", "Only rows with this text in key, description or a list."),
    text("prefix", "Only keys that begin so."),
    text("cursor", "Only rows after this key."),
    LIMIT,
];

/// Every route. What stands first is tried first: a fixed word before a name.
pub(crate) static ROUTES: &[Route] = &[
    Route::get("/openapi.json", "openapi", "This document.", |c| Box::pin(openapi::document(c))),
    Route::get("/whoami", "whoami", "Who asks, and what he may.", |c| Box::pin(people::whoami(c)))
        .needs(Need { own: true, ..SEE })
        .answers(Answer::Json(of::<Identity>)),
    Route::get("/status", "status", "The cluster at a glance.", |c| Box::pin(cluster::status(c)))
        .needs(SEE)
        .answers(Answer::Json(of::<Status>)),
    Route::get("/devices", "device_list", "A page of devices.", |c| Box::pin(cluster::device_list(c)))
        .needs(SEE)
        .asks(DEVICES)
        .answers(Answer::Json(of::<DevicePage>)),
    Route::get("/devices/{name}", "device_show", "One device.", |c| Box::pin(cluster::device_show(c)))
        .needs(SEE)
        .answers(Answer::Json(of::<DeviceDetail>)),
    Route::get("/devices/{name}/explain", "device_explain", "Why a device is where it is.", |c| {
        Box::pin(cluster::device_explain(c))
    })
    .needs(SEE)
    .answers(Answer::Json(of::<DeviceExplanation>)),
    Route::post("/devices/{name}/release", "device_release", "Lets a device out of quarantine.", |c| {
        Box::pin(cluster::device_release(c))
    })
    .needs(OPERATE)
    .answers(Answer::Json(of::<Released>)),
    Route::post("/devices/{name}/reset", "device_reset", "Has a device register anew.", |c| {
        Box::pin(cluster::device_reset(c))
    })
    .needs(OPERATE)
    .answers(Answer::Json(of::<DeviceReset>)),
    Route::get("/devices/{name}/settings", "settings_get", "What users have set for a device.", |c| {
        Box::pin(people::settings(c))
    })
    .needs(SETTINGS_READ)
    .answers(Answer::Json(of::<UserSettingsBody>)),
    Route::put(
        "/devices/{name}/settings",
        "settings_put",
        "Sets what users set for a device, also while the publisher is away. A field that is null is taken back; one that is not there stays.",
        |c| Box::pin(people::set_settings(c)),
    )
    .needs(SETTINGS)
    .takes(Body::Json { most: ROW_MAX, shape: openapi::user_settings })
    .answers(Answer::Json(of::<UserSettingsBody>)),
    Route::get("/groups", "group_list", "All CallManager groups.", |c| Box::pin(cluster::group_list(c)))
        .needs(SEE)
        .answers(Answer::Json(of::<GroupList>)),
    Route::get("/groups/{name}", "group_show", "One CallManager group.", |c| Box::pin(cluster::group_show(c)))
        .needs(SEE)
        .answers(Answer::Json(of::<GroupDetail>)),
    Route::post("/groups/{name}/failback", "failback", "Calls the devices of a group home.", |c| {
        Box::pin(cluster::failback(c))
    })
    .needs(OPERATE)
    .asks(&[flag("preview", "Move nobody, only say who would move.")])
    .answers(Answer::Json(of::<Failback>)),
    Route::post("/nodes/{name}/promote", "promote", "Makes a node of this process the publisher.", |c| {
        Box::pin(changes::promote(c))
    })
    .needs(WRITE)
    .asks(&[FORCE])
    .answers(Answer::Json(of::<PromotedBody>)),
    Route::post("/nodes/{name}/{command}", "node_command", "Stops, kills or starts a node of this process.", |c| {
        Box::pin(cluster::node_command(c))
    })
    .needs(OPERATE)
    .answers(Answer::Json(of::<NodeDone>)),
    Route::get("/events", "events", "What happened; `follow` makes it an endless stream.", |c| {
        Box::pin(events::events(c))
    })
    .needs(SEE)
    .asks(EVENTS)
    .answers(Answer::JsonOrStream(of::<EventPage>)),
    Route::get("/config", "config_overview", "Where every copy of the configuration stands.", |c| {
        Box::pin(rows::overview(c))
    })
    .needs(READ)
    .answers(Answer::Json(of::<ConfigOverview>)),
    Route::get("/config/changes", "history", "Changes, newest first.", |c| Box::pin(changes::history(c)))
        .needs(READ)
        .asks(&[
            number("before", "The cursor: only changes before this revision."),
            LIMIT,
            text("table", "With `key`: only changes of this row."),
            text("key", "With `table`: only changes of this row."),
        ])
        .answers(Answer::Json(of::<HistoryBody>)),
    Route::post("/config/changes", "change", "A change of many rows: all of it or nothing.", |c| {
        Box::pin(changes::write(c))
    })
    .needs(WRITE)
    .takes(Body::Json { most: FILE_BYTES_MAX, shape: of::<ConfigDraft> })
    .asks(CHANGE)
    .answers(Answer::Json(of::<Written>)),
    Route::get("/config/changes/{revision}", "change_show", "One change with its rows.", |c| {
        Box::pin(changes::show(c))
    })
    .needs(READ)
    .answers(Answer::Json(of::<ChangeBody>)),
    Route::post(
        "/config/changes/{revision}/revert",
        "revert",
        "Undoes a change by a new one. Refused when later changes touched the same rows, unless forced.",
        |c| Box::pin(changes::revert(c)),
    )
    .needs(WRITE)
    .asks(&[FORCE, DRY_RUN, COMMENT])
    .answers(Answer::Json(of::<Written>)),
    Route::get("/config/diff", "diff", "What differs between two revisions.", |c| Box::pin(changes::diff(c)))
        .needs(READ)
        .asks(&[
            Parameter { name: "from", what: "The older revision.", form: Form::Required },
            number("to", "The newer one; today's when not given."),
        ])
        .answers(Answer::Json(of::<DiffBody>)),
    Route::get("/config/unsent", "unsent", "Changes of a node that never reached the publisher.", |c| {
        Box::pin(changes::unsent(c))
    })
    .needs(READ)
    .asks(&[text("node", "A node of this process; the answering one when not given.")])
    .answers(Answer::Json(of::<UnsentBody>)),
    Route::post("/config/import", "import", "A file of rows: all of it or nothing.", |c| Box::pin(bulk::import(c)))
        .needs(WRITE)
        .takes(Body::File { most: FILE_BYTES_MAX })
        .asks(&[
            DRY_RUN,
            COMMENT,
            FORMAT,
            TABLE,
            Parameter {
                name: "mode",
                what: "merge: fields that the file does not name stay as they are; replace: a row is what the file says.",
                form: Form::Word(&["merge", "replace"]),
            },
            flag("prune", "Delete rows that are not in the file, of every table that is in it."),
        ])
        .answers(Answer::Json(of::<Written>)),
    Route::get("/config/export", "export", "The configuration as a file; secrets are hidden.", |c| {
        Box::pin(bulk::export(c))
    })
    .needs(READ)
    .asks(&[FORMAT, TABLE])
    .answers(Answer::Text(&["application/toml", "text/csv"])),
    Route::get(
        "/config/{table}",
        "row_list",
        "Rows of a table by key. A parameter with the name of a field keeps those that have this value.",
        |c| Box::pin(rows::list(c)),
    )
    .needs(READ)
    .asks(ROWS)
    .filters()
    .answers(Answer::Json(of::<RowPage>)),
    Route::get("/config/{table}/{key}", "row_get", "One row.", |c| Box::pin(rows::get(c)))
        .needs(READ)
        .asks(&[number("at", "As it was at this revision.")])
        .conditional()
        .answers(Answer::Tagged(of::<ConfigRow>)),
    Route::put("/config/{table}/{key}", "row_put", "Writes a row: all its fields.", |c| Box::pin(rows::put(c)))
        .needs(WRITE)
        .takes(Body::Json { most: ROW_MAX, shape: openapi::fields })
        .asks(CHANGE)
        .conditional()
        .creates(false)
        .answers(Answer::Tagged(of::<Written>)),
    Route::patch(
        "/config/{table}/{key}",
        "row_patch",
        "Changes fields of a row; null takes one away (RFC 7396).",
        |c| Box::pin(rows::patch(c)),
    )
    .needs(WRITE)
    .takes(Body::Merge { most: ROW_MAX, shape: openapi::changed_fields })
    .asks(CHANGE)
    .conditional()
    .answers(Answer::Tagged(of::<Written>)),
    Route::delete("/config/{table}/{key}", "row_delete", "Deletes a row that nobody refers to.", |c| {
        Box::pin(rows::delete(c))
    })
    .needs(WRITE)
    .asks(CHANGE)
    .conditional()
    .answers(Answer::Json(of::<Written>)),
    Route::get("/config/{table}/{key}/used-by", "used_by", "Who refers to a row.", |c| Box::pin(rows::used_by(c)))
        .needs(READ)
        .answers(Answer::Json(of::<UsesBody>)),
    Route::post("/users/{name}/password", "password", "Gives a user a password; everybody may his own.", |c| {
        Box::pin(people::password(c))
    })
    .needs(OWN_PASSWORD)
    .takes(Body::Json { most: ROW_MAX, shape: of::<people::NewPassword> })
    .answers(Answer::Json(of::<Written>)),
    Route::post("/tokens", "token", "Makes a token; it is told this once.", |c| Box::pin(people::token(c)))
        .needs(USERS)
        .takes(Body::Json { most: ROW_MAX, shape: of::<people::NewToken> })
        .creates(true)
        .answers(Answer::Json(of::<TokenBody>)),
    Route::get("/audit", "audit_log", "Who asked this node for what, newest first.", |c| Box::pin(people::audit_log(c)))
        .needs(AUDIT)
        .asks(&[number("before", "The cursor: only entries before this number."), LIMIT])
        .answers(Answer::Json(of::<AuditLogBody>)),
];

/// The paths of [`ROUTES`], each once, in their order.
pub(crate) fn paths() -> Vec<&'static str> {
    let mut paths: Vec<&'static str> = Vec::new();
    for route in ROUTES {
        if !paths.contains(&route.path) {
            paths.push(route.path);
        }
    }
    paths
}

/// Puts every path into an application.
pub(crate) fn configure(app: &mut web::ServiceConfig) {
    let mut v1 = web::scope("/v1");
    for path in paths() {
        let mut resource = web::resource(path);
        for route in ROUTES.iter().filter(|r| r.path == path) {
            let handler = move |request, payload, shared: Data| serve(route, shared, request, payload);
            resource = resource.route(web::method(route.verb.method()).to(handler));
        }
        v1 = v1.service(resource.default_service(web::to(move |r, s: Data| wrong_method(path, r, s))));
    }
    // The inner default makes sure that a wrong path below /api asks who it is first and tells nothing before.
    let v1 = v1.default_service(web::to(unknown_api_path));
    let api = web::scope("/api").service(v1).default_service(web::to(unknown_api_path));
    app.service(api)
        .service(open("/metrics", cluster::metrics))
        .service(open("/healthz", cluster::healthz))
        .service(open("/readyz", cluster::readyz))
        .service(open("/", page::html))
        .service(open("/page.js", page::script))
        .service(open("/page.css", page::style))
        .default_service(web::to(unknown_path));
}

/// A path that needs nothing and takes only GET.
fn open<F, A>(path: &str, handler: F) -> Resource
where
    F: Handler<A>,
    A: actix_web::FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let wrong = |request: HttpRequest| async move { not_allowed(&request, "GET") };
    web::resource(path).route(web::get().to(handler)).default_service(web::to(wrong))
}

async fn unknown_api_path(request: HttpRequest, shared: Data) -> HttpResponse {
    match enter(&shared, &request, None).await {
        Ok(_) => unknown_path(request).await,
        Err(refused) => refused,
    }
}
async fn unknown_path(request: HttpRequest) -> HttpResponse {
    let error = AdminError::new(ErrorKind::NotFound, format!("there is nothing at {}", request.path()));
    refusal(&error.remedy("/api/v1/openapi.json has every path; beside them are /metrics, /healthz, /readyz and /"))
}
async fn wrong_method(path: &'static str, request: HttpRequest, shared: Data) -> HttpResponse {
    let right: Vec<&str> = ROUTES.iter().filter(|r| r.path == path).map(|r| r.verb.word()).collect();
    let open = ROUTES.iter().any(|r| r.path == path && r.need.is_none());
    match enter(&shared, &request, None).await {
        Err(refused) if !open => refused,
        _ => not_allowed(&request, &right.join(", ")),
    }
}
fn not_allowed(request: &HttpRequest, right: &str) -> HttpResponse {
    let message = format!("{} does not take {}", request.path(), request.method());
    let error = AdminError::new(ErrorKind::MethodNotAllowed, message).remedy(format!("use {right}"));
    let mut response = refusal(&error);
    if let Ok(value) = HeaderValue::from_str(right) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Verb;
    use std::collections::BTreeSet;
    use tandem_model::admin::config::ConfigTable;

    #[test]
    fn routes_differ_and_no_table_has_a_name_that_a_path_has() {
        let all: BTreeSet<_> = ROUTES.iter().map(|r| (r.path, r.verb.word())).collect();
        let ids: BTreeSet<_> = ROUTES.iter().map(|r| r.id).collect();
        assert_eq!((all.len(), ids.len()), (ROUTES.len(), ROUTES.len()));
        for table in ConfigTable::ALL {
            assert!(ROUTES.iter().all(|r| !r.path.starts_with(&format!("/config/{table}"))), "{table}");
        }
    }

    #[test]
    fn what_writes_is_not_for_readers_and_only_the_document_is_open() {
        for route in ROUTES {
            let Some(need) = route.need else {
                assert_eq!(route.id, "openapi");
                continue;
            };
            assert!(route.verb == Verb::Get || need.role > Role::ReadOnly, "{}", route.id);
        }
    }
}
