//! One JSON file for each frame in which something was detected.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::{RETRY, Refused, Sink, SinkError, note_recovery, note_trouble};
use crate::{observation::Observation, telemetry::OutputTelemetry};

/// Frames that may wait for the disk: a second of a busy pod.
const WAITING: usize = 256;

/// Writes `FOLDER/NAMESPACE/SOURCE/detection_FRAME_MILLISECONDS.json`, the time being that of the frame's capture since
/// the Unix epoch. A file appears under its name only when it is complete. Frames without objects have none. Where
/// writing fails, it is tried again, and frames wait meanwhile.
pub struct FrameFiles {
    telemetry: Arc<OutputTelemetry>,
    input: Option<Input>,
    /// Ends with the error that the last frame could not be written for.
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// What the thread is fed by; it ends once this is dropped.
struct Input {
    observations: Sender<Observation>,
    /// Only its end is heard of, also by a thread that has frames left.
    _open: Sender<()>,
}

impl FrameFiles {
    /// Writes into `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// Where the folder or a thread cannot be had.
    pub fn new(telemetry: Arc<OutputTelemetry>, folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let (observations, waiting) = bounded(WAITING);
        let (open, closed) = bounded(0);
        let thread = thread::Builder::new().name("publish-files".to_owned()).spawn({
            let telemetry = Arc::clone(&telemetry);
            move || waiting.iter().try_for_each(|observation| write_at_last(&folder, &observation, &telemetry, &closed))
        })?;
        Ok(Self { telemetry, input: Some(Input { observations, _open: open }), thread: Some(thread) })
    }

    /// Waits for the thread; what it says if it failed.
    fn end(&mut self) -> Result<(), SinkError> {
        self.input = None;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let ended = thread.join().unwrap_or_else(|_| Err(io::Error::other("the writing thread has failed")));
        ended.map_err(|error| SinkError::Write { sink: self.telemetry.name().to_owned(), message: error.to_string() })
    }
}

impl Sink for FrameFiles {
    fn name(&self) -> &str {
        self.telemetry.name()
    }

    fn publish(&mut self, observation: &Observation) -> Result<(), Refused> {
        if observation.objects.is_empty() {
            return Ok(());
        }
        let Some(input) = &self.input else { return Ok(()) };
        match input.observations.try_send(observation.clone()) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(Refused::Full),
            Err(TrySendError::Disconnected(_)) => {
                self.end()?;
                Ok(())
            }
        }
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.end()
    }
}

/// Writes it, however often that takes; fails only once the sink is `closed`.
fn write_at_last(
    folder: &Path,
    observation: &Observation,
    telemetry: &OutputTelemetry,
    closed: &Receiver<()>,
) -> io::Result<()> {
    while let Err(error) = write(folder, observation) {
        note_trouble(telemetry, &error);
        if closed.recv_timeout(RETRY) == Err(RecvTimeoutError::Disconnected) {
            return Err(error);
        }
    }
    note_recovery(telemetry);
    Ok(())
}

fn write(folder: &Path, observation: &Observation) -> io::Result<()> {
    let folder = folder.join(&*observation.namespace).join(&*observation.source);
    fs::create_dir_all(&folder)?;
    let name = format!("detection_{}_{}.json", observation.frame, observation.capture_time.as_millisecond());
    let partial = folder.join(format!(".{name}.partial"));
    let written = fs::File::create(&partial).and_then(|mut file| {
        file.write_all(&serde_json::to_vec(observation)?)?;
        file.write_all(b"\n")?;
        fs::rename(&partial, folder.join(&name))
    });
    written.inspect_err(|_| drop(fs::remove_file(&partial)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::{Duration, Instant};

    use super::*;
    use crate::sink::test_support::observation;

    fn sink(folder: PathBuf) -> FrameFiles {
        FrameFiles::new(Arc::new(OutputTelemetry::new("files")), folder).unwrap()
    }

    #[test]
    fn each_frame_with_objects_is_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = sink(folder.path().join("out"));
        sink.publish(&observation(7)).unwrap();
        sink.publish(&Observation { objects: Vec::new(), ..observation(8) }).unwrap();
        sink.publish(&observation(9)).unwrap();
        sink.finish().unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path().join("out/shop/gate"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["detection_7_1795000000123.json", "detection_9_1795000000123.json"]);
        let text = fs::read_to_string(folder.path().join("out/shop/gate").join(&names[0])).unwrap();
        assert_eq!(serde_json::from_str::<Observation>(&text).unwrap(), observation(7));
    }

    #[test]
    fn a_folder_that_cannot_be_written_for_a_while_costs_nothing_until_too_many_wait() {
        let folder = tempfile::tempdir().unwrap();
        let telemetry = Arc::new(OutputTelemetry::new("files"));
        let mut sink = FrameFiles::new(Arc::clone(&telemetry), folder.path().join("out")).unwrap();
        // Where the namespace's folder should be.
        let obstacle = folder.path().join("out/shop");
        fs::write(&obstacle, "").unwrap();
        let refused = (0..100_000).find(|&frame| matches!(sink.publish(&observation(frame)), Err(Refused::Full)));
        let taken = refused.unwrap();
        let wait = |is_so: &dyn Fn() -> bool| {
            let began = Instant::now();
            while !is_so() {
                assert!(began.elapsed() < Duration::from_mins(1));
                thread::sleep(Duration::from_millis(5));
            }
        };
        wait(&|| telemetry.trouble().is_some());
        fs::remove_file(&obstacle).unwrap();
        wait(&|| fs::read_dir(folder.path().join("out/shop/gate")).map_or(0, Iterator::count) as u64 == taken);
        sink.finish().unwrap();
        assert_eq!(telemetry.trouble(), None);
    }

    #[test]
    fn what_could_not_be_written_by_the_end_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = sink(folder.path().join("out"));
        fs::write(folder.path().join("out/shop"), "").unwrap();
        sink.publish(&observation(0)).unwrap();
        let failure = sink.finish().unwrap_err();
        assert!(matches!(failure, SinkError::Write { .. }), "{failure}");
        assert_eq!(fs::read_dir(folder.path().join("out")).unwrap().count(), 1);
    }
}
