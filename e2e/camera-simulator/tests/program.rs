//! The binary, its control port and its cache.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use camera_simulator::{CameraConfig, Codec, Config, Progress, SceneConfig, SentFrame, Silent, Simulator};
use common::{Client, Options, PATIENCE, assert_in_order, small};
use serde_json::{Value, json};

struct Program {
    child: Child,
    ready: Value,
}

impl Program {
    fn start(cache: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_camera-simulator"))
            .args(args)
            .arg("--exit-with-parent")
            .env("CAMERA_SIMULATOR_CACHE", cache)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self { child, ready: serde_json::from_str(&line).unwrap() }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.ready["control"].as_str().unwrap())
    }

    fn get(&self, path: &str) -> Value {
        serde_json::from_str(&ureq::get(self.url(path)).call().unwrap().body_mut().read_to_string().unwrap()).unwrap()
    }

    /// Status and body of a request that need not succeed.
    fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.post(self.url(path)).send(body).unwrap();
        (answer.status().as_u16(), serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap())
    }

    fn uri(&self, camera: usize) -> &str {
        self.ready["cameras"][camera]["uri"].as_str().unwrap()
    }

    fn wait_for_state(&self, state: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.get("/cameras/camera-1")["state"] != state {
            assert!(Instant::now() < deadline, "never {state}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// How long it takes to end, and whether it ends well.
    fn end(mut self, how: impl FnOnce(&mut Child)) -> (Duration, bool) {
        let start = Instant::now();
        how(&mut self.child);
        let status = self.child.wait().unwrap();
        (start.elapsed(), status.success())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already, or a test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SMALL: [&str; 8] = ["--base-port", "0", "--resolution", "320x192", "--fps", "25", "--frames", "50"];

#[test]
fn the_control_port_tells_what_was_sent_and_what_was_in_it() {
    let cache = tempfile::tempdir().unwrap();
    let program = Program::start(cache.path(), &[&["--cameras", "2"], &SMALL[..]].concat());
    assert_eq!(program.ready["ready"], true);
    let cameras = program.get("/cameras");
    assert_eq!(cameras.as_array().unwrap().len(), 2);
    assert_eq!(cameras[0]["codec"], "h264");
    assert_eq!(cameras[1]["loop"], json!({"frames": 50, "keyFrames": 2, "nonReferenceFrames": 0}));

    let client = Client::connect(program.uri(0), &Options::default());
    assert_in_order(&client.numbers(60), 50);
    let sent: Vec<SentFrame> =
        serde_json::from_value(program.get("/cameras/camera-1/sent?from=10")["frames"].clone()).unwrap();
    assert_eq!(sent[0].sequence, 10);
    let last = program.get("/sent?last=5");
    assert_eq!(last["camera-1"].as_array().unwrap().len(), 5);
    assert_eq!(last["camera-2"], json!([]), "nobody watches it");

    let follow = ureq::get(program.url("/cameras/camera-1/sent?follow=true&from=5")).call().unwrap();
    let lines = BufReader::new(follow.into_body().into_reader()).lines().take(100);
    let followed: Vec<SentFrame> = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert!(followed.iter().map(|sent| sent.sequence).eq(5..105));

    let truth = ureq::get(program.url("/cameras/camera-1/truth")).call().unwrap().body_mut().read_to_string().unwrap();
    let frames = truth.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["frame"].as_u64().unwrap());
    assert!(frames.eq(0..50));
}

#[test]
fn the_control_port_makes_cameras_misbehave_for_a_while() {
    let cache = tempfile::tempdir().unwrap();
    let program = Program::start(cache.path(), &SMALL);
    let (status, camera) = program.post("/cameras/camera-1/fault", r#"{"kind":"stall","seconds":0.2}"#);
    assert_eq!((status, &camera["state"]), (200, &json!("Stall")));
    program.wait_for_state("Serving");
    program.post("/cameras/camera-1/fault", r#"{"kind":"die","seconds":0.2}"#);
    program.wait_for_state("Serving");
    assert_in_order(&Client::connect(program.uri(0), &Options::default()).numbers(3), 50);
    let (status, camera) = program.post("/cameras/camera-1/fault", r#"{"kind":"garbage"}"#);
    assert_eq!((status, &camera["state"]), (200, &json!("Garbage")));
    let (status, camera) = program.post("/cameras/camera-1/heal", "");
    assert_eq!((status, &camera["state"]), (200, &json!("Serving")));

    for (path, body, status) in [
        ("/cameras/camera-1/fault", r#"{"kind":"explode"}"#, 400),
        ("/cameras/camera-1/fault", r#"{"kind":"resolution"}"#, 400),
        ("/cameras/camera-1/fault", r#"{"kind":"resolution","width":7,"height":7}"#, 400),
        ("/cameras/nobody/fault", r#"{"kind":"die"}"#, 404),
        ("/cameras/nobody/heal", "", 404),
        ("/nothing", "", 404),
        ("/cameras", "", 405),
    ] {
        let (got, problem) = program.post(path, body);
        assert_eq!((got, &problem["status"]), (status, &json!(status)), "{path} {body}: {problem}");
    }
}

#[test]
fn it_ends_at_once_with_its_parent_or_by_a_signal() {
    let cache = tempfile::tempdir().unwrap();
    for signal in [None, Some(rustix::process::Signal::TERM), Some(rustix::process::Signal::INT)] {
        let program = Program::start(cache.path(), &SMALL);
        let client = Client::connect(program.uri(0), &Options::default());
        client.numbers(3);
        let (took, well) = program.end(|child| match signal {
            None => drop(child.stdin.take()),
            Some(signal) => {
                let id = rustix::process::Pid::from_child(child);
                rustix::process::kill_process(id, signal).unwrap();
            }
        });
        assert!(well && took < Duration::from_secs(2), "{signal:?}: {took:?}, {well}");
    }
}

#[test]
fn cameras_come_from_a_file_and_are_written_to_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cameras.yaml");
    let yaml = "cameras:
- { name: a, scene: { width: 320, height: 192, frames: 20 } }
- { name: b, scene: { width: 320, height: 192, frames: 20, codec: h265, seed: 2 }, login: { username: u, password: p } }";
    std::fs::write(&file, yaml).unwrap();
    let file = file.to_str().unwrap();
    let program = Program::start(folder.path(), &["-f", file]);
    assert_eq!(
        (&program.ready["cameras"][1]["name"], &program.ready["cameras"][1]["login"]),
        (&json!("b"), &json!(true))
    );

    let out = folder.path().join("out");
    let written = Command::new(env!("CARGO_BIN_EXE_camera-simulator"))
        .args(["encode", "-f", file, "--container", "raw", "--out", out.to_str().unwrap()])
        .env("CAMERA_SIMULATOR_CACHE", folder.path())
        .output()
        .unwrap();
    assert!(written.status.success(), "{written:?}");
    for name in ["a.h264", "a.truth.jsonl", "b.h265", "b.truth.jsonl"] {
        assert!(out.join(name).metadata().unwrap().len() > 0, "{name}");
    }
}

#[test]
fn a_refused_configuration_says_why() {
    let refused = Command::new(env!("CARGO_BIN_EXE_camera-simulator")).args(["--fps", "1000"]).output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8(refused.stderr).unwrap().contains("camera camera-1: fps: 1000"));
}

#[test]
fn two_runs_of_the_encoder_give_the_same_bytes() {
    let scenes = [
        small(),
        SceneConfig { bframes: 2, ..small() },
        SceneConfig { quantizer: Some(30), ..small() },
        SceneConfig { codec: Codec::H265, ..small() },
        SceneConfig { codec: Codec::H265, bframes: 2, quantizer: Some(30), ..small() },
    ];
    let cameras: Vec<_> =
        scenes.into_iter().zip(0..).map(|(scene, n)| CameraConfig::of_scene(format!("camera-{n}"), scene)).collect();
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [first, second] = folders.each_ref().map(|folder| {
        let config = Config { cache: Some(folder.path().to_owned()), ..Config::on_loopback(cameras.clone()) };
        drop(Simulator::start(&config, &Silent).unwrap());
        let mut files: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap()))
            .collect();
        files.sort();
        files
    });
    assert_eq!(first.len(), 5);
    for ((name, first), (other, second)) in first.iter().zip(&second) {
        assert_eq!(name, other);
        let differs = first.iter().zip(second).position(|(first, second)| first != second);
        assert_eq!((first.len(), differs), (second.len(), None), "{name:?} differs at this byte");
    }
}

#[derive(Default)]
struct Counted(AtomicU64);

impl Progress for Counted {
    fn encoded(&self, _frames: u64, _total: u64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn what_was_encoded_once_is_not_encoded_again_unless_it_is_damaged() {
    let cache = tempfile::tempdir().unwrap();
    let camera = |name: &str, seed| CameraConfig::of_scene(name, SceneConfig { seed, ..small() });
    let cameras = vec![camera("a", 1), camera("b", 2), camera("same-as-a", 1)];
    let config = Config { cache: Some(cache.path().to_owned()), ..Config::on_loopback(cameras) };
    let encoded = || {
        let counted = Counted::default();
        drop(Simulator::start(&config, &counted).unwrap());
        counted.0.into_inner()
    };
    assert_eq!(encoded(), 100, "the same scene is encoded once");
    assert_eq!(encoded(), 0);
    let file = std::fs::read_dir(cache.path()).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&file, &std::fs::read(&file).unwrap()[..1000]).unwrap();
    assert_eq!(encoded(), 50, "the damaged one only");
    assert_eq!(encoded(), 0);
}
