//! Where log lines go and what they look like.

use std::{
    collections::VecDeque,
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tracing_subscriber::{
    EnvFilter, Layer as _, Registry,
    filter::{LevelFilter, ParseError},
    fmt::MakeWriter,
    layer::SubscriberExt as _,
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt as _,
};

use super::log_file::LogFile;
use crate::{
    config::LogFormat,
    rotating_file::{RotatingFile, Rotation},
};

/// What commands that answer and end log: what went wrong. `GStreamer`'s warnings are about what it has dealt with itself.
pub const PROBLEMS: &str = "warn,gstreamer=error";

/// How logging begins.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// What is logged, as `EnvFilter` has it.
    pub level: String,
    /// Lines of standard error.
    pub format: LogFormat,
    /// The file that the log goes into too, as JSON.
    pub file: Option<PathBuf>,
    /// How that file is rotated.
    pub rotation: Rotation,
}

/// What is never logged in more detail, whatever the level says: the HTTP client writes addresses with their queries, the
/// watcher of folders a line for each line of a log that is written beside the manifests.
const HELD_BACK: [&str; 3] = ["ureq=info", "ureq_proto=info", "notify=info"];

/// What is never logged: an error for whatever a stranger sends that is no HTTP.
const SILENCED: &str = "warp::server=off";

/// How many lines a [`LogLines`] holds while the live view has the screen.
const HELD_LINES: usize = 100;

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The levels cannot be read.
    #[error("log.level: {0}; it should look like `info` or `warn,analytics_pod=debug`")]
    Filter(#[from] ParseError),
    /// The log file cannot be written.
    #[error("log.file (--log-file): {} cannot be written: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Logging has been started before.
    #[error("logging was started twice")]
    Twice,
    /// Logging is over.
    #[error("the log has ended")]
    Ended,
}

/// What is logged, while the program runs. Clones change the same log.
#[derive(Clone)]
pub struct LogLevel(Arc<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>);

impl LogLevel {
    /// From now on `level` is logged.
    ///
    /// # Errors
    /// Where it cannot be read; what was logged before still is.
    pub fn set(&self, level: &str) -> Result<(), LoggingError> {
        (self.0)(filter(level)?).map_err(|_| LoggingError::Ended)
    }
}

/// Lets `level` through, but for what is held back.
fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    let filter = EnvFilter::try_new(level)?.add_directive(SILENCED.parse()?);
    // Where nothing is logged in more detail, holding back would let more through.
    let held = if filter.max_level_hint() > Some(LevelFilter::INFO) { &HELD_BACK[..] } else { &[] };
    held.iter().try_fold(filter, |filter, held| Ok(filter.add_directive(held.parse()?)))
}

/// Starts logging: to standard error, and into the file where there is one.
///
/// The returned handles are what the live view holds lines back with while it has the screen, and what changes the
/// level.
///
/// # Errors
/// Why it cannot start.
pub fn init(settings: &LogSettings) -> Result<(LogLines, LogLevel), LoggingError> {
    let (filter, handle) = reload::Layer::new(filter(&settings.level)?);
    let lines = LogLines::default();
    let people = match settings.format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let file = settings.file.as_deref().map(|path| {
        let failed = |source| LoggingError::File { path: path.to_owned(), source };
        let file = RotatingFile::open(path, settings.rotation).map_err(failed)?;
        Ok::<_, LoggingError>(
            json(Mutex::new(LogFile::new(path.to_owned(), file, lines.make_writer(), people))).boxed(),
        )
    });
    let file = file.transpose()?;
    layered(lines.clone(), people).with(file).with(filter).try_init().map_err(|_| LoggingError::Twice)?;
    Ok((lines, LogLevel(Arc::new(move |filter| handle.reload(filter)))))
}

type Boxed = Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync>;

fn layered(lines: LogLines, people: bool) -> tracing_subscriber::layer::Layered<Boxed, Registry> {
    let layer: Boxed = if people {
        let layer = tracing_subscriber::fmt::layer().with_writer(lines);
        layer.with_target(false).with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()).boxed()
    } else {
        json(lines).boxed()
    };
    tracing_subscriber::registry().with(layer)
}

