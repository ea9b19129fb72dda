//! How the outputs do.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// An output, and whether it can be written.
#[derive(Debug)]
pub struct OutputTelemetry {
    name: String,
    trouble: Mutex<Option<String>>,
}

impl OutputTelemetry {
    /// One that works, which messages call `name`.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), trouble: Mutex::default() }
    }

    /// What messages call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Why it cannot be written at present, in the system's words.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.lock().clone()
    }

    /// Notes why it cannot be written, or that it can; whether that is news.
    pub fn set_trouble(&self, trouble: Option<String>) -> bool {
        let mut before = self.lock();
        let is_news = before.is_some() != trouble.is_some();
        *before = trouble;
        is_news
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
