//! Writes encoded scenes as files with their ground truth.

use std::path::{Path, PathBuf};

use gstreamer::{self as gst, prelude::*};
use gstreamer_app::AppSrc;

use crate::{
    clip::Clip,
    config::{Codec, Config, ConfigError},
    elements::{self, ElementError},
    encode::{self, EncodeError, StopOnDrop},
    library::{Library, LibraryError, Progress},
    truth::{self, TruthError},
};

/// The longest that writing one file may take.
const WRITE_TIMEOUT: gst::ClockTime = gst::ClockTime::from_seconds(60);

/// A kind of video file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// MP4 (ISO base media).
    Mp4,
    /// Matroska.
    Mkv,
    /// MPEG transport stream.
    Ts,
    /// The bare H.264 or H.265 byte stream.
    Raw,
}

/// Why files cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is nothing to write.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// A scene has no ground truth.
    #[error(transparent)]
    Truth(#[from] TruthError),
    /// The container cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Mux {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: EncodeError,
    },
    /// The system refuses a file.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Container {
    /// The end of the file's name.
    #[must_use]
    pub fn extension(self, codec: Codec) -> &'static str {
        match (self, codec) {
            (Container::Mp4, _) => "mp4",
            (Container::Mkv, _) => "mkv",
            (Container::Ts, _) => "ts",
            (Container::Raw, Codec::H264) => "h264",
            (Container::Raw, Codec::H265) => "h265",
        }
    }

    fn muxer(self) -> Option<&'static str> {
        match self {
            Container::Mp4 => Some("mp4mux"),
            Container::Mkv => Some("matroskamux"),
            Container::Ts => Some("mpegtsmux"),
            Container::Raw => None,
        }
    }
}

/// Writes the loop of each camera to `NAME.EXTENSION` and, for scenes, its ground truth to `NAME.truth.jsonl`. Returns
/// the video files.
pub fn export(
    config: &Config,
    folder: &Path,
    container: Container,
    progress: &dyn Progress,
) -> Result<Vec<PathBuf>, ExportError> {
    config.validate()?;
    let refuse = |path: &Path| {
        let path = path.to_owned();
        move |source| ExportError::Write { path, source }
    };
    std::fs::create_dir_all(folder).map_err(refuse(folder))?;
    let library = Library::open(config.cache.as_deref()).map_err(LibraryError::from)?;
    let clips = library.clips(&config.cameras, progress)?;
    let mut written = Vec::new();
    for (camera, clip) in config.cameras.iter().zip(clips) {
        let path = folder.join(format!("{}.{}", camera.name, container.extension(clip.format().codec)));
        match container.muxer() {
            None => std::fs::write(&path, &clip.data).map_err(refuse(&path))?,
            Some(muxer) => {
                mux(&clip, muxer, &path).map_err(|source| ExportError::Mux { path: path.clone(), source })?;
            }
        }
        if let Some(scene) = camera.shown_scene() {
            let truth_path = folder.join(format!("{}.truth.jsonl", camera.name));
            std::fs::write(&truth_path, truth::lines(&scene)?).map_err(refuse(&truth_path))?;
        }
        written.push(path);
    }
    Ok(written)
}

fn mux(clip: &Clip, muxer: &'static str, path: &Path) -> Result<(), EncodeError> {
    let format = clip.format();
    let parser = match format.codec {
        Codec::H264 => "h264parse",
        Codec::H265 => "h265parse",
    };
    let source = elements::make("appsrc", &[("format", "time".into()), ("max-bytes", "0".into())])?;
    let mut caps = encode::byte_stream_caps(format.codec);
    let rate = gst::Fraction::new(format.rate.numerator as i32, format.rate.denominator as i32);
    caps.make_mut().set("framerate", rate);
    source.set_property("caps", caps);
    let parser = elements::make(parser, &[])?;
    let muxer = elements::make(muxer, &[])?;
    let sink = elements::make("filesink", &[])?;
    sink.set_property("location", path);
    let pipeline = gst::Pipeline::new();
    pipeline.add_many([&source, &parser, &muxer, &sink]).map_err(ElementError::from)?;
    gst::Element::link_many([&source, &parser, &muxer, &sink]).map_err(ElementError::from)?;

    let _stopped = StopOnDrop(&pipeline);
    // A failure to start is told by the bus, with its reason.
    let _ = pipeline.set_state(gst::State::Playing);
    let time = |n: u64| gst::ClockTime::from_nseconds(format.rate.nanos(n));
    if let Some(source) = source.downcast_ref::<AppSrc>() {
        for (unit, n) in clip.units.iter().zip(0u64..) {
            let mut buffer = gst::Buffer::from_slice(clip.bytes(unit));
            if let Some(buffer) = buffer.get_mut() {
                buffer.set_dts(time(n));
                buffer.set_pts(time(u64::from(unit.frame) + clip.reorder()));
                buffer.set_duration(time(n + 1) - time(n));
                if !unit.key {
                    buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
                }
            }
            // A failed push means that the pipeline is on its way down; the reason is on its bus.
            let _ = source.push_buffer(buffer);
        }
        let _ = source.end_of_stream();
    }
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    match pipeline.bus().and_then(|bus| bus.timed_pop_filtered(WRITE_TIMEOUT, &ends)) {
        Some(message) if message.type_() == gst::MessageType::Eos => Ok(()),
        Some(message) => Err(encode::failure(&message)),
        None => Err(EncodeError::Stuck),
    }
}
