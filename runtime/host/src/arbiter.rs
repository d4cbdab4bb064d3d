//! Threads that run actors: one per node, named after it, with a runtime of its own. Killing one drops everything on it without a word,
//! as the death of a process would; stopping one lets a farewell run first.
//!
//! A node never names its arbiter: only the program that starts nodes uses this.

use crate::clock::Clock;
use crate::error::HostError;
use crate::supervise::{Pulse, contain};
use std::future::Future;
use std::time::Duration;
use tokio::sync::watch;

/// How an arbiter ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArbiterEnd {
    /// [`Arbiter::stop`], after its farewell.
    Stopped,
    /// [`Arbiter::kill`], or its `Arbiter` was dropped.
    Killed,
    /// What was to be started on it panicked.
    Failed(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Order {
    Run,
    End(ArbiterEnd),
}

/// One thread that runs actors. Dropping it kills it.
pub struct Arbiter {
    name: String,
    handle: actix::ArbiterHandle,
    order: watch::Sender<Order>,
    ended: watch::Receiver<Option<ArbiterEnd>>,
    pulse: Pulse,
}

impl Arbiter {
    /// Starts the thread and runs `start` on it, as a task: actors are started inside.
    ///
    /// # Errors
    /// [`HostError::Thread`].
    pub fn spawn(name: &str, start: impl FnOnce() + Send + 'static) -> Result<Self, HostError> {
        let (order, mut wanted) = watch::channel(Order::Run);
        let (end, ended) = watch::channel(None);
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let orders = order.clone();
        let body = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(e) => return drop(ready.send(Err(e))),
            };
            // A system of its own: actors on this thread find an arbiter, and ending it touches no other node.
            let runner = actix::System::with_tokio_rt(|| runtime);
            let handle = actix::System::current().arbiter().clone();
            drop(ready.send(Ok(handle)));
            let outcome = runner.block_on(async move {
                tokio::task::spawn_local(async move {
                    if let Err(panicked) = contain(start) {
                        orders.send_replace(Order::End(ArbiterEnd::Failed(panicked.message)));
                    }
                });
                match wanted.wait_for(|order| *order != Order::Run).await.as_deref() {
                    Ok(Order::End(end)) => end.clone(),
                    _ => ArbiterEnd::Killed,
                }
            });
            // Everything on the thread is gone before its end is told.
            drop(runner);
            end.send_replace(Some(outcome));
        };
        let fail = |e| HostError::thread(name, e);
        std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(fail)?;
        let gone = || std::io::Error::other("it ended while starting");
        let handle = started.recv().unwrap_or_else(|_| Err(gone())).map_err(fail)?;
        let jobs = handle.clone();
        let pulse = Pulse::new(Clock::system().now(), move |job| jobs.spawn_fn(job));
        Ok(Self { name: name.to_owned(), handle, order, ended, pulse })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// Its progress, for a `StuckWatch`.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }
    /// Runs a job on it, after what it has to do; `false` when it has ended. For control, not for traffic: nothing bounds these.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) -> bool {
        self.ended.borrow().is_none() && self.handle.spawn_fn(job)
    }

    /// Ends it as soon as it is between two polls: actors get no `stopped`, sockets close, nothing is flushed. A thread that is stuck in a
    /// handler cannot be ended; see `StuckWatch`.
    pub fn kill(&self) {
        self.order.send_replace(Order::End(ArbiterEnd::Killed));
    }

    /// Runs `farewell` on it, for at most `patience`, then ends it.
    pub fn stop<F>(&self, patience: Duration, farewell: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        let order = self.order.clone();
        self.handle.spawn(async move {
            let farewell = tokio::task::spawn_local(farewell());
            // A farewell that panics or takes too long changes nothing: it ends here.
            let _ = tokio::time::timeout(patience, farewell).await;
            order.send_if_modified(|order| {
                let running = *order == Order::Run;
                if running {
                    *order = Order::End(ArbiterEnd::Stopped);
                }
                running
            });
        });
    }

    /// How it ended; `None` while it lives.
    pub fn end(&self) -> Option<ArbiterEnd> {
        self.ended.borrow().clone()
    }
    /// Waits for its end. `'static`, so that it can be watched from elsewhere.
    pub fn ended(&self) -> impl Future<Output = ArbiterEnd> + Send + 'static {
        let mut ended = self.ended.clone();
        async move {
            match ended.wait_for(Option::is_some).await {
                Ok(end) => end.clone().unwrap_or(ArbiterEnd::Killed),
                Err(_) => ArbiterEnd::Killed,
            }
        }
    }
}

impl Drop for Arbiter {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs the program's main future on this thread, with an actix system around it.
///
/// # Errors
/// [`HostError::Thread`] when there can be no runtime.
pub fn run_main<F: Future>(main: F) -> Result<F::Output, HostError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| HostError::thread("main", e))?;
    Ok(actix::System::with_tokio_rt(|| runtime).block_on(main))
}

/// Waits for SIGINT (ctrl-c) or SIGTERM; returns which.
///
/// # Errors
/// [`HostError::Signal`] when they cannot be waited for.
pub async fn interrupted() -> Result<&'static str, HostError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(HostError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(HostError::Signal)?;
    Ok(std::future::poll_fn(move |task| {
        if terminate.poll_recv(task).is_ready() {
            return std::task::Poll::Ready("SIGTERM");
        }
        interrupt.poll_recv(task).map(|_| "SIGINT")
    })
    .await)
}

