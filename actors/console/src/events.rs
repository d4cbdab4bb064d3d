//! What happened, as pages and as an endless stream.
//!
//! Two forms of stream. JSON lines (`Accept: application/x-ndjson`): each line is an `EventPage`, a line without events is a
//! heartbeat. Server-sent events otherwise: `id` is the event's number, so a browser resumes by itself with `Last-Event-ID`;
//! `event: gap` tells of events that the journal forgot or of a restart. A reader that is too slow is not buffered for: the stream
//! waits, and tells what was lost when the journal moved on. It must never hold more than a few pages per reader.

use crate::cluster::query;
use crate::reply::{answer, refusal};
use crate::routes::Shared;
use crate::serve::Call;
use crate::{Admin, BoxFuture};
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use std::convert::Infallible;
use std::fmt::Write;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tandem_base::{DeviceName, GroupName, NodeName};
use tandem_model::admin::{AdminError, EVENTS_PER_PAGE_MAX, ErrorKind, EventPage, Versioned};
use tandem_model::event::Event;
use tokio::sync::mpsc;

/// Open streams; one more is refused.
pub const FOLLOWERS_MAX: usize = 32;
/// A stream says something at least this often, so that both ends notice when the other is gone.
pub const HEARTBEAT: Duration = Duration::from_secs(10);
/// Least time between two frames of a stream: events in between are sent together.
const FRAME_GAP: Duration = Duration::from_millis(100);
/// Frames that wait for a slow reader; then the stream waits.
const FRAMES_WAITING_MAX: usize = 4;
/// Events looked at for one page; what is filtered out counts.
const SCANNED_MAX: usize = 20_000;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Query {
    /// Only events after this number.
    after: Option<u64>,
    /// Begin with about this many of the last events, when `after` is not given.
    last: Option<u64>,
    /// Events on a page.
    limit: Option<usize>,
    /// `1` or `true`: an endless stream.
    follow: Option<String>,
    /// Only events of this kind.
    kind: Option<String>,
    node: Option<NodeName>,
    group: Option<GroupName>,
    device: Option<DeviceName>,
    /// Only events at or after this moment, in milliseconds since 1970.
    since: Option<u64>,
}

impl Query {
    fn wants(&self, event: &Event) -> bool {
        self.kind.as_ref().is_none_or(|k| *k == event.kind)
            && self.node.as_ref().is_none_or(|n| event.node.as_ref() == Some(n))
            && self.group.as_ref().is_none_or(|g| event.group.as_ref() == Some(g))
            && self.device.as_ref().is_none_or(|d| event.device.as_ref() == Some(d))
            && self.since.is_none_or(|s| event.at.0 >= s)
    }
    fn follows(&self) -> bool {
        self.follow.as_deref().is_some_and(|f| matches!(f, "1" | "true"))
    }
    /// The number after which to begin: as asked, or the last few, or `otherwise`.
    fn start(&self, last_event: u64, otherwise: u64) -> u64 {
        self.after.or_else(|| self.last.map(|n| last_event.saturating_sub(n))).unwrap_or(otherwise)
    }
}

/// The next events after number `after` that `query` wants, at most `limit`.
fn page(admin: &dyn Admin, query: &Query, after: u64, limit: usize) -> EventPage {
    let last = admin.last_event();
    let restarted = after > last;
    let mut page = EventPage { events: Vec::new(), next: if restarted { 0 } else { after }, last, lost: 0, restarted };
    let mut scanned = 0;
    while scanned < SCANNED_MAX && page.events.len() < limit {
        let events = admin.events_after(page.next, limit.saturating_sub(page.events.len()));
        let Some(first) = events.first() else { break };
        // From 0 means "whatever there is": then nothing that was asked for is missing.
        if page.next > 0 {
            page.lost = page.lost.saturating_add(first.sequence.saturating_sub(page.next.saturating_add(1)));
        }
        scanned += events.len();
        page.next = events.last().map_or(page.next, |e| e.sequence.max(page.next));
        page.events.extend(events.into_iter().filter(|e| query.wants(e)));
    }
    page
}

/// `GET /api/v1/events`.
#[expect(clippy::unused_async, reason = "a route's handler is a future")]
pub(crate) async fn events(call: &Call) -> HttpResponse {
    let (shared, request) = (&call.shared, &call.request);
    let query = match query::<Query>(request) {
        Ok(query) => query,
        Err(error) => return refusal(&error),
    };
    if query.follows() {
        return follow(shared, query, request);
    }
    let limit = query.limit.unwrap_or(EVENTS_PER_PAGE_MAX).clamp(1, EVENTS_PER_PAGE_MAX);
    let admin = shared.admin.as_ref();
    answer(page(admin, &query, query.start(admin.last_event(), 0), limit))
}

