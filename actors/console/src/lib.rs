//! How a running process is watched and steered over HTTP: admin API, events, metrics, one page.
//!
//! Speaks only `tandem_model::admin`; the node crate answers through [`Admin`]. Runs on threads of its own, so that a slow client
//! or a large list never delays a phone. It must never know SIP, and never hold a device, a row or a timer of the cluster.
//!
//! | path | what |
//! |---|---|
//! | `/api/v1/...` | see [`openapi`]: made from the table in `routes`, which says who may what |
//! | `GET /metrics`, `/healthz`, `/readyz`, `/` | open: no token needed |
//!
//! A request goes through `serve`: who asks (`access`), whether he may, what he brings, the handler (`cluster`, `config`, `events`), the
//! audit log.

mod access;
mod audit;
mod cluster;
mod config;
mod error;
mod events;
mod openapi;
mod page;
mod reply;
mod route;
mod routes;
mod serve;
mod server;
mod throttle;

pub use access::Access;
pub use error::{ConsoleError, TOKEN_LENGTH_MIN};
pub use events::{FOLLOWERS_MAX, HEARTBEAT};
pub use openapi::openapi;
pub use reply::CALL_TIMEOUT;
pub use server::{Listen, Running, serve};

use std::future::Future;
use std::pin::Pin;
use tandem_base::Time;
use tandem_model::admin::{AdminError, Health, Reply, Request};
use tandem_model::event::Event;

/// A boxed future that may be awaited on the console's thread.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a handler makes.
type BoxedAnswer<'a> = Pin<Box<dyn Future<Output = actix_web::HttpResponse> + 'a>>;

/// Who answers: the process's nodes, behind one object. Every call comes from the console's own thread.
pub trait Admin: Send + Sync + 'static {
    /// Answers one request; each [`Request`] names the [`Reply`] it wants. The console gives up after [`CALL_TIMEOUT`].
    ///
    /// # Errors
    /// [`AdminError`] with the reason and, where there is one, the remedy.
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, AdminError>>;
    /// Up to `limit` events with a number above `after`, oldest first, without a gap except where the bounded journal forgot.
    fn events_after(&self, after: u64, limit: usize) -> Vec<Event>;
    /// Number of the last event; 0 when there is none.
    fn last_event(&self) -> u64;
    /// Resolves when an event was added after this future was first polled. Waking for nothing is harmless.
    fn news(&self) -> BoxFuture<'_, ()>;
    /// All metrics in the Prometheus text format.
    fn metrics(&self) -> String;
    /// The time of the process.
    fn now(&self) -> Time;
    /// Whether the process makes progress and takes devices. Must not wait.
    fn health(&self) -> Health;
}
