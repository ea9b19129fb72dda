//! One file per command: each parses nothing and wires the rooms for its purpose.

pub mod bench;
pub mod chaos;
pub mod check;
pub mod config;
mod declared;
pub mod detect;
pub mod health;
mod models;
pub mod run;
mod run_error;
pub mod serve;
mod simulator;

use std::{
    io::{self, Write as _},
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::view;

/// Prints what a command has to say. A reader that has gone away has seen enough.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Tells something on standard error. Where that is gone or full nobody can be told, and the work goes on.
pub fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Exit code of a process that an interrupt ended before its work was done, as shells have it (128 + SIGINT).
pub(crate) const INTERRUPTED: u8 = 130;

/// Whether the user has asked for the end. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct StopRequest {
    requested: Arc<AtomicBool>,
    token: CancellationToken,
}

impl StopRequest {
    /// A request that SIGINT and SIGTERM make; a second signal ends the process at once.
    ///
    /// # Errors
    /// Where the signals cannot be received.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn on_signals() -> io::Result<Self> {
        let request = Self::default();
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let told = request.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if told.requested.swap(true, Relaxed) {
                    view::restore_terminal();
                    process::exit(i32::from(INTERRUPTED));
                }
                told.token.cancel();
            }
        });
        Ok(request)
    }

    /// Whether it has been made.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.requested.load(Relaxed)
    }

    /// Waits until it is made.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }
}
