//! Restarts, bounds and ends, in virtual time; one flood across real threads.

use super::*;
use crate::arbiter::Arbiter;
use crate::clock::Clock;
use actix::fut::wrap_future;
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, Supervised};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tandem_base::{NodeName, Time, UnixMillis};

const MS: Duration = Duration::from_millis(1);

fn virtual_time<F: Future>(test: impl FnOnce(Clock) -> F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async { test(Clock::simulated(UnixMillis(0))).await })
}

fn node() -> NodeName {
    NodeName::new("CCM1").unwrap()
}

/// What happened to all lives of an actor.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<(u64, String)>>>);
impl Log {
    fn note(&self, clock: Clock, what: impl Into<String>) {
        self.0.borrow_mut().push((clock.now().as_millis(), what.into()));
    }
    fn words(&self) -> Vec<String> {
        self.0.borrow().iter().map(|(_, what)| what.clone()).collect()
    }
    fn times_of(&self, word: &str) -> Vec<u64> {
        self.0.borrow().iter().filter(|(_, what)| what == word).map(|(at, _)| *at).collect()
    }
}

struct Worker {
    clock: Clock,
    log: Log,
    /// Messages handled in this life.
    handled: u32,
    beat: Option<Duration>,
    panic_when_stopped: bool,
}

impl Worker {
    fn factory(clock: Clock, log: &Log) -> impl FnMut() -> Self + 'static {
        let log = log.clone();
        move || Self { clock, log: log.clone(), handled: 0, beat: None, panic_when_stopped: false }
    }
}

impl Actor for Worker {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Context<Self>) {
        self.log.note(self.clock, "started");
        if let Some(beat) = self.beat {
            ctx.run_interval(beat, |this, _| this.log.note(this.clock, "beat"));
        }
    }
    fn stopped(&mut self, _: &mut Context<Self>) {
        self.log.note(self.clock, "stopped");
        assert!(!self.panic_when_stopped, "a panic in stopped");
    }
}
impl Supervised for Worker {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.log.note(self.clock, "restarting");
    }
}

