//! Whether the user has asked for the end.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

/// How long a request to stop may go unnoticed.
const POLL: Duration = Duration::from_millis(50);

/// Clones share the request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A request that SIGINT and SIGTERM make; a second signal ends this program at once.
    pub(crate) fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        for signal in [SIGINT, SIGTERM] {
            // In this order, so that the first signal finds the flag unset.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop.0))?;
            flag::register(signal, Arc::clone(&stop.0))?;
        }
        Ok(stop)
    }

    /// Makes it.
    pub(crate) fn request(&self) {
        self.0.store(true, Relaxed);
    }

    /// Whether it has been made.
    pub(crate) fn is_requested(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Sleeps until `time` has passed or it is made.
    pub(crate) fn sleep(&self, time: Duration) {
        self.wait(time, || false);
    }

    /// Waits until `holds`, at most for `time` and only while nobody asks for the end; whether it holds.
    pub(crate) fn wait(&self, time: Duration, mut holds: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + time;
        loop {
            if holds() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.is_requested() {
                return false;
            }
            thread::sleep(left.min(POLL));
        }
    }
}
