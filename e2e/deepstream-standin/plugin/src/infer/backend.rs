//! What TensorRT is to the real nvinfer: runs the model, with ONNX Runtime, and keeps "engine" files.
//!
//! An engine file of the stand-in holds what it was built for and the model itself, so that it works without the ONNX
//! file, and is refused where version, batch, GPU or precision are others, as real ones are.

use std::{
    env,
    ffi::CString,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use deepstream_standin::{Version, version::library_folder};
use ort::{
    environment::Environment,
    session::Session,
    value::{TensorElementType, TensorRef, ValueType},
};

/// Names ONNX Runtime's library, as for the pod.
const LIBRARY_VARIABLE: &str = "VISION_ONNXRUNTIME";

/// What engine files of the stand-in begin with.
const MAGIC: &[u8] = b"deepstream-standin engine\n";

/// Why a model cannot be used. The words are those of the real element where they are known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    #[error("ONNX Runtime cannot be used: {0}; set {LIBRARY_VARIABLE} to the path of libonnxruntime.so")]
    Library(String),
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("generate backend failed, check config file settings: {0}")]
    Model(String),
}

/// Values of an output.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    F32(Vec<f32>),
    I32(Vec<i32>),
    I64(Vec<i64>),
}

impl Values {
    /// The number of `NvDsInferDataType`.
    pub(crate) fn data_type(&self) -> i32 {
        match self {
            Self::F32(_) => 0,
            Self::I32(_) => 3,
            Self::I64(_) => 4,
        }
    }

    /// Where the values of picture `index` of `batch` begin, and how many bytes they are.
    pub(crate) fn part(&self, index: usize, batch: usize) -> (*const u8, usize) {
        fn part<T>(values: &[T], index: usize, batch: usize) -> (*const u8, usize) {
            let length = values.len() / batch.max(1);
            let part = values.get(index * length..(index + 1) * length).unwrap_or_default();
            (part.as_ptr().cast(), size_of_val(part))
        }
        match self {
            Self::F32(values) => part(values, index, batch),
            Self::I32(values) => part(values, index, batch),
            Self::I64(values) => part(values, index, batch),
        }
    }
}

/// An output of a run.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) name: CString,
    /// Without the batch.
    pub(crate) dims: Vec<u32>,
    pub(crate) values: Values,
}

/// What a model is built for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Purpose {
    pub(crate) version: Version,
    pub(crate) batch_size: u32,
    pub(crate) gpu_id: u32,
    /// 0 FP32, 1 INT8, 2 FP16.
    pub(crate) network_mode: u32,
    pub(crate) infer_dims: Option<[u32; 3]>,
    pub(crate) nhwc: bool,
}

impl Purpose {
    fn precision(&self) -> &'static str {
        match self.network_mode {
            1 => "int8",
            2 => "fp16",
            _ => "fp32",
        }
    }

    /// The line of an engine file that has to agree.
    fn line(&self) -> String {
        let Self { version, batch_size, gpu_id, .. } = self;
        format!(
            "deepstream={}.{} batch={batch_size} gpu={gpu_id} precision={}",
            version.major,
            version.minor,
            self.precision()
        )
    }

    /// Where the real element puts the engine of an ONNX file.
    pub(crate) fn engine_path(&self, onnx: &Path) -> PathBuf {
        let mut name = onnx.as_os_str().to_owned();
        name.push(format!("_b{}_gpu{}_{}.engine", self.batch_size, self.gpu_id, self.precision()));
        name.into()
    }
}

/// The ONNX model in an engine file, if the file was built for `purpose`.
fn read_engine(path: &Path, purpose: &Purpose) -> Result<Vec<u8>, String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| format!("{} is no engine of the stand-in", path.display()))?;
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (line, model) = rest.split_at(end);
    if line != purpose.line().as_bytes() {
        let line = String::from_utf8_lossy(line);
        return Err(format!("{} was built for {line}, not for {}", path.display(), purpose.line()));
    }
    Ok(model.get(1..).unwrap_or_default().to_owned())
}

fn environment() -> Result<&'static Environment, BackendError> {
    static ENVIRONMENT: OnceLock<Result<Environment, String>> = OnceLock::new();
    let load = || {
        let named = env::var_os(LIBRARY_VARIABLE).map(PathBuf::from);
        let beside = library_folder().map(|folder| folder.join("libonnxruntime.so")).filter(|path| path.is_file());
        let path = named.or(beside).unwrap_or_else(|| PathBuf::from("libonnxruntime.so"));
        ort::init_from(&path)
            .map_err(|error| format!("{}: {error}", path.display()))?
            .with_name("deepstream-standin")
            .with_telemetry(false)
            .build()
            .map_err(|error| error.message().to_owned())
    };
    ENVIRONMENT.get_or_init(load).as_ref().map_err(|message| BackendError::Library(message.clone()))
}

/// A model that can be run.
#[derive(Debug)]
pub(crate) struct Backend {
    session: Session,
    /// The name of the input.
    pub(crate) input: String,
    /// Channels, height, width.
    pub(crate) dims: [u32; 3],
    nhwc: bool,
    /// The batch that the model insists on.
    fixed_batch: Option<usize>,
}

/// A backend, and what is worth a warning about how it came about.
pub(crate) struct Opened {
    pub(crate) backend: Backend,
    pub(crate) warnings: Vec<String>,
}

