//! Which elements there are, and what they are like, by version.

use serde_json::{Value, json};

use crate::scene::{Scene, Told, file_source};

fn inspect(version: &str, element: &str) -> Told {
    Scene::new("9.1", "inspect", &[element]).playing(version).play()
}

fn property(told: &Told, name: &str) -> Option<Value> {
    told.all("property").into_iter().find(|property| property["name"] == name).cloned()
}

#[test]
fn nvurisrcbin_is_absent_before_6_0() {
    assert_eq!(Scene::new("5.1", "inspect", &["nvurisrcbin"]).play().all("absent").len(), 1);
    assert!(Scene::new("6.0", "inspect", &["nvurisrcbin"]).play().all("absent").is_empty());
}

#[test]
fn every_element_is_shown_by_its_own_plugin() {
    for (element, plugin) in [
        ("nvstreammux", "nvdsgst_multistream"),
        ("nvinfer", "nvdsgst_infer"),
        ("nvurisrcbin", "nvdsgst_nvurisrcbin"),
        ("nvv4l2decoder", "nvvideo4linux2"),
        ("nvtracker", "nvdsgst_tracker"),
        ("nvdspreprocess", "nvdsgst_preprocess"),
        ("nvdsosd", "nvdsgst_osd"),
        ("nvvideoconvert", "nvvideoconvert"),
        ("nvjpegenc", "nvjpeg"),
    ] {
        let told = Scene::new("7.1", "inspect", &[element]).play();
        assert_eq!(*told.one("plugin"), json!(plugin));
        assert!(told.one("templates").to_string().contains("memory:NVMM"), "{element}");
    }
}

#[test]
fn properties_come_and_go_with_versions() {
    for (element, name, without, with) in [
        ("nvstreammux", "drop-pipeline-eos", "6.0", "6.2"),
        ("nvstreammux", "sync-inputs", "5.0", "5.1"),
        ("nvstreammux", "extract-sei-type5-data", "7.1", "8.0"),
        ("nvinfer", "input-tensor-meta", "5.1", "6.0"),
        ("nvinfer", "crop-objects-to-roi-boundary", "6.1", "6.2"),
        ("nvinfer", "strongly-typed", "8.0", "9.0"),
        ("nvtracker", "tracking-id-reset-mode", "5.0", "5.1"),
        ("nvtracker", "user-meta-pool-size", "6.2", "6.3"),
        ("nvtracker", "operate-on-class-ids", "9.0", "9.1"),
        ("nvdsosd", "blur-bbox", "7.1", "8.0"),
        ("nvurisrcbin", "rtsp-reconnect-attempts", "7.1", "8.0"),
        ("nvurisrcbin", "simulate-fps-interval-ms", "9.0", "9.1"),
    ] {
        assert_eq!(property(&inspect(without, element), name), None, "{element} {name} {without}");
        assert!(property(&inspect(with, element), name).is_some(), "{element} {name} {with}");
    }
}

#[test]
fn defaults_are_the_published_ones() {
    let mux = inspect("6.3", "nvstreammux");
    let default = |told: &Told, name: &str| property(told, name).unwrap()["default"].clone();
    assert_eq!(default(&mux, "batch-size"), "0");
    assert_eq!(default(&mux, "batched-push-timeout"), "-1");
    assert_eq!(default(&mux, "buffer-pool-size"), "4");
    assert_eq!(default(&mux, "attach-sys-ts"), "true");
    assert_eq!(default(&mux, "interpolation-method")["nick"], "Bilinear");
    assert_eq!(property(&mux, "nvbuf-memory-type").unwrap()["ready"], true);
    let infer = inspect("9.1", "nvinfer");
    assert_eq!(default(&infer, "unique-id"), "15");
    assert_eq!(default(&infer, "clip-object-outside-roi"), "true");
    let source = inspect("9.1", "nvurisrcbin");
    assert_eq!(default(&source, "rtsp-reconnect-interval"), "0", "reconnection is off");
    assert_eq!(default(&source, "latency"), "100");
    assert_eq!(property(&source, "rtsp-reconnect-interval").unwrap()["ready"], true);
}

#[test]
fn tcp_is_number_4_in_every_version_of_nvurisrcbin() {
    let protocol = |version| property(&inspect(version, "nvurisrcbin"), "select-rtp-protocol").unwrap();
    assert_eq!(protocol("6.2")["default"], json!({ "nick": "rtp-multi", "value": 0 }));
    assert_eq!(protocol("9.1")["default"], json!({ "nick": "rtp-multi", "value": 7 }));
    for version in ["6.2", "9.1"] {
        let description = "nvurisrcbin name=source select-rtp-protocol=4 uri=rtsp://127.0.0.1:9/ ! fakesink name=sink";
        let told = Scene::new("9.1", "launch", &[description]).playing(version).play();
        assert!(!told.error().contains("select-rtp-protocol"), "{told:?}");
    }
}

#[test]
fn a_property_that_counts_only_before_ready_is_an_error_while_playing() {
    let description = format!(
        "nvstreammux name=mux batch-size=1 width=640 height=360 ! fakesink sync=true name=sink {}",
        file_source("a", 0)
    );
    let told = Scene::new("7.1", "property", &[&description, "mux", "nvbuf-memory-type", "3"]).play();
    assert!(told.error().contains("nvbuf-memory-type of mux was set in P"), "{told:?}");
}
