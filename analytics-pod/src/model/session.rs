//! An open model, ready to run.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use ort::{
    session::builder::{GraphOptimizationLevel, SessionBuilder},
    value::TensorRef,
};

use super::{
    decode::{self, Head, Output},
    error::ModelError,
    fetch::{self, FetchOptions},
    file::ModelFile,
    info::{InputSpec, ModelInfo, Placement, Thresholds},
    resolve::{self, Resolved},
    runtime::{Runtime, runtime},
    spec::ModelSpec,
    tensor::{InputTensor, OutputTensor},
};
use crate::observation::Detection;

/// Held for reading while a model is opened, for writing once the process ends.
static OPENING: RwLock<()> = RwLock::new(());

/// Waits until no model is being opened; from then on none is, and whoever tries waits for ever. For the end of the
/// process: ONNX Runtime crashes where its library is torn down while it works.
pub fn stop_opening() {
    std::mem::forget(OPENING.write());
}

/// A run that failed.
#[derive(Debug, thiserror::Error)]
#[error("model {model}: {message}")]
pub struct InferenceError {
    /// The model's name.
    pub model: Arc<str>,
    /// What the runtime said.
    pub message: String,
}

impl From<InferenceError> for ModelError {
    fn from(error: InferenceError) -> Self {
        Self::Inference { model: error.model, message: error.message }
    }
}

/// How a model is fetched and run on this machine.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Threads that one run uses.
    pub intra_op_threads: usize,
    /// How its file is fetched.
    pub fetch: FetchOptions,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { intra_op_threads: 1, fetch: FetchOptions::default() }
    }
}

/// An open model; any number of threads may hold it. Sessions are made on demand and reused.
#[derive(Debug)]
pub struct Model {
    reading: Arc<Reading>,
    file: ModelFile,
    runtime: &'static Runtime,
    intra_op_threads: usize,
    idle: Mutex<Vec<Worker>>,
}

/// How the model is fed and read.
#[derive(Debug)]
struct Reading {
    info: Arc<ModelInfo>,
    head: Head,
    picture: String,
    picture_size: Option<String>,
    outputs: Vec<usize>,
    fixed_batch: bool,
}

impl Reading {
    fn failed(&self, message: impl Into<String>) -> InferenceError {
        InferenceError { model: self.info.name.clone(), message: message.into() }
    }
}

impl Model {
    /// Obtains the file that `spec` names and opens it: [`super::obtain`], then [`Self::open_file`].
    ///
    /// # Errors
    /// Those of both.
    pub fn open(spec: &ModelSpec, options: &OpenOptions) -> Result<Arc<Self>, ModelError> {
        Self::open_file(spec, fetch::obtain(spec, &options.fetch)?, options)
    }

    /// Opens the model in `file` as `spec` says: finds out how it is fed and read, and runs it once on a grey picture.
    ///
    /// # Errors
    /// Where ONNX Runtime is missing, the file is no detector that can be read, the manifest contradicts it, or the
    /// first run fails or gives anything but finite numbers in the expected shape.
    pub fn open_file(spec: &ModelSpec, file: ModelFile, options: &OpenOptions) -> Result<Arc<Self>, ModelError> {
        let _opening = OPENING.read();
        let bytes = file.read()?;
        let header = file.parse(&bytes)?;
        let Resolved { head, input, picture, picture_size, fixed_batch, labels, labels_from, thresholds, outputs } =
            resolve::resolve(spec, &header)?;
        let info = Arc::new(ModelInfo {
            name: spec.name.clone(),
            digest: file.digest().to_string().into(),
            opset: header.opset,
            labels,
            labels_from,
            layout: head.layout,
            input,
            tensors: header.inputs.iter().chain(&header.outputs).map(ToString::to_string).collect(),
            thresholds,
        });
        let reading = Arc::new(Reading { info, head, picture, picture_size, outputs, fixed_batch });
        let model = Self {
            reading,
            file,
            runtime: runtime()?,
            intra_op_threads: options.intra_op_threads,
            idle: Mutex::new(Vec::new()),
        };
        let mut worker = model.new_worker(&bytes)?;
        worker.test()?;
        model.give_back(worker);
        Ok(Arc::new(model))
    }

    /// What is known of it.
    #[must_use]
    pub fn info(&self) -> &Arc<ModelInfo> {
        &self.reading.info
    }

