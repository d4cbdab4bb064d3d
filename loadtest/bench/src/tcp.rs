//! Phones with a TCP connection each: one REGISTER per connection and round, 64 on their way at a time.
//!
//! It must never open a connection again that the server has closed: that is a failure, and counted.

use crate::error::Error;
use crate::generator::{Outcome, histogram};
use crate::request::{Reply, Request, Template};
use crate::row::{Meter, Row, What};
use crate::server::Server;
use crate::stopped;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tandem_base::Time;
use tandem_host::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Requests on their way at a time.
const WINDOW: u32 = 64;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer taken, in bytes.
const ANSWER_MAX: usize = 8_192;
const CSEQ_FIRST: u32 = 1_000_000_000;

/// The connections of one server.
pub(crate) struct Connections {
    runtime: tokio::runtime::Runtime,
    lines: Rc<RefCell<Vec<Option<TcpStream>>>>,
    template: Rc<Template>,
    round: u32,
}

impl Connections {
    /// Opens so many and registers a phone over each.
    pub(crate) fn open(server: &Server, count: u32, tell: &mut dyn FnMut(u64)) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::io("cannot start a runtime"))?;
        let lines = Rc::new(RefCell::new((0..count).map(|_| None).collect()));
        let template = Rc::new(Template::new(server.address.port(), "TCP"));
        let mut connections = Self { runtime, lines, template, round: 0 };
        connections.connect(server.address, count, tell)?;
        let outcome = connections.round()?;
        match outcome.failed {
            0 => Ok(connections),
            failed => {
                Err(server
                    .trouble(format!("{failed} of {count} connections could not register: {:?}", outcome.statuses)))
            }
        }
    }

    fn connect(&mut self, server: SocketAddr, count: u32, tell: &mut dyn FnMut(u64)) -> Result<(), Error> {
        for number in 0..count as usize {
            if stopped() {
                return Err(Error::Interrupted);
            }
            let line = self.runtime.block_on(TcpStream::connect(server));
            let line = line.map_err(Error::io(format!(
                "connection {number} of {count} could not be opened (each takes a file: `ulimit -n` tells the limit)"
            )))?;
            line.set_nodelay(true).map_err(Error::io("cannot set a connection up"))?;
            if let Some(place) = self.lines.borrow_mut().get_mut(number) {
                *place = Some(line);
            }
            tell(number as u64);
        }
        Ok(())
    }

    /// So many rounds as one row.
    pub(crate) fn measure(&mut self, server: &Server, rounds: u32, tell: &mut dyn FnMut(u64)) -> Result<Row, Error> {
        let count = u32::try_from(self.lines.borrow().len()).unwrap_or(u32::MAX);
        let meter = Meter::start(server)?;
        let mut total = self.round()?;
        for done in 1..rounds {
            tell(u64::from(done) * u64::from(count));
            let more = self.round()?;
            total.ok += more.ok;
            total.failed += more.failed;
            // Both have the same bounds.
            let _ = total.latency.add(more.latency);
            for (status, n) in more.statuses {
                *total.statuses.entry(status).or_default() += n;
            }
        }
        meter.finish(server, What::Tcp, count, &total)
    }

    /// One REGISTER over each connection.
    fn round(&mut self) -> Result<Outcome, Error> {
        self.round += 1;
        let outcome =
            Outcome { ok: 0, failed: 0, retransmitted: 0, stray: 0, statuses: BTreeMap::new(), latency: histogram() };
        let shared = Rc::new(RefCell::new(outcome));
        let local = tokio::task::LocalSet::new();
        for worker in 0..WINDOW {
            let (lines, template, shared) = (Rc::clone(&self.lines), Rc::clone(&self.template), Rc::clone(&shared));
            local.spawn_local(work(worker, self.round, lines, template, shared));
        }
        self.runtime.block_on(local);
        if stopped() {
            return Err(Error::Interrupted);
        }
        Rc::try_unwrap(shared).map(RefCell::into_inner).map_err(|_| Error::Worthless("a worker did not end".to_owned()))
    }
}

/// Every 64th connection, one after another.
async fn work(
    first: u32,
    round: u32,
    lines: Rc<RefCell<Vec<Option<TcpStream>>>>,
    template: Rc<Template>,
    shared: Rc<RefCell<Outcome>>,
) {
    let clock = Clock::system();
    let count = u32::try_from(lines.borrow().len()).unwrap_or(u32::MAX);
    let mut buffer = vec![0; ANSWER_MAX];
    for device in (first..count).step_by(WINDOW as usize) {
        if stopped() {
            return;
        }
        let taken = lines.borrow_mut().get_mut(device as usize).and_then(Option::take);
        let Some(mut line) = taken else {
            shared.borrow_mut().failed += 1;
            continue;
        };
        let began = clock.now();
        let ticket = u64::from(round) << 32 | u64::from(device);
        let request = Request { device, ticket, cseq: CSEQ_FIRST + round, credentials: b"" };
        let exchange = register(&mut line, &template, &request, &mut buffer);
        let status = tokio::time::timeout(PATIENCE, exchange).await.ok().flatten().unwrap_or(0);
        note(&shared, status, clock.now(), began);
        if status != 0
            && let Some(place) = lines.borrow_mut().get_mut(device as usize)
        {
            *place = Some(line);
        }
    }
}

fn note(shared: &RefCell<Outcome>, status: u16, now: Time, began: Time) {
    let mut outcome = shared.borrow_mut();
    *outcome.statuses.entry(status).or_default() += 1;
    if status == 200 {
        outcome.ok += 1;
        let took = u64::try_from(now.since(began).as_micros()).unwrap_or(u64::MAX);
        outcome.latency.saturating_record(took);
    } else {
        outcome.failed += 1;
    }
}

/// Status of the answer; `None` when there is none that fits.
async fn register(line: &mut TcpStream, template: &Template, request: &Request<'_>, buffer: &mut [u8]) -> Option<u16> {
    let len = template.write(buffer, request);
    line.write_all(buffer.get(..len)?).await.ok()?;
    let mut filled = 0;
    loop {
        let read = line.read(buffer.get_mut(filled..)?).await.ok()?;
        if read == 0 {
            return None;
        }
        filled += read;
        let so_far = buffer.get(..filled)?;
        // Answers to REGISTER have no body.
        if so_far.ends_with(b"\r\n\r\n") && so_far.starts_with(b"SIP/2.0 ") {
            let reply = Reply::read(so_far)?;
            return (reply.ticket == request.ticket && reply.answers(request.device, request.cseq))
                .then_some(reply.status);
        }
    }
}
