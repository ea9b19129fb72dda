//! Observations as lines of JSON into a pipe, a file or a terminal.

use std::{
    io::{self, ErrorKind, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{Refused, Sink, SinkError};
use crate::observation::Observation;

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
    /// that stops reading holds up nothing but its own lines.
    pub fn live(name: impl Into<String>, writer: impl Write + Send + 'static) -> io::Result<Self> {
        let name = name.into();
        let shared = Arc::new(Shared::default());
        thread::Builder::new().name(format!("publish-{name}")).spawn({
            let shared = Arc::clone(&shared);
            let name = name.clone();
            move || shared.drain(&name, writer)
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
            Output::Buffered(shared) => shared.finish(&self.name),
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
    match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => SinkError::ReaderGone { sink },
        _ => SinkError::Write { sink, message: error.to_string() },
    }
}

/// What the publisher and the writing thread share.
#[derive(Default)]
struct Shared {
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

    /// Writes whatever comes until it is closed or the writer fails.
    fn drain(&self, name: &str, mut writer: impl Write) {
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
            let written = writer.write_all(&batch).and_then(|()| writer.flush());
            batch.clear();
            state = self.lock();
            state.in_hand = 0;
            if let Err(error) = written {
                state.failure = Some(broken(name, &error));
                state.unwritten = Vec::new();
                self.changed.notify_all();
                return;
            }
            self.changed.notify_all();
        }
    }

    fn finish(&self, name: &str) -> Result<(), SinkError> {
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
                return Err(SinkError::Unread { sink: name.to_owned(), bytes });
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
        let mut sink = JsonLines::live("test", writer).unwrap();
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
        let mut sink = JsonLines::live("test", writer).unwrap();
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
        let mut sink = JsonLines::live("test", writer.try_clone().unwrap()).unwrap();
        sink.publish(&observation(0)).unwrap();
        let failure = sink.finish().unwrap_err();
        assert!(failure.is_reader_gone(), "{failure}");
        assert!(matches!(sink.publish(&observation(1)), Err(Refused::Broken(error)) if error.is_reader_gone()));

        let mut sink = JsonLines::lossless("test", writer);
        assert!(matches!(sink.publish(&observation(0)), Err(Refused::Broken(error)) if error.is_reader_gone()));
    }
}