    /// Takes a session out of the pool, or opens one more. Give it back by dropping it.
    pub fn session(self: &Arc<Self>) -> Result<Session, InferenceError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let worker = if let Some(worker) = idle {
            worker
        } else {
            let bytes = self.file.read().map_err(|error| self.reading.failed(error.to_string()))?;
            self.new_worker(&bytes)?
        };
        Ok(Session { model: self.clone(), worker: Some(worker) })
    }

    fn give_back(&self, worker: Worker) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
    }

    fn new_worker(&self, bytes: &[u8]) -> Result<Worker, InferenceError> {
        let refused = |error: ort::Error| {
            self.reading.failed(format!("ONNX Runtime refuses {}: {}", self.file.origin(), error.message()))
        };
        let session = self.builder().and_then(|mut builder| builder.commit_from_memory(bytes)).map_err(refused)?;
        Ok(Worker {
            session,
            input: InputTensor::new(&self.reading.info.input),
            outputs: self.reading.outputs.iter().map(|_| OutputTensor::default()).collect(),
            sizes: self.reading.sizes(),
            reading: self.reading.clone(),
        })
    }

    /// One thread pool per session, no parallel branches, and no spinning: a waiting thread must not cost what
    /// decoding needs. Without a memory pattern, because the arena keeps the pieces of the first, unplanned run beside
    /// the planned block: YOLOX-nano at 640 × 640 takes 12 MB more a session with it, and runs no faster.
    fn builder(&self) -> ort::Result<SessionBuilder> {
        Ok(ort::session::Session::builder(&self.runtime.environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(self.intra_op_threads.max(1))?
            .with_inter_threads(1)?
            .with_memory_pattern(false)?
            .with_intra_op_spinning(false)?
            .with_flush_to_zero()?)
    }
}

/// What belongs to one session for as long as it lives.
#[derive(Debug)]
struct Worker {
    session: ort::session::Session,
    input: InputTensor,
    outputs: Vec<OutputTensor>,
    /// The size that boxes are scaled to, once a picture: the input's, since placing them is done here.
    sizes: Vec<i64>,
    reading: Arc<Reading>,
}

/// An output as it comes from a run, the batch first.
type RawOutput<'a> = (Vec<usize>, &'a [f32]);

