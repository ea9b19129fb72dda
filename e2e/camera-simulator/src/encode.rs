//! Renders a street scene and encodes it.

use gstreamer::{self as gst, prelude::*};
use gstreamer_app::{AppSink, AppSrc, AppSrcCallbacks};
use gstreamer_video::{self as gst_video, VideoFrameExt};
use street_scenes::{Picture, Scene, barcode};

use crate::{
    clip::{Clip, Encoded, Format, FrameRate},
    config::{Codec, Rate, SceneConfig},
    elements::{self, ElementError},
    nal,
};

/// The longest an encoder may take for one frame.
const FRAME_TIMEOUT: gst::ClockTime = gst::ClockTime::from_seconds(30);

/// Why there is no encoded video.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// An element is missing or does not fit.
    #[error(transparent)]
    Element(#[from] ElementError),
    /// The scene cannot be drawn.
    #[error(transparent)]
    Scene(#[from] street_scenes::SettingsError),
    /// The pipeline broke.
    #[error("{element} failed: {message}")]
    Pipeline {
        /// The element that reported the error.
        element: String,
        /// What it said.
        message: String,
    },
    /// The pipeline delivers nothing any more.
    #[error("nothing came out of the pipeline for {}", FRAME_TIMEOUT)]
    Stuck,
    /// The result is not what was asked for.
    #[error("{got} frames came out of {expected}, or none of them is a key frame")]
    Incomplete {
        /// Frames that came out.
        got: usize,
        /// Frames that went in.
        expected: u32,
    },
}

/// The picture of frame `n` of a scene, with its number drawn into it.
pub(crate) fn picture(scene: &Scene, n: u32, into: &mut Picture) {
    scene.render(n, into);
    barcode::draw(into, u64::from(n));
}

/// The encoder's name and the properties that make its output fit the scene's settings, always the same for the same
/// input (one thread) and with key frames nowhere but at the asked distance.
pub(crate) fn encoder(config: &SceneConfig) -> (&'static str, Vec<(&'static str, String)>) {
    let gop = config.key_distance();
    let bframes = config.bframes;
    let live = bframes == 0;
    match config.codec {
        Codec::H264 => {
            let mut properties = vec![
                ("speed-preset", "superfast".into()),
                ("threads", "1".into()),
                ("sliced-threads", "false".into()),
                ("key-int-max", gop.to_string()),
                ("bframes", bframes.to_string()),
                ("b-adapt", "false".into()),
                ("b-pyramid", "false".into()),
                ("mb-tree", "false".into()),
                ("rc-lookahead", (bframes + 1).to_string()),
                ("aud", "true".into()),
                // force-cfr keeps rate control independent of time stamps.
                ("option-string", format!("scenecut=0:min-keyint={gop}:open-gop=0:force-cfr=1")),
            ];
            if live {
                properties.push(("tune", "zerolatency".into()));
            }
            match config.rate() {
                Rate::Bitrate(kbits) => properties.push(("bitrate", kbits.to_string())),
                Rate::Quantizer(quantizer) => {
                    properties.extend([("pass", "quant".into()), ("quantizer", quantizer.to_string())]);
                }
            }
            ("x264enc", properties)
        }
        Codec::H265 => {
            let mut properties = vec![
                ("speed-preset", "superfast".into()),
                ("key-int-max", gop.to_string()),
                ("log-level", "error".into()),
                (
                    "option-string",
                    format!(
                        "pools=none:frame-threads=1:wpp=0:scenecut=0:min-keyint={gop}:open-gop=0:repeat-headers=1:\
                         bframes={bframes}:b-adapt=0:b-pyramid=0:rc-lookahead={}:aud=1:info=0",
                        bframes + 1
                    ),
                ),
            ];
            if live {
                properties.push(("tune", "zerolatency".into()));
            }
            match config.rate() {
                Rate::Bitrate(kbits) => properties.push(("bitrate", kbits.to_string())),
                Rate::Quantizer(quantizer) => properties.push(("qp", quantizer.to_string())),
            }
            ("x265enc", properties)
        }
    }
}

