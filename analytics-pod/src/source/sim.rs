//! Street scenes, drawn as they are asked for: `sim://street?seed=1&width=1280&height=720&fps=30&frames=300`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gstreamer as gst;
use gstreamer_video::{VideoFormat as Format, VideoFrameFlags, VideoMeta};
use jiff::Timestamp;
use street_scenes::{Picture, Scene, Settings};

use super::{AccessUnit, AccessUnits, Failure, Input, Next, Pacing, pacer::Pacer, parameters::Parameters};
use crate::{
    observation::Capture,
    telemetry::{StreamTelemetry, VideoFormat},
};

/// Length of a scene whose `frames` are not given, in seconds; it starts over without end.
const DEFAULT_LOOP: u32 = 60;

/// A simulated camera. Without `frames` it never ends; with them it is a clip of so many, played once or repeated.
pub(super) struct Street {
    scene: Scene,
    frames: u64,
    endless: bool,
    pacer: Pacer,
    interval: gst::ClockTime,
    caps: gst::Caps,
    told: bool,
    telemetry: Arc<StreamTelemetry>,
}

impl Street {
    pub(super) fn open(input: &Input, pacing: Pacing, telemetry: &Arc<StreamTelemetry>) -> Result<Self, Failure> {
        let parameters = Parameters::new(&input.uri, &["seed", "width", "height", "fps", "frames"])?;
        if input.uri.host_str() != Some("street") {
            return Err(parameters.refuse("is no simulated scene; there is sim://street"));
        }
        let fps = parameters.number("fps", &(1..=240))?.unwrap_or(30);
        let clip = parameters.number("frames", &(1..=u32::MAX))?;
        let settings = Settings {
            seed: parameters.number("seed", &(0..=u64::MAX))?.unwrap_or(1),
            width: parameters.pixels("width", 1280)?,
            height: parameters.pixels("height", 720)?,
            fps,
            frames: clip.unwrap_or(DEFAULT_LOOP * fps),
        };
        let scene = Scene::new(&settings).map_err(|error| parameters.refuse(&error.to_string()))?;
        let Settings { width, height, frames, .. } = settings;
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("width", width as i32)
            .field("height", height as i32)
            .field("framerate", gst::Fraction::new(fps as i32, 1))
            .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
            .field("interlace-mode", "progressive")
            .field("colorimetry", "bt709")
            .build();
        telemetry.set_format(VideoFormat { codec: "raw".into(), width, height });
        let interval = Duration::from_secs(1) / fps;
        Ok(Self {
            scene,
            frames: u64::from(frames),
            endless: clip.is_none() || input.repeat,
            pacer: Pacer::new(pacing, interval, Instant::now()),
            interval: gst::ClockTime::try_from(interval).unwrap_or_default(),
            caps,
            told: false,
            telemetry: Arc::clone(telemetry),
        })
    }

    fn draw(&self, index: u64) -> Picture {
        // Of another size than the scene, it is replaced by a copy of the backdrop: no need to paint it black first.
        let mut picture = Picture::new(0, 0);
        self.scene.render((index % self.frames) as u32, &mut picture);
        picture
    }
}

impl AccessUnits for Street {
    fn next(&mut self, timeout: Duration) -> Result<Next, Failure> {
        if !std::mem::replace(&mut self.told, true) {
            return Ok(Next::Format(self.caps.clone()));
        }
        if !self.endless && self.pacer.next_index() >= self.frames {
            return Ok(Next::Ended);
        }
        let Some(due) = self.pacer.wait(timeout, &self.telemetry) else { return Ok(Next::Idle) };
        if !self.endless && due.index >= self.frames {
            return Ok(Next::Ended);
        }
        let captured = Capture::arrival(Timestamp::now());
        let mut buffer = into_buffer(self.draw(due.index))?;
        let header = buffer.make_mut();
        header.set_pts(due.timestamp);
        header.set_duration(self.interval);
        let number = self.telemetry.count_received(buffer.size());
        Ok(Next::Unit(AccessUnit { buffer, number, captured, key_frame: true, disposable: true }))
    }
}

/// The picture's planes as they are, told of by a video meta; nothing is copied.
fn into_buffer(picture: Picture) -> Result<gst::Buffer, Failure> {
    let Picture { width, height, y, u, v } = picture;
    let offsets = [0, y.len(), y.len() + u.len()];
    let strides = [width as i32, width as i32 / 2, width as i32 / 2];
    let mut buffer = gst::Buffer::new();
    let content = buffer.make_mut();
    for plane in [y, u, v] {
        content.append_memory(gst::Memory::from_slice(plane));
    }
    VideoMeta::add_full(content, VideoFrameFlags::empty(), Format::I420, width, height, &offsets, &strides)
        .map_err(super::pipelines::builder_failure)?;
    Ok(buffer)
}
