//! Webcams and capture cards: `v4l2:///dev/video0`.

use std::{fs, io, os::unix::fs::FileTypeExt as _, sync::Arc};

use crds::{Capture, CaptureFormat};
use gstreamer::{self as gst, prelude::*};
use url::Url;

use super::{
    Failure, Input, Reason, elements,
    pipelines::builder_failure,
    playback::{Problem, Shared},
    printable_uri,
    reader::{Plan, Recipe},
};

/// Reads a device.
pub(super) struct Device {
    /// As it may be printed.
    uri: String,
    path: String,
    capture: Capture,
}

impl Device {
    pub(super) fn new(input: &Input) -> Result<Self, Failure> {
        let uri = printable_uri(&input.uri);
        let path = path(&input.uri)?;
        Ok(Self { uri, path, capture: input.capture.unwrap_or_default() })
    }

    /// Says what is wrong with the device before GStreamer says it less well.
    fn check(&self) -> Result<(), Failure> {
        let Self { uri, path, .. } = self;
        let failed = |error: &io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Failure::new(
                Reason::NotFound,
                format!(
                    "{uri}: there is no device {path}; see what there is with `v4l2-ctl --list-devices`, and give a \
                     container the device (docker run --device)"
                ),
            ),
            io::ErrorKind::PermissionDenied => Failure::new(
                Reason::PermissionDenied,
                format!("{uri}: this process may not open {path}; add its user to the group video"),
            ),
            io::ErrorKind::ResourceBusy => in_use(uri),
            _ => Failure::new(Reason::PipelineFailed, format!("{uri}: {path} cannot be opened: {error}")),
        };
        let metadata = fs::metadata(path).map_err(|error| failed(&error))?;
        if !metadata.file_type().is_char_device() {
            return Err(Failure::new(Reason::NotFound, format!("{uri}: {path} is not a device")));
        }
        fs::File::open(path).map(drop).map_err(|error| failed(&error))
    }
}

impl Recipe for Device {
    fn pipeline(&mut self, sink: &gst::Element, _: &Arc<Shared>) -> Result<Plan, Failure> {
        self.check()?;
        pipeline(&self.path, &self.capture, sink)
    }

    fn is_endless(&self) -> bool {
        true
    }

    fn explain(&self, problem: Problem) -> Failure {
        let Self { uri, .. } = self;
        match problem.failure.reason {
            Reason::UnsupportedCodec => Failure::new(
                Reason::UnsupportedCodec,
                format!(
                    "{uri}: the device does not offer the size, rate or format of spec.capture; see what it offers with \
                     `v4l2-ctl -d {} --list-formats-ext`",
                    self.path
                ),
            ),
            _ if problem.failure.message.to_lowercase().contains("busy") => in_use(uri),
            _ => problem.failure,
        }
    }
}

fn in_use(uri: &str) -> Failure {
    Failure::new(Reason::PermissionDenied, format!("{uri}: another program uses the device; end that first"))
}

/// The device that a `v4l2:` URI names.
fn path(uri: &Url) -> Result<String, Failure> {
    let named = uri.host_str().is_none_or(str::is_empty).then(|| uri.path()).filter(|path| path.len() > 1);
    named.map(str::to_owned).ok_or_else(|| {
        let message = format!("{}: names no device; write v4l2:///dev/video0", printable_uri(uri));
        Failure::new(Reason::NotFound, message)
    })
}

fn pipeline(path: &str, capture: &Capture, sink: &gst::Element) -> Result<Plan, Failure> {
    let source = elements::V4L2SRC.make()?;
    source.set_property("device", path);
    let filter = elements::CAPSFILTER.make()?;
    filter.set_property("caps", caps(capture));
    let pipeline = gst::Pipeline::new();
    pipeline.add_many([&source, &filter, sink]).map_err(builder_failure)?;
    gst::Element::link_many([&source, &filter, sink]).map_err(builder_failure)?;
    Ok(Plan { pipeline, arrivals: None })
}

