//! Each fault as a client sees it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    io::Read,
    time::{Duration, Instant},
};

use camera_simulator::{CameraConfig, Codec, Fault, Login, LoginMethod, SceneConfig, Simulator};
use common::{Client, Options, PATIENCE, RawRtsp, assert_in_order, one, one_scene, small};

fn healed_camera_serves_again(simulator: &Simulator, uri: &str) {
    simulator.heal("camera").unwrap();
    let info = simulator.info("camera").unwrap();
    assert_eq!((info.state.as_str(), info.uri.as_str()), ("Serving", uri), "the same port as before");
    assert_in_order(&Client::connect(uri, &Options::default()).numbers(5), 50);
}

/// Frames that are under way may still come; then there are none for a while.
fn falls_silent(client: &Client) {
    let deadline = Instant::now() + PATIENCE;
    while client.next_within(Duration::from_secs(1)).is_some() {
        assert!(Instant::now() < deadline, "frames go on coming");
    }
}

#[test]
fn a_dead_camera_cuts_its_clients_and_listens_no_more() {
    let (simulator, _cache) = one_scene(small());
    let uri = simulator.uri("camera").unwrap();
    let client = Client::connect(&uri, &Options::default());
    client.numbers(3);
    simulator.misbehave("camera", Fault::Die).unwrap();
    client.wait_for_end();
    assert_eq!(RawRtsp::connect(&uri).err().unwrap().kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(simulator.info("camera").unwrap().state, "Die");
    healed_camera_serves_again(&simulator, &uri);
}

#[test]
fn a_stalled_camera_keeps_its_sockets_and_goes_on_with_the_present_moment() {
    let (simulator, _cache) = one_scene(small());
    let uri = simulator.uri("camera").unwrap();
    let client = Client::connect(&uri, &Options::default());
    client.numbers(3);
    simulator.misbehave("camera", Fault::Stall).unwrap();
    falls_silent(&client);
    assert!(RawRtsp::connect(&uri).unwrap().ask("OPTIONS", "", "").starts_with("RTSP/1.0 200"), "it still answers");
    let before = simulator.sent("camera", 1).unwrap()[0];
    simulator.heal("camera").unwrap();
    let numbers = client.numbers(20);
    assert_eq!(numbers[0] % 10, 0, "it begins at a key frame");
    assert_in_order(&numbers, 50);
    let after =
        simulator.sent("camera", 1000).unwrap().into_iter().find(|sent| sent.sequence > before.sequence).unwrap();
    let passed = (after.repetition * 50 + u64::from(after.frame)) - (before.repetition * 50 + u64::from(before.frame));
    assert!(passed >= 20, "the scene went on during the stall, by {passed} frames");
}

#[test]
fn a_refusing_camera_serves_those_who_are_connected() {
    let (simulator, _cache) = one_scene(small());
    let uri = simulator.uri("camera").unwrap();
    let client = Client::connect(&uri, &Options::default());
    client.numbers(3);
    simulator.misbehave("camera", Fault::Refuse).unwrap();
    assert_eq!(RawRtsp::connect(&uri).err().unwrap().kind(), std::io::ErrorKind::ConnectionRefused);
    client.numbers(30);
    healed_camera_serves_again(&simulator, &uri);
    client.numbers(30);
}

#[test]
fn a_silent_camera_accepts_and_never_answers() {
    let (simulator, _cache) = one_scene(small());
    let uri = simulator.uri("camera").unwrap();
    let client = Client::connect(&uri, &Options::default());
    client.numbers(3);
    simulator.misbehave("camera", Fault::Silence).unwrap();
    client.wait_for_end();
    let mut waiting = RawRtsp::connect(&uri).unwrap();
    waiting.send("OPTIONS", "", "").unwrap();
    waiting.stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert_eq!(waiting.stream.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    healed_camera_serves_again(&simulator, &uri);
    assert_eq!(waiting.stream.read(&mut [0]).unwrap_or(0), 0, "who was waiting is cut off");
}

#[test]
fn a_camera_that_demands_a_login_takes_none() {
    let login = Login { username: "u".into(), password: "p".into(), method: LoginMethod::Digest };
    for login in [None, Some(login)] {
        let (simulator, _cache) = one(CameraConfig { login, ..CameraConfig::of_scene("camera", small()) });
        let uri = simulator.uri("camera").unwrap();
        let options = Options { login: Some(("u", "p")), ..Options::default() };
        let client = Client::connect(&uri, &options);
        client.numbers(3);
        simulator.misbehave("camera", Fault::DemandLogin).unwrap();
        client.wait_for_end();
        assert!(Client::connect(&uri, &options).wait_for_end().contains("Unauthorized"));
        simulator.heal("camera").unwrap();
        assert_in_order(&Client::connect(&uri, &options).numbers(5), 50);
    }
}

#[test]
fn a_camera_that_sends_garbage_sends_no_picture_with_a_number() {
    for codec in [Codec::H264, Codec::H265] {
        let (simulator, _cache) = one_scene(SceneConfig { codec, ..small() });
        let client = Client::connect(&simulator.uri("camera").unwrap(), &Options { codec, ..Options::default() });
        client.numbers(3);
        simulator.misbehave("camera", Fault::Garbage).unwrap();
        let start = simulator.sent("camera", 1).unwrap()[0].sequence;
        let deadline = Instant::now() + PATIENCE;
        while simulator.sent("camera", 1).unwrap()[0].sequence < start + 50 {
            assert!(Instant::now() < deadline, "{codec}: nothing is sent");
            if let Some(frame) = client.next_within(Duration::from_millis(40)) {
                // Decoders show the last good picture for a while.
                assert!(frame.width == 320 && frame.height == 192);
            }
        }
        simulator.heal("camera").unwrap();
        let again = client.until("a number", |frame| frame.number.is_some_and(|number| number % 10 == 0));
        assert!(again.number.is_some());
        assert_in_order(&client.numbers(10), 50);
    }
}

#[test]
fn a_camera_changes_its_resolution_at_a_key_frame_and_back() {
    for codec in [Codec::H264, Codec::H265] {
        let (simulator, _cache) = one_scene(SceneConfig { codec, ..small() });
        let client = Client::connect(&simulator.uri("camera").unwrap(), &Options { codec, ..Options::default() });
        client.numbers(3);
        simulator.misbehave("camera", Fault::Resolution { width: 480, height: 270 }).unwrap();
        let changed = client.until("the other size", |frame| (frame.width, frame.height) == (480, 270));
        assert_eq!(changed.number.unwrap() % 10, 0);
        assert_in_order(&client.numbers(20), 50);
        assert_eq!(simulator.info("camera").unwrap().width, 480);
        simulator.heal("camera").unwrap();
        client.until("the first size", |frame| (frame.width, frame.height) == (320, 192));
        assert_in_order(&client.numbers(20), 50);
    }
}

#[test]
fn impossible_faults_are_refused_and_change_nothing() {
    let (simulator, _cache) = one_scene(small());
    let error = simulator.misbehave("camera", Fault::Resolution { width: 33, height: 20 }).unwrap_err().to_string();
    assert!(error.contains("width: 33"), "{error}");
    assert!(simulator.misbehave("nobody", Fault::Die).unwrap_err().to_string().contains("nobody"));
    assert_eq!(simulator.info("camera").unwrap().state, "Serving");
}

#[test]
fn one_fault_takes_the_place_of_another() {
    let (simulator, _cache) = one_scene(small());
    let uri = simulator.uri("camera").unwrap();
    for fault in
        [Fault::Die, Fault::Silence, Fault::Refuse, Fault::Stall, Fault::DemandLogin, Fault::Garbage, Fault::Die]
    {
        simulator.misbehave("camera", fault).unwrap();
        assert_eq!(simulator.info("camera").unwrap().state, format!("{:?}", fault.kind()));
    }
    healed_camera_serves_again(&simulator, &uri);
}