/// Lines for machines.
fn json<S, W>(writer: W) -> impl tracing_subscriber::Layer<S> + Send + Sync
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer().with_writer(writer).json().flatten_event(true).with_current_span(false)
}

/// Writes log lines to standard error, or holds the last ones while another writer has the terminal.
#[derive(Clone, Debug, Default)]
pub struct LogLines(Arc<Mutex<Option<VecDeque<String>>>>);

impl LogLines {
    /// From now on lines are held, not written.
    pub fn hold(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
    }

    /// Writes what was held and every later line.
    pub fn release(&self) {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut stderr = io::stderr().lock();
        for line in held.into_iter().flatten() {
            // Nobody is left to tell when standard error is gone.
            drop(writeln!(stderr, "{line}"));
        }
    }

    /// Takes one event of the log, which may be several lines.
    fn take(&self, event: &[u8]) -> io::Result<()> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = held.as_mut() else { return io::stderr().write_all(event) };
        for line in String::from_utf8_lossy(event).lines() {
            if held.len() == HELD_LINES {
                held.pop_front();
            }
            held.push_back(line.to_owned());
        }
        Ok(())
    }

    /// The last `count` lines that are held, oldest first.
    #[must_use]
    pub fn last(&self, count: usize) -> Vec<String> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref()
            .map_or_else(Vec::new, |held| held.iter().skip(held.len().saturating_sub(count)).cloned().collect())
    }
}

impl MakeWriter<'_> for LogLines {
    type Writer = LineWriter;

    fn make_writer(&self) -> Self::Writer {
        LineWriter(self.clone())
    }
}

/// One event's way into [`LogLines`].
#[derive(Debug)]
pub struct LineWriter(LogLines);

impl io::Write for LineWriter {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.take(event).map(|()| event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use gstreamer as gst;

    use super::*;
    use crate::telemetry::gstreamer_log::bridge_gstreamer;

    #[test]
    fn the_last_lines_are_held() {
        let lines = LogLines::default();
        lines.hold();
        for number in 0..=HELD_LINES {
            lines.take(format!("line {number}\n").as_bytes()).unwrap();
        }
        assert_eq!(lines.last(2), [format!("line {}", HELD_LINES - 1), format!("line {HELD_LINES}")]);
        assert_eq!(lines.last(usize::MAX).len(), HELD_LINES);
    }

    #[test]
    fn what_is_held_back_is_never_more_than_was_asked_for() {
        for (level, held) in [("off", LevelFilter::OFF), ("error", LevelFilter::ERROR), ("trace", LevelFilter::TRACE)] {
            assert_eq!(filter(level).unwrap().max_level_hint(), Some(held));
        }
        assert!(filter("trace").unwrap().to_string().contains("ureq=info"));
    }

    #[test]
    fn a_line_for_machines_is_json_with_its_fields() {
        let lines = LogLines::default();
        lines.hold();
        tracing::subscriber::with_default(layered(lines.clone(), false), || {
            tracing::info!(source = "gate", epoch = 7_u64, frame = 42_u64, "published");
        });
        let line: serde_json::Value = serde_json::from_str(&lines.last(1)[0]).unwrap();
        assert_eq!(line["source"], "gate");
        assert_eq!((line["epoch"].as_u64(), line["frame"].as_u64()), (Some(7), Some(42)));
        assert_eq!((&line["level"], &line["message"]), (&"INFO".into(), &"published".into()));
    }

    #[test]
    fn warnings_of_gstreamer_arrive_without_credentials() {
        gst::init().unwrap();
        bridge_gstreamer();
        let lines = LogLines::default();
        lines.hold();
        let category = gst::DebugCategory::new("redactiontest", gst::DebugColorFlags::empty(), None);
        tracing::subscriber::with_default(layered(lines.clone(), true), || {
            gst::warning!(category, "no answer from rtsp://admin:secret@camera/main?token=t0ken");
            gst::warning!(category, "srt, passphrase=(string)\"correct horse\", user-pw=secret");
            gst::info!(category, "not a warning");
        });
        let text = lines.last(10).join("\n");
        assert!(text.contains("no answer from rtsp://camera/main"), "{text}");
        assert!(text.contains("passphrase=… user-pw=…"), "{text}");
        assert!(!text.contains("secret") && !text.contains("t0ken") && !text.contains("not a warning"), "{text}");
    }
}
