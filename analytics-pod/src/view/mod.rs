//! What is told of a running pod: a table on a terminal, lines elsewhere, and a summary at the end.

mod lines;
mod sampler;
mod statistics;
mod summary;
mod table;
mod terminal;

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender};
pub use lines::write_lines;
pub use sampler::{Rates, Sampler, Snapshot, SourceSnapshot};
pub use statistics::{Figures, LatencyFigures, SourceStatistics, WorkerStatistics};
pub use summary::{SourceSummary, Summary};
pub use table::render;
pub use terminal::restore_terminal;

use crate::telemetry::{Telemetry, logging::LogLines};

/// How often the table is drawn.
const REDRAW: Duration = Duration::from_millis(500);

/// How often the counters are looked at for the log: rates are over a few seconds, however rare the lines are.
const SAMPLING: Duration = Duration::from_secs(1);

/// The running view. Dropping it ends it and gives the terminal back.
#[derive(Debug)]
pub struct LiveView {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LiveView {
    /// Draws the table on the terminal that standard output is, and holds log lines back to show the last ones below
    /// it. The terminal is given back at the end and on a panic of any thread; Ctrl-C goes on to mean SIGINT.
    pub fn on_terminal(telemetry: Arc<Telemetry>, logs: LogLines) -> io::Result<Self> {
        let mut terminal = terminal::Screen::take(logs.clone())?;
        Self::spawn(telemetry, REDRAW, move |snapshot| terminal.draw(snapshot, &logs.last(table::LOG_LINES)))
    }

    /// Writes a line for each source to `writer` every `interval`.
    pub fn as_lines(
        telemetry: Arc<Telemetry>,
        mut writer: impl io::Write + Send + 'static,
        interval: Duration,
    ) -> io::Result<Self> {
        Self::spawn(telemetry, interval, move |snapshot| write_lines(snapshot, &mut writer))
    }

    /// Logs a line for each source every `interval`.
    pub fn as_log(telemetry: Arc<Telemetry>, interval: Duration) -> io::Result<Self> {
        let mut last = Instant::now();
        Self::spawn(telemetry, SAMPLING, move |snapshot| {
            if last.elapsed() >= interval {
                last = Instant::now();
                statistics::log(snapshot);
            }
            Ok(())
        })
    }

    fn spawn(
        telemetry: Arc<Telemetry>,
        interval: Duration,
        mut show: impl FnMut(&Snapshot) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = crossbeam_channel::bounded(0);
        let mut sampler = Sampler::new(telemetry);
        let thread = thread::Builder::new().name("view".to_owned()).spawn(move || {
            while wait(&stopped, interval) {
                if let Err(error) = show(&sampler.sample(Instant::now())) {
                    tracing::debug!(%error, "the live view has ended");
                    return;
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

/// Whether the view goes on after `interval`.
fn wait(stopped: &Receiver<()>, interval: Duration) -> bool {
    matches!(stopped.recv_timeout(interval), Err(crossbeam_channel::RecvTimeoutError::Timeout))
}

impl Drop for LiveView {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the view has been reported where it happened and concerns nothing else.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
pub(crate) mod test_support {
    use std::time::Duration;

    use super::{Rates, Snapshot, SourceSnapshot};
    use crate::{
        observation::SourceKey,
        telemetry::{Memory, StreamState},
    };

    /// Three cameras: a good one, one watched at fewer frames that loses some, and a dead one.
    pub(crate) fn snapshot() -> Snapshot {
        let millis = Duration::from_millis;
        let good = SourceSnapshot {
            key: SourceKey::new("default", "gate"),
            state: StreamState::Streaming,
            reason: None,
            rates: Rates { received: 29.97, processed: 29.94, skipped: 0.0, lost: 0.0 },
            latency: Some((millis(31), millis(44))),
            in_view: vec![("person".into(), 3), ("car".into(), 1)],
        };
        let slow = SourceSnapshot {
            key: SourceKey::new("warehouse", "dock-07"),
            rates: Rates { received: 25.0, processed: 4.8, skipped: 20.0, lost: 0.2 },
            latency: Some((millis(210), millis(1040))),
            in_view: vec![("truck".into(), 2)],
            ..good.clone()
        };
        let dead = SourceSnapshot {
            key: SourceKey::new("default", "yard"),
            state: StreamState::Backoff,
            reason: Some("HostUnreachable: nothing listens on 10.0.0.7:554".to_owned()),
            rates: Rates::default(),
            latency: None,
            in_view: Vec::new(),
        };
        Snapshot {
            sources: vec![good, dead, slow],
            cores: 1.324,
            memory: Some(Memory { resident: 260_000_000, proportional: 212_400_000 }),
            uptime: Duration::from_secs(83),
        }
    }
}
