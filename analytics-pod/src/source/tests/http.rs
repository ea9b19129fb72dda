//! Files and streams over HTTP.

use std::{io::Write, net::TcpListener};

use super::{
    http_server::{Site, serve, serve_tls},
    rtsp_server::{closed_port, listener},
    *,
};

const H264: &str = "x264enc key-int-max=12 bframes=0 bitrate=300 ! h264parse";

#[test]
fn files_are_played_to_their_end() {
    let folder = tempfile::tempdir().unwrap();
    clip(folder.path(), "first.mp4", &format!("{H264} ! mp4mux faststart=true"));
    clip(folder.path(), "last.mp4", &format!("{H264} ! mp4mux"));
    clip(folder.path(), "a.ts", &format!("{H264} ! mpegtsmux"));
    let base = serve(Site::Folder(folder.path().to_owned()));
    for name in ["first.mp4", "last.mp4", "a.ts"] {
        let played = play(&input(&format!("{base}/{name}?token=abc")), Pacing::Lossless, &Arc::default(), usize::MAX);
        assert_eq!((played.failure.clone(), played.units.len()), (None, 48), "{name}");
        assert_eq!(decode(&played, "avdec_h264"), 48, "{name}");
    }
    let begin = Instant::now();
    let played = play(&input(&format!("{base}/first.mp4")), Pacing::Live, &Arc::default(), usize::MAX);
    assert_eq!((played.failure, played.units.len()), (None, 48));
    assert!(begin.elapsed() > Duration::from_millis(1800), "in real time: {:?}", begin.elapsed());
}

#[test]
fn a_certificate_that_nobody_signed_has_its_own_reason() {
    let folder = tempfile::tempdir().unwrap();
    clip(folder.path(), "clip.mp4", &format!("{H264} ! mp4mux faststart=true"));
    let base = serve_tls(Site::Folder(folder.path().to_owned()));
    let with = |insecure_skip_tls_verify| Input {
        transport: Transport { insecure_skip_tls_verify, ..Transport::default() },
        ..input(&format!("{base}/clip.mp4"))
    };
    let refused = play(&with(false), Pacing::Lossless, &Arc::default(), 1).failure.unwrap();
    assert_eq!(refused.reason, Reason::CertificateUntrusted, "{refused}");
    assert!(refused.message.contains("insecureSkipTLSVerify"), "{refused}");
    let played = play(&with(true), Pacing::Lossless, &Arc::default(), usize::MAX);
    assert_eq!((played.failure, played.units.len()), (None, 48));
}

#[test]
fn a_server_without_tls_is_told_from_one_that_is_not_trusted() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("https://{}/clip.mp4", server.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut connection in server.incoming().flatten() {
            // As servers without TLS answer to what is no request.
            let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        }
    });
    let refused = play(&input(&uri), Pacing::Lossless, &Arc::default(), 1).failure.unwrap();
    assert_eq!(refused.reason, Reason::HostUnreachable, "{refused}");
    assert!(refused.message.contains("not by TLS"), "{refused}");
}

#[test]
fn playlists_are_played_segment_by_segment() {
    let folder = tempfile::tempdir().unwrap();
    run(&format!(
        "videotestsrc num-buffers=96 ! video/x-raw,format=I420,width=320,height=240,framerate=24/1 ! {H264} \
         ! hlssink2 target-duration=1 playlist-length=0 max-files=100 location={0}/part%d.ts playlist-location={0}/live.m3u8",
        folder.path().display()
    ));
    let base = serve(Site::Folder(folder.path().to_owned()));
    let played = play(&input(&format!("{base}/live.m3u8")), Pacing::Lossless, &Arc::default(), usize::MAX);
    assert_eq!((played.failure.clone(), played.units.len()), (None, 96));
    assert_eq!(decode(&played, "avdec_h264"), 96);
}

#[test]
fn motion_jpeg_is_live_and_its_end_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jpg");
    run(&format!(
        "videotestsrc num-buffers=1 ! video/x-raw,width=64,height=48 ! jpegenc ! filesink location={}",
        path.display()
    ));
    let base = serve(Site::Pictures { jpeg: std::fs::read(path).unwrap(), count: 30 });
    let telemetry = Arc::new(StreamTelemetry::default());
    let played = play(&input(&format!("{base}/camera")), Pacing::Live, &telemetry, usize::MAX);
    assert!((29..=30).contains(&played.units.len()), "{} pictures", played.units.len());
    assert!(matches!(reason(&played), Some(Reason::StreamEnded | Reason::ConnectionLost)), "{:?}", played.failure);
    assert_eq!(&*telemetry.format().unwrap().codec, "JPEG");
    let timestamps: Vec<_> = played.units.iter().map(|unit| unit.buffer.pts().unwrap()).collect();
    assert!(timestamps.is_sorted() && timestamps[0] < timestamps[28], "{timestamps:?}");
}

