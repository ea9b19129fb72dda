//! Simulated cameras.

use gstreamer_video::{VideoFrameExt, VideoFrameRef, VideoInfo};
use street_scenes::{Picture, Scene, Settings};

use super::*;

#[test]
fn a_clip_is_the_scene_frame_by_frame() {
    let uri = "sim://street?seed=7&width=322&height=200&fps=10&frames=12";
    let telemetry = Arc::new(StreamTelemetry::default());
    let played = play(&input(uri), Pacing::Lossless, &telemetry, usize::MAX);
    assert_eq!((played.failure.clone(), played.units.len(), played.formats.len()), (None, 12, 1));
    let info = VideoInfo::from_caps(&played.formats[0]).unwrap();
    assert_eq!(info.colorimetry(), "bt709".parse().unwrap());
    let scene = Scene::new(&Settings { seed: 7, width: 322, height: 200, fps: 10, frames: 12 }).unwrap();
    for (index, unit) in played.units.iter().enumerate() {
        let mut truth = Picture::new(322, 200);
        scene.render(index as u32, &mut truth);
        let frame = VideoFrameRef::from_buffer_ref_readable(&unit.buffer, &info).unwrap();
        let plane = |index: u32, width: usize| -> Vec<u8> {
            let stride = frame.plane_stride()[index as usize] as usize;
            let rows = frame.plane_data(index).unwrap().chunks(stride);
            rows.flat_map(|row| &row[..width]).copied().collect()
        };
        assert_eq!((plane(0, 322), plane(1, 161), plane(2, 161)), (truth.y, truth.u, truth.v));
        assert!(unit.key_frame && unit.disposable);
        assert_eq!(unit.buffer.pts().unwrap().mseconds(), index as u64 * 100);
    }
    let again = play(&input(uri), Pacing::Lossless, &telemetry, 1);
    assert_eq!(again.units[0].number, 12, "numbers go on over attempts");
}

#[test]
fn a_simulated_camera_does_not_end_and_keeps_time() {
    let begin = Instant::now();
    let played = play(&input("sim://street?width=64&height=64&fps=50"), Pacing::Live, &Arc::default(), 40);
    assert_eq!(played.units.len(), 40);
    assert!(begin.elapsed() >= Duration::from_millis(39 * 20));
    let repeated = Input { repeat: true, ..input("sim://street?width=64&height=64&fps=10&frames=5") };
    assert_eq!(play(&repeated, Pacing::Lossless, &Arc::default(), 20).units.len(), 20);
}

#[test]
fn a_wrong_scene_is_refused() {
    for wrong in
        ["sim://beach", "sim://street?seed=a", "sim://street?width=63", "sim://street?fps=0", "sim://street?x=1"]
    {
        let failure = play(&input(wrong), Pacing::Live, &Arc::default(), 1).failure.unwrap();
        assert_eq!(failure.reason, Reason::Unsupported, "{failure}");
    }
}
