//! `GStreamer`'s log, as lines of this program's log.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use gstreamer::{self as gst, glib};
use tracing::Level;

use super::redact;

/// What these lines are filtered by.
const TARGET: &str = "gstreamer";

/// Lines that are taken in each [`BUDGET_TIME`] where nobody asked for more: a camera that sends garbage has a warning
/// for each of its frames.
const BUDGET_LINES: u32 = 50;
const BUDGET_TIME: Duration = Duration::from_secs(10);

/// Whether `GST_DEBUG` asks for more than warnings.
#[must_use]
pub fn is_asked_for() -> bool {
    std::env::var_os("GST_DEBUG").is_some_and(|levels| !levels.is_empty())
}

/// Makes `GStreamer`'s log lines of this one, without credentials: warnings, a bounded number of them, or whatever
/// `GST_DEBUG` asks for. Its own output, which is full of addresses and logins, is turned off. Call it once, before
/// `gst::init`, which has much to say itself.
pub fn bridge_gstreamer() {
    let budget = (!is_asked_for()).then(|| Mutex::new(Budget::default()));
    gst::log::remove_default_log_function();
    if budget.is_some() {
        gst::log::set_default_threshold(gst::DebugLevel::Warning);
    }
    gst::log::add_log_function(move |category, level, _file, _function, _line, object, message| {
        let Some(level) = level_of(level) else { return };
        if !is_wanted(level) {
            return;
        }
        let allowed = budget
            .as_ref()
            .map_or(Allowed::Yes, |budget| budget.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now()));
        if let Allowed::YesAfter(left_out) = allowed {
            tracing::warn!(target: TARGET, left_out, "GStreamer had more to say than is written here");
        }
        if let (Allowed::Yes | Allowed::YesAfter(_), Some(text)) = (allowed, message.get()) {
            let element = object.map(ToString::to_string).unwrap_or_default();
            write(level, category.name(), &element, &redact(&text));
        }
    });
    glib::log_set_default_handler(|domain, level, message| {
        let level = match level {
            glib::LogLevel::Error | glib::LogLevel::Critical | glib::LogLevel::Warning => Level::WARN,
            glib::LogLevel::Message | glib::LogLevel::Info | glib::LogLevel::Debug => Level::DEBUG,
        };
        write(level, domain.unwrap_or("GLib"), "", &redact(message));
    });
}

/// The level that a line has here. `GStreamer`'s "errors" are an element's view of its own trouble; whether the source
/// fails for it is told by the supervisor. Dumps of memory hold whatever was sent, and are not taken.
fn level_of(level: gst::DebugLevel) -> Option<Level> {
    match level {
        gst::DebugLevel::Error | gst::DebugLevel::Warning => Some(Level::WARN),
        gst::DebugLevel::Fixme | gst::DebugLevel::Info | gst::DebugLevel::Debug => Some(Level::DEBUG),
        gst::DebugLevel::Log | gst::DebugLevel::Trace => Some(Level::TRACE),
        _ => None,
    }
}

fn is_wanted(level: Level) -> bool {
    match level {
        Level::WARN => tracing::enabled!(target: TARGET, Level::WARN),
        Level::DEBUG => tracing::enabled!(target: TARGET, Level::DEBUG),
        _ => tracing::enabled!(target: TARGET, Level::TRACE),
    }
}

fn write(level: Level, category: &str, element: &str, text: &str) {
    match level {
        Level::WARN => tracing::warn!(target: TARGET, category, element, "{text}"),
        Level::DEBUG => tracing::debug!(target: TARGET, category, element, "{text}"),
        _ => tracing::trace!(target: TARGET, category, element, "{text}"),
    }
}

/// Whether a line may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allowed {
    Yes,
    /// This many before it were not.
    YesAfter(u64),
    No,
}

/// So many lines in so much time.
#[derive(Debug, Default)]
struct Budget {
    since: Option<Instant>,
    used: u32,
    left_out: u64,
}

impl Budget {
    fn take(&mut self, now: Instant) -> Allowed {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= BUDGET_TIME) {
            (self.since, self.used) = (Some(now), 0);
        }
        if self.used >= BUDGET_LINES {
            self.left_out += 1;
            return Allowed::No;
        }
        self.used += 1;
        match std::mem::take(&mut self.left_out) {
            0 => Allowed::Yes,
            left_out => Allowed::YesAfter(left_out),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_what_is_left_out_is_told() {
        let (mut budget, start) = (Budget::default(), Instant::now());
        for _ in 0..BUDGET_LINES {
            assert_eq!(budget.take(start), Allowed::Yes);
        }
        for _ in 0..7 {
            assert_eq!(budget.take(start + BUDGET_TIME / 2), Allowed::No);
        }
        assert_eq!(budget.take(start + BUDGET_TIME), Allowed::YesAfter(7));
        assert_eq!(budget.take(start + BUDGET_TIME), Allowed::Yes);
    }

    #[test]
    fn dumps_are_not_taken() {
        assert_eq!(level_of(gst::DebugLevel::Memdump), None);
        assert_eq!(level_of(gst::DebugLevel::None), None);
        assert_eq!(level_of(gst::DebugLevel::Error), Some(Level::WARN));
        assert_eq!(level_of(gst::DebugLevel::Log), Some(Level::TRACE));
    }
}