/// An encoder that is set anew. GStreamer's parsebin plugs in no second parser in mid-stream: a live stream that changes
/// its codec gives no more frames, which the supervisor notices, and the next attempt reads the new codec.
#[test]
fn a_stream_goes_on_with_another_size_and_ends_with_another_codec() {
    let folder = tempfile::tempdir().unwrap();
    let part = |name: &str, size: &str, encoder: &str| {
        let path = folder.path().join(name);
        run(&format!(
            "videotestsrc num-buffers=24 ! video/x-raw,format=I420,{size},framerate=24/1 ! {encoder} ! mpegtsmux \
             ! filesink location={}",
            path.display()
        ));
        std::fs::read(path).unwrap()
    };
    let small = part("a.ts", "width=320,height=240", H264);
    let large = part("b.ts", "width=640,height=360", H264);
    let other = part("c.ts", "width=320,height=240", "x265enc key-int-max=12 ! h265parse");
    std::fs::write(folder.path().join("sizes.ts"), [small.clone(), large].concat()).unwrap();
    std::fs::write(folder.path().join("codecs.ts"), [small, other].concat()).unwrap();
    let base = serve(Site::Folder(folder.path().to_owned()));
    for (name, units, expected) in [("sizes.ts", 48, vec![320, 640]), ("codecs.ts", 24, vec![320])] {
        let telemetry = Arc::new(StreamTelemetry::default());
        let played = play(&input(&format!("{base}/{name}")), Pacing::Lossless, &telemetry, usize::MAX);
        assert_eq!((played.failure.clone(), played.units.len()), (None, units), "{name}");
        let width = |caps: &gst::Caps| caps.structure(0).unwrap().get::<i32>("width").unwrap();
        let mut widths: Vec<i32> = played.formats.iter().map(width).collect();
        widths.dedup();
        assert_eq!(widths, expected, "{name}");
    }
}

#[test]
fn logins() {
    let folder = tempfile::tempdir().unwrap();
    clip(folder.path(), "a.mp4", &format!("{H264} ! mp4mux"));
    let base = serve(Site::Login(folder.path().to_owned()));
    let with = |password: &str| Input {
        credentials: Some(Credentials { username: "operator".into(), password: password.into() }),
        ..input(&format!("{base}/a.mp4"))
    };
    assert_eq!(play(&with("correct horse"), Pacing::Lossless, &Arc::default(), usize::MAX).units.len(), 48);
    for wrong in [with("tr0ub4dor"), input(&format!("{base}/a.mp4"))] {
        let failure = play(&wrong, Pacing::Live, &Arc::default(), 1).failure.unwrap();
        assert_eq!(failure.reason, Reason::AuthenticationFailed, "{failure}");
        assert!(!failure.message.contains("tr0ub4dor"), "{failure}");
    }
}

#[test]
fn what_does_not_play_says_why() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("page.html"), "<html><body>no video here</body></html>").unwrap();
    let whole = clip(folder.path(), "whole.mp4", &format!("{H264} ! mp4mux"));
    let whole = std::fs::read(whole).unwrap();
    std::fs::write(folder.path().join("cut.mp4"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(folder.path().join("text.mp4"), b"this is not a video at all. ".repeat(100)).unwrap();
    let pages = serve(Site::Folder(folder.path().to_owned()));
    let forbidden = serve(Site::Status("403 Forbidden"));
    let broken = serve(Site::Status("500 Internal Server Error"));
    for (uri, expected) in [
        (format!("{pages}/missing.mp4?token=abc"), Reason::NotFound),
        (format!("{pages}/page.html"), Reason::UnsupportedCodec),
        (format!("{pages}/cut.mp4"), Reason::CorruptStream),
        (format!("{pages}/text.mp4"), Reason::CorruptStream),
        (format!("{forbidden}/a.mp4"), Reason::PermissionDenied),
        (format!("{broken}/a.mp4"), Reason::PipelineFailed),
        (format!("http://127.0.0.1:{}/a.mp4", closed_port()), Reason::HostUnreachable),
        ("http://no-such-host.invalid/a.mp4".to_owned(), Reason::HostUnreachable),
        (format!("http://{}/a.mp4", listener(None)), Reason::ConnectionLost),
    ] {
        let begin = Instant::now();
        let failure = play(&input(&uri), Pacing::Live, &Arc::default(), 1).failure.unwrap();
        eprintln!("{:?} {failure}", begin.elapsed());
        assert_eq!(failure.reason, expected, "{uri}: {failure}");
        assert!(!failure.message.contains("token"), "{failure}");
    }
}
