//! The shape of every protocol and cluster machine: state and time, no I/O (DESIGN section 3, "machine").

use crate::Time;

/// State plus time, no I/O. The driver feeds inputs and time, then drains [`Machine::poll`] until it returns `None`,
/// then sleeps until [`Machine::deadline`]. A machine never reads a clock, disk, socket or dice.
pub trait Machine {
    /// What may happen to it.
    type Input;
    /// What it wants done.
    type Output;

    /// Takes one input at `now`.
    fn handle(&mut self, now: Time, input: Self::Input);
    /// Lets timers fire that are due at `now`. Calling it early or twice is harmless.
    fn tick(&mut self, now: Time);
    /// The next thing to be done, in order; `None` when there is nothing more for now.
    fn poll(&mut self) -> Option<Self::Output>;
    /// When [`Machine::tick`] should be called next; `None` when no timer is armed.
    fn deadline(&self) -> Option<Time>;
}
