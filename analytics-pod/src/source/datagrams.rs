//! Video that others send here over UDP: MPEG-TS, or one RTP stream.
//!
//! `udp://0.0.0.0:5004`, `udp://239.1.2.3:5004?interface=eth0`, `rtp://0.0.0.0:5004?encoding=H264&payload=96`. The host
//! is the address to listen on, or a multicast group to join.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use gstreamer::{self as gst, prelude::*};

use super::{
    Failure, Input, Pacing, Reason, Transport,
    arrivals::Arrivals,
    container, elements,
    parameters::Parameters,
    pipelines::builder_failure,
    playback::{Problem, Shared},
    printable_uri,
    reader::{Plan, Recipe},
    rtp,
};

/// How long no packet may come at the start: nothing else tells that nobody sends. A pause later on is the supervisor's
/// to notice.
const FIRST_PACKET_TIMEOUT: Duration = Duration::from_secs(5);
/// What the kernel keeps while this process is not scheduled: half a second of 32 Mbit/s.
const RECEIVE_BUFFER_BYTES: i32 = 2 << 20;
/// Where packets of another payload type may be on the same port (RFC 3551).
const PAYLOAD_TYPES: std::ops::RangeInclusive<i32> = 0..=127;

/// What the packets hold.
enum Content {
    MpegTs,
    Rtp { encoding: rtp::Encoding, payload: i32, clock_rate: i32, transport: Transport },
}

/// Listens on a UDP port.
pub(super) struct Datagrams {
    /// As it may be printed.
    uri: String,
    address: String,
    port: i32,
    interface: Option<String>,
    content: Content,
    pacing: Pacing,
}

fn is_multicast(address: &str) -> bool {
    address.parse::<IpAddr>().is_ok_and(|address| address.is_multicast())
}

impl Datagrams {
    pub(super) fn new(input: &Input, pacing: Pacing) -> Result<Self, Failure> {
        let is_rtp = input.uri.scheme() == "rtp";
        let known: &[&str] = if is_rtp { &["encoding", "payload", "clock-rate", "interface"] } else { &["interface"] };
        let parameters = Parameters::new(&input.uri, known)?;
        let (Some(host), Some(port)) = (input.uri.host_str(), input.uri.port()) else {
            return Err(parameters.refuse("must name an address to listen on and a port, for example 0.0.0.0:5004"));
        };
        let content = if is_rtp {
            let encoding = parameters.text("encoding").and_then(|name| rtp::Encoding::named(&name));
            let encoding = encoding.ok_or_else(|| {
                parameters.refuse("must say what the packets hold: append ?encoding=H264, H265 or JPEG")
            })?;
            let payload = parameters.number("payload", &PAYLOAD_TYPES)?.unwrap_or(encoding.usual_payload_type());
            let clock_rate = parameters.number("clock-rate", &(1..=1_000_000))?.unwrap_or(90_000);
            Content::Rtp { encoding, payload, clock_rate, transport: input.transport.clone() }
        } else {
            Content::MpegTs
        };
        Ok(Self {
            uri: printable_uri(&input.uri),
            // A host in brackets is an IPv6 address.
            address: host.trim_matches(['[', ']']).to_owned(),
            port: i32::from(port),
            interface: parameters.text("interface"),
            content,
            pacing,
        })
    }

    fn source(&self, shared: &Arc<Shared>) -> Result<gst::Element, Failure> {
        let source = elements::UDPSRC.make()?;
        source.set_property("address", &self.address);
        source.set_property("port", self.port);
        // Two on one port would each get a part of the packets; only of multicasts all get everything.
        source.set_property("reuse", is_multicast(&self.address));
        source.set_property("buffer-size", RECEIVE_BUFFER_BYTES);
        source.set_property("timeout", u64::try_from(FIRST_PACKET_TIMEOUT.as_nanos()).unwrap_or(u64::MAX));
        if let Some(interface) = &self.interface {
            source.set_property("multicast-iface", interface);
        }
        let pad = source.static_pad("src").ok_or_else(|| builder_failure("udpsrc has no pad"))?;
        let heard = Arc::new(AtomicBool::new(false));
        pad.add_probe(gst::PadProbeType::BUFFER, {
            let heard = Arc::clone(&heard);
            move |_, _| {
                heard.store(true, Relaxed);
                gst::PadProbeReturn::Remove
            }
        });
        shared.on_silence(Box::new({
            let nothing_comes = Failure::new(
                Reason::NoFrames,
                format!(
                    "{}: no packet has come for {} s; check that the sender sends to this machine and port, and the \
                     firewall",
                    self.uri,
                    FIRST_PACKET_TIMEOUT.as_secs()
                ),
            );
            move || (!heard.load(Relaxed)).then(|| nothing_comes.clone())
        }));
        Ok(source)
    }
}

impl Recipe for Datagrams {
    fn pipeline(&mut self, sink: &gst::Element, shared: &Arc<Shared>) -> Result<Plan, Failure> {
        let source = self.source(shared)?;
        match &self.content {
            Content::MpegTs => {
                // A datagram is too short to recognise its content by.
                let caps = gst::Caps::builder("video/mpegts").field("systemstream", true).build();
                source.set_property("caps", caps);
                container::pipeline(source, sink, shared, self.pacing, Box::new(|_| false))
            }
            Content::Rtp { encoding, payload, clock_rate, transport } => {
                let caps = gst::Caps::builder("application/x-rtp")
                    .field("media", "video")
                    .field("clock-rate", *clock_rate)
                    .field("encoding-name", encoding.name())
                    .field("payload", *payload)
                    .build();
                source.set_property("caps", caps);
                let buffer = elements::RTPJITTERBUFFER.make()?;
                buffer.set_property("latency", u32::try_from(transport.latency.as_millis()).unwrap_or(u32::MAX));
                buffer.set_property("drop-on-latency", transport.drop_on_latency);
                let mut chain = vec![source, buffer];
                chain.extend(encoding.access_units()?);
                let pipeline = gst::Pipeline::new();
                pipeline.add_many(chain.iter().chain([sink])).map_err(builder_failure)?;
                gst::Element::link_many(chain.iter().chain([sink])).map_err(builder_failure)?;
                let arrivals = Arrivals::default();
                if let Some(pad) = chain[1].static_pad("src") {
                    arrivals.watch(&pad);
                }
                Ok(Plan { pipeline, arrivals: Some(arrivals) })
            }
        }
    }

    fn is_endless(&self) -> bool {
        true
    }

    fn explain(&self, problem: Problem) -> Failure {
        problem.failure
    }
}
