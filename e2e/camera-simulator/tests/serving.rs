//! What a client of a well-behaved camera sees.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use camera_simulator::{CameraConfig, Codec, Config, Container, Login, LoginMethod, SceneConfig, Silent, Simulator};
use common::{Client, Options, RawRtsp, assert_in_order, one, one_scene, small};

/// Frames arrive one after the other over the end of the loop, and each was sent before it was seen.
fn plays_in_order(scene: SceneConfig, udp: bool) {
    let (codec, frames) = (scene.codec, u64::from(scene.loop_frames()));
    let (simulator, _cache) = one_scene(scene);
    let client = Client::connect(&simulator.uri("camera").unwrap(), &Options { codec, udp, login: None });
    let seen: Vec<_> = (0..70).map(|_| client.next()).collect();
    let numbers: Vec<_> = seen.iter().map(|frame| frame.number.expect("a number")).collect();
    assert_in_order(&numbers, frames);

    let sent = simulator.sent("camera", 200).unwrap();
    for pair in sent.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence + 1);
        assert!(pair[1].sent_time >= pair[0].sent_time);
    }
    for frame in &seen {
        let latest =
            sent.iter().rev().find(|sent| Some(u64::from(sent.frame)) == frame.number && sent.sent_time <= frame.seen);
        assert!(latest.is_some(), "frame {:?} was seen but not sent", frame.number);
    }
    let repetitions = sent.last().unwrap().repetition - sent[0].repetition;
    assert!(repetitions >= 1, "{repetitions}");
}

#[test]
fn h264_over_tcp_plays_in_order() {
    plays_in_order(small(), false);
}

#[test]
fn h264_over_udp_plays_in_order() {
    plays_in_order(small(), true);
}

#[test]
fn h265_plays_in_order() {
    plays_in_order(SceneConfig { codec: Codec::H265, ..small() }, false);
}

#[test]
fn b_frames_play_in_order_and_nothing_refers_to_them() {
    for codec in [Codec::H264, Codec::H265] {
        let scene = SceneConfig { codec, bframes: 2, ..small() };
        let (simulator, _cache) = one_scene(scene.clone());
        let counts = simulator.info("camera").unwrap().counts;
        assert_eq!((counts.frames, counts.key_frames), (50, 5), "{codec}");
        assert!((25..=35).contains(&counts.non_reference_frames), "{codec}: {counts:?}");
        drop(simulator);
        plays_in_order(scene, false);
    }
}

#[test]
fn without_b_frames_every_frame_is_referred_to() {
    for codec in [Codec::H264, Codec::H265] {
        let (simulator, _cache) = one_scene(SceneConfig { codec, ..small() });
        assert_eq!(simulator.info("camera").unwrap().counts.non_reference_frames, 0, "{codec}");
    }
}

#[test]
fn a_client_of_a_camera_with_rare_key_frames_begins_at_once_and_catches_up() {
    let scene = SceneConfig { fps: 10, frames: Some(200), gop: Some(200), ..small() };
    let (simulator, _cache) = one_scene(scene);
    let uri = simulator.uri("camera").unwrap();
    let first = Client::connect(&uri, &Options::default());
    first.until("a frame far from the key frame", |frame| frame.number >= Some(20));
    let second = Client::connect(&uri, &Options::default());
    let numbers = second.numbers(30);
    assert_eq!(numbers[0], 0, "decoding begins at the key frame");
    assert_in_order(&numbers, 200);
    let now = simulator.sent("camera", 1).unwrap()[0].frame;
    assert!(numbers[29] + 10 > u64::from(now), "{} is far behind {now}", numbers[29]);
}

