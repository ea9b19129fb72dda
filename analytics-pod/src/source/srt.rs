//! MPEG-TS over SRT: `srt://host:9000`, or `srt://0.0.0.0:9000?mode=listener` for senders that call.

use std::sync::Arc;

use gstreamer::{self as gst, prelude::*};

use super::{
    Failure, Input, Pacing, Reason, container, elements,
    parameters::Parameters,
    playback::Shared,
    reader::{Plan, Recipe},
};

/// What SRT takes as a passphrase.
const PASSPHRASE_LENGTH: std::ops::RangeInclusive<usize> = 10..=79;
/// Longer identifiers do not fit into SRT's handshake.
const LONGEST_STREAM_ID: usize = 512;
/// How long packets may be asked for again where the URI does not say: SRT's own default, right for round trips up to
/// 30 ms.
const LATENCY_MS: i32 = 120;

/// Calls a sender, or waits for one to call.
pub(super) struct Srt {
    address: String,
    listener: bool,
    latency_ms: i32,
    stream_id: Option<String>,
    passphrase: Option<String>,
    /// Bytes of the key; 0 lets the sender choose.
    key_length: Option<i32>,
    pacing: Pacing,
}

impl Srt {
    pub(super) fn new(input: &Input, pacing: Pacing) -> Result<Self, Failure> {
        let parameters = Parameters::new(&input.uri, &["mode", "latency", "streamid", "pbkeylen"])?;
        let (Some(host), Some(port)) = (input.uri.host_str(), input.uri.port()) else {
            return Err(parameters.refuse("must name a host and a port, for example srt://host:9000"));
        };
        let listener = match parameters.text("mode").as_deref() {
            None | Some("caller") => false,
            Some("listener") => true,
            Some(_) => return Err(parameters.refuse("the parameter mode is neither caller nor listener")),
        };
        let stream_id = parameters.text("streamid");
        if stream_id.as_ref().is_some_and(|id| id.len() > LONGEST_STREAM_ID) {
            return Err(parameters.refuse("the parameter streamid is longer than 512 bytes"));
        }
        let key_length = parameters.number("pbkeylen", &(0..=32))?;
        if key_length.is_some_and(|length| ![0, 16, 24, 32].contains(&length)) {
            return Err(parameters.refuse("the parameter pbkeylen is none of 0, 16, 24 and 32"));
        }
        let passphrase = input.credentials.as_ref().map(|credentials| credentials.password.clone());
        if passphrase.as_ref().is_some_and(|passphrase| !PASSPHRASE_LENGTH.contains(&passphrase.len())) {
            let problem = "the password in the Secret is no passphrase for SRT, which has 10 to 79 characters";
            return Err(Failure::new(Reason::AuthenticationFailed, parameters.refuse(problem).message));
        }
        Ok(Self {
            address: format!("srt://{host}:{port}?mode={}", if listener { "listener" } else { "caller" }),
            listener,
            latency_ms: parameters.number("latency", &(0..=60_000))?.unwrap_or(LATENCY_MS),
            stream_id,
            passphrase,
            key_length,
            pacing,
        })
    }
}

impl Recipe for Srt {
    fn pipeline(&mut self, sink: &gst::Element, shared: &Arc<Shared>) -> Result<Plan, Failure> {
        let source = elements::SRTSRC.make()?;
        source.set_property("uri", &self.address);
        source.set_property_from_str("mode", if self.listener { "listener" } else { "caller" });
        source.set_property("latency", self.latency_ms);
        if let Some(stream_id) = &self.stream_id {
            source.set_property("streamid", stream_id);
        }
        if let Some(passphrase) = &self.passphrase {
            source.set_property("passphrase", passphrase);
        }
        if let Some(key_length) = self.key_length {
            source.set_property_from_str("pbkeylen", &key_length.to_string());
        }
        // The supervisor retries, and says why. Not before GStreamer 1.22, where the stream simply ends.
        for property in ["auto-reconnect", "keep-listening"] {
            if source.has_property(property) {
                source.set_property(property, false);
            }
        }
        container::pipeline(source, sink, shared, self.pacing, Box::new(|_| false))
    }

    fn is_endless(&self) -> bool {
        true
    }
}
