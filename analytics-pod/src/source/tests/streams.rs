//! Video that senders push here: MPEG-TS over UDP and SRT, and RTP.

use std::net::UdpSocket;

use super::*;

const PICTURES: &str =
    "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=25/1";
const H264: &str = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=12 ! h264parse config-interval=-1";
const H265: &str = "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=12 ! h265parse config-interval=-1";
const PASSPHRASE: &str = "correct horse battery";

/// A pipeline that sends until it is dropped.
struct Sender(gst::Pipeline);

impl Sender {
    fn start(encoder_and_sink: &str) -> Self {
        gst::init().unwrap();
        let pipeline = gst::parse::launch(&format!("{PICTURES} ! {encoder_and_sink}")).unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        Self(pipeline)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.set_state(gst::State::Null).unwrap();
    }
}

fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn plays(uri: &str, credentials: Option<&str>, codec: &str, decoder: &str) {
    let credentials = credentials.map(|password| Credentials { username: String::new(), password: password.into() });
    let telemetry = Arc::new(StreamTelemetry::default());
    let played = play(&Input { credentials, ..input(uri) }, Pacing::Live, &telemetry, 20);
    assert_eq!(played.failure, None, "{uri}");
    assert!(played.units[0].key_frame, "{uri}");
    let format = telemetry.format().unwrap();
    assert_eq!((&*format.codec, format.width, format.height), (codec, 320, 240), "{uri}");
    assert_eq!(decode(&played, decoder), 20, "{uri}");
}

#[test]
fn mpeg_ts_over_udp() {
    for (encoder, codec, decoder) in [(H264, "H.264", "avdec_h264"), (H265, "H.265", "avdec_h265")] {
        let port = free_port();
        let _sender = Sender::start(&format!("{encoder} ! mpegtsmux alignment=7 ! udpsink host=127.0.0.1 port={port}"));
        plays(&format!("udp://127.0.0.1:{port}"), None, codec, decoder);
        plays(&format!("udp://0.0.0.0:{port}"), None, codec, decoder);
    }
}

#[test]
fn mpeg_ts_to_a_multicast_group() {
    let port = free_port();
    let _sender = Sender::start(&format!(
        "{H264} ! mpegtsmux alignment=7 ! udpsink host=239.255.42.42 port={port} multicast-iface=lo auto-multicast=true"
    ));
    plays(&format!("udp://239.255.42.42:{port}?interface=lo"), None, "H.264", "avdec_h264");
}

#[test]
fn rtp_of_every_encoding() {
    for (payloader, query, codec, decoder) in [
        (format!("{H264} ! rtph264pay pt=96"), "encoding=H264&payload=96", "H.264", "avdec_h264"),
        (format!("{H265} ! rtph265pay pt=98"), "payload=98&encoding=H265", "H.265", "avdec_h265"),
        ("jpegenc ! rtpjpegpay pt=26".to_owned(), "encoding=JPEG", "JPEG", "jpegdec"),
    ] {
        let port = free_port();
        let _sender = Sender::start(&format!("{payloader} ! udpsink host=127.0.0.1 port={port}"));
        plays(&format!("rtp://127.0.0.1:{port}?{query}"), None, codec, decoder);
    }
}

#[test]
fn srt_in_both_directions_with_and_without_a_passphrase() {
    for passphrase in [None, Some(PASSPHRASE)] {
        let with = passphrase.map_or(String::new(), |passphrase| format!("passphrase=\"{passphrase}\""));
        let port = free_port();
        let sender = Sender::start(&format!(
            "{H264} ! mpegtsmux alignment=7 ! srtsink uri=srt://127.0.0.1:{port}?mode=listener {with} \
             wait-for-connection=false"
        ));
        plays(&format!("srt://127.0.0.1:{port}?latency=50"), passphrase, "H.264", "avdec_h264");
        drop(sender);

        let port = free_port();
        let calling = std::thread::spawn({
            let address = format!("srt://127.0.0.1:{port}?mode=caller");
            // It calls again until somebody listens.
            move || Sender::start(&format!("{H265} ! mpegtsmux alignment=7 ! srtsink uri={address} {with}"))
        });
        plays(&format!("srt://127.0.0.1:{port}?mode=listener"), passphrase, "H.265", "avdec_h265");
        drop(calling.join().unwrap());
    }
}

