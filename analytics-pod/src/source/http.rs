//! Streams and files over HTTP: MP4, MPEG-TS, HLS, MJPEG.

use std::sync::Arc;

use gstreamer::{self as gst, prelude::*};
use url::Url;

use super::{
    Credentials, Failure, Input, Pacing, container, elements,
    origin::extension,
    playback::Shared,
    reader::{Plan, Recipe},
};

/// Seconds for each answer of the server.
const TIMEOUT: u32 = 5;

/// Reads what an HTTP server sends.
pub(super) struct Http {
    uri: Url,
    credentials: Option<Credentials>,
    pacing: Pacing,
    insecure_skip_tls_verify: bool,
}

impl Http {
    pub(super) fn new(input: &Input, pacing: Pacing) -> Self {
        Self {
            uri: input.uri.clone(),
            credentials: input.credentials.clone(),
            pacing,
            insecure_skip_tls_verify: input.transport.insecure_skip_tls_verify,
        }
    }
}

impl Recipe for Http {
    fn pipeline(&mut self, sink: &gst::Element, shared: &Arc<Shared>) -> Result<Plan, Failure> {
        let source = elements::SOUPHTTPSRC.make()?;
        source.set_property("location", self.uri.as_str());
        source.set_property("timeout", TIMEOUT);
        // The supervisor retries, and says why.
        source.set_property("retries", 0);
        // A redirect could carry the password to another server.
        source.set_property("automatic-redirect", self.credentials.is_none());
        source.set_property("ssl-strict", !self.insecure_skip_tls_verify);
        if let Some(Credentials { username, password }) = &self.credentials {
            source.set_property("user-id", username);
            source.set_property("user-pw", password);
        }
        // A playlist's segments come as fast as they are fetched. Anything else of unknown length is live: the server
        // sets the pace, and only the server can end it.
        let playlist = extension(&self.uri) == "m3u8";
        let comes_at_once =
            move |source: &gst::Element| playlist || source.query_duration::<gst::format::Bytes>().is_some();
        container::pipeline(source, sink, shared, self.pacing, Box::new(comes_at_once))
    }

    fn is_always_busy(&self) -> bool {
        true
    }
}