struct Note(&'static str);
impl Message for Note {
    type Result = u32;
}
impl Handler<Note> for Worker {
    type Result = u32;
    fn handle(&mut self, Note(what): Note, _: &mut Context<Self>) -> u32 {
        self.log.note(self.clock, what);
        self.handled += 1;
        self.handled
    }
}

struct Boom;
impl Message for Boom {
    type Result = ();
}
impl Handler<Boom> for Worker {
    type Result = ();
    fn handle(&mut self, _: Boom, _: &mut Context<Self>) {
        panic!("boom at {}", self.clock.now());
    }
}

/// Stops the mailbox for so long.
struct Pause(Duration);
impl Message for Pause {
    type Result = ();
}
impl Handler<Pause> for Worker {
    type Result = ();
    fn handle(&mut self, Pause(time): Pause, ctx: &mut Context<Self>) {
        ctx.wait(wrap_future(tokio::time::sleep(time)));
    }
}

struct Leave;
impl Message for Leave {
    type Result = ();
}
impl Handler<Leave> for Worker {
    type Result = ();
    fn handle(&mut self, _: Leave, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

#[test]
fn a_panic_loses_its_own_message_alone_and_the_next_life_is_fresh() {
    virtual_time(|clock| async move {
        let log = Log::default();
        let (handle, mailbox) = mailbox::<Worker>(&node(), "worker", 100, clock);
        let child = Keep::new(mailbox).start(Worker::factory(clock, &log));
        for what in ["a", "b"] {
            handle.tell(Note(what)).unwrap();
        }
        handle.tell(Boom).unwrap();
        for what in ["c", "d"] {
            handle.tell(Note(what)).unwrap();
        }
        assert_eq!(handle.ask(Note("e"), MS).await, Ok(3), "counted from the factory's state");
        assert_eq!(log.words(), ["started", "a", "b", "started", "c", "d", "e"]);
        assert_eq!((child.restarts(), child.end(), handle.depth()), (1, None, 0));
    });
}

#[test]
fn pauses_grow_and_one_panic_too_many_gives_up() {
    virtual_time(|clock| async move {
        let log = Log::default();
        let (handle, mailbox) = mailbox::<Worker>(&node(), "worker", 100, clock);
        let restarts =
            Restarts { intensity: 4, period: Duration::from_secs(10), backoff_min: 100 * MS, backoff_max: 2_000 * MS };
        let told = Rc::new(RefCell::new(None));
        let parent = Rc::clone(&told);
        let child = Keep::new(mailbox)
            .restarts(restarts)
            .on_give_up(move |why| *parent.borrow_mut() = Some(why))
            .start(Worker::factory(clock, &log));
        for _ in 0..5 {
            handle.tell(Boom).unwrap();
        }
        let waiting = tokio::task::spawn_local({
            let handle = handle.clone();
            async move { handle.ask(Note("never"), Duration::from_secs(60)).await }
        });
        let End::GaveUp(why) = child.ended().await else { panic!("it did not give up") };
        assert_eq!((why.actor.as_str(), why.panics), ("CCM1/worker", 5));
        assert_eq!(told.borrow().as_ref(), Some(&why));
        let starts = log.times_of("started");
        let pauses: Vec<u64> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!((starts.len(), pauses[0]), (5, 0), "the first restart has no pause: {starts:?}");
        for (pause, least) in pauses[1..].iter().zip([100, 200, 400]) {
            assert!((least..=least * 6 / 5).contains(pause), "{pauses:?}");
        }
        assert_eq!(handle.tell(Note("late")), Err(Refused::Closed));
        assert_eq!(waiting.await.unwrap(), Err(AskError::Dropped), "who waits is told at once");
        assert_eq!(handle.depth(), 0);
    });
}

#[test]
fn panics_far_apart_are_forgotten() {
    virtual_time(|clock| async move {
        let (handle, mailbox) = mailbox::<Worker>(&node(), "worker", 100, clock);
        let restarts = Restarts { intensity: 1, period: Duration::from_secs(10), ..Restarts::default() };
        let child = Keep::new(mailbox).restarts(restarts).start(Worker::factory(clock, &Log::default()));
        for _ in 0..20 {
            handle.tell(Boom).unwrap();
            tokio::time::sleep(Duration::from_secs(11)).await;
        }
        assert_eq!((child.restarts(), child.end()), (20, None));
    });
}

#[test]
fn the_same_actor_goes_on_with_its_state_and_its_old_timers_are_cancelled() {
    virtual_time(|clock| async move {
        let log = Log::default();
        let (handle, mailbox) = mailbox::<Worker>(&node(), "worker", 100, clock);
        let mut make = Worker::factory(clock, &log);
        Keep::new(mailbox).renew(Renew::Same).start(move || Worker { beat: Some(50 * MS), ..make() });
        handle.tell(Note("a")).unwrap();
        for _ in 0..4 {
            handle.tell(Boom).unwrap();
        }
        assert_eq!(handle.ask(Note("b"), Duration::from_secs(5)).await, Ok(2), "the state lives on");
        let expected = ["started", "restarting", "started", "restarting", "started"];
        let words: Vec<_> =
            log.words().into_iter().filter(|w| w.starts_with("start") || w.starts_with("rest")).collect();
        assert_eq!(words[..5], expected);
        log.0.borrow_mut().clear();
        tokio::time::sleep(500 * MS).await;
        let beats = log.times_of("beat").len();
        assert!((9..=11).contains(&beats), "one interval, not five: {beats}");
    });
}

#[test]
fn a_factory_that_panics_counts_like_any_other_panic() {
    virtual_time(|clock| async move {
        let (handle, mailbox) = mailbox::<Worker>(&node(), "worker", 100, clock);
        let tries = Rc::new(Cell::new(0));
        let (log, count) = (Log::default(), Rc::clone(&tries));
        let mut make = Worker::factory(clock, &log);
        Keep::new(mailbox).start(move || {
            count.set(count.get() + 1);
            assert!(count.get() > 3, "not yet");
            make()
        });
        assert_eq!(handle.ask(Note("a"), Duration::from_secs(5)).await, Ok(1));
        assert_eq!(tries.get(), 4);
    });
}

#[test]
fn the_bound_holds_and_is_given_back_also_when_the_message_panics() {
    virtual_time(|clock| async move {
        let (handle, mailbox) = mailbox::<Worker>(&node(), "worker", 4, clock);
        // Nobody takes anything before the first await.
        let _child = Keep::new(mailbox).start(Worker::factory(clock, &Log::default()));
        let copies: Vec<_> = (0..10).map(|_| handle.clone()).collect();
        let taken = copies.iter().filter(|copy| copy.tell(Boom).is_ok()).count();
        assert_eq!((taken, handle.depth()), (4, 4), "clones share the bound");
        assert_eq!(handle.tell(Boom), Err(Refused::Full));
        assert_eq!((handle.tell_vital(Note("vital")), handle.tell_vital(Note("more"))), (Ok(()), Err(Refused::Full)));
        tokio::time::sleep(Duration::from_secs(2)).await;
        let stats = handle.stats();
        assert_eq!((stats.depth, stats.handled, stats.refused, stats.bound), (0, 5, 8, 4));
    });
}

#[test]
fn what_waits_when_the_actor_ends_gives_its_place_back() {
    virtual_time(|clock| async move {
        let (handle, mailbox) = mailbox::<Worker>(&node(), "worker", 10, clock);
        let child = Keep::new(mailbox).start(Worker::factory(clock, &Log::default()));
        handle.tell(Leave).unwrap();
        handle.tell(Note("behind")).unwrap();
        assert_eq!(child.ended().await, End::Stopped);
        assert_eq!((handle.depth(), handle.is_closed()), (0, true));
    });
}

#[test]
fn an_ask_that_is_too_late_is_not_handled_and_the_delay_is_measured() {
    virtual_time(|clock| async move {
        let log = Log::default();
        let (handle, mailbox) = mailbox::<Worker>(&node(), "worker", 10, clock);
        Keep::new(mailbox).start(Worker::factory(clock, &log));
        handle.tell(Pause(30 * MS)).unwrap();
        tokio::task::yield_now().await;
        assert_eq!(handle.ask(Note("stale"), 10 * MS).await, Err(AskError::Timeout));
        assert_eq!(handle.ask(Note("fresh"), 100 * MS).await, Ok(1));
        assert_eq!(log.words(), ["started", "fresh"]);
        assert!(handle.queue_delay() >= 29 * MS, "{:?}", handle.queue_delay());
    });
}

/// Tells itself for ever.
struct Busy(Option<Handle<Self>>);
impl Actor for Busy {
    type Context = Context<Self>;
}
impl Supervised for Busy {}
struct Again(Handle<Busy>);
impl Message for Again {
    type Result = ();
}
impl Handler<Again> for Busy {
    type Result = ();
    fn handle(&mut self, Again(me): Again, _: &mut Context<Self>) {
        self.0 = Some(me.clone());
        me.tell(Again(me.clone())).unwrap();
    }
}

#[test]
fn an_actor_that_never_finishes_does_not_starve_its_neighbour() {
    virtual_time(|clock| async move {
        let (busy, mailbox_of_busy) = mailbox::<Busy>(&node(), "busy", 10, clock);
        Keep::new(mailbox_of_busy).start(|| Busy(None));
        let (handle, mailbox) = mailbox::<Worker>(&node(), "worker", 10, clock);
        Keep::new(mailbox).start(Worker::factory(clock, &Log::default()));
        busy.tell(Again(busy.clone())).unwrap();
        tokio::task::yield_now().await;
        // The virtual clock stands while anything runs: the answer, not a timeout, must end this.
        let neighbour = tokio::task::spawn_local(async move {
            let asked = busy.stats().handled;
            assert_eq!(handle.ask(Note("a"), MS).await, Ok(1));
            busy.stats().handled - asked
        });
        let meanwhile = neighbour.await.unwrap();
        assert!(meanwhile <= 4 * TURN_MESSAGES as u64, "{meanwhile}");
    });
}

#[test]
fn children_are_stopped_in_reverse_order_each_before_the_next() {
    virtual_time(|clock| async move {
        let log = Log::default();
        let mut tree = Tree::default();
        let mut handles = Vec::new();
        for name in ["first", "second", "third"] {
            let (handle, mailbox) = mailbox::<Worker>(&node(), name, 10, clock);
            tree.add(Keep::new(mailbox).start(Worker::factory(clock, &log)));
            handles.push(handle);
        }
        handles[1].tell(Boom).unwrap();
        tokio::time::sleep(MS).await;
        assert_eq!(tree.restarts(), 1);
        let ends = tree.stop(Duration::from_secs(1)).await;
        let expected = ["CCM1/third", "CCM1/second", "CCM1/first"].map(|name| (name.to_owned(), Some(End::Stopped)));
        assert_eq!(ends, expected);
        assert_eq!(log.times_of("stopped").len(), 3, "a polite end calls stopped");
    });
}

#[test]
fn a_stop_also_ends_a_pause_before_a_restart() {
    virtual_time(|clock| async move {
        let (handle, mailbox) = mailbox::<Worker>(&node(), "worker", 10, clock);
        let restarts = Restarts {
            backoff_min: Duration::from_secs(3_600),
            backoff_max: Duration::from_secs(3_600),
            ..Restarts::default()
        };
        let child = Keep::new(mailbox).restarts(restarts).start(Worker::factory(clock, &Log::default()));
        handle.tell(Boom).unwrap();
        handle.tell(Boom).unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        child.stop();
        assert_eq!(child.ended().await, End::Stopped);
        assert_eq!(clock.now(), Time::from_secs(60));
    });
}

#[test]
fn a_panic_in_stopped_ends_the_actor_and_not_the_process() {
    virtual_time(|clock| async move {
        let (_handle, mailbox) = mailbox::<Worker>(&node(), "worker", 10, clock);
        let mut make = Worker::factory(clock, &Log::default());
        let restarts = Restarts { intensity: 0, ..Restarts::default() };
        let child = Keep::new(mailbox).restarts(restarts).start(move || Worker { panic_when_stopped: true, ..make() });
        tokio::time::sleep(MS).await;
        child.stop();
        assert!(matches!(child.ended().await, End::GaveUp(_)));
    });
}

#[test]
fn a_killed_actor_says_no_goodbye() {
    let log = Log::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let clock = Clock::system();
    let (handle, mailbox) = mailbox::<Worker>(&node(), "worker", 10, clock);
    let child = local.block_on(&runtime, async {
        let child = Keep::new(mailbox).start(Worker::factory(clock, &log));
        handle.ask(Note("a"), Duration::from_secs(5)).await.unwrap();
        child
    });
    drop(local);
    assert_eq!(log.words(), ["started", "a"]);
    assert_eq!((child.end(), handle.tell(Note("b"))), (Some(End::Killed), Err(Refused::Closed)));
}

/// Counts how deep its mailbox ever was, slowly.
struct Deep {
    me: Handle<Self>,
    deepest: Arc<AtomicUsize>,
}
impl Actor for Deep {
    type Context = Context<Self>;
}
impl Supervised for Deep {}
struct Look;
impl Message for Look {
    type Result = ();
}
impl Handler<Look> for Deep {
    type Result = ();
    fn handle(&mut self, _: Look, _: &mut Context<Self>) {
        self.deepest.fetch_max(self.me.depth(), Ordering::Relaxed);
    }
}

#[test]
fn a_flood_from_another_thread_never_goes_over_the_bound() {
    const BOUND: usize = 64;
    let (handle, mailbox) = mailbox::<Deep>(&node(), "deep", BOUND, Clock::system());
    let deepest = Arc::new(AtomicUsize::new(0));
    let (me, seen) = (handle.clone(), Arc::clone(&deepest));
    let arbiter = Arbiter::spawn("test-flood", move || {
        Keep::new(mailbox).start(move || Deep { me: me.clone(), deepest: Arc::clone(&seen) });
    })
    .unwrap();
    let mut taken = 0_u64;
    while taken < 20_000 {
        taken += u64::from(handle.tell(Look).is_ok());
    }
    let (done, wait) = mpsc::channel();
    while handle.depth() > 0 {
        let done = done.clone();
        arbiter.run(move || done.send(()).unwrap());
        wait.recv().unwrap();
    }
    assert_eq!(handle.stats().handled, taken);
    // One sender: the transient of a refused attempt is at most one above.
    assert!(deepest.load(Ordering::Relaxed) <= BOUND + 1);
}

type Jobs = std::sync::Mutex<Vec<Box<dyn FnOnce() + Send>>>;

/// A watch over one arbiter whose jobs run when the test runs them.
fn watched() -> (StuckWatch, Arc<Jobs>) {
    let jobs: Arc<Jobs> = Arc::default();
    let queue = Arc::clone(&jobs);
    let pulse = Pulse::new(Time::ZERO, move |job| {
        queue.lock().unwrap().push(job);
        true
    });
    let mut watch = StuckWatch::default();
    watch.watch("CCM1", pulse);
    (watch, jobs)
}

#[test]
fn an_arbiter_that_stands_still_is_reported_once_and_again_after_it_went_on() {
    let (mut watch, jobs) = watched();
    let run_all = || jobs.lock().unwrap().drain(..).map(|job| job()).count();
    let mut reported = Vec::new();
    for tenth in 0..100_u64 {
        let now = Time::from_millis(tenth * 100);
        reported.extend(watch.check(now).into_iter().map(|stuck| (tenth, stuck.name)));
        if tenth < 20 || (60..65).contains(&tenth) {
            run_all();
        }
    }
    assert_eq!(run_all(), 1, "a stuck arbiter is asked once, not every time");
    // Last progress was proven for the questions of 1.9 s and 6.4 s.
    assert_eq!(reported, [(39, "CCM1".to_owned()), (84, "CCM1".to_owned())]);
}

#[test]
fn a_process_that_was_stopped_as_a_whole_buries_nobody_and_finds_who_is_stuck_afterwards() {
    let (mut watch, jobs) = watched();
    let run_all = || jobs.lock().unwrap().drain(..).for_each(|job| job());
    let mut at = |from: u64, tenths: u64, lively: bool| {
        let mut reported = Vec::new();
        for tenth in from..from + tenths {
            reported.extend(watch.check(Time::from_millis(tenth * 100)).into_iter().map(|_| tenth));
            if lively {
                run_all();
            }
        }
        reported
    };
    assert!(at(0, 10, true).is_empty());
    // Ten minutes later: neither the watch nor anybody else had a turn.
    assert!(at(6_000, 10, true).is_empty());
    // Likewise, but this time it does not come to itself: two seconds of its own.
    assert_eq!(at(12_000, 30, false), [12_020]);
}

#[test]
fn a_contained_panic_is_recorded_with_its_place() {
    install_panic_hook();
    let before = panic_count();
    let caught = contain(|| -> u32 { panic!("a very particular panic {}", 7) });
    assert_eq!(caught, Err(Panicked { message: "a very particular panic 7".to_owned() }));
    assert_eq!(contain(|| 3), Ok(3));
    assert!(panic_count() > before);
    let record = recent_panics().into_iter().find(|record| record.message == "a very particular panic 7").unwrap();
    assert!(record.location.contains("supervise/tests.rs"), "{record:?}");
    assert_eq!(contain(|| panic!("{}", "x".repeat(1_000))).unwrap_err().message.len(), 259, "shortened");
}