/// Renders and encodes the whole loop; `arrived` is called after each frame.
pub(crate) fn encode(config: &SceneConfig, arrived: impl FnMut()) -> Result<Clip, EncodeError> {
    let (name, properties) = encoder(config);
    let frames = config.loop_frames();
    let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, config.width, config.height)
        .fps(gst::Fraction::new(config.fps as i32, 1))
        .chroma_site(gst_video::VideoChromaSite::MPEG2)
        .colorimetry(&gst_video::VideoColorimetry::new(
            gst_video::VideoColorRange::Range16_235,
            gst_video::VideoColorMatrix::Bt709,
            gst_video::VideoTransferFunction::Bt709,
            gst_video::VideoColorPrimaries::Bt709,
        ))
        .build()
        .map_err(ElementError::from)?;

    let source = elements::make(
        "appsrc",
        &[("format", "time".into()), ("max-bytes", info.size().to_string()), ("block", "false".into())],
    )?;
    source.set_property("caps", info.to_caps().map_err(ElementError::from)?);
    let encoder = elements::make(name, &properties)?;
    let sink = elements::make("appsink", &[("sync", "false".into())])?;
    sink.set_property("caps", byte_stream_caps(config.codec));
    let pipeline = gst::Pipeline::new();
    pipeline.add_many([&source, &encoder, &sink]).map_err(ElementError::from)?;
    gst::Element::link_many([&source, &encoder, &sink]).map_err(ElementError::from)?;

    let scene = Scene::new(&config.settings())?;
    let mut drawn = Picture::new(config.width, config.height);
    let mut next = 0;
    let duration = gst::ClockTime::SECOND / u64::from(config.fps);
    if let Some(source) = source.downcast_ref::<AppSrc>() {
        source.set_callbacks(
            AppSrcCallbacks::builder()
                .need_data(move |source, _| {
                    // A failed push means that the pipeline is on its way down; the reason is on its bus.
                    if next == frames {
                        let _ = source.end_of_stream();
                        return;
                    }
                    picture(&scene, next, &mut drawn);
                    if let Some(mut buffer) = copy(&drawn, &info) {
                        if let Some(buffer) = buffer.get_mut() {
                            buffer.set_pts(duration * u64::from(next));
                            buffer.set_duration(duration);
                        }
                        let _ = source.push_buffer(buffer);
                    }
                    next += 1;
                })
                .build(),
        );
    }
    let (mut units, _) = collect(&pipeline, &sink, arrived)?;
    for unit in &mut units {
        // x265enc puts another set of headers before the first access unit, with bytes in it that nobody ever set.
        let start = nal::delimiter(config.codec, &unit.bytes);
        unit.bytes.drain(..start);
    }
    let got = units.len();
    let format = Format {
        codec: config.codec,
        width: config.width,
        height: config.height,
        rate: FrameRate { numerator: config.fps, denominator: 1 },
    };
    Clip::assemble(format, &units)
        .filter(|clip| clip.len() == u64::from(frames))
        .ok_or(EncodeError::Incomplete { got, expected: frames })
}

/// The form in which access units are kept and served.
pub(crate) fn byte_stream_caps(codec: Codec) -> gst::Caps {
    let media = match codec {
        Codec::H264 => "video/x-h264",
        Codec::H265 => "video/x-h265",
    };
    gst::Caps::builder(media).field("stream-format", "byte-stream").field("alignment", "au").build()
}

/// Plays a pipeline to its end and collects what arrives at its sink, and in what format; `arrived` is called
/// for each access unit.
pub(crate) fn collect(
    pipeline: &gst::Pipeline,
    sink: &gst::Element,
    mut arrived: impl FnMut(),
) -> Result<(Vec<Encoded>, Option<gst::Caps>), EncodeError> {
    let stopped = StopOnDrop(pipeline);
    // A failure to start is told by the bus, with its reason.
    let _ = pipeline.set_state(gst::State::Playing);
    let mut encoded = Vec::new();
    let mut caps = None;
    let mut waited = gst::ClockTime::ZERO;
    let step = gst::ClockTime::from_mseconds(200);
    let Some(sink) = sink.downcast_ref::<AppSink>() else { return Err(EncodeError::Stuck) };
    loop {
        if let Some(sample) = sink.try_pull_sample(step) {
            waited = gst::ClockTime::ZERO;
            caps = sample.caps_owned();
            encoded.extend(sample.buffer().and_then(access_unit));
            arrived();
            continue;
        }
        if let Some(error) = stopped.error() {
            return Err(error);
        }
        if sink.is_eos() {
            return Ok((encoded, caps));
        }
        waited += step;
        if waited >= FRAME_TIMEOUT {
            return Err(EncodeError::Stuck);
        }
    }
}

/// A pipeline that is taken down when the work with it ends, however it ends.
pub(crate) struct StopOnDrop<'a>(pub(crate) &'a gst::Pipeline);

impl StopOnDrop<'_> {
    /// The error on the pipeline's bus, if there is one.
    fn error(&self) -> Option<EncodeError> {
        self.0.bus()?.pop_filtered(&[gst::MessageType::Error]).as_ref().map(failure)
    }
}

/// What a pipeline's error message says.
pub(crate) fn failure(message: &gst::Message) -> EncodeError {
    let element = message.src().map(|source| source.name().to_string()).unwrap_or_default();
    let message = match message.view() {
        gst::MessageView::Error(error) => error.error().to_string(),
        _ => "no reason given".to_owned(),
    };
    EncodeError::Pipeline { element, message }
}

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        // Going to NULL is synchronous and does not fail.
        let _ = self.0.set_state(gst::State::Null);
    }
}

fn access_unit(buffer: &gst::BufferRef) -> Option<Encoded> {
    let bytes = buffer.map_readable().ok()?.to_vec();
    // Parsers of elementary streams leave the time out; the order of arrival is then the order of presentation.
    let presentation = buffer.pts().or(buffer.dts()).map_or(0, gst::ClockTime::nseconds);
    Some(Encoded { bytes, presentation, key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT) })
}

fn copy(picture: &Picture, info: &gst_video::VideoInfo) -> Option<gst::Buffer> {
    let buffer = gst::Buffer::with_size(info.size()).ok()?;
    let mut frame = gst_video::VideoFrame::from_buffer_writable(buffer, info).ok()?;
    let widths = [picture.width, picture.width / 2, picture.width / 2].map(|width| width as usize);
    for (index, (plane, width)) in [&picture.y, &picture.u, &picture.v].into_iter().zip(widths).enumerate() {
        let stride = frame.plane_stride()[index] as usize;
        let target = frame.plane_data_mut(index as u32).ok()?;
        for (row, line) in target.chunks_mut(stride).zip(plane.chunks(width)) {
            row[..width].copy_from_slice(line);
        }
    }
    Some(frame.into_buffer())
}
