//! One JSON file for each frame in which something was detected.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::{Refused, Sink, SinkError};
use crate::observation::Observation;

/// Frames that may wait for the disk: a second of a busy pod.
const WAITING: usize = 256;

/// Writes `FOLDER/NAMESPACE/SOURCE/detection_FRAME_MILLISECONDS.json`, the time being that of the frame's capture since
/// the Unix epoch. A file appears under its name only when it is complete. Frames without objects have none.
pub struct FrameFiles {
    name: String,
    observations: Option<Sender<Observation>>,
    /// Ends with the error that ended it.
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl FrameFiles {
    /// Writes into `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// Where the folder or a thread cannot be had.
    pub fn new(name: impl Into<String>, folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let (observations, waiting) = bounded(WAITING);
        let thread =
            thread::Builder::new().name("publish-files".to_owned()).spawn(move || write_all(&folder, &waiting))?;
        Ok(Self { name: name.into(), observations: Some(observations), thread: Some(thread) })
    }

    /// Waits for the thread; what it says if it failed.
    fn end(&mut self) -> Result<(), SinkError> {
        self.observations = None;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let ended = thread.join().unwrap_or_else(|_| Err(io::Error::other("the writing thread has failed")));
        ended.map_err(|error| SinkError::Write { sink: self.name.clone(), message: error.to_string() })
    }
}

impl Sink for FrameFiles {
    fn name(&self) -> &str {
        &self.name
    }

    fn publish(&mut self, observation: &Observation) -> Result<(), Refused> {
        if observation.objects.is_empty() {
            return Ok(());
        }
        let Some(observations) = &self.observations else { return Ok(()) };
        match observations.try_send(observation.clone()) {
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

fn write_all(folder: &Path, observations: &Receiver<Observation>) -> io::Result<()> {
    observations.iter().try_for_each(|observation| write(folder, &observation))
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

    use super::*;
    use crate::sink::test_support::observation;

    #[test]
    fn each_frame_with_objects_is_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = FrameFiles::new("files", folder.path().join("out")).unwrap();
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
    fn a_folder_that_cannot_be_written_ends_the_sink_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = FrameFiles::new("files", folder.path().join("out")).unwrap();
        // Where the namespace's folder should be.
        fs::write(folder.path().join("out/shop"), "").unwrap();
        let failure = (0..100_000).find_map(|frame| match sink.publish(&observation(frame)) {
            Err(Refused::Broken(failure)) => Some(failure),
            _ => None,
        });
        assert!(matches!(failure, Some(SinkError::Write { .. })), "{failure:?}");
        assert_eq!(fs::read_dir(folder.path().join("out")).unwrap().count(), 1);
    }
}