fn follow(shared: &Shared, query: Query, request: &HttpRequest) -> HttpResponse {
    let Some(seat) = Seat::take(&shared.followers) else {
        let error =
            AdminError::new(ErrorKind::Unavailable, format!("{FOLLOWERS_MAX} readers follow the events already"));
        return refusal(&error.remedy("close one, or ask for pages with ?after="));
    };
    let header = |name| request.headers().get(name).and_then(|v| v.to_str().ok());
    let last = shared.admin.last_event();
    let resumed = header(header::HeaderName::from_static("last-event-id")).and_then(|v| v.trim().parse().ok());
    let lines = header(header::ACCEPT).is_some_and(|v| v.contains("application/x-ndjson"));
    let (frames, body) = mpsc::channel(FRAMES_WAITING_MAX);
    let stream = Stream {
        admin: Arc::clone(&shared.admin),
        after: resumed.unwrap_or_else(|| query.start(last, last)),
        query,
        form: if lines { Form::Lines } else { Form::ServerSent },
        frames,
        _seat: seat,
    };
    actix_web::rt::spawn(stream.run());
    let kind = if lines { "application/x-ndjson" } else { "text/event-stream" };
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, kind)).body(Frames(body))
}

/// One place among the [`FOLLOWERS_MAX`].
struct Seat(Arc<AtomicUsize>);
impl Seat {
    fn take(taken: &Arc<AtomicUsize>) -> Option<Self> {
        let one_more = |n: usize| (n < FOLLOWERS_MAX).then_some(n + 1);
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok().map(|_| Self(Arc::clone(taken)))
    }
}
impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of a stream: frames as they come.
struct Frames(mpsc::Receiver<Bytes>);
impl MessageBody for Frames {
    type Error = Infallible;
    fn size(&self) -> BodySize {
        BodySize::Stream
    }
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Lines,
    ServerSent,
}

struct Stream {
    admin: Arc<dyn Admin>,
    query: Query,
    after: u64,
    form: Form,
    frames: mpsc::Sender<Bytes>,
    _seat: Seat,
}

enum Woken {
    News,
    Silence,
    Gone,
}

impl Stream {
    /// Sends until the reader is gone.
    async fn run(mut self) {
        // The first frame goes out at once, so that the reader knows that it is connected and from where it reads.
        let mut quiet = HEARTBEAT;
        loop {
            let admin = Arc::clone(&self.admin);
            // Polled before the journal is read: an event in between wakes it, none is missed.
            let mut news = admin.news();
            let woken = poll_fn(|cx| Poll::Ready(news.as_mut().poll(cx).is_ready())).await;
            let page = page(admin.as_ref(), &self.query, self.after, EVENTS_PER_PAGE_MAX);
            let moved = page.next != self.after;
            self.after = page.next;
            if quiet >= HEARTBEAT || !page.events.is_empty() || page.lost > 0 || page.restarted {
                let Some(frame) = self.frame(page) else { return };
                if self.frames.send(frame).await.is_err() {
                    return;
                }
                quiet = Duration::ZERO;
            } else if !moved && !woken {
                match self.wait(news, HEARTBEAT.saturating_sub(quiet)).await {
                    Woken::News => {}
                    Woken::Silence => quiet = HEARTBEAT,
                    Woken::Gone => return,
                }
                continue;
            }
            quiet += FRAME_GAP;
            tokio::time::sleep(FRAME_GAP).await;
        }
    }

    async fn wait(&self, mut news: BoxFuture<'_, ()>, at_most: Duration) -> Woken {
        let mut closed = pin!(self.frames.closed());
        let either = poll_fn(|cx| {
            if closed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Woken::Gone);
            }
            news.as_mut().poll(cx).map(|()| Woken::News)
        });
        tokio::time::timeout(at_most, either).await.unwrap_or(Woken::Silence)
    }

    /// The page in the reader's form; `None` when it cannot be written as JSON, which ends the stream.
    fn frame(&self, page: EventPage) -> Option<Bytes> {
        let mut text = String::new();
        match self.form {
            Form::Lines => writeln!(text, "{}", serde_json::to_string(&Versioned::new(page)).ok()?).ok()?,
            Form::ServerSent => {
                if page.lost > 0 || page.restarted {
                    let (lost, restarted) = (page.lost, page.restarted);
                    write!(text, "event: gap\ndata: {{\"lost\":{lost},\"restarted\":{restarted}}}\n\n").ok()?;
                }
                for event in &page.events {
                    let data = serde_json::to_string(event).ok()?;
                    write!(text, "id: {}\ndata: {data}\n\n", event.sequence).ok()?;
                }
                if text.is_empty() {
                    text.push_str(": nothing new\n\n");
                }
            }
        }
        Some(Bytes::from(text))
    }
}
