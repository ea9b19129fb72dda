//! nvurisrcbin on simulated cameras.

use std::{
    thread,
    time::{Duration, Instant},
};

use camera_simulator::{CameraConfig, Config, Fault, SceneConfig, Silent, Simulator};

use crate::scene::{Scene, Told, temporary};

fn camera() -> Simulator {
    let camera = CameraConfig {
        name: "camera".to_owned(),
        port: 0,
        path: None,
        scene: Some(SceneConfig { seed: 7, frames: Some(30), ..SceneConfig::default() }),
        file: None,
        login: None,
    };
    let config = Config {
        address: [127, 0, 0, 1].into(),
        control: ([127, 0, 0, 1], 0).into(),
        cache: Some(temporary().join("cache")),
        cameras: vec![camera],
    };
    Simulator::start(&config, &Silent).unwrap()
}

/// A camera that is silent for some seconds in the middle.
fn play_with_a_pause(properties: &str) -> Told {
    let cameras = camera();
    let description = format!(
        "nvstreammux name=mux batch-size=1 width=640 height=360 live-source=true batched-push-timeout=40000 \
         ! fakesink name=sink async=false sync=false nvurisrcbin select-rtp-protocol=4 uri={} {properties} ! mux.sink_0",
        cameras.uri("camera").unwrap()
    );
    thread::scope(|scope| {
        scope.spawn(|| {
            let deadline = Instant::now() + Duration::from_mins(1);
            while cameras.sent("camera", 30).unwrap().len() < 20 && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(20));
            }
            cameras.misbehave("camera", Fault::Stall).unwrap();
            thread::sleep(Duration::from_secs(6));
            cameras.heal("camera").unwrap();
        });
        Scene::new("9.1", "camera", &[&description, "40000"]).env("GST_DEBUG", "nvurisrcbin:4").play()
    })
}

#[test]
fn a_camera_streams_and_is_not_asked_again_by_default() {
    let told = play_with_a_pause("");
    assert_eq!(told.all("streams").len(), 1, "{told:?}");
    assert!(!told.errors.contains("begins anew"), "{}", told.errors);
}

#[test]
fn a_silent_camera_is_asked_again_where_a_main_loop_runs_and_the_interval_was_set() {
    let told = play_with_a_pause("rtsp-reconnect-interval=2");
    assert_eq!(told.all("resumed").len(), 1, "{told:?}");
    assert!(told.errors.contains("begins anew"), "{}", told.errors);
}
