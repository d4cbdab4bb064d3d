//! The console's listener and its threads: started once, stopped once.
//!
//! An actix system of its own with one worker, on threads of its own. It must never run on an arbiter that serves phones, and
//! never install signal handlers: the process belongs to its main program.

use crate::Admin;
use crate::access::Access;
use crate::error::{ConsoleError, TOKEN_LENGTH_MIN};
use crate::routes::{self, Shared};
use actix_web::dev::ServerHandle;
use actix_web::middleware::DefaultHeaders;
use actix_web::{App, HttpServer, web};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Open connections; more wait in the backlog.
const CONNECTIONS_MAX: usize = 256;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 64;
/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection stays open.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Where to listen.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    /// Address and port; port 0 takes a free one, see [`Running::address`].
    pub address: SocketAddr,
    /// Whether the address may be one that other hosts reach. The console has no TLS: put a proxy in front of it.
    pub beyond_loopback: bool,
}

/// A console that runs. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// The address in use, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    /// Stops it: open streams end, and when this returns the port is free. Waits for the console's thread, never call it there.
    pub fn stop(mut self) {
        self.ask_to_stop();
        if let Some(thread) = self.thread.take() {
            // A console that panicked is stopped as well; its panic was reported when it happened.
            let _ = thread.join();
        }
    }
    fn ask_to_stop(&self) {
        // The command is sent by the call itself; the future only waits for its end.
        drop(self.handle.stop(false));
    }
}
impl Drop for Running {
    fn drop(&mut self) {
        self.ask_to_stop();
    }
}

/// Starts the console on threads of its own; returns when it accepts connections.
///
/// # Errors
/// [`ConsoleError`] when the address may not or cannot be used, the token is no secret, or a thread cannot be started.
pub fn serve(listen: Listen, access: Access, admin: Arc<dyn Admin>) -> Result<Running, ConsoleError> {
    if !listen.address.ip().is_loopback() && !listen.beyond_loopback {
        return Err(ConsoleError::NotLoopback(listen.address));
    }
    if access.token.len() < TOKEN_LENGTH_MIN || !access.token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(ConsoleError::WeakToken);
    }
    let refused = |source| ConsoleError::Listen { address: listen.address, source };
    let listener = TcpListener::bind(listen.address).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let shared = web::Data::new(Shared::new(admin, access));
    let (started, starting) = mpsc::sync_channel(1);
    let thread = Builder::new()
        .name("console".to_owned())
        .spawn(move || run(listener, shared, &started))
        .map_err(ConsoleError::Start)?;
    match starting.recv() {
        Ok(Ok(handle)) => Ok(Running { address, handle, thread: Some(thread) }),
        Ok(Err(source)) => Err(ConsoleError::Start(source)),
        Err(_) => Err(ConsoleError::Start(io::Error::other("the console's thread ended at once"))),
    }
}

fn run(listener: TcpListener, shared: web::Data<Shared>, started: &mpsc::SyncSender<io::Result<ServerHandle>>) {
    actix_web::rt::System::new().block_on(async move {
        let server = HttpServer::new(move || {
            let headers = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")];
            let headers = headers.into_iter().fold(DefaultHeaders::new(), DefaultHeaders::add);
            App::new().app_data(shared.clone()).configure(routes::configure).wrap(headers)
        })
        .workers(1)
        .max_connections(CONNECTIONS_MAX)
        .backlog(BACKLOG)
        .client_request_timeout(HEAD_TIMEOUT)
        .keep_alive(KEEP_ALIVE)
        .shutdown_timeout(1)
        .disable_signals()
        .listen(listener);
        match server.map(HttpServer::run) {
            Ok(server) => {
                // Nobody listens any more only when the caller is gone; then the handle is dropped and the server goes with the process.
                let _ = started.send(Ok(server.handle()));
                let _ = server.await;
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
    });
}
