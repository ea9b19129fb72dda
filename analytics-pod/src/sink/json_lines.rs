//! Observations as lines of JSON into a pipe, a file or a terminal.

use std::{
    io::{self, ErrorKind, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{RETRY, Refused, Sink, SinkError, note_recovery, note_trouble};
use crate::{observation::Observation, telemetry::OutputTelemetry};

/// How much a slow reader may leave unread before lines are refused: several seconds of a busy pod.
const MAX_UNREAD: usize = 4 << 20;

/// How long [`Sink::finish`] waits for a reader that makes no progress.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

/// Writes each observation as one line of JSON.
pub struct JsonLines {
    name: String,
    line: Vec<u8>,
    output: Output,
}

enum Output {
    /// Every line; the publisher waits for the reader.
    Direct(Box<dyn Write + Send>),
    /// A thread writes; lines that find no room are refused.
    Buffered(Arc<Shared>),
}

impl JsonLines {
    /// For live sources: a thread of its own writes and flushes what has come since its last write, so that a reader
    /// that stops reading holds up nothing but its own lines. Where writing fails, it is tried again, and lines wait as
    /// they do for a slow reader; only a reader that has gone ends the sink.
    pub fn live(telemetry: Arc<OutputTelemetry>, writer: impl Write + Send + 'static) -> io::Result<Self> {
        let name = telemetry.name().to_owned();
        let shared = Arc::new(Shared { telemetry, state: Mutex::default(), changed: Condvar::new() });
        thread::Builder::new().name(format!("publish-{name}")).spawn({
            let shared = Arc::clone(&shared);
            move || shared.drain(writer)
        })?;
        Ok(Self { name, line: Vec::new(), output: Output::Buffered(shared) })
    }

    /// For input that must not lose a frame: waits for the reader.
    #[must_use]
    pub fn lossless(name: impl Into<String>, writer: impl Write + Send + 'static) -> Self {
        Self { name: name.into(), line: Vec::new(), output: Output::Direct(Box::new(writer)) }
    }
}

impl Sink for JsonLines {
    fn name(&self) -> &str {
        &self.name
    }

    fn publish(&mut self, observation: &Observation) -> Result<(), Refused> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, observation)
            .map_err(|error| SinkError::Write { sink: self.name.clone(), message: error.to_string() })?;
        self.line.push(b'\n');
        match &mut self.output {
            Output::Direct(writer) => {
                writer.write_all(&self.line).and_then(|()| writer.flush()).map_err(|e| broken(&self.name, &e).into())
            }
            Output::Buffered(shared) => shared.append(&self.line),
        }
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        match &mut self.output {
            Output::Direct(writer) => writer.flush().map_err(|error| broken(&self.name, &error)),
            Output::Buffered(shared) => shared.finish(),
        }
    }
}

impl Drop for JsonLines {
    fn drop(&mut self) {
        if let Output::Buffered(shared) = &self.output {
            shared.lock().closing = true;
            shared.changed.notify_all();
        }
    }
}

fn broken(name: &str, error: &io::Error) -> SinkError {
    let sink = name.to_owned();
    if is_reader_gone(error) {
        SinkError::ReaderGone { sink }
    } else {
        SinkError::Write { sink, message: error.to_string() }
    }
}

fn is_reader_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

