//! From decoded pictures in the processor's memory to NVMM memory.

use std::sync::{
    LazyLock, Mutex, PoisonError,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use deepstream_standin::layout::color_format;
use gstreamer::{self as gst, glib, prelude::*, subclass::prelude::*};
use gstreamer_video::{self as gst_video, VideoFrameExt};

use crate::{
    nvmm,
    picture::{Format, Picture},
    runtime::{event::DROP_FRAME_INTERVAL, event_number},
};

glib::wrapper! {
    /// The element; it is only used inside others.
    pub(crate) struct Upload(ObjectSubclass<imp::Upload>) @extends gst::Element, gst::Object;
}

impl Upload {
    /// Lets every `interval`th frame through; 0 means all.
    pub(crate) fn keep_every(&self, interval: u32) {
        self.imp().interval.store(interval, Ordering::Relaxed);
    }
}

/// NVIDIA's number for 4:2:0 pictures of these colours.
fn color_of(info: &gst_video::VideoInfo) -> i32 {
    let colorimetry = info.colorimetry();
    let full = colorimetry.range() == gst_video::VideoColorRange::Range0_255;
    match (colorimetry.matrix() == gst_video::VideoColorMatrix::Bt709, full) {
        (true, false) => color_format::NV12_709,
        (true, true) => color_format::NV12_709_ER,
        (false, true) => color_format::NV12_ER,
        (false, false) => color_format::NV12,
    }
}

/// A picture of the same content as NV12.
pub(crate) fn to_nv12(frame: &gst_video::VideoFrameRef<&gst::BufferRef>) -> Option<Picture> {
    let info = frame.info();
    let (width, height) = (info.width() as usize, info.height() as usize);
    let mut picture = Picture::new(Format::Nv12, color_of(info), width, height);
    let row = |plane: u32, y: usize, length: usize| {
        let stride = *info.stride().get(plane as usize)? as usize;
        frame.plane_data(plane).ok()?.get(y * stride..y * stride + length)
    };
    let [luma, chroma] = picture.planes[..] else { return None };
    for y in 0..luma.height {
        let begin = luma.offset + y * luma.pitch;
        picture.data[begin..begin + width].copy_from_slice(row(0, y, width)?);
    }
    for y in 0..chroma.height {
        let begin = chroma.offset + y * chroma.pitch;
        let target = &mut picture.data[begin..begin + 2 * chroma.width];
        if info.format() == gst_video::VideoFormat::Nv12 {
            target.copy_from_slice(row(1, y, 2 * chroma.width)?);
        } else {
            let (cb, cr) = (row(1, y, chroma.width)?, row(2, y, chroma.width)?);
            for ((pair, cb), cr) in target.chunks_exact_mut(2).zip(cb).zip(cr) {
                pair[0] = *cb;
                pair[1] = *cr;
            }
        }
    }
    Some(picture)
}

mod imp {
    #[allow(clippy::wildcard_imports, reason = "the other half of this element")]
    use super::*;

    #[derive(Debug)]
    pub(crate) struct Upload {
        sink: gst::Pad,
        source: gst::Pad,
        info: Mutex<Option<gst_video::VideoInfo>>,
        pub(super) interval: AtomicU32,
        frames: AtomicU64,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Upload {
        const NAME: &'static str = "StandinNvmmUpload";
        type Type = super::Upload;
        type ParentType = gst::Element;

        fn with_class(class: &Self::Class) -> Self {
            let template = |name| class.pad_template(name).map(|template| gst::Pad::builder_from_template(&template));
            let sink = template("sink").unwrap_or_else(|| gst::Pad::builder(gst::PadDirection::Sink));
            let source = template("src").unwrap_or_else(|| gst::Pad::builder(gst::PadDirection::Src));
            Self {
                sink: sink
                    .name("sink")
                    .chain_function(|_, parent, buffer| {
                        Self::catch_panic_pad_function(parent, || Err(gst::FlowError::Error), |imp| imp.chain(&buffer))
                    })
                    .event_function(|pad, parent, event| {
                        Self::catch_panic_pad_function(parent, || false, |imp| imp.event(pad, event))
                    })
                    .query_function(|pad, parent, query| {
                        Self::catch_panic_pad_function(parent, || false, |imp| imp.query(pad, query))
                    })
                    .build(),
                source: source.name("src").build(),
                info: Mutex::default(),
                interval: AtomicU32::new(0),
                frames: AtomicU64::new(0),
            }
        }
    }

    impl ObjectImpl for Upload {
        fn constructed(&self) {
            self.parent_constructed();
            for pad in [&self.sink, &self.source] {
                let added = self.obj().add_pad(pad);
                debug_assert!(added.is_ok(), "a new element takes pads of two names");
            }
        }
    }

    impl GstObjectImpl for Upload {}

    impl ElementImpl for Upload {
        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let host = gst::Caps::builder("video/x-raw").field("format", gst::List::new(["I420", "NV12"])).build();
                let device =
                    gst::Caps::builder("video/x-raw").features([nvmm::FEATURE]).field("format", "NV12").build();
                [("sink", gst::PadDirection::Sink, host), ("src", gst::PadDirection::Src, device)]
                    .into_iter()
                    .filter_map(|(name, direction, caps)| {
                        gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).ok()
                    })
                    .collect()
            });
            &TEMPLATES
        }
    }

    impl Upload {
        fn event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
            match event.view() {
                gst::EventView::Caps(caps) => {
                    let Ok(info) = gst_video::VideoInfo::from_caps(caps.caps()) else { return false };
                    let device = gst::Caps::builder("video/x-raw")
                        .features([nvmm::FEATURE])
                        .field("format", "NV12")
                        .field("width", info.width() as i32)
                        .field("height", info.height() as i32)
                        .field("framerate", info.fps())
                        .field("pixel-aspect-ratio", info.par())
                        .build();
                    *self.info.lock().unwrap_or_else(PoisonError::into_inner) = Some(info);
                    self.source.push_event(gst::event::Caps::new(&device))
                }
                _ if event_number(&event) == DROP_FRAME_INTERVAL => {
                    if let Some(Ok(interval)) = event.structure().map(|s| s.get::<u32>("interval")) {
                        self.interval.store(interval, Ordering::Relaxed);
                    }
                    true
                }
                _ => gst::Pad::event_default(pad, Some(&*self.obj()), event),
            }
        }

        /// What is asked of caps is answered for the other side's memory; nobody downstream can give memory for pictures
        /// of the processor.
        fn query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
            match query.view_mut() {
                gst::QueryViewMut::Allocation(_) => false,
                gst::QueryViewMut::Caps(query) => {
                    let template = pad.pad_template_caps();
                    let caps = query.filter().map_or_else(|| template.clone(), |filter| filter.intersect(&template));
                    query.set_result(&caps);
                    true
                }
                _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
            }
        }

        fn chain(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
            let interval = u64::from(self.interval.load(Ordering::Relaxed));
            if !self.frames.fetch_add(1, Ordering::Relaxed).is_multiple_of(interval.max(1)) {
                return Ok(gst::FlowSuccess::Ok);
            }
            let info = self.info.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let info = info.ok_or(gst::FlowError::NotNegotiated)?;
            let picture = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info)
                .ok()
                .and_then(|frame| to_nv12(&frame))
                .ok_or(gst::FlowError::Error)?;
            let mut surface = nvmm::single(picture);
            if let Some(surface) = surface.get_mut() {
                // Copying time stamps to a new buffer cannot fail.
                let _ = buffer.copy_into(surface, gst::BufferCopyFlags::TIMESTAMPS | gst::BufferCopyFlags::FLAGS, ..);
            }
            self.source.push(surface)
        }
    }
}