#[test]
fn a_sender_that_goes_away_is_noticed() {
    let port = free_port();
    let sender = Sender::start(&format!(
        "{H264} ! mpegtsmux alignment=7 ! srtsink uri=srt://127.0.0.1:{port}?mode=listener wait-for-connection=false"
    ));
    let mut units = open(&input(&format!("srt://127.0.0.1:{port}")), Pacing::Live, &Arc::default()).unwrap();
    let mut sender = Some(sender);
    let failure = loop {
        match units.next(PATIENCE) {
            Ok(Next::Unit(_)) => drop(sender.take()),
            Ok(Next::Format(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(failure) => break failure,
        }
    };
    assert!(matches!(failure.reason, Reason::ConnectionLost | Reason::StreamEnded), "{failure}");
}

#[test]
fn another_codec_in_the_same_stream_ends_the_attempt() {
    let port = free_port();
    let send = |encoder| {
        Some(Sender::start(&format!("{encoder} ! mpegtsmux alignment=7 ! udpsink host=127.0.0.1 port={port}")))
    };
    let mut sender = send(H264);
    let mut units = open(&input(&format!("udp://127.0.0.1:{port}")), Pacing::Live, &Arc::default()).unwrap();
    while !matches!(units.next(PATIENCE).unwrap(), Next::Unit(_)) {}
    drop(sender.take());
    let _sender = send(H265);
    let failure = loop {
        match units.next(PATIENCE) {
            Ok(Next::Idle) => panic!("nothing tells of the change"),
            Ok(_) => {}
            Err(failure) => break failure,
        }
    };
    assert!(matches!(failure.reason, Reason::CorruptStream | Reason::StreamEnded), "{failure}");
}

#[test]
fn what_does_not_come_says_why() {
    let port = free_port();
    let _sender = Sender::start(&format!(
        "{H264} ! mpegtsmux alignment=7 ! srtsink uri=srt://127.0.0.1:{port}?mode=listener \
         passphrase=\"{PASSPHRASE}\" wait-for-connection=false"
    ));
    let silent = free_port();
    for (uri, password, expected, word) in [
        (format!("udp://127.0.0.1:{silent}"), None, Reason::NoFrames, "no packet"),
        (format!("rtp://127.0.0.1:{silent}?encoding=H264"), None, Reason::NoFrames, "no packet"),
        (format!("udp://192.0.2.7:{silent}"), None, Reason::NotFound, "address"),
        (format!("srt://127.0.0.1:{silent}"), None, Reason::Timeout, "in time"),
        (format!("srt://127.0.0.1:{port}"), Some("a wrong passphrase"), Reason::AuthenticationFailed, "Secret"),
        (format!("srt://127.0.0.1:{port}"), None, Reason::AuthenticationFailed, "Secret"),
        (format!("srt://127.0.0.1:{port}"), Some("short"), Reason::AuthenticationFailed, "10 to 79"),
        (format!("srt://127.0.0.1:{port}?mode=rendezvous"), None, Reason::Unsupported, "mode"),
        (format!("srt://127.0.0.1:{port}?passphrase=hunter2hunter2"), None, Reason::Unsupported, "passphrase"),
        (format!("rtp://127.0.0.1:{silent}"), None, Reason::Unsupported, "encoding"),
        (format!("udp://127.0.0.1:{silent}?ttl=3"), None, Reason::Unsupported, "ttl"),
        ("udp://127.0.0.1".to_owned(), None, Reason::Unsupported, "port"),
    ] {
        let credentials =
            password.map(|password: &str| Credentials { username: String::new(), password: password.into() });
        let begin = Instant::now();
        let failure = play(&Input { credentials, ..input(&uri) }, Pacing::Live, &Arc::default(), 1).failure.unwrap();
        eprintln!("{:?} {failure}", begin.elapsed());
        assert_eq!(failure.reason, expected, "{uri}: {failure}");
        assert!(failure.message.contains(word) && !failure.message.contains("hunter2"), "{failure}");
        assert!(begin.elapsed() < Duration::from_secs(10), "{uri}: {:?}", begin.elapsed());
        assert!(password.is_none_or(|password| !failure.message.contains(password)), "{failure}");
    }
}
