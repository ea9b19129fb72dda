//! Real clips, where they are there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

/// The folder of clips, where there is one.
fn clips() -> Option<PathBuf> {
    let folder = std::env::var_os("VISION_TEST_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")), PathBuf::from);
    let folder = folder.join("videos");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no clips in {}", folder.display());
    None
}

/// Plays a file by way of its source room, as an attempt does.
fn play_file(
    engine: &NativeEngine,
    path: &std::path::Path,
    settings: DetectionSettings,
) -> (Vec<InferredFrame>, AttemptEnd, Arc<StreamTelemetry>) {
    let detector = FakeDetector::new(Duration::ZERO);
    let (sender, frames) = unbounded();
    let (events_sender, events) = unbounded_channel();
    let telemetry = Arc::new(StreamTelemetry::default());
    let identity = StreamIdentity { key: SourceKey::new("default", "file"), epoch: 1, session: 1 };
    let stream = Stream::new(
        Arc::new(identity),
        Pacing::Lossless,
        Arc::new(ArcSwap::from_pointee(settings)),
        Arc::new(ArcSwap::from_pointee(detector)),
        telemetry.clone(),
        sender,
        None,
    );
    let input = source::Input {
        uri: url::Url::from_file_path(path.canonicalize().unwrap()).unwrap(),
        credentials: None,
        transport: source::Transport::default(),
        capture: None,
        repeat: false,
    };
    let open = move |stream: &Stream| source::open(&input, stream.pacing, &stream.telemetry);
    let handle = engine.begin(stream, open, events_sender);
    Running { frames, events, telemetry, handle }.finish()
}

#[test]
fn real_clips_decode_to_the_last_frame() {
    let Some(clips) = clips() else { return };
    let engine = engine(2);
    for (clip, count) in [
        ("udacity_test_video.mp4", 38),
        ("derived_person_h265_768x432_10fps.mp4", 400),
        ("derived_retail_h264_1280x720_15fps.mp4", 302),
        ("cvat_video_without_valid_keyframes.mp4", 25),
    ] {
        let (frames, end, telemetry) = play_file(&engine, &clips.join(clip), DetectionSettings::default());
        assert_eq!(end, AttemptEnd::Completed, "{clip}");
        assert_eq!((frames.len(), telemetry.received(), drops(&telemetry)), (count, count as u64, 0), "{clip}");
    }
}

#[test]
fn a_real_clip_is_watched_at_a_lower_rate() {
    let Some(clips) = clips() else { return };
    let engine = engine(2);
    // 30 fps, 20.1 s, H.265 with B-frames.
    let settings = DetectionSettings { fps: Some(5.0), ..DetectionSettings::default() };
    let (frames, end, telemetry) = play_file(&engine, &clips.join("nvidia_Retail02_short.mp4"), settings);
    assert_eq!(end, AttemptEnd::Completed);
    assert!(frames.len().abs_diff(101) <= 1, "{}", frames.len());
    assert!(telemetry.dropped(DropReason::NotReferenced) > 250, "{}", telemetry.dropped(DropReason::NotReferenced));
    assert_eq!(frames.len() as u64 + drops(&telemetry), telemetry.received());
}
