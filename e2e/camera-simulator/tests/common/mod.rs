//! A camera's client: connects with `GStreamer`'s RTSP source, decodes, and reads the numbers in the pictures.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use camera_simulator::{CameraConfig, Codec, Config, SceneConfig, Silent, Simulator};
use gstreamer::{self as gst, prelude::*};
use gstreamer_app::AppSink;
use gstreamer_video::{self as gst_video, VideoFrameExt};

/// Far more than anything here takes, so that a busy machine fails no test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Client {
    pipeline: gst::Pipeline,
    sink: AppSink,
}

pub(crate) struct Frame {
    /// The number in the barcode; `None` if there is none to be read.
    pub(crate) number: Option<u64>,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Unix time in microseconds at which it left the decoder.
    pub(crate) seen: u64,
}

#[derive(Default)]
pub(crate) struct Options<'a> {
    pub(crate) codec: Codec,
    pub(crate) udp: bool,
    pub(crate) login: Option<(&'a str, &'a str)>,
}

impl Client {
    pub(crate) fn connect(uri: &str, options: &Options) -> Self {
        gst::init().unwrap();
        let (depayloader, decoder) = match options.codec {
            Codec::H264 => ("rtph264depay", "avdec_h264 max-threads=1"),
            Codec::H265 => ("rtph265depay ! h265parse", "avdec_h265 max-threads=1"),
        };
        let pipeline = gst::parse::launch(&format!(
            "rtspsrc name=source latency=0 ! {depayloader} ! {decoder} ! videoconvert ! video/x-raw,format=I420 ! appsink \
             name=frames sync=false"
        ))
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
        let source = pipeline.by_name("source").unwrap();
        source.set_property("location", uri);
        source.set_property_from_str("protocols", if options.udp { "udp" } else { "tcp" });
        if let Some((user, password)) = options.login {
            source.set_property("user-id", user);
            source.set_property("user-pw", password);
        }
        let sink = pipeline.by_name("frames").and_downcast::<AppSink>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        Self { pipeline, sink }
    }

    /// The next picture; `None` after `patience`, or once the stream has ended or broken.
    pub(crate) fn next_within(&self, patience: Duration) -> Option<Frame> {
        let sample = self.sink.try_pull_sample(gst::ClockTime::try_from(patience).unwrap())?;
        let seen = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(sample.buffer().unwrap(), &info).unwrap();
        let (width, height) = (info.width(), info.height());
        let stride = usize::try_from(frame.plane_stride()[0]).unwrap();
        let number = street_scenes::barcode::read(frame.plane_data(0).unwrap(), stride, width, height);
        Some(Frame { number, width, height, seen })
    }

    pub(crate) fn next(&self) -> Frame {
        self.next_within(PATIENCE).unwrap_or_else(|| panic!("no frame came: {:?}", self.error()))
    }

    /// The numbers of the next pictures, all of which must have one.
    pub(crate) fn numbers(&self, count: usize) -> Vec<u64> {
        (0..count).map(|at| self.next().number.unwrap_or_else(|| panic!("frame {at} has no number"))).collect()
    }

    /// Waits until a picture has what is asked.
    pub(crate) fn until(&self, what: &str, accept: impl Fn(&Frame) -> bool) -> Frame {
        (0..2000).map(|_| self.next()).find(accept).unwrap_or_else(|| panic!("never: {what}"))
    }

    /// Waits until the stream breaks or ends. `rtspsrc` 1.22 warns that the server closed the connection, but the end
    /// of stream that should follow gets lost now and then.
    pub(crate) fn wait_for_end(&self) -> String {
        let kinds = [gst::MessageType::Error, gst::MessageType::Warning, gst::MessageType::Eos];
        let bus = self.pipeline.bus().unwrap();
        let message = bus.timed_pop_filtered(gst::ClockTime::try_from(PATIENCE).unwrap(), &kinds);
        match message.expect("the stream goes on").view() {
            gst::MessageView::Error(error) => format!("{} {:?}", error.error(), error.debug()),
            gst::MessageView::Warning(warning) => format!("{} {:?}", warning.error(), warning.debug()),
            _ => "end of stream".into(),
        }
    }

    fn error(&self) -> Option<gst::Message> {
        self.pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error])
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

/// Numbers count up by one and start again at 0 after the last of the loop.
pub(crate) fn assert_in_order(numbers: &[u64], frames: u64) {
    for pair in numbers.windows(2) {
        assert_eq!(pair[1], (pair[0] + 1) % frames, "{numbers:?}");
    }
}

/// A scene that is encoded in no time.
pub(crate) fn small() -> SceneConfig {
    SceneConfig { width: 320, height: 192, fps: 25, frames: Some(50), gop: Some(10), ..SceneConfig::default() }
}

/// One camera named `camera`, with a cache of its own.
pub(crate) fn one(camera: CameraConfig) -> (Simulator, tempfile::TempDir) {
    let cache = tempfile::tempdir().unwrap();
    let config = Config { cache: Some(cache.path().to_owned()), ..Config::on_loopback(vec![camera]) };
    (Simulator::start(&config, &Silent).unwrap(), cache)
}

pub(crate) fn one_scene(scene: SceneConfig) -> (Simulator, tempfile::TempDir) {
    one(CameraConfig::of_scene("camera", scene))
}

/// Speaks RTSP (RFC 2326) by hand, for what a well-behaved client cannot show.
pub(crate) struct RawRtsp {
    pub(crate) stream: TcpStream,
    uri: String,
    sequence: u32,
}

impl RawRtsp {
    pub(crate) fn connect(uri: &str) -> std::io::Result<Self> {
        let address = uri.strip_prefix("rtsp://").unwrap().split('/').next().unwrap();
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, uri: uri.to_owned(), sequence: 0 })
    }

    /// Sends a request without waiting for the answer.
    pub(crate) fn send(&mut self, method: &str, suffix: &str, headers: &str) -> std::io::Result<()> {
        self.sequence += 1;
        let (uri, sequence) = (&self.uri, self.sequence);
        write!(self.stream, "{method} {uri}{suffix} RTSP/1.0\r\nCSeq: {sequence}\r\n{headers}\r\n")
    }

    /// The head of the answer.
    pub(crate) fn ask(&mut self, method: &str, suffix: &str, headers: &str) -> String {
        self.send(method, suffix, headers).unwrap();
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\n") {
            self.stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        let answer = String::from_utf8(answer).unwrap();
        let length =
            answer.lines().find_map(|line| line.strip_prefix("Content-Length: ")).map_or(0, |n| n.parse().unwrap());
        self.stream.read_exact(&mut vec![0; length]).unwrap();
        answer
    }
}
