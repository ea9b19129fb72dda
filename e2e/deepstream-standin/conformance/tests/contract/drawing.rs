//! nvvideoconvert, nvdsosd and nvjpegenc.

use std::fs;

use serde_json::json;

use crate::scene::{FRAMES, Scene, configuration, file_source};

#[test]
fn metadata_survives_conversion_and_drawing_and_ends_in_a_picture() {
    for version in ["5.1", "7.1", "9.1"] {
        let folder = tempfile::tempdir().unwrap();
        let configuration = configuration(folder.path(), version, "");
        let pictures = folder.path().join("%02d.jpg");
        let description = format!(
            "nvstreammux name=mux batch-size=1 width=640 height=360 ! nvinfer config-file-path={configuration} \
             ! nvvideoconvert ! video/x-raw(memory:NVMM),format=RGBA,width=320,height=180 ! nvdsosd name=sink \
             ! nvvideoconvert ! video/x-raw(memory:NVMM),format=I420 ! nvjpegenc quality=90 \
             ! multifilesink location={} {}",
            pictures.display(),
            file_source("a", 0)
        );
        let told = Scene::new(version, "launch", &[&description]).play();
        let frames = told.all("frame");
        assert_eq!(frames.len(), FRAMES, "{version}: {told:?}");
        assert!(frames[0]["count"].as_u64().unwrap() > 3);
        let picture = fs::read(folder.path().join("00.jpg")).unwrap();
        assert!(picture.starts_with(&[0xff, 0xd8]) && picture.len() > 2000, "{version}");
    }
}

#[test]
fn drawing_changes_the_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = configuration(folder.path(), "7.1", "");
    let play = |name: &str, osd: &str| {
        let path = folder.path().join(name);
        let description = format!(
            "nvstreammux name=mux batch-size=1 width=640 height=360 ! nvinfer config-file-path={configuration} {osd} \
             ! nvvideoconvert ! video/x-raw,format=I420 ! filesink location={} {}",
            path.display(),
            file_source("a", 0)
        );
        let told = Scene::new("7.1", "launch", &[&description]).play();
        assert_eq!(told.all("eos").len(), 1, "{told:?}");
        let bytes = fs::read(path).unwrap();
        assert_eq!(bytes.len(), FRAMES * 640 * 360 * 3 / 2);
        bytes
    };
    let plain = play("plain", "");
    assert_eq!(plain, play("off", "! nvdsosd display-bbox=false"));
    assert_ne!(plain, play("drawn", "! nvdsosd"));
}

#[test]
fn the_processor_draws_into_rgba_only() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = configuration(folder.path(), "7.1", "");
    let description = format!(
        "nvstreammux name=mux batch-size=1 width=640 height=360 ! nvinfer config-file-path={configuration} \
         ! nvdsosd process-mode=0 ! fakesink name=sink {}",
        file_source("a", 0)
    );
    let told = Scene::new("7.1", "launch", &[&description]).play();
    assert!(told.errors.contains("process-mode 0 of nvdsosd draws into RGBA only"), "{told:?}");
    assert_eq!(*told.one("buffers"), json!(0));
}