impl Worker {
    /// Runs the model on the first `pictures` inputs and hands its outputs to `read`. Also says how long it ran.
    fn infer<T>(
        &mut self,
        pictures: usize,
        read: impl FnOnce(&[RawOutput<'_>]) -> Result<T, InferenceError>,
    ) -> Result<(T, Duration), InferenceError> {
        let reading = &self.reading;
        let runtime = |error: ort::Error| reading.failed(error.message());
        let batch = if reading.fixed_batch { reading.info.input.max_batch } else { pictures };
        let mut inputs = vec![(reading.picture.as_str(), self.input.as_value(batch).map_err(runtime)?)];
        if let Some(name) = &reading.picture_size {
            let sizes = TensorRef::from_array_view(([batch, 2], &self.sizes[..2 * batch])).map_err(runtime)?;
            inputs.push((name, sizes.into()));
        }
        let began = Instant::now();
        let values = self.session.run(inputs).map_err(runtime)?;
        let took = began.elapsed();
        let outputs: Vec<RawOutput<'_>> = self
            .outputs
            .iter_mut()
            .zip(&reading.outputs)
            .map(|(tensor, index)| tensor.read(&values[*index]).map_err(runtime))
            .collect::<Result<_, _>>()?;
        Ok((read(&outputs)?, took))
    }

    fn run(&mut self, pictures: &[(Placement, Thresholds)]) -> Result<RunOutput, InferenceError> {
        let reading = self.reading.clone();
        let most = reading.info.input.max_batch;
        if pictures.len() > most {
            return Err(reading.failed(format!("{} pictures were given to a batch of {most}", pictures.len())));
        }
        if pictures.is_empty() {
            return Ok(RunOutput::default());
        }
        let ((detections, post_processing), inference) = self.infer(pictures.len(), |outputs| {
            let began = Instant::now();
            let detections = pictures
                .iter()
                .enumerate()
                .map(|(index, (placement, thresholds))| {
                    let outputs = reading.picture(outputs, index, pictures.len())?;
                    decode::decode(&reading.head, &outputs, *placement, thresholds)
                        .map_err(|error| reading.failed(error.to_string()))
                })
                .collect::<Result<Vec<_>, _>>()?;
            Ok((detections, began.elapsed()))
        })?;
        Ok(RunOutput { detections, inference, post_processing })
    }

    /// Runs the model once on an even grey picture.
    fn test(&mut self) -> Result<(), InferenceError> {
        let reading = self.reading.clone();
        let input = &reading.info.input;
        let plane = input.width as usize * input.height as usize;
        for index in 0..input.max_batch {
            let planes = self.input.picture(index).into_iter().flat_map(|picture| picture.chunks_exact_mut(plane));
            for (channel, values) in planes.enumerate() {
                values.fill(input.value(input.padding, channel));
            }
        }
        let placement = Placement { x: 0, y: 0, width: input.width, height: input.height };
        let failed = |message: String| reading.failed(format!("its run on a grey picture failed: {message}"));
        let (finite, _) = self
            .infer(1, |outputs| {
                let picture = reading.picture(outputs, 0, 1)?;
                decode::decode(&reading.head, &picture, placement, &reading.info.thresholds)
                    .map_err(|error| reading.failed(error.to_string()))?;
                Ok(outputs.iter().all(|(_, values)| values.iter().all(|value| value.is_finite())))
            })
            .map_err(|error| failed(error.message))?;
        if finite { Ok(()) } else { Err(failed("its outputs are not finite numbers".to_owned())) }
    }
}

impl Reading {
    /// Width and height of the input for each picture of a batch.
    fn sizes(&self) -> Vec<i64> {
        let input = &self.info.input;
        [i64::from(input.width), i64::from(input.height)].repeat(input.max_batch)
    }

    /// The part of `outputs` that belongs to picture `index` of a batch of at least `pictures`.
    fn picture<'a>(
        &self,
        outputs: &'a [RawOutput<'_>],
        index: usize,
        pictures: usize,
    ) -> Result<Vec<Output<'a>>, InferenceError> {
        outputs
            .iter()
            .map(|(shape, values)| {
                let (batch, shape) = shape.split_first().unwrap_or((&0, &[]));
                if *batch < pictures || values.len() % batch != 0 {
                    return Err(self.failed(format!("an output has no part for each of {pictures} pictures")));
                }
                let length = values.len() / batch;
                Ok(Output { shape, values: &values[index * length..(index + 1) * length] })
            })
            .collect()
    }
}

impl InputSpec {
    /// What a `pixel` of colour `channel` (0–2, in the model's order) is in the tensor.
    #[must_use]
    pub fn value(&self, pixel: u8, channel: usize) -> f32 {
        (f32::from(pixel) * self.scale - self.mean[channel]) / self.std[channel]
    }
}

/// The exclusive use of the model for one run after another.
#[derive(Debug)]
pub struct Session {
    model: Arc<Model>,
    /// Taken by `drop` alone.
    worker: Option<Worker>,
}

/// What a run gave.
#[derive(Debug, Default)]
pub struct RunOutput {
    /// Detections per picture, in the order of the batch, best first, boxes normalised to the picture.
    pub detections: Vec<Vec<Detection>>,
    /// Duration of the model's run.
    pub inference: Duration,
    /// Duration of post-processing.
    pub post_processing: Duration,
}

impl Session {
    /// What is known of the model.
    #[must_use]
    pub fn info(&self) -> &Arc<ModelInfo> {
        self.model.info()
    }

    /// The planar input of picture `index` of the batch: three planes (in the model's colour order) of
    /// `input.height × input.width` values. What was written stays until overwritten, so padding need be written
    /// only when a picture's placement differs from the one before.
    ///
    /// # Panics
    /// Where `index` is not below `input.max_batch`.
    pub fn input(&mut self, index: usize) -> &mut [f32] {
        let most = self.info().input.max_batch;
        self.worker().input.picture(index).unwrap_or_else(|| panic!("picture {index} of a batch of {most}"))
    }

    /// Runs the model on the first `pictures.len()` inputs. Each picture brings its placement in the input and the
    /// thresholds to read it by.
    pub fn run(&mut self, pictures: &[(Placement, Thresholds)]) -> Result<RunOutput, InferenceError> {
        self.worker().run(pictures)
    }

    fn worker(&mut self) -> &mut Worker {
        self.worker.as_mut().unwrap_or_else(|| unreachable!("a session has its worker until it is dropped"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            self.model.give_back(worker);
        }
    }
}
