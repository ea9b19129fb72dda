//! RTSP and RTSPS cameras.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use gstreamer::{self as gst, prelude::*};

use super::{
    Credentials, Failure, Input, Reason, RtspProtocol, Transport,
    arrivals::Arrivals,
    classify::UNSUPPORTED_TRANSPORT,
    elements,
    pipelines::{add_linked, builder_failure},
    playback::{Problem, Shared},
    printable_uri,
    reader::{Plan, Recipe},
    rtp::Encoding,
};

/// For each answer of the server.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Reads a camera.
pub(super) struct Rtsp {
    location: String,
    /// As it may be printed.
    uri: String,
    credentials: Option<Credentials>,
    transport: Transport,
    /// With [`RtspProtocol::Auto`]: the one of this round.
    udp: bool,
    /// When the server described a video stream.
    offers_video: Arc<OnceLock<Instant>>,
}

impl Rtsp {
    pub(super) fn new(input: &Input) -> Self {
        Self {
            location: input.uri.to_string(),
            uri: printable_uri(&input.uri),
            credentials: input.credentials.clone(),
            udp: input.transport.protocol == RtspProtocol::Udp,
            transport: input.transport.clone(),
            offers_video: Arc::default(),
        }
    }

    fn may_try_udp(&self) -> bool {
        self.transport.protocol == RtspProtocol::Auto && !self.udp
    }

    fn source(&self) -> Result<gst::Element, Failure> {
        let source = elements::RTSPSRC.make()?;
        let micros = u64::try_from(TIMEOUT.as_micros()).unwrap_or(u64::MAX);
        source.set_property("location", &self.location);
        source.set_property_from_str("protocols", if self.udp { "udp" } else { "tcp" });
        source.set_property("latency", u32::try_from(self.transport.latency.as_millis()).unwrap_or(u32::MAX));
        source.set_property("drop-on-latency", self.transport.drop_on_latency);
        source.set_property("tcp-timeout", micros);
        // How long to wait for the first UDP packet.
        source.set_property("timeout", micros);
        if self.transport.insecure_skip_tls_verify {
            // None of GTlsCertificateFlags.
            source.set_property_from_str("tls-validation-flags", "0");
        }
        // Sender reports as reference timestamps: GStreamer 1.22 and newer.
        if source.has_property("add-reference-timestamp-meta") {
            source.set_property("add-reference-timestamp-meta", true);
        }
        if let Some(Credentials { username, password }) = &self.credentials {
            source.set_property("user-id", username);
            source.set_property("user-pw", password);
        }
        Ok(source)
    }
}

impl Recipe for Rtsp {
    fn pipeline(&mut self, sink: &gst::Element, shared: &Arc<Shared>) -> Result<Plan, Failure> {
        elements::RTPBIN.check()?;
        let source = self.source()?;
        let pipeline = gst::Pipeline::new();
        pipeline.add_many([&source, sink]).map_err(builder_failure)?;

        // Audio and metadata are not even asked for.
        let offers_video = Arc::clone(&self.offers_video);
        source.connect("select-stream", false, move |values| {
            let caps = values.get(2).and_then(|value| value.get::<gst::Caps>().ok());
            let video = caps.is_some_and(|caps| is_video(&caps));
            if video {
                offers_video.get_or_init(Instant::now);
            }
            Some(video.to_value())
        });

        let arrivals = Arrivals::default();
        let weak_pipeline = pipeline.downgrade();
        let weak_sink = sink.downgrade();
        let failures = Arc::clone(shared);
        let packets = arrivals.clone();
        source.connect_pad_added(move |_, pad| {
            let (Some(pipeline), Some(sink)) = (weak_pipeline.upgrade(), weak_sink.upgrade()) else { return };
            if sink.static_pad("sink").is_some_and(|pad| pad.is_linked()) {
                // A second video stream of the same camera; the first is read.
                return;
            }
            match receive(&pipeline, pad, &sink, failures.origin().uri.as_str()) {
                Ok(()) => packets.watch(pad),
                Err(failure) => failures.fail(failure),
            }
        });

        Ok(Plan { pipeline, arrivals: Some(arrivals) })
    }

    fn is_endless(&self) -> bool {
        true
    }

    fn fall_back(&mut self, problem: &Problem) -> bool {
        let try_udp =
            self.may_try_udp() && self.offers_video.get().is_some() && problem.status == Some(UNSUPPORTED_TRANSPORT);
        self.udp |= try_udp;
        try_udp
    }

    fn break_silence(&mut self) -> bool {
        let try_udp = self.may_try_udp() && self.offers_video.get().is_some_and(|since| since.elapsed() >= TIMEOUT);
        self.udp |= try_udp;
        try_udp
    }

    fn explain(&self, problem: Problem) -> Failure {
        match problem.status {
            // Every stream was left out: there was no video among them.
            Some(UNSUPPORTED_TRANSPORT) if self.offers_video.get().is_none() => no_video(&self.uri),
            _ => problem.failure,
        }
    }
}

fn no_video(uri: &str) -> Failure {
    Failure::new(Reason::UnsupportedCodec, format!("{uri}: the server offers no video stream"))
}

fn is_video(caps: &gst::Caps) -> bool {
    caps.structure(0).and_then(|structure| structure.get::<&str>("media").ok()) == Some("video")
}

/// Builds what turns the packets of `pad` into access units.
fn receive(pipeline: &gst::Pipeline, pad: &gst::Pad, sink: &gst::Element, uri: &str) -> Result<(), Failure> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let encoding = caps.structure(0).and_then(|structure| structure.get::<String>("encoding-name").ok());
    let encoding = encoding.unwrap_or_default();
    let Some(encoding) = Encoding::named(&encoding) else {
        return Err(Failure::new(
            Reason::UnsupportedCodec,
            format!("{uri}: the camera sends {encoding}; set it to H.264, H.265 or MJPEG"),
        ));
    };
    add_linked(pipeline, pad, &encoding.access_units()?, sink)
}
