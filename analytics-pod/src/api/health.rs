//! What the probes answer from.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Where the pod is in its life. A camera that fails changes nothing here.
#[derive(Debug, Default)]
pub struct Health {
    started: AtomicBool,
    stopping: AtomicBool,
}

impl Health {
    /// Models are open and sources are being run.
    pub fn set_started(&self) {
        self.started.store(true, Relaxed);
    }

    /// The end has begun.
    pub fn set_stopping(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// Whether the start is over.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.started.load(Relaxed)
    }

    /// Whether the pod does its work: started and not ending.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_started() && !self.stopping.load(Relaxed)
    }
}