impl Backend {
    /// Opens the engine where it fits, else builds one of the ONNX file.
    pub(crate) fn open(engine: Option<&Path>, onnx: Option<&Path>, purpose: &Purpose) -> Result<Opened, BackendError> {
        let mut warnings = Vec::new();
        if let Some(engine) = engine {
            match read_engine(engine, purpose) {
                Ok(model) => {
                    return Ok(Opened { backend: Self::new(&model, purpose)?, warnings });
                }
                Err(message) => warnings.push(format!("deserialize engine failed, it is built anew: {message}")),
            }
        }
        let Some(onnx) = onnx else {
            return Err(BackendError::Model("neither an engine that fits nor an onnx-file".to_owned()));
        };
        let model = fs::read(onnx).map_err(|source| BackendError::Read { path: onnx.to_owned(), source })?;
        let backend = Self::new(&model, purpose)?;
        let path = purpose.engine_path(onnx);
        let file = [MAGIC, purpose.line().as_bytes(), b"\n", &model].concat();
        if let Err(error) = fs::write(&path, file) {
            warnings.push(format!("failed to serialize the engine to {}: {error}", path.display()));
        }
        Ok(Opened { backend, warnings })
    }

    fn new(model: &[u8], purpose: &Purpose) -> Result<Self, BackendError> {
        let failed = |error: ort::Error| BackendError::Model(error.message().to_owned());
        let session = Session::builder(environment()?)
            .and_then(|builder| builder.with_intra_threads(1)?.with_intra_op_spinning(false)?.commit_from_memory(model))
            .map_err(failed)?;
        let refuse = |message: String| Err(BackendError::Model(message));
        let [input] = session.inputs() else {
            return refuse(format!("the stand-in runs models with one input; this one has {}", session.inputs().len()));
        };
        let ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } = input.dtype() else {
            return refuse(format!("input {} is no tensor of 32-bit numbers", input.name()));
        };
        let [batch, rest @ ..] = &shape[..] else { return refuse("the input has no batch dimension".to_owned()) };
        let Ok(rest) = <[i64; 3]>::try_from(rest) else {
            return refuse("Infer Context default input_layer is not a image[CHW]".to_owned());
        };
        let given = if purpose.nhwc { [rest[2], rest[0], rest[1]] } else { rest };
        let mut dims = [0; 3];
        for (index, size) in given.into_iter().enumerate() {
            dims[index] = match (u32::try_from(size).ok().filter(|size| *size > 0), purpose.infer_dims) {
                (Some(size), Some(wanted)) if wanted[index] != size => {
                    return refuse(format!("infer-dims are {wanted:?}, the model's input has {given:?}"));
                }
                (Some(size), _) => size,
                (None, Some(wanted)) => wanted[index],
                (None, None) => {
                    return refuse("the model's input has dynamic sizes, and infer-dims is not set".to_owned());
                }
            };
        }
        let fixed_batch = usize::try_from(*batch).ok().filter(|batch| *batch > 0);
        if fixed_batch.is_some_and(|fixed| fixed < purpose.batch_size as usize) {
            return refuse(format!(
                "Backend has maxBatchSize {} whereas {} has been requested",
                fixed_batch.unwrap_or_default(),
                purpose.batch_size
            ));
        }
        let input = input.name().to_owned();
        Ok(Self { session, input, dims, nhwc: purpose.nhwc, fixed_batch })
    }

    /// Values of one picture.
    pub(crate) fn picture_len(&self) -> usize {
        self.dims.iter().product::<u32>() as usize
    }

    /// How many pictures a run of `pictures` is of.
    pub(crate) fn batch(&self, pictures: usize) -> usize {
        self.fixed_batch.unwrap_or(pictures)
    }

    /// Runs the model on `batch` pictures.
    pub(crate) fn run(&mut self, input: &[f32], batch: usize) -> Result<Vec<Output>, String> {
        let [channels, height, width] = self.dims.map(|size| size as usize);
        let shape = if self.nhwc { [batch, height, width, channels] } else { [batch, channels, height, width] };
        let tensor = TensorRef::from_array_view((shape, input)).map_err(|error| error.message().to_owned())?;
        let outputs =
            self.session.run(vec![(self.input.as_str(), tensor)]).map_err(|error| error.message().to_owned())?;
        outputs
            .iter()
            .map(|(name, value)| {
                let failed = |error: ort::Error| format!("output {name}: {}", error.message());
                let (shape, values) = match value.dtype() {
                    ValueType::Tensor { ty: TensorElementType::Float32, .. } => {
                        let (shape, values) = value.try_extract_tensor::<f32>().map_err(failed)?;
                        (shape.clone(), Values::F32(values.to_vec()))
                    }
                    ValueType::Tensor { ty: TensorElementType::Int32, .. } => {
                        let (shape, values) = value.try_extract_tensor::<i32>().map_err(failed)?;
                        (shape.clone(), Values::I32(values.to_vec()))
                    }
                    ValueType::Tensor { ty: TensorElementType::Int64, .. } => {
                        let (shape, values) = value.try_extract_tensor::<i64>().map_err(failed)?;
                        (shape.clone(), Values::I64(values.to_vec()))
                    }
                    other => return Err(format!("output {name} is {other}, which the stand-in does not read")),
                };
                let dims = shape.iter().skip(1).map(|size| *size as u32).collect();
                Ok(Output { name: CString::new(name).unwrap_or_default(), dims, values })
            })
            .collect()
    }
}
