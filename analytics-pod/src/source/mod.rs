//! Where video comes from: one file per kind of input, up to encoded access units.
//!
//! [`open`] plays one attempt at an input; [`AccessUnits::next`] hands out what arrives. Decoding and detection are the
//! engine's.

mod arrivals;
mod bounded;
mod classify;
mod container;
mod datagrams;
pub mod elements;
mod failure;
mod file;
mod http;
mod image;
mod intake;
mod mp4;
mod nal;
mod origin;
mod pacer;
mod parameters;
mod pipelines;
mod playback;
mod queue;
mod reader;
mod rtp;
mod rtsp;
mod sim;
mod srt;
pub mod supervisor;
mod test_pattern;
mod v4l2;

use std::{sync::Arc, time::Duration};

use crds::Capture as CaptureRequest;
pub use failure::{Failure, Reason};
use futures_util::future::BoxFuture;
use gstreamer as gst;
pub use origin::printable_uri;

use self::reader::Reader;
use crate::{
    observation::{Capture, SourceKey},
    telemetry::StreamTelemetry,
};

/// Schemes that [`open`] reads.
pub const BUILT_IN_SCHEMES: [&str; 11] =
    ["rtsp", "rtsps", "http", "https", "udp", "rtp", "srt", "v4l2", "file", "sim", "test"];

/// A user name and password, kept out of every log, metric and error.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// How RTP travels from an RTSP camera.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RtspProtocol {
    /// TCP first, then UDP.
    #[default]
    Auto,
    /// Interleaved in the RTSP connection.
    Tcp,
    /// Separate UDP ports.
    Udp,
}

/// How to read from the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// RTSP only.
    pub protocol: RtspProtocol,
    /// How long packets may wait for late ones.
    pub latency: Duration,
    /// Drop the oldest packets where those that wait span more than `latency`.
    pub drop_on_latency: bool,
    /// Take any TLS certificate.
    pub insecure_skip_tls_verify: bool,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            protocol: RtspProtocol::Auto,
            latency: Duration::from_millis(50),
            drop_on_latency: false,
            insecure_skip_tls_verify: false,
        }
    }
}

/// Everything that an attempt needs to know of a source, resolved: no references left to look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Where the video is; carries no credentials.
    pub uri: url::Url,
    /// For sources behind a login.
    pub credentials: Option<Credentials>,
    /// Network settings.
    pub transport: Transport,
    /// What a V4L2 device is asked for.
    pub capture: Option<CaptureRequest>,
    /// Start a finite input over at its end.
    pub repeat: bool,
}

/// Completes an input just before each connection: what it needs may have changed since the last one.
pub trait Prepare: Send + Sync {
    /// `input` of `source`, with what the Secret `login` holds where there is one. Fails where the attempt must not be
    /// made.
    fn prepare(
        &self,
        source: &SourceKey,
        login: Option<&Arc<str>>,
        input: Input,
    ) -> BoxFuture<'static, Result<Input, Failure>>;
}

/// What to do when the reader is slower than the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pacing {
    /// Frames come in real time (a file is played by its clock); what is too late is dropped, oldest first.
    Live,
    /// Every frame, as fast as the reader takes them.
    Lossless,
}

/// One encoded picture.
#[derive(Clone, Debug)]
pub struct AccessUnit {
    /// Its bytes, in the format of the last [`Next::Format`]; timestamps are the buffer's.
    pub buffer: gst::Buffer,
    /// Counts the access units that arrived in this session, from 0.
    pub number: u64,
    /// When it was taken.
    pub captured: Capture,
    /// Decoding can start here.
    pub key_frame: bool,
    /// No other access unit refers to it.
    pub disposable: bool,
}

/// What [`AccessUnits::next`] has.
#[derive(Debug)]
pub enum Next {
    /// What follows is in this format: encoded (`video/x-h264`, alignment `au`; `video/x-h265`, `image/jpeg`, …) or
    /// `video/x-raw` for inputs that make pictures themselves. Comes before the first unit and at every change.
    Format(gst::Caps),
    /// A picture.
    Unit(AccessUnit),
    /// Nothing arrived within the time asked for.
    Idle,
    /// The input is over: a finite input played to its end.
    Ended,
}

/// The access units of one attempt. Dropping it ends the attempt and closes the input within a bounded time.
pub trait AccessUnits: Send {
    /// Waits up to `timeout` for what comes next. After `Ended` or an error only dropping it makes sense.
    ///
    /// With [`Pacing::Live`] the queue behind it is bounded to a second of video; on overflow it skips to the next key
    /// frame and counts the loss. With [`Pacing::Lossless`] the input waits for the reader.
    fn next(&mut self, timeout: Duration) -> Result<Next, Failure>;
}

/// Begins an attempt at `input`: builds a fresh pipeline, starts it, and returns once it is on its way (a first access
/// unit is not awaited). Counts what arrives in `telemetry`.
///
/// # Errors
/// Why the attempt cannot begin: a missing element, a refused connection, a file that is not there.
pub fn open(input: &Input, pacing: Pacing, telemetry: &Arc<StreamTelemetry>) -> Result<Box<dyn AccessUnits>, Failure> {
    let uri = printable_uri(&input.uri);
    gst::init().map_err(|error| {
        Failure::new(Reason::MissingElement, format!("{uri}: GStreamer cannot be used: {}", error.message()))
    })?;
    if !input.uri.username().is_empty() || input.uri.password().is_some() {
        let message =
            format!("{uri}: a URI must not hold a user name or password; name a Secret in credentialsSecretRef");
        return Err(Failure::new(Reason::Unsupported, message));
    }
    Ok(match input.uri.scheme() {
        "rtsp" | "rtsps" => Box::new(Reader::open(rtsp::Rtsp::new(input), input, pacing, telemetry)?),
        "http" | "https" => Box::new(Reader::open(http::Http::new(input, pacing), input, pacing, telemetry)?),
        "file" if origin::is_image(&input.uri) => Box::new(image::Picture::open(input, pacing, telemetry)?),
        "file" => Box::new(Reader::open(file::VideoFile::new(input, pacing), input, pacing, telemetry)?),
        "sim" => Box::new(sim::Street::open(input, pacing, telemetry)?),
        "test" => Box::new(Reader::open(test_pattern::TestPattern::new(input, pacing)?, input, pacing, telemetry)?),
        "udp" | "rtp" => Box::new(Reader::open(datagrams::Datagrams::new(input, pacing)?, input, pacing, telemetry)?),
        "srt" => Box::new(Reader::open(srt::Srt::new(input, pacing)?, input, pacing, telemetry)?),
        "v4l2" => Box::new(Reader::open(v4l2::Device::new(input)?, input, pacing, telemetry)?),
        scheme => {
            let message = match crds::Scheme::of(input.uri.as_str()).and_then(crds::Scheme::instead) {
                Some(instead) => {
                    format!("{uri}: {scheme}: is known as a kind of input, but not built in: {instead}")
                }
                None => {
                    format!("{uri}: there is no such kind of input; this pod reads {}", BUILT_IN_SCHEMES.join(", "))
                }
            };
            return Err(Failure::new(Reason::Unsupported, message));
        }
    })
}

#[cfg(test)]
mod tests;
