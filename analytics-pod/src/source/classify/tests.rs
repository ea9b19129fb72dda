use super::*;
use crate::source::{Credentials, Input, Transport};

fn origin(uri: &str, login: bool) -> Origin {
    Origin::new(&Input {
        #[allow(clippy::unwrap_used)]
        uri: url::Url::parse(uri).unwrap(),
        credentials: login.then(|| Credentials { username: "operator".into(), password: "hunter2".into() }),
        transport: Transport::default(),
        capture: None,
        repeat: false,
    })
}

fn report(error: glib::Error, debug: &str) -> Report {
    Report::new(error, debug, None)
}

/// What GStreamer 1.14 to 1.24 says, and what becomes of it. The texts are those of real failures.
#[test]
fn every_failure_has_a_word_and_a_remedy() {
    use gst::{CoreError, ResourceError, StreamError};
    let open = "Could not open resource for reading and writing.";
    let read = "Could not read from resource.";
    let data = "Internal data stream error.";
    let camera = "rtsp://camera.example/live?token=abc";
    let clip = "file:///media/clip.mp4";
    let reports = [
        (
            camera,
            glib::Error::new(ResourceError::NotAuthorized, "Unauthorized"),
            "gstrtspsrc.c(6752): gst_rtspsrc_send (): Unauthorized (401)",
        ),
        (camera, glib::Error::new(ResourceError::Read, read), "gstrtspsrc.c(401): Forbidden (403)"),
        (camera, glib::Error::new(ResourceError::NotFound, "Not found"), "gstrtspsrc.c(6752): Not Found (404)"),
        (camera, glib::Error::new(ResourceError::OpenReadWrite, open), "Failed to connect. (Generic error)"),
        (
            camera,
            glib::Error::new(ResourceError::OpenReadWrite, open),
            "Failed to connect. (Timeout while waiting for server response)",
        ),
        (
            camera,
            glib::Error::new(ResourceError::Read, read),
            "Could not receive message. (Timeout while waiting for server response)",
        ),
        (camera, glib::Error::new(ResourceError::Read, read), "Could not receive message. (Parse error)"),
        (
            camera,
            glib::Error::new(
                ResourceError::Read,
                "Could not receive any UDP packets for 5.0000 seconds, maybe your firewall is blocking it. No other protocols to try.",
            ),
            "",
        ),
        (
            camera,
            glib::Error::new(ResourceError::Write, "Could not write to resource."),
            "Could not send message. (Received end-of-file)",
        ),
        (
            camera,
            glib::Error::new(
                StreamError::CodecNotFound,
                "No supported stream was found. You might need to allow more transport protocols",
            ),
            "",
        ),
        (
            "rtsps://camera.example/live",
            glib::Error::new(ResourceError::OpenReadWrite, open),
            "TLS support is not available",
        ),
        ("https://host.example/a.mp4", glib::Error::new(ResourceError::OpenRead, "Unacceptable TLS certificate"), ""),
        ("https://host.example/a.mp4", glib::Error::new(ResourceError::NotFound, "Could not resolve server name."), ""),
        (clip, glib::Error::new(StreamError::TypeNotFound, "Could not determine type of stream."), ""),
        (clip, glib::Error::new(StreamError::Demux, "This file is invalid and cannot be played."), "moov atom missing"),
        (clip, glib::Error::new(StreamError::Failed, data), "streaming stopped, reason not-negotiated (-4)"),
        (clip, glib::Error::new(StreamError::Failed, data), "streaming stopped, reason error (-5)"),
        (clip, glib::Error::new(CoreError::MissingPlugin, "Your GStreamer installation is missing a plug-in."), ""),
        (
            clip,
            glib::Error::new(CoreError::Clock, "something with operator:hunter2 and rtsp://operator:hunter2@camera/"),
            "",
        ),
    ];
    let said: Vec<String> = reports
        .into_iter()
        .map(|(uri, error, debug)| classify(&report(error, debug), &origin(uri, true)).to_string())
        .collect();
    assert!(said.iter().all(|said| !said.contains("hunter2") && !said.contains("token")), "{said:#?}");
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_login_that_was_not_given_is_asked_for() {
    let error = glib::Error::new(gst::ResourceError::NotAuthorized, "Unauthorized");
    let failure = classify(&report(error, "Unauthorized (401)"), &origin("rtsp://camera.example/", false));
    assert!(failure.message.contains("asks for a login"), "{failure}");
}

#[test]
fn a_missing_plug_in_is_named() {
    let error = glib::Error::new(gst::StreamError::CodecNotFound, "no decoder");
    let report = Report { missing: Some("H.266 decoder".to_owned()), ..report(error, "") };
    let failure = classify(&report, &origin("file:///a.mp4", false));
    assert_eq!(failure.reason, Reason::MissingElement);
    assert!(failure.message.contains("H.266 decoder"), "{failure}");
}

#[test]
fn details_say_the_status() {
    if gst::init().is_err() {
        return;
    }
    let details = gst::Structure::builder("details").field("rtsp-status-code", 453_u32).build();
    let error = glib::Error::new(gst::ResourceError::Failed, "failed");
    assert_eq!(Report::new(error, "", Some(&details)).status, Some(453));
}
