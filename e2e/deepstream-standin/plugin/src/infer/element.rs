//! The element.

use std::{
    collections::HashSet,
    ffi::CString,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

use deepstream_standin::{
    layout::{BatchMeta, FrameHead, NetworkInfo, memory_type},
    list,
    version::current,
};
use gstreamer::{self as gst, glib, prelude::*, subclass::prelude::*};
use gstreamer_base::subclass::{BaseTransformMode, prelude::*};

use super::{
    CAT, DETECTOR, ProcessMode,
    attach::{self, RawOutputs},
    backend::{Backend, Output, Purpose, Values},
    detections::{Detection, Plane, join, read_grids, to_frame},
    parser::Parser,
    start::{check_memory, lost_after, read_labels, refuse_what_is_not_played},
    tensors,
};
use crate::{
    config::{self, Colors, Config, ConfigError, Read},
    nvmm::{self, Mapped},
    picture::{Area, Filter, View, scale_to_rgb},
    placement::{Placement, place},
    properties::{Store, boolean, choice, int, pointer, text, uint},
    runtime::{event, event_number, source_of, table},
};

/// What the real element begins with.
const DEFAULT_UNIQUE_ID: u32 = 15;

/// The element between start and stop.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) config: Config,
    pub(super) unique_id: u32,
    pub(super) gpu_id: u32,
    pub(super) batch_size: usize,
    pub(super) backend: Backend,
    parser: Option<Parser>,
    pub(super) labels: Vec<CString>,
    interval: u32,
    counter: u64,
    buffers: u64,
    lost_after: Option<u64>,
    /// Sources that a `PAD_ADDED` was seen of.
    sources: HashSet<u32>,
    input: Vec<f32>,
    canvas: Vec<u8>,
    /// Whether nvdspreprocess makes the input.
    from_meta: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Infer {
    store: Store,
    read: Mutex<Option<Result<Read, ConfigError>>>,
    running: Mutex<Option<Running>>,
}

#[glib::object_subclass]
impl ObjectSubclass for Infer {
    const NAME: &'static str = "GstNvInfer";
    type Type = super::Infer;
    type ParentType = gstreamer_base::BaseTransform;
}

impl ObjectImpl for Infer {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let version = current();
            let playing = |name: &'static str| {
                glib::ParamSpecString::builder(name).default_value(Some("")).readwrite().mutable_playing().build()
            };
            let mut properties = vec![
                uint("unique-id", (0, u32::MAX), DEFAULT_UNIQUE_ID, true),
                choice("process-mode", ProcessMode::Primary, true),
                playing("config-file-path"),
                uint("batch-size", (1, 1024), 1, true),
                uint("interval", (0, i32::MAX as u32), 0, true),
                int("infer-on-gie-id", (-1, i32::MAX), -1, true),
                text("infer-on-class-ids", Some(""), true),
                playing("model-engine-file"),
                uint("gpu-id", (0, u32::MAX), 0, true),
                boolean("raw-output-file-write", false, true),
                pointer("raw-output-generated-callback"),
                pointer("raw-output-generated-userdata"),
                boolean("output-tensor-meta", false, true),
                boolean("output-instance-mask", false, true),
            ];
            if version.at_least(5, 1) {
                properties.push(text("filter-out-class-ids", Some(""), true));
            }
            if version.at_least(6, 0) {
                properties.push(boolean("input-tensor-meta", false, true));
            }
            if version.at_least(6, 2) {
                properties.push(boolean("clip-object-outside-roi", true, true));
                properties.push(boolean("crop-objects-to-roi-boundary", false, true));
            }
            if version.at_least(9, 0) {
                properties.push(boolean("strongly-typed", false, true));
                properties.push(text("dynamic-properties", Some(""), true));
            }
            properties
        });
        &PROPERTIES
    }

    fn signals() -> &'static [glib::subclass::Signal] {
        static SIGNALS: LazyLock<Vec<glib::subclass::Signal>> = LazyLock::new(|| {
            vec![
                glib::subclass::Signal::builder("model-updated")
                    .param_types([i32::static_type(), String::static_type()])
                    .build(),
            ]
        });
        &SIGNALS
    }

    fn set_property(&self, _id: usize, value: &glib::Value, spec: &glib::ParamSpec) {
        self.store.set(self.obj().upcast_ref(), spec, value);
        if spec.name() == "config-file-path"
            && let Ok(Some(path)) = value.get::<Option<String>>()
        {
            let read = config::read(Path::new(&path), current());
            match &read {
                Ok(read) => read.complaints.iter().for_each(|complaint| eprintln!("{complaint}")),
                Err(error) => eprintln!("{error}"),
            }
            *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
        }
    }

    fn property(&self, _id: usize, spec: &glib::ParamSpec) -> glib::Value {
        self.store.get(spec)
    }
}

