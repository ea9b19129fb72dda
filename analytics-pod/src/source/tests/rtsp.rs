//! RTSP cameras.

use gstreamer_rtsp_server::gst_rtsp::RTSPAuthMethod;

use super::{
    rtsp_server::{
        Behaviour, BlackHole, PASSWORD, Server, USER, closed_port, listener, refusing, without_interleaved_packets,
    },
    *,
};
use crate::observation::CaptureClock;

const H264: &str = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=12 ! rtph264pay name=pay0 pt=96";
const H265: &str = "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=12 ! rtph265pay name=pay0 pt=96";

fn camera(uri: &str, protocol: RtspProtocol) -> Input {
    Input { transport: Transport { protocol, ..Transport::default() }, ..input(uri) }
}

#[test]
fn every_codec_over_every_transport() {
    for (payloader, codec, decoder) in [
        (H264, "H.264", "avdec_h264"),
        (H265, "H.265", "avdec_h265"),
        ("jpegenc ! rtpjpegpay name=pay0 pt=26", "JPEG", "jpegdec"),
    ] {
        let server = Server::start(payloader, Behaviour::default());
        for protocol in [RtspProtocol::Auto, RtspProtocol::Tcp, RtspProtocol::Udp] {
            let telemetry = Arc::new(StreamTelemetry::default());
            let played = play(&camera(&server.uri("camera"), protocol), Pacing::Live, &telemetry, 12);
            assert_eq!(played.failure, None, "{codec} {protocol:?}");
            assert!(played.units[0].key_frame, "{codec} {protocol:?}");
            assert_eq!(&*telemetry.format().unwrap().codec, codec);
            assert_eq!(telemetry.format().map(|format| (format.width, format.height)), Some((320, 240)));
            assert_eq!(decode(&played, decoder), 12, "{codec} {protocol:?}");
        }
    }
}

#[test]
fn auto_takes_udp_where_tcp_is_refused() {
    let server = Server::start(H264, Behaviour { udp_only: true, ..Behaviour::default() });
    // The server answers 503 where other programs take the ports that it is about to take.
    let lacks_ports =
        |played: &Played| played.failure.as_ref().is_some_and(|failure| failure.message.contains("status 503"));
    let attempts =
        (0..10).map(|_| play(&camera(&server.uri("camera"), RtspProtocol::Auto), Pacing::Live, &Arc::default(), 5));
    let played = attempts.into_iter().find(|played| !lacks_ports(played)).unwrap();
    assert_eq!((played.failure, played.units.len()), (None, 5));
    let refused = play(&camera(&server.uri("camera"), RtspProtocol::Tcp), Pacing::Live, &Arc::default(), 5);
    assert_eq!(reason(&refused), Some(Reason::Unsupported), "{refused:?}");
}

#[test]
fn auto_takes_udp_where_tcp_stays_silent() {
    let server = Server::start(H264, Behaviour::default());
    let uri = without_interleaved_packets(&server);
    let played = play(&camera(&uri, RtspProtocol::Auto), Pacing::Live, &Arc::default(), 5);
    assert_eq!((played.failure, played.units.len()), (None, 5));
}

#[test]
fn a_certificate_that_nobody_signed_is_taken_only_where_that_is_asked_for() {
    let login = Some(RTSPAuthMethod::Digest);
    let server = Server::start(H264, Behaviour { tls: true, login, ..Behaviour::default() });
    let camera = |insecure_skip_tls_verify| Input {
        credentials: Some(Credentials { username: USER.into(), password: PASSWORD.into() }),
        transport: Transport { insecure_skip_tls_verify, ..Transport::default() },
        ..input(&server.uri("camera"))
    };
    let refused = play(&camera(false), Pacing::Live, &Arc::default(), 1);
    assert_eq!(reason(&refused), Some(Reason::CertificateUntrusted), "{refused:?}");
    let message = refused.failure.unwrap().message;
    assert!(message.contains("insecureSkipTLSVerify"), "{message}");
    let played = play(&camera(true), Pacing::Live, &Arc::default(), 5);
    assert_eq!((played.failure, played.units.len()), (None, 5));
}

#[test]
fn logins_by_basic_and_digest() {
    for method in [RTSPAuthMethod::Basic, RTSPAuthMethod::Digest] {
        let server = Server::start(H264, Behaviour { login: Some(method), ..Behaviour::default() });
        let with = |password: &str| Input {
            credentials: Some(Credentials { username: USER.into(), password: password.into() }),
            ..input(&server.uri("camera"))
        };
        let played = play(&with(PASSWORD), Pacing::Live, &Arc::default(), 3);
        assert_eq!((played.failure, played.units.len()), (None, 3), "{method:?}");
        for wrong in [with("tr0ub4dor"), input(&server.uri("camera"))] {
            let failure = play(&wrong, Pacing::Live, &Arc::default(), 1).failure.unwrap();
            assert_eq!(failure.reason, Reason::AuthenticationFailed, "{failure}");
            assert!(!failure.message.contains("tr0ub4dor") && !failure.message.contains(USER), "{failure}");
        }
    }
}

#[test]
fn what_does_not_play_says_why() {
    let server = Server::start(H264, Behaviour::default());
    let silent = listener(None);
    let garbage = listener(Some("SSH-2.0-OpenSSH_9.2\r\n\r\nhello\r\n\r\n"));
    let closed = closed_port();
    let sound = Server::start_audio();
    for (uri, expected, word) in [
        (server.uri("nothing"), Reason::NotFound, "404"),
        (format!("rtsp://127.0.0.1:{closed}/camera"), Reason::HostUnreachable, "refuses the connection"),
        ("rtsp://no-such-host.invalid/camera".to_owned(), Reason::HostUnreachable, "cannot be resolved"),
        (format!("rtsp://{silent}/camera"), Reason::Timeout, "in time"),
        (format!("rtsp://{garbage}/camera"), Reason::CorruptStream, "does not speak"),
        (sound.uri("camera"), Reason::UnsupportedCodec, "no video"),
    ] {
        let begin = Instant::now();
        let failure = play(&input(&uri), Pacing::Live, &Arc::default(), 1).failure.unwrap();
        eprintln!("{:?} {failure}", begin.elapsed());
        assert_eq!(failure.reason, expected, "{uri}: {failure}");
        assert!(failure.message.contains(word), "{failure}");
    }
}

