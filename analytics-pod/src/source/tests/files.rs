//! Files, pictures and test patterns.

use super::*;

const H264: &str = "x264enc key-int-max=12 bframes=2 bitrate=300 ! h264parse";
const H265: &str = "x265enc key-int-max=12 bitrate=300 ! h265parse";

fn names(played: &Played) -> Vec<String> {
    played.formats.iter().map(|caps| caps.structure(0).unwrap().name().to_string()).collect()
}

#[test]
fn every_container_gives_every_access_unit_in_order() {
    let folder = tempfile::tempdir().unwrap();
    for (name, encoder, media_type, codec) in [
        ("a.mp4", format!("{H264} ! mp4mux"), "video/x-h264", "H.264"),
        ("moov first.mp4", format!("{H264} ! mp4mux faststart=true"), "video/x-h264", "H.264"),
        ("a.ts", format!("{H264} ! mpegtsmux"), "video/x-h264", "H.264"),
        ("a.mkv", format!("{H265} ! matroskamux"), "video/x-h265", "H.265"),
        ("a.h264", format!("{H264} ! video/x-h264,stream-format=byte-stream"), "video/x-h264", "H.264"),
        ("a.avi", "jpegenc ! avimux".to_owned(), "image/jpeg", "JPEG"),
        ("a.mjpeg", "jpegenc ! multipartmux boundary=frame".to_owned(), "image/jpeg", "JPEG"),
    ] {
        let path = clip(folder.path(), &name.replace(' ', "_"), &encoder);
        let telemetry = Arc::new(StreamTelemetry::default());
        let played = play(&file_input(&path), Pacing::Lossless, &telemetry, usize::MAX);
        assert_eq!(played.failure, None, "{name}");
        assert_eq!(names(&played), [media_type], "{name}");
        assert_eq!(played.units.len(), 48, "{name}");
        assert!(played.units.iter().map(|unit| unit.number).eq(0..48), "{name}");
        assert!(played.units[0].key_frame, "{name}");
        assert!(played.units.iter().all(|unit| unit.buffer.pts().is_some()), "{name}");
        let format = telemetry.format().unwrap();
        assert_eq!(&*format.codec, codec, "{name}");
        assert_eq!(telemetry.received(), 48, "{name}");
        let (key_frames, disposable) = played.units.iter().fold((0, 0), |(keys, others), unit| {
            (keys + i32::from(unit.key_frame), others + i32::from(unit.disposable))
        });
        if codec == "JPEG" {
            assert_eq!((key_frames, disposable), (48, 48), "{name}");
        } else {
            assert!((4..=8).contains(&key_frames), "{name}: {key_frames} key frames");
            assert!(disposable > 0, "{name}: x264 and x265 make B pictures that nothing refers to");
            assert_eq!((format.width, format.height), (320, 240), "{name}");
        }
        let decoder = match codec {
            "H.264" => "avdec_h264",
            "H.265" => "avdec_h265",
            _ => "jpegdec",
        };
        assert_eq!(decode(&played, decoder), 48, "{name}");
    }
}

#[test]
fn what_nothing_refers_to_can_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    for (encoder, decoder) in [(H264, "avdec_h264"), (H265, "avdec_h265")] {
        let path = clip(folder.path(), "b.mkv", &format!("{encoder} ! matroskamux"));
        let mut played = play(&file_input(&path), Pacing::Lossless, &Arc::default(), usize::MAX);
        played.units.retain(|unit| !unit.disposable);
        assert!(played.units.len() < 48);
        assert_eq!(decode(&played, decoder), played.units.len());
    }
}

#[test]
fn a_live_file_takes_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip(folder.path(), "a.mp4", &format!("{H264} ! mp4mux"));
    let begin = Instant::now();
    let telemetry = Arc::new(StreamTelemetry::default());
    let played = play(&file_input(&path), Pacing::Live, &telemetry, usize::MAX);
    assert_eq!((played.failure, played.units.len()), (None, 48));
    assert!(begin.elapsed() > Duration::from_millis(1800), "two seconds of video in {:?}", begin.elapsed());
    let captured: Vec<i64> = played.units.iter().map(|unit| unit.captured.time.as_millisecond()).collect();
    assert!(captured[47] - captured[0] > 1500, "units are captured when they are due");
}