#[test]
fn all_clients_see_the_same_moment() {
    let (simulator, _cache) = one_scene(small());
    let uri = simulator.uri("camera").unwrap();
    let clients = [(); 3].map(|()| Client::connect(&uri, &Options::default()));
    for client in &clients {
        client.numbers(5);
    }
    assert_eq!(simulator.info("camera").unwrap().clients, 3);
    let sent = simulator.sent("camera", 1000).unwrap();
    assert!(sent.windows(2).all(|pair| pair[1].sent_time - pair[0].sent_time < 5_000_000), "one clock for all");
    drop(clients);
    let deadline = std::time::Instant::now() + common::PATIENCE;
    while simulator.info("camera").unwrap().clients > 0 {
        assert!(std::time::Instant::now() < deadline, "clients that left are still counted");
        std::thread::yield_now();
    }
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody() {
    let (simulator, _cache) = one_scene(SceneConfig { bitrate: Some(20_000), ..small() });
    let uri = simulator.uri("camera").unwrap();
    let mut stuck = RawRtsp::connect(&uri).unwrap();
    assert!(stuck.ask("DESCRIBE", "", "Accept: application/sdp\r\n").starts_with("RTSP/1.0 200"));
    let setup = stuck.ask("SETUP", "/stream=0", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n");
    assert!(setup.starts_with("RTSP/1.0 200"), "{setup}");
    let session = setup.lines().find(|line| line.starts_with("Session: ")).unwrap().split(';').next().unwrap();
    let play = stuck.ask("PLAY", "", &format!("{session}\r\n"));
    assert!(play.starts_with("RTSP/1.0 200"), "{play}");

    let client = Client::connect(&uri, &Options::default());
    assert_in_order(&client.numbers(100), 50);
}

#[test]
fn logins_are_demanded_and_passwords_checked() {
    for method in [LoginMethod::Basic, LoginMethod::Digest] {
        let login = Login { username: "operator".into(), password: "right".into(), method };
        let (simulator, _cache) = one(CameraConfig { login: Some(login), ..CameraConfig::of_scene("camera", small()) });
        let uri = simulator.uri("camera").unwrap();
        assert!(!uri.contains("right"));
        let scheme = format!("{method:?}");
        let refused = RawRtsp::connect(&uri).unwrap().ask("DESCRIBE", "", "");
        assert!(
            refused.starts_with("RTSP/1.0 401") && refused.contains(&format!("WWW-Authenticate: {scheme}")),
            "{refused}"
        );

        let right = Client::connect(&uri, &Options { login: Some(("operator", "right")), ..Options::default() });
        assert_in_order(&right.numbers(5), 50);
        for login in [None, Some(("operator", "wrong")), Some(("someone", "right"))] {
            let error = Client::connect(&uri, &Options { login, ..Options::default() }).wait_for_end();
            assert!(error.contains("Unauthorized"), "{method:?} {login:?}: {error}");
        }
    }
}

#[test]
fn another_path_is_not_found() {
    let (simulator, _cache) = one_scene(small());
    let uri = simulator.uri("camera").unwrap().replace("/camera", "/other");
    assert!(RawRtsp::connect(&uri).unwrap().ask("DESCRIBE", "", "").starts_with("RTSP/1.0 404"));
}

#[test]
fn written_files_hold_the_scene_and_play_as_cameras() {
    let folder = tempfile::tempdir().unwrap();
    for (codec, container, bframes) in [
        (Codec::H264, Container::Mp4, 0),
        (Codec::H264, Container::Mkv, 2),
        (Codec::H265, Container::Ts, 0),
        (Codec::H265, Container::Mp4, 2),
        (Codec::H264, Container::Raw, 0),
    ] {
        let scene = SceneConfig { codec, bframes, ..small() };
        let camera = CameraConfig::of_scene("written", scene);
        let config = Config { cache: Some(folder.path().join("cache")), ..Config::on_loopback(vec![camera]) };
        let files = camera_simulator::export(&config, folder.path(), container, &Silent).unwrap();
        let truth = std::fs::read_to_string(folder.path().join("written.truth.jsonl")).unwrap();
        assert_eq!(truth.lines().count(), 50);

        let camera =
            CameraConfig { scene: None, file: Some(files[0].clone()), ..CameraConfig::of_scene("camera", small()) };
        let (simulator, _cache) = one(camera);
        let info = simulator.info("camera").unwrap();
        assert_eq!((info.codec, info.width, info.height, info.counts.frames), (codec, 320, 192, 50), "{files:?}");
        assert!((info.fps - 25.0).abs() < 0.1, "{files:?}: {} fps", info.fps);
        let client = Client::connect(&simulator.uri("camera").unwrap(), &Options { codec, ..Options::default() });
        assert_in_order(&client.numbers(60), 50);
    }
}

#[test]
fn a_file_without_video_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "no video here").unwrap();
    for file in [file, folder.path().join("absent.mp4")] {
        let camera =
            CameraConfig { scene: None, file: Some(file.clone()), ..CameraConfig::of_scene("camera", small()) };
        let config = Config { cache: Some(folder.path().to_owned()), ..Config::on_loopback(vec![camera]) };
        let error = Simulator::start(&config, &Silent).unwrap_err().to_string();
        assert!(error.contains(file.to_str().unwrap()), "{error}");
    }
}

#[test]
fn a_taken_port_is_refused_by_name() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let camera = CameraConfig { port: taken.local_addr().unwrap().port(), ..CameraConfig::of_scene("camera", small()) };
    let cache = tempfile::tempdir().unwrap();
    let config = Config { cache: Some(cache.path().to_owned()), ..Config::on_loopback(vec![camera]) };
    let error = Simulator::start(&config, &Silent).unwrap_err().to_string();
    assert!(error.contains("camera camera cannot listen on 127.0.0.1:"), "{error}");
}