/// What the device is asked for, what is preferred first.
fn caps(capture: &Capture) -> gst::Caps {
    let media_types: &[&str] = match capture.format {
        CaptureFormat::Auto => &["video/x-raw", "image/jpeg"],
        CaptureFormat::Raw => &["video/x-raw"],
        CaptureFormat::Mjpeg => &["image/jpeg"],
    };
    let structures = media_types.iter().map(|media_type| {
        let mut structure = gst::Structure::builder(*media_type);
        if let (Some(width), Some(height)) = (capture.width, capture.height) {
            structure = structure.field("width", width).field("height", height);
        }
        if let Some(fps) = capture.fps {
            structure = structure.field("framerate", gst::Fraction::new(fps, 1));
        }
        structure.build()
    });
    structures.collect()
}

#[cfg(test)]
mod tests {
    //! There is no device here, and the kernel that the tests usually run on has neither `vivid` nor `v4l2loopback`, which
    //! could stand in for one: what is tested is what is built and asked for, and what is said where it is not there.
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn capture(width: Option<i32>, fps: Option<i32>, format: CaptureFormat) -> Capture {
        Capture { width, height: width.map(|width| width * 3 / 4), fps, format }
    }

    #[test]
    fn the_device_is_asked_for_what_the_spec_says() {
        gst::init().unwrap();
        for (asked, expected) in [
            (capture(None, None, CaptureFormat::Auto), "video/x-raw; image/jpeg"),
            (
                capture(Some(640), Some(30), CaptureFormat::Mjpeg),
                "image/jpeg, width=(int)640, height=(int)480, framerate=(fraction)30/1",
            ),
            (capture(Some(1280), None, CaptureFormat::Raw), "video/x-raw, width=(int)1280, height=(int)960"),
        ] {
            assert_eq!(caps(&asked).to_string(), expected);
        }
    }

    #[test]
    fn the_pipeline_reads_the_device_that_the_uri_names() {
        gst::init().unwrap();
        let path = path(&Url::parse("v4l2:///dev/v4l/by-id/usb-camera@1-video-index0").unwrap()).unwrap();
        let sink = elements::APPSINK.make().unwrap();
        let plan = pipeline(&path, &capture(Some(640), Some(15), CaptureFormat::Raw), &sink).unwrap();
        let elements: Vec<gst::Element> = plan.pipeline.iterate_sorted().into_iter().flatten().collect();
        let names: Vec<String> =
            elements.iter().rev().map(|element| element.factory().unwrap().name().to_string()).collect();
        assert_eq!(names, ["v4l2src", "capsfilter", "appsink"]);
        let source = elements.last().unwrap();
        assert_eq!(source.property::<String>("device"), "/dev/v4l/by-id/usb-camera@1-video-index0");
    }

    #[test]
    fn a_device_that_is_not_there_is_not_found() {
        for uri in ["v4l2:///dev/video63", "v4l2:///dev", "v4l2:///etc/hostname"] {
            let input = Input {
                uri: Url::parse(uri).unwrap(),
                credentials: None,
                transport: super::super::Transport::default(),
                capture: None,
                repeat: false,
            };
            let failure = Device::new(&input).unwrap().check().unwrap_err();
            assert_eq!(failure.reason, Reason::NotFound, "{failure}");
            assert!(failure.message.contains(uri), "{failure}");
        }
        let wrong = path(&Url::parse("v4l2://video0").unwrap()).unwrap_err();
        assert!(wrong.message.contains("v4l2:///dev/video0"), "{wrong}");
    }

    /// A character device that is no camera: GStreamer's own error is told with a reason of ours.
    #[test]
    fn a_device_that_is_no_camera_says_so() {
        let failure = super::super::open(
            &Input {
                uri: Url::parse("v4l2:///dev/null").unwrap(),
                credentials: None,
                transport: super::super::Transport::default(),
                capture: None,
                repeat: false,
            },
            super::super::Pacing::Live,
            &Arc::default(),
        )
        .err()
        .unwrap();
        assert_eq!(failure.reason, Reason::NotFound, "{failure}");
        assert!(failure.message.contains("/dev/null"), "{failure}");
    }
}