/// What the publisher and the writing thread share.
struct Shared {
    telemetry: Arc<OutputTelemetry>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    unwritten: Vec<u8>,
    /// Bytes that the writer has in hand.
    in_hand: usize,
    closing: bool,
    failure: Option<SinkError>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, line: &[u8]) -> Result<(), Refused> {
        let mut state = self.lock();
        if let Some(failure) = &state.failure {
            return Err(failure.clone().into());
        }
        if state.unwritten.len() + state.in_hand + line.len() > MAX_UNREAD {
            return Err(Refused::Full);
        }
        let was_idle = state.unwritten.is_empty() && state.in_hand == 0;
        state.unwritten.extend_from_slice(line);
        drop(state);
        if was_idle {
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Writes whatever comes until it is closed or the reader goes.
    fn drain(&self, mut writer: impl Write) {
        let mut batch = Vec::new();
        let mut state = self.lock();
        loop {
            state = self
                .changed
                .wait_while(state, |state| state.unwritten.is_empty() && !state.closing)
                .unwrap_or_else(PoisonError::into_inner);
            if state.unwritten.is_empty() {
                return;
            }
            mem::swap(&mut state.unwritten, &mut batch);
            state.in_hand = batch.len();
            drop(state);
            let ended = self.write(&batch, &mut writer);
            batch.clear();
            state = self.lock();
            state.in_hand = 0;
            if let Err(failure) = ended {
                state.failure = Some(failure);
                state.unwritten = Vec::new();
                self.changed.notify_all();
                return;
            }
            self.changed.notify_all();
        }
    }

    /// Writes all of it, however often that takes.
    fn write(&self, batch: &[u8], writer: &mut impl Write) -> Result<(), SinkError> {
        let mut left = batch;
        loop {
            let done = match writer.write(left) {
                Ok(0) if !left.is_empty() => Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    left = left.get(count..).unwrap_or_default();
                    if left.is_empty() { writer.flush() } else { continue }
                }
                Err(error) => Err(error),
            };
            match done {
                Ok(()) => {
                    note_recovery(&self.telemetry);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_reader_gone(&error) => return Err(broken(self.telemetry.name(), &error)),
                Err(error) => {
                    note_trouble(&self.telemetry, &error);
                    let waited = self.changed.wait_timeout_while(self.lock(), RETRY, |state| !state.closing);
                    if waited.unwrap_or_else(PoisonError::into_inner).0.closing {
                        return Err(broken(self.telemetry.name(), &error));
                    }
                }
            }
        }
    }

    fn finish(&self) -> Result<(), SinkError> {
        let sink = self.telemetry.name().to_owned();
        let deadline = Instant::now() + FINISH_TIMEOUT;
        let mut state = self.lock();
        loop {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            let bytes = state.unwritten.len() + state.in_hand;
            let left = deadline.saturating_duration_since(Instant::now());
            if bytes == 0 {
                return Ok(());
            }
            if left.is_zero() {
                return Err(match self.telemetry.trouble() {
                    Some(message) => SinkError::Write { sink, message },
                    None => SinkError::Unread { sink, bytes },
                });
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::{io::Read as _, net::Shutdown, os::unix::net::UnixStream};

    use super::*;
    use crate::sink::test_support::observation;

    #[test]
    fn each_observation_is_one_line_that_reads_back() {
        let (mut reader, writer) = UnixStream::pair().unwrap();
        let mut sink = JsonLines::live(Arc::new(OutputTelemetry::new("test")), writer).unwrap();
        let published: Vec<_> = (0..100).map(observation).collect();
        for observation in &published {
            sink.publish(observation).unwrap();
        }
        sink.finish().unwrap();
        drop(sink);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let read: Vec<Observation> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, published);
    }

    #[test]
    fn a_reader_that_stops_reading_costs_lines_and_no_time() {
        let (reader, writer) = UnixStream::pair().unwrap();
        let mut sink = JsonLines::live(Arc::new(OutputTelemetry::new("test")), writer).unwrap();
        let line = serde_json::to_vec(&observation(0)).unwrap().len();
        let began = Instant::now();
        let mut refused = 0;
        for number in 0..(3 * MAX_UNREAD / line) as u64 {
            match sink.publish(&observation(number)) {
                Ok(()) => {}
                Err(Refused::Full) => refused += 1,
                Err(Refused::Broken(error)) => panic!("{error}"),
            }
        }
        assert!(refused > 0);
        assert!(began.elapsed() < Duration::from_secs(30));
        assert!(matches!(sink.finish(), Err(SinkError::Unread { bytes, .. }) if bytes <= MAX_UNREAD));
        drop(reader);
    }

    #[test]
    fn a_reader_that_has_gone_is_told_as_such() {
        let (reader, writer) = UnixStream::pair().unwrap();
        reader.shutdown(Shutdown::Both).unwrap();
        drop(reader);
        let mut sink = JsonLines::live(Arc::new(OutputTelemetry::new("test")), writer.try_clone().unwrap()).unwrap();
        sink.publish(&observation(0)).unwrap();
        let failure = sink.finish().unwrap_err();
        assert!(failure.is_reader_gone(), "{failure}");
        assert!(matches!(sink.publish(&observation(1)), Err(Refused::Broken(error)) if error.is_reader_gone()));

        let mut sink = JsonLines::lossless("test", writer);
        assert!(matches!(sink.publish(&observation(0)), Err(Refused::Broken(error)) if error.is_reader_gone()));
    }

    /// Takes half of the first line, has no room for a while, and then takes everything.
    #[derive(Clone, Default)]
    struct FullForAWhile(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Write for FullForAWhile {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (written, calls) = &mut *self.0.lock().unwrap();
            *calls += 1;
            let count = if *calls == 1 { bytes.len() / 2 } else { bytes.len() };
            if *calls == 2 {
                return Err(ErrorKind::StorageFull.into());
            }
            written.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_costs_nothing_once_there_is_room_again() {
        let disk = FullForAWhile::default();
        let telemetry = Arc::new(OutputTelemetry::new("test"));
        let mut sink = JsonLines::live(Arc::clone(&telemetry), disk.clone()).unwrap();
        let await_trouble = |wanted: bool| {
            let began = Instant::now();
            while telemetry.trouble().is_some() != wanted {
                assert!(began.elapsed() < Duration::from_mins(1));
                thread::sleep(Duration::from_millis(5));
            }
        };
        sink.publish(&observation(0)).unwrap();
        await_trouble(true);
        sink.publish(&observation(1)).unwrap();
        await_trouble(false);
        sink.finish().unwrap();
        let text = String::from_utf8(disk.0.lock().unwrap().0.clone()).unwrap();
        let frames: Vec<u64> =
            text.lines().map(|line| serde_json::from_str::<Observation>(line).unwrap().frame).collect();
        assert_eq!(frames, [0, 1]);
    }
}