impl GstObjectImpl for Infer {}

impl ElementImpl for Infer {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "NvInfer plugin",
                "NvInfer Plugin",
                "Nvidia DeepStreamSDK TensorRT plugin (stand-in: ONNX Runtime)",
                "vision-operator",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(nvmm::in_place_templates);
        &TEMPLATES
    }
}

impl BaseTransformImpl for Infer {
    const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let running = self.prepare()?;
        *self.running() = Some(running);
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *self.running() = None;
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        if let Some(running) = &mut *self.running() {
            match event_number(&event) {
                event::PAD_ADDED => {
                    running.sources.insert(source_of(&event));
                }
                event::PAD_DELETED => {
                    running.sources.remove(&source_of(&event));
                }
                event::INFER_INTERVAL if current().at_least(6, 2) => {
                    if let Some(Ok(interval)) = event.structure().map(|structure| structure.get::<u32>("interval")) {
                        gst::info!(CAT, imp = self, "interval {interval}");
                        running.interval = interval;
                    }
                }
                _ => {}
            }
            if event.type_() == gst::EventType::Eos {
                running.counter = 0;
            }
        }
        self.parent_sink_event(event)
    }

    fn transform_ip(&self, buffer: &mut gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
        let mut running = self.running();
        let running = running.as_mut().ok_or(gst::FlowError::Flushing)?;
        // Tensors that somebody made are run whatever the interval says.
        let skip = !running.from_meta && !running.counter.is_multiple_of(u64::from(running.interval) + 1);
        running.counter += 1;
        running.buffers += 1;
        if running.lost_after.is_some_and(|buffers| running.buffers > buffers) {
            gst::element_imp_error!(
                self,
                gst::StreamError::Failed,
                ["Failed to queue input batch for inferencing: an illegal memory access was encountered"]
            );
            return Err(gst::FlowError::Error);
        }
        if skip {
            return Ok(gst::FlowSuccess::Ok);
        }
        self.infer(running, buffer).map(|()| gst::FlowSuccess::Ok).map_err(|error| {
            self.post_error_message(error);
            gst::FlowError::Error
        })
    }
}

