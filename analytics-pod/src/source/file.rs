//! Video files.

use std::{fs, io, path::PathBuf, sync::Arc};

use gstreamer::{self as gst, prelude::*};
use url::Url;

use super::{
    Failure, Input, Pacing, Reason, container, elements, mp4,
    origin::extension,
    playback::Shared,
    printable_uri,
    reader::{Plan, Recipe},
};

/// The path that a `file:` URI names, if a regular file is there and may be read.
pub(super) fn readable_path(uri: &Url) -> Result<PathBuf, Failure> {
    let name = printable_uri(uri);
    let path = uri.to_file_path().map_err(|()| {
        Failure::new(Reason::NotFound, format!("{name}: names no file of this machine; write file:///path/to/the/file"))
    })?;
    let failed = |error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Failure::new(Reason::NotFound, format!("{name}: there is no such file"))
        }
        io::ErrorKind::PermissionDenied => {
            Failure::new(Reason::PermissionDenied, format!("{name}: this process may not read the file"))
        }
        _ => Failure::new(Reason::PipelineFailed, format!("{name}: {error}")),
    };
    let metadata = fs::metadata(&path).map_err(|error| failed(&error))?;
    if !metadata.is_file() {
        return Err(Failure::new(Reason::NotFound, format!("{name}: is not a regular file")));
    }
    if metadata.len() == 0 {
        return Err(Failure::new(Reason::CorruptStream, format!("{name}: the file is empty")));
    }
    fs::File::open(&path).map_err(|error| failed(&error))?;
    Ok(path)
}

/// Reads a file once.
pub(super) struct VideoFile {
    uri: Url,
    pacing: Pacing,
}

impl VideoFile {
    pub(super) fn new(input: &Input, pacing: Pacing) -> Self {
        Self { uri: input.uri.clone(), pacing }
    }
}

impl Recipe for VideoFile {
    fn pipeline(&mut self, sink: &gst::Element, shared: &Arc<Shared>) -> Result<Plan, Failure> {
        let path = readable_path(&self.uri)?;
        let source = elements::FILESRC.make()?;
        source.set_property("location", path.as_path());
        container::pipeline(source, sink, shared, self.pacing, Box::new(|_| true))
    }

    fn missing_part(&self) -> Option<Failure> {
        let path = readable_path(&self.uri).ok()?;
        let file = fs::File::open(path).ok()?;
        let length = file.metadata().ok()?.len();
        let whole = mp4::missing_length(io::BufReader::new(file), length).ok()??;
        let name = printable_uri(&self.uri);
        let sentence = format!("{name}: the file is cut off: {length} of at least {whole} bytes are there");
        Some(Failure::new(Reason::CorruptStream, sentence))
    }

    fn is_always_busy(&self) -> bool {
        // The segments of a playlist are fetched by threads of their own.
        extension(&self.uri) != "m3u8"
    }
}