/// Waits until nobody holds the other end of the standard input any more: whoever started this process is done with it, or gone.
///
/// # Errors
/// [`HostError::Thread`] when the input cannot be watched.
pub async fn abandoned() -> Result<(), HostError> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let name = "tandem-parent";
    let watch = move || {
        let mut word = [0; 256];
        let mut input = std::io::stdin().lock();
        // What is said there is nobody's business; an input that cannot be read is as good as closed.
        while std::io::Read::read(&mut input, &mut word).is_ok_and(|n| n > 0) {}
        let _ = tell.send(());
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(watch).map_err(|e| HostError::thread(name, e))?;
    // The thread goes only when it has told.
    let _ = told.await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn wait(arbiter: &Arbiter) -> ArbiterEnd {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async { tokio::time::timeout(PATIENCE, arbiter.ended()).await.unwrap() })
    }

    /// Tells when it is dropped.
    struct Flag(mpsc::Sender<&'static str>);
    impl Drop for Flag {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }

    #[test]
    fn it_runs_on_a_thread_of_its_name_with_an_arbiter_and_a_runtime() {
        let (told, heard) = mpsc::channel();
        let arbiter = Arbiter::spawn("test-named", move || {
            let name = std::thread::current().name().unwrap().to_owned();
            let has_arbiter = actix::Arbiter::try_current().is_some();
            tokio::task::spawn_local(async move { told.send((name, has_arbiter)).unwrap() });
        })
        .unwrap();
        assert_eq!(heard.recv_timeout(PATIENCE), Ok(("test-named".to_owned(), true)));
        assert_eq!((arbiter.end(), arbiter.name()), (None, "test-named"));
    }

    #[test]
    fn a_kill_drops_everything_before_its_end_is_told() {
        let (told, heard) = mpsc::channel();
        let (started, running) = mpsc::channel();
        let arbiter = Arbiter::spawn("test-kill", move || {
            let flag = Flag(told);
            tokio::task::spawn_local(async move {
                let _flag = flag;
                started.send(()).unwrap();
                std::future::pending::<()>().await;
            });
        })
        .unwrap();
        running.recv_timeout(PATIENCE).unwrap();
        arbiter.kill();
        assert_eq!(wait(&arbiter), ArbiterEnd::Killed);
        assert_eq!(heard.try_recv(), Ok("dropped"));
        assert!(!arbiter.run(|| ()), "nothing runs on a dead arbiter");
    }

    #[test]
    fn a_stop_lets_the_farewell_run_and_waits_no_longer_than_it_may() {
        let (told, heard) = mpsc::channel();
        let polite = Arbiter::spawn("test-stop", || ()).unwrap();
        polite.stop(PATIENCE, move || async move {
            tokio::task::yield_now().await;
            told.send("farewell").unwrap();
        });
        assert_eq!(wait(&polite), ArbiterEnd::Stopped);
        assert_eq!(heard.try_recv(), Ok("farewell"));
        let stubborn = Arbiter::spawn("test-stubborn", || ()).unwrap();
        stubborn.stop(Duration::from_millis(1), std::future::pending);
        assert_eq!(wait(&stubborn), ArbiterEnd::Stopped);
    }

    #[test]
    fn a_start_that_panics_is_told() {
        let arbiter = Arbiter::spawn("test-failing", || panic!("no configuration")).unwrap();
        assert_eq!(wait(&arbiter), ArbiterEnd::Failed("no configuration".to_owned()));
    }

    #[test]
    fn its_pulse_follows_what_it_has_time_for() {
        let (release, held) = mpsc::channel::<()>();
        let (begun, running) = mpsc::channel();
        let arbiter = Arbiter::spawn("test-pulse", || ()).unwrap();
        let (pulse, now) = (arbiter.pulse(), Clock::system().now());
        let later = |secs| now + Duration::from_secs(secs);
        let proven = |at| {
            let (done, wait) = mpsc::channel();
            pulse.probe(at);
            arbiter.run(move || done.send(()).unwrap());
            wait.recv_timeout(PATIENCE).unwrap();
        };
        proven(later(10));
        assert_eq!(pulse.silence(later(11)), Duration::from_secs(1));
        arbiter.run(move || {
            begun.send(()).unwrap();
            let _ = held.recv();
        });
        running.recv_timeout(PATIENCE).unwrap();
        pulse.probe(later(12));
        assert_eq!(pulse.silence(later(13)), Duration::from_secs(3), "it is stuck");
        drop(release);
        proven(later(14));
        assert!(pulse.silence(later(14)) <= Duration::from_secs(2), "it goes on");
    }

    #[test]
    fn the_main_future_hears_a_signal() {
        let heard = run_main(async {
            let mut waiting = Box::pin(interrupted());
            // The handlers are in place after the first poll.
            std::future::poll_fn(|task| {
                assert!(waiting.as_mut().poll(task).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            // The shell's own `kill`: not every machine has one as a program.
            let kill = format!("kill -TERM {}", std::process::id());
            assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
            tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap()
        });
        assert_eq!(heard.unwrap(), "SIGTERM");
    }
}