impl Infer {
    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self, name: &str, config: u32) -> u32 {
        if self.store.is_set(name) { self.store.typed(&*self.obj(), name) } else { config }
    }

    /// All that has to be there before the first frame.
    fn prepare(&self) -> Result<Running, gst::ErrorMessage> {
        let element = self.obj();
        let path: Option<String> = self.store.typed(&*element, "config-file-path");
        let path = path
            .filter(|path| !path.is_empty())
            .ok_or_else(|| gst::error_msg!(gst::LibraryError::Settings, ["Configuration file not provided"]))?;
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Read { config, complaints } =
            read.unwrap_or_else(|| config::read(Path::new(&path), current())).map_err(|error| {
                gst::error_msg!(
                    gst::LibraryError::Settings,
                    ["Configuration file parsing failed. Config file path: {path}: {error}"]
                )
            })?;
        for complaint in complaints {
            gst::element_imp_warning!(self, gst::LibraryError::Settings, ["{complaint} (config file {path})"]);
        }
        let failed = |message: String| {
            gst::error_msg!(
                gst::ResourceError::Failed,
                ["Failed to create NvDsInferContext instance. Config file path: {path}, NvDsInfer Error: {message}"]
            )
        };
        let mode: ProcessMode = self.store.typed(&*element, "process-mode");
        let from_meta: bool = self.store.typed(&*element, "input-tensor-meta");
        refuse_what_is_not_played(&config, mode).map_err(&failed)?;
        let unique_id = self.store.is_set("unique-id").then(|| self.number("unique-id", 0)).or(config.unique_id);
        let unique_id =
            unique_id.filter(|id| *id > 0).ok_or_else(|| failed("Unique ID not set (gie-unique-id)".to_owned()))?;
        let gpu_id = self.number("gpu-id", config.gpu_id);
        let batch_size = self.number("batch-size", config.batch_size);
        let purpose = Purpose {
            version: current(),
            batch_size,
            gpu_id,
            network_mode: config.network_mode,
            infer_dims: config.infer_dims,
            nhwc: config.nhwc,
        };
        check_memory(batch_size).map_err(&failed)?;
        let engine: Option<String> = self.store.typed(&*element, "model-engine-file");
        let engine = engine.filter(|path| !path.is_empty()).map(PathBuf::from).or_else(|| config.engine_file.clone());
        let opened = Backend::open(engine.as_deref(), config.onnx_file.as_deref(), &purpose)
            .map_err(|error| failed(error.to_string()))?;
        for warning in opened.warnings {
            gst::element_imp_warning!(self, gst::ResourceError::Read, ["{warning}"]);
        }
        let backend = opened.backend;
        if backend.dims[0] != 3 {
            return Err(failed("RGB/BGR input format specified but network input channels is not 3".to_owned()));
        }
        let parser = match (&config.custom_library, &config.parse_function) {
            (Some(library), Some(function)) => Some(Parser::open(library, function).map_err(&failed)?),
            (Some(library), None) => {
                // The real element opens the library even where it takes nothing of it.
                Parser::check(library).map_err(&failed)?;
                None
            }
            (None, _) => None,
        };
        let labels = config.labels.as_deref().map(read_labels).transpose()?.unwrap_or_default();
        Ok(Running {
            unique_id,
            gpu_id,
            batch_size: batch_size as usize,
            parser,
            labels,
            interval: self.number("interval", config.interval),
            counter: 0,
            buffers: 0,
            lost_after: lost_after(),
            sources: HashSet::from([0]),
            input: Vec::new(),
            canvas: vec![0; (backend.dims[1] * backend.dims[2] * 3) as usize],
            backend,
            from_meta: from_meta || config.input_from_meta,
            config,
        })
    }

    /// Runs the model on all frames of a buffer.
    fn infer(&self, running: &mut Running, buffer: &mut gst::BufferRef) -> Result<(), gst::ErrorMessage> {
        let failed = |message: String| gst::error_msg!(gst::StreamError::Failed, ["{message}"]);
        // SAFETY: the buffer is valid, and ours to change.
        let batch: *mut BatchMeta = unsafe { (table().gst_buffer_get_nvds_batch_meta)(buffer.as_mut_ptr()) };
        if batch.is_null() {
            return Err(failed("NvDsBatchMeta not found for input buffer.".to_owned()));
        }
        let mapped = Mapped::new(buffer).ok_or_else(|| failed("the buffer holds no NVMM surfaces".to_owned()))?;
        let head = mapped.head();
        if matches!(head.memory_type, memory_type::DEFAULT | memory_type::CUDA_DEVICE) && head.gpu_id != running.gpu_id
        {
            return Err(gst::error_msg!(
                gst::ResourceError::Failed,
                [
                    "Memory Compatibility Error:Input surface gpu-id doesnt match with configured gpu-id for element: \
                     surface-gpu-id={}, gpu-id={}",
                    head.gpu_id,
                    running.gpu_id
                ]
            ));
        }
        if running.from_meta {
            let clip: bool = self.store.typed(&*self.obj(), "clip-object-outside-roi");
            // SAFETY: the batch of this buffer, which nobody else has.
            return unsafe { tensors::infer(running, batch, &mapped, clip) }.map_err(failed);
        }
        // SAFETY: the batch of this buffer, which nobody else has.
        let frames = unsafe { list::items((*batch).frame_list) };
        let mut work: Vec<(*mut FrameHead, View<'_>)> = Vec::new();
        for (index, frame) in frames.into_iter().enumerate() {
            let frame = frame.cast::<FrameHead>();
            // SAFETY: a frame of the batch, of which the head is the same in all epochs.
            let source = unsafe { (*frame).source_id };
            if !running.sources.contains(&source) {
                gst::warning!(
                    CAT,
                    imp = self,
                    "Source info not found for source {source}. Maybe the GST_NVEVENT_PAD_ADDED event was never generated"
                );
                continue;
            }
            let view = mapped.picture(index).ok_or_else(|| failed(format!("the batch has no surface {index}")))?;
            work.push((frame, view));
        }
        for part in work.chunks(running.batch_size) {
            self.infer_part(running, batch, part).map_err(failed)?;
        }
        Ok(())
    }

    /// Runs the model once.
    fn infer_part(
        &self,
        running: &mut Running,
        batch: *mut BatchMeta,
        part: &[(*mut FrameHead, View<'_>)],
    ) -> Result<(), String> {
        let length = running.backend.picture_len();
        let size = running.backend.batch(part.len());
        running.input.clear();
        running.input.resize(length * size, 0.0);
        let mut placements = Vec::with_capacity(part.len());
        for (index, (_, view)) in part.iter().enumerate() {
            placements.push(running.convert(view, index * length));
        }
        let outputs = Arc::new(running.backend.run(&running.input, size)?);
        let [channels, height, width] = running.backend.dims;
        let network = NetworkInfo { width, height, channels };
        for (picture, ((frame, view), placement)) in part.iter().zip(&placements).enumerate() {
            if running.config.network_type == DETECTOR {
                let found = running.read(&outputs, (picture, size), network)?;
                let frame_size = (view.width, view.height);
                let detections: Vec<_> = join(found, &running.config)
                    .iter()
                    .filter_map(|found| to_frame(found, placement, frame_size, &running.config))
                    .collect();
                gst::trace!(CAT, imp = self, "{} objects", detections.len());
                // SAFETY: a frame of the buffer's batch, which is ours to change.
                unsafe { attach::objects(batch, *frame, &detections, running.unique_id, &running.labels) };
            }
            let tensors: bool = self.store.typed(&*self.obj(), "output-tensor-meta");
            if tensors || running.config.output_tensor_meta {
                let raw = RawOutputs {
                    outputs: outputs.clone(),
                    picture,
                    batch: size,
                    unique_id: running.unique_id,
                    gpu_id: running.gpu_id,
                    network,
                    maintain_aspect_ratio: running.config.maintain_aspect_ratio,
                    symmetric_padding: running.config.symmetric_padding,
                };
                // SAFETY: a frame of the buffer's batch, which is ours to change.
                unsafe { attach::tensors(batch, *frame, raw) };
            }
        }
        Ok(())
    }
}

impl Running {
    fn fit(&self) -> (bool, bool) {
        (self.config.maintain_aspect_ratio, self.config.symmetric_padding)
    }

    /// Puts a frame into the input from `begin` on.
    fn convert(&mut self, view: &View<'_>, begin: usize) -> Placement {
        let [_, height, width] = self.backend.dims.map(|size| size as usize);
        let placement = place((view.width, view.height), (width, height), self.fit());
        let filter = if self.config.scaling_filter == 1 { Filter::Bilinear } else { Filter::Nearest };
        // What the frame does not cover is black.
        self.canvas.fill(0);
        let source = Area { left: 0, top: 0, width: view.width & !1, height: view.height & !1 };
        let target = Area {
            left: placement.offset_left,
            top: placement.offset_top,
            width: placement.width,
            height: placement.height,
        };
        scale_to_rgb(view, source, &mut self.canvas, width * 3, target, filter);
        let plane = width * height;
        let input = &mut self.input[begin..begin + 3 * plane];
        for (index, pixel) in self.canvas.chunks_exact(3).enumerate() {
            for channel in 0..3 {
                let byte = if self.config.colors == Colors::Bgr { pixel[2 - channel] } else { pixel[channel] };
                let offset = self.config.offsets.get(channel).copied().unwrap_or(0.0);
                let place = if self.config.nhwc { index * 3 + channel } else { channel * plane + index };
                input[place] = self.config.scale * (f32::from(byte) - offset);
            }
        }
        placement
    }

    /// The boxes of one picture of a run.
    pub(super) fn read(
        &self,
        outputs: &[Output],
        (picture, batch): (usize, usize),
        network: NetworkInfo,
    ) -> Result<Vec<Detection>, String> {
        if let Some(parser) = &self.parser {
            return parser.parse(outputs, (picture, batch), network, &self.config.classes);
        }
        let mut planes = Vec::new();
        for output in outputs {
            if let Values::F32(values) = &output.values {
                let length = values.len() / batch.max(1);
                planes.push(Plane {
                    name: output.name.to_str().unwrap_or_default(),
                    dims: &output.dims,
                    values: &values[picture * length..(picture + 1) * length],
                });
            }
        }
        read_grids(&planes, (network.width, network.height), &self.config.classes)
    }
}