/// A camera that answers `DESCRIBE` with a status.
#[test]
fn refusals_of_the_server_have_their_reasons() {
    for (status, expected) in [
        ("453 Not Enough Bandwidth", Reason::HostUnreachable),
        ("503 Service Unavailable", Reason::HostUnreachable),
        ("454 Session Not Found", Reason::ConnectionLost),
        ("404 Not Found", Reason::NotFound),
        ("403 Forbidden", Reason::PermissionDenied),
    ] {
        let begin = Instant::now();
        let failure = play(&input(&refusing(status)), Pacing::Live, &Arc::default(), 1).failure.unwrap();
        eprintln!("{:?} {failure}", begin.elapsed());
        assert_eq!(failure.reason, expected, "{status}: {failure}");
        assert!(failure.message.contains(&status[..3]), "{failure}");
        assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    }
}

/// A listener whose queue of connections is full answers none: packets vanish, as behind a firewall that drops them.
#[test]
fn an_address_that_swallows_packets_times_out() {
    let hole = BlackHole::new();
    for scheme in ["rtsp", "http"] {
        let begin = Instant::now();
        let uri = format!("{scheme}://{}/camera", hole.address);
        let failure = play(&input(&uri), Pacing::Live, &Arc::default(), 1).failure.unwrap();
        eprintln!("{:?} {failure}", begin.elapsed());
        assert_eq!(failure.reason, Reason::Timeout, "{failure}");
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    }
}

/// Over TCP; over UDP nothing tells that the server is gone, and the supervisor sees that no frame comes.
#[test]
fn a_killed_server_is_a_lost_connection() {
    let server = Server::start(H264, Behaviour::default());
    let mut units = open(&input(&server.uri("camera")), Pacing::Live, &Arc::default()).unwrap();
    let mut seen = 0;
    let failure = loop {
        match units.next(PATIENCE) {
            Ok(Next::Unit(_)) => {
                seen += 1;
                if seen == 5 {
                    server.kill_connections();
                }
            }
            Ok(Next::Format(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(failure) => break failure,
        }
    };
    assert!(matches!(failure.reason, Reason::ConnectionLost | Reason::StreamEnded), "{failure}");
}

#[test]
fn sender_reports_give_the_cameras_time() {
    let server = Server::start(H264, Behaviour::default());
    gst::init().unwrap();
    if !elements::RTSPSRC.make().unwrap().has_property("add-reference-timestamp-meta") {
        eprintln!("skipped: GStreamer is older than 1.22");
        return;
    }
    let mut units = open(&input(&server.uri("camera")), Pacing::Live, &Arc::default()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "no sender report");
        let Next::Unit(unit) = units.next(PATIENCE).unwrap() else { continue };
        let age = jiff::Timestamp::now().duration_since(unit.captured.time);
        assert!(age.as_millis().abs() < 5000, "{:?}", unit.captured);
        if unit.captured.clock == CaptureClock::Camera {
            break;
        }
    }
}

#[test]
fn units_come_without_waiting_for_the_next() {
    let server = Server::start(H264, Behaviour::default());
    let mut units = open(&input(&server.uri("camera")), Pacing::Live, &Arc::default()).unwrap();
    let mut ages = Vec::new();
    while ages.len() < 25 {
        if let Next::Unit(unit) = units.next(PATIENCE).unwrap() {
            ages.push(jiff::Timestamp::now().duration_since(unit.captured.time).as_micros());
        }
    }
    ages.sort_unstable();
    eprintln!("first packet to reader: median {} µs, worst {} µs", ages[12], ages[24]);
    assert!(ages[12] < 30_000, "a frame interval is 40 ms, the jitter buffer 50 ms: {ages:?}");
}

#[test]
fn an_attempt_ends_at_once_whatever_it_is_waiting_for() {
    let server = Server::start(H264, Behaviour::default());
    let playing = server.uri("camera");
    for (uri, units) in [(playing, 3), (format!("rtsp://{}/camera", listener(None)), 0)] {
        let mut attempt = open(&input(&uri), Pacing::Live, &Arc::default()).unwrap();
        let mut seen = 0;
        while seen < units {
            seen += i32::from(matches!(attempt.next(PATIENCE).unwrap(), Next::Unit(_)));
        }
        let begin = Instant::now();
        drop(attempt);
        assert!(begin.elapsed() < Duration::from_secs(2), "{uri}: {:?}", begin.elapsed());
    }
}

#[test]
fn what_was_received_is_read_or_counted_as_dropped() {
    let server = Server::start(H264, Behaviour::default());
    let telemetry = Arc::new(StreamTelemetry::default());
    let mut attempt = open(&input(&server.uri("camera")), Pacing::Live, &telemetry).unwrap();
    let mut read = 0;
    while read < 10 {
        read += u64::from(matches!(attempt.next(PATIENCE).unwrap(), Next::Unit(_)));
    }
    let deadline = Instant::now() + PATIENCE;
    while telemetry.received() < 20 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    drop(attempt);
    let dropped: u64 = crate::telemetry::DropReason::ALL.iter().map(|reason| telemetry.dropped(*reason)).sum();
    assert_eq!(telemetry.received(), read + dropped);
}