#[test]
fn a_reader_that_sleeps_goes_on_at_a_key_frame_and_every_loss_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip(folder.path(), "a.mp4", &format!("{H264} ! mp4mux"));
    let telemetry = Arc::new(StreamTelemetry::default());
    let mut units = open(&Input { repeat: true, ..file_input(&path) }, Pacing::Live, &telemetry).unwrap();
    while telemetry.received() < 40 {
        std::thread::yield_now();
    }
    let mut numbers: Vec<u64> = Vec::new();
    while numbers.len() < 20 {
        if let Next::Unit(unit) = units.next(PATIENCE).unwrap() {
            if numbers.last().is_none_or(|last| last + 1 != unit.number) {
                assert!(unit.key_frame, "{} follows {numbers:?}", unit.number);
            }
            numbers.push(unit.number);
        }
    }
    assert_ne!(numbers[0], 0, "the oldest are gone");
    drop(units);
    let lost: u64 = crate::telemetry::DropReason::ALL.iter().map(|reason| telemetry.dropped(*reason)).sum();
    assert!(telemetry.dropped(crate::telemetry::DropReason::QueueOverflow) > 0);
    assert_eq!(telemetry.received(), lost + 20);
}

#[test]
fn a_repeated_file_has_one_timeline() {
    let folder = tempfile::tempdir().unwrap();
    for encoder in [format!("{H264} ! mp4mux"), "jpegenc ! multipartmux boundary=frame".to_owned()] {
        let path = clip(folder.path(), "a", &encoder);
        let repeated = Input { repeat: true, ..file_input(&path) };
        let played = play(&repeated, Pacing::Lossless, &Arc::default(), 144);
        assert_eq!(played.failure, None);
        assert_eq!(played.formats.len(), 1, "the format is told once");
        let mut timestamps: Vec<_> = played.units.iter().map(|unit| unit.buffer.pts().unwrap()).collect();
        timestamps.sort();
        timestamps.dedup();
        assert_eq!(timestamps.len(), 144, "no two rounds overlap");
    }
}

#[test]
fn what_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let clip = clip(folder.path(), "a.mp4", &format!("{H264} ! mp4mux"));
    let clip = std::fs::read(clip).unwrap();
    let sound = folder.path().join("sound.mkv");
    run(&format!("audiotestsrc num-buffers=20 ! vorbisenc ! matroskamux ! filesink location={}", sound.display()));
    let pictures = [("jpegenc", "whole.jpg"), ("pngenc", "whole.png")].map(|(encoder, name)| {
        let path = folder.path().join(name);
        run(&format!("videotestsrc num-buffers=1 ! {encoder} ! filesink location={}", path.display()));
        std::fs::read(path).unwrap()
    });
    for (path, expected) in [
        (file("cut.jpg", &pictures[0][..pictures[0].len() / 2]), Reason::CorruptStream),
        (file("cut.png", &pictures[1][..pictures[1].len() / 2]), Reason::CorruptStream),
        (file("header.png", &pictures[1][..20]), Reason::CorruptStream),
        (folder.path().join("missing.mp4"), Reason::NotFound),
        (folder.path().to_owned(), Reason::NotFound),
        (file("empty.mp4", b""), Reason::CorruptStream),
        (file("text.mp4", &b"this is not a video at all. ".repeat(100)), Reason::CorruptStream),
        (
            file(
                "noise.mp4",
                &(0..20_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>(),
            ),
            Reason::CorruptStream,
        ),
        (file("cut.mp4", &clip[..clip.len() / 2]), Reason::CorruptStream),
        (file("picture.jpg", b"no picture"), Reason::CorruptStream),
        (sound, Reason::UnsupportedCodec),
    ] {
        let played = play(&file_input(&path), Pacing::Lossless, &Arc::default(), usize::MAX);
        let failure = played.failure.unwrap_or_else(|| panic!("{} played", path.display()));
        assert_eq!(failure.reason, expected, "{}: {failure}", path.display());
        assert!(failure.message.contains("file:///"), "{failure}");
    }
}

#[test]
fn a_picture_is_one_access_unit_or_one_a_second() {
    let folder = tempfile::tempdir().unwrap();
    for (name, encoder, media_type) in [("a.jpg", "jpegenc", "image/jpeg"), ("a.PNG", "pngenc", "image/png")] {
        let path = folder.path().join(name);
        run(&format!(
            "videotestsrc num-buffers=1 ! video/x-raw,width=64,height=48 ! {encoder} ! filesink location={}",
            path.display()
        ));
        let telemetry = Arc::new(StreamTelemetry::default());
        let played = play(&file_input(&path), Pacing::Live, &telemetry, usize::MAX);
        assert_eq!((names(&played), played.units.len()), (vec![media_type.to_owned()], 1));
        assert_eq!(telemetry.format().map(|format| (format.width, format.height)), Some((64, 48)));
        let repeated = play(&Input { repeat: true, ..file_input(&path) }, Pacing::Lossless, &telemetry, 3);
        let timestamps: Vec<_> = repeated.units.iter().map(|unit| unit.buffer.pts().unwrap().seconds()).collect();
        assert_eq!(timestamps, [0, 1, 2]);
    }
}

