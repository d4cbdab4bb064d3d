//! Panics that are contained: caught, kept in a short list, told to nobody's terminal. The default hook with a backtrace costs 0.8 ms a
//! panic, so a storm of them would be an outage of its own.

use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};

/// Panics kept for people; older ones are forgotten.
pub const PANICS_KEPT: usize = 64;
const MESSAGE_BYTES_MAX: usize = 256;

static COUNT: AtomicU64 = AtomicU64::new(0);
static RECENT: Mutex<VecDeque<PanicRecord>> = Mutex::new(VecDeque::new());

thread_local! {
    /// How many [`contain`] calls surround the running code.
    static CONTAINED: Cell<u32> = const { Cell::new(0) };
}

/// One panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanicRecord {
    /// Its number in this process, from 1.
    pub number: u64,
    /// Name of the thread.
    pub thread: String,
    /// File, line and column.
    pub location: String,
    /// What it said, shortened.
    pub message: String,
}

/// What was caught.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("panicked: {message}")]
pub struct Panicked {
    /// What it said.
    pub message: String,
}

/// Records every panic. One inside [`contain`] is otherwise silent; any other goes on to the hook that was there before. Installing it twice
/// is harmless.
pub fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let number = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
            let record = PanicRecord {
                number,
                thread: std::thread::current().name().unwrap_or("unnamed").to_owned(),
                location: info.location().map(ToString::to_string).unwrap_or_default(),
                message: panic_message(info.payload()),
            };
            let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
            if recent.len() >= PANICS_KEPT {
                recent.pop_front();
            }
            recent.push_back(record);
            drop(recent);
            if CONTAINED.with(Cell::get) == 0 {
                before(info);
            }
        }));
    });
}

/// Panics of this process since [`install_panic_hook`].
pub fn panic_count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// The last panics, oldest first; at most [`PANICS_KEPT`].
pub fn recent_panics() -> Vec<PanicRecord> {
    RECENT.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

/// What a panic said, if it was text; shortened.
pub fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without text");
    match text.char_indices().nth(MESSAGE_BYTES_MAX) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Runs `f`; a panic in it ends here. Costs 1 to 4 ns when nothing happens. What `f` may have left half done is the caller's business.
///
/// # Errors
/// [`Panicked`].
pub fn contain<T>(f: impl FnOnce() -> T) -> Result<T, Panicked> {
    struct Depth;
    impl Drop for Depth {
        fn drop(&mut self) {
            CONTAINED.with(|depth| depth.set(depth.get().saturating_sub(1)));
        }
    }
    CONTAINED.with(|depth| depth.set(depth.get() + 1));
    let _depth = Depth;
    panic::catch_unwind(AssertUnwindSafe(f)).map_err(|payload| Panicked { message: panic_message(payload.as_ref()) })
}