#[test]
fn test_pictures_are_raw_and_in_real_time() {
    let telemetry = Arc::new(StreamTelemetry::default());
    let begin = Instant::now();
    let played =
        play(&input("test://smpte?width=320&height=200&fps=50&frames=40"), Pacing::Live, &telemetry, usize::MAX);
    assert_eq!((played.failure.clone(), played.units.len()), (None, 40));
    assert!(begin.elapsed() > Duration::from_millis(700));
    assert_eq!(names(&played), ["video/x-raw"]);
    assert!(
        played.units.iter().all(|unit| unit.key_frame && unit.disposable && unit.buffer.size() == 320 * 200 * 3 / 2)
    );
    let endless = play(&input("test://ball"), Pacing::Lossless, &telemetry, 100);
    assert_eq!(endless.units.len(), 100);
    for wrong in ["test://nothing", "test://smpte?with=3", "test://smpte?width=0", "test://smpte?width=65"] {
        assert_eq!(reason(&play(&input(wrong), Pacing::Live, &telemetry, 1)), Some(Reason::Unsupported), "{wrong}");
    }
}

#[test]
fn unknown_inputs_are_refused() {
    for (uri, word) in [
        ("whep://10.0.0.1/camera", "not built in"),
        ("gopher://10.0.0.1/", "no such kind"),
        ("rtsp://admin:secret@10.0.0.1/", "credentialsSecretRef"),
    ] {
        let failure = play(&input(uri), Pacing::Live, &Arc::default(), 1).failure.unwrap();
        assert_eq!(failure.reason, Reason::Unsupported);
        assert!(failure.message.contains(word) && !failure.message.contains("secret@"), "{failure}");
    }
}

#[test]
fn a_video_whose_container_names_no_key_frames_is_read_by_its_headers() {
    let Some(path) = shared_video("cvat_video_without_valid_keyframes.mp4") else { return };
    let telemetry = Arc::new(StreamTelemetry::default());
    let played = play(&file_input(&path), Pacing::Lossless, &telemetry, usize::MAX);
    assert_eq!((played.failure.clone(), telemetry.received()), (None, 25));
    assert_eq!(decode(&played, "avdec_h264"), 25);
}

#[test]
fn real_clips_play_to_their_end() {
    for (name, frames) in [("nvidia_Retail02_short.mp4", 603), ("udacity_test_video.mp4", 38)] {
        let Some(path) = shared_video(name) else { return };
        let played = play(&file_input(&path), Pacing::Lossless, &Arc::default(), usize::MAX);
        assert_eq!((played.failure, played.units.len()), (None, frames), "{name}");
    }
}

#[test]
fn pictures_that_others_need_first_are_dropped_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let whole = clip(folder.path(), "a.h264", &format!("{H264} ! video/x-h264,stream-format=byte-stream"));
    let whole = std::fs::read(whole).unwrap();
    // Parameter sets, then the first group of pictures without its key frame.
    let starts: Vec<usize> =
        whole.windows(3).enumerate().filter(|(_, window)| *window == [0, 0, 1]).map(|(at, _)| at).collect();
    let unit_type = |start: usize| whole[start + 3] & 0x1f;
    let key = starts.iter().position(|start| unit_type(*start) == 5).unwrap();
    let headless = folder.path().join("headless.h264");
    let bytes: Vec<u8> = whole[..starts[key]].iter().chain(&whole[starts[key + 1]..]).copied().collect();
    std::fs::write(&headless, bytes).unwrap();
    let telemetry = Arc::new(StreamTelemetry::default());
    let played = play(&file_input(&headless), Pacing::Lossless, &telemetry, usize::MAX);
    let waited = telemetry.dropped(crate::telemetry::DropReason::AwaitingKeyFrame);
    assert_eq!(played.failure, None);
    assert!(played.units[0].key_frame && waited > 0, "{waited} dropped");
    assert_eq!(played.units.len() as u64 + waited, telemetry.received());

    // Without any key frame at all there is nothing to show.
    let keys: Vec<usize> = starts.iter().copied().filter(|start| unit_type(*start) == 5).collect();
    let mut bytes = whole.clone();
    for start in keys {
        // An IDR slice becomes filler data, which is skipped.
        bytes[start + 3] = 12;
    }
    std::fs::write(&headless, bytes).unwrap();
    let failure = play(&file_input(&headless), Pacing::Lossless, &telemetry, usize::MAX).failure.unwrap();
    assert_eq!(failure.reason, Reason::CorruptStream, "{failure}");
    assert!(failure.message.contains("no key frame"), "{failure}");
}
