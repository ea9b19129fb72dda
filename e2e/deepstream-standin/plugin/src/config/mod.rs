//! nvinfer's configuration file, read as the real element reads it: what it refuses is refused, what it merely
//! complains about (keys that it does not know) is a complaint.

mod keys;
#[cfg(test)]
mod tests;

use std::{
    fs,
    path::{Path, PathBuf},
};

use deepstream_standin::Version;
use gstreamer::glib::{self, KeyFile, KeyFileFlags};

use self::keys::{CLASS_KEYS, KEYS, Kind};

/// The group that must be there.
const PROPERTY: &str = "property";
/// How groups of classes begin.
const CLASS_PREFIX: &str = "class-attrs-";
/// The real element's limit.
const MAX_BATCH_SIZE: u32 = 1024;

/// How boxes of one object are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cluster {
    /// `OpenCV`'s `groupRectangles`; without `OpenCV`, non-maximum suppression with fixed values.
    Group,
    /// By density.
    Dbscan,
    /// Non-maximum suppression.
    Nms,
    /// Both.
    Hybrid,
    /// Not at all.
    None,
}

/// The order of a model's colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colors {
    Rgb,
    Bgr,
    Gray,
}

/// What counts for one class.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Class {
    pub(crate) before: f32,
    pub(crate) after: f32,
    pub(crate) nms_iou: f32,
    /// Negative: all.
    pub(crate) top_k: i32,
    pub(crate) roi_top: f32,
    pub(crate) roi_bottom: f32,
    pub(crate) min_size: (f32, f32),
    /// 0: any.
    pub(crate) max_size: (f32, f32),
}

impl Default for Class {
    fn default() -> Self {
        Self {
            before: 0.2,
            after: 0.0,
            nms_iou: 0.3,
            top_k: -1,
            roi_top: 0.0,
            roi_bottom: 0.0,
            min_size: (0.0, 0.0),
            max_size: (0.0, 0.0),
        }
    }
}

/// What a file says.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "the file's own switches")]
pub(crate) struct Config {
    pub(crate) unique_id: Option<u32>,
    pub(crate) process_mode: u32,
    pub(crate) interval: u32,
    pub(crate) labels: Option<PathBuf>,
    pub(crate) gpu_id: u32,
    pub(crate) output_tensor_meta: bool,
    pub(crate) batch_size: u32,
    pub(crate) network_mode: u32,
    pub(crate) engine_file: Option<PathBuf>,
    pub(crate) onnx_file: Option<PathBuf>,
    /// A model that is given in another way than ONNX.
    pub(crate) other_model: Option<String>,
    pub(crate) network_type: u32,
    pub(crate) infer_dims: Option<[u32; 3]>,
    pub(crate) colors: Colors,
    pub(crate) scale: f32,
    pub(crate) offsets: Vec<f32>,
    pub(crate) maintain_aspect_ratio: bool,
    pub(crate) symmetric_padding: bool,
    pub(crate) scaling_filter: u32,
    pub(crate) nhwc: bool,
    pub(crate) input_from_meta: bool,
    pub(crate) custom_library: Option<PathBuf>,
    pub(crate) parse_function: Option<String>,
    pub(crate) cluster: Cluster,
    pub(crate) crop_to_roi: bool,
    pub(crate) filter_out: Vec<i32>,
    pub(crate) classes: Vec<Class>,
}

/// A file as it was read, and what was found strange in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Read {
    pub(crate) config: Config,
    pub(crate) complaints: Vec<String>,
}

/// Why a file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConfigError(String);

impl From<glib::Error> for ConfigError {
    fn from(error: glib::Error) -> Self {
        Self(format!("Error while parsing config file: {}", error.message()))
    }
}

/// The file's groups with what the version knows of their keys.
struct File<'a> {
    keys: KeyFile,
    folder: &'a Path,
}

impl File<'_> {
    fn has(&self, key: &str) -> bool {
        self.keys.has_key(PROPERTY, key).unwrap_or(false)
    }

    fn integer(&self, group: &str, key: &str) -> Result<Option<i32>, ConfigError> {
        if !self.keys.has_key(group, key)? {
            return Ok(None);
        }
        Ok(Some(self.keys.integer(group, key)?))
    }

    /// One that may not be negative.
    fn count(&self, group: &str, key: &str) -> Result<Option<u32>, ConfigError> {
        let refuse = |value| ConfigError(format!("Negative value specified for {key}({value}) in [{group}]"));
        self.integer(group, key)?.map(|value| u32::try_from(value).map_err(|_| refuse(value))).transpose()
    }

    fn one_of(&self, key: &str, allowed: &[u32]) -> Result<Option<u32>, ConfigError> {
        let value = self.count(PROPERTY, key)?;
        match value {
            Some(value) if !allowed.contains(&value) => {
                Err(ConfigError(format!("Error. Invalid value for '{key}':'{value}'")))
            }
            value => Ok(value),
        }
    }

    fn boolean(&self, key: &str) -> Result<bool, ConfigError> {
        Ok(self.has(key) && self.keys.boolean(PROPERTY, key)?)
    }

    fn real(&self, group: &str, key: &str) -> Result<Option<f32>, ConfigError> {
        if !self.keys.has_key(group, key)? {
            return Ok(None);
        }
        Ok(Some(self.keys.double(group, key)? as f32))
    }

    fn text(&self, key: &str) -> Result<Option<String>, ConfigError> {
        if !self.has(key) {
            return Ok(None);
        }
        Ok(Some(self.keys.string(PROPERTY, key)?.trim().to_owned()))
    }

    /// Relative paths begin at the file's folder.
    fn path(&self, key: &str) -> Result<Option<PathBuf>, ConfigError> {
        Ok(self.text(key)?.map(|path| self.folder.join(path)))
    }

    fn check(&self, group: &str, key: &str, kind: Kind) -> Result<(), ConfigError> {
        match kind {
            Kind::Integer => self.keys.integer(group, key).map(drop)?,
            Kind::Boolean => self.keys.boolean(group, key).map(drop)?,
            Kind::Real => self.keys.double(group, key).map(drop)?,
            Kind::Text => self.keys.string(group, key).map(drop)?,
            Kind::Integers => self.keys.integer_list(group, key).map(drop)?,
            Kind::Reals => self.keys.double_list(group, key).map(drop)?,
        }
        Ok(())
    }

    /// Reads a class's group over what counts already.
    fn class(&self, group: &str, class: &mut Class, complaints: &mut Vec<String>) -> Result<(), ConfigError> {
        for key in self.keys.keys(group)? {
            match CLASS_KEYS.iter().find(|(known, _)| *known == key.as_str()) {
                Some((_, kind)) => self.check(group, key.as_str(), *kind)?,
                None => complaints.push(format!("Unknown key '{key}' for group [{group}]")),
            }
        }
        let real = |key: &str, value: &mut f32| {
            if let Some(read) = self.real(group, key)? {
                if read < 0.0 {
                    return Err(ConfigError(format!("Error: Negative {key} ({read}) specified for group {group}")));
                }
                *value = read;
            }
            Ok(())
        };
        real("threshold", &mut class.before)?;
        real("pre-cluster-threshold", &mut class.before)?;
        real("post-cluster-threshold", &mut class.after)?;
        real("nms-iou-threshold", &mut class.nms_iou)?;
        if class.nms_iou > 1.0 {
            return Err(ConfigError(format!("Error: Invalid nms iou threshold ({}) for group {group}", class.nms_iou)));
        }
        if let Some(top_k) = self.integer(group, "topk")? {
            if top_k < 0 {
                return Err(ConfigError(format!("Error: Invalid topk value {top_k} specified for group {group}")));
            }
            class.top_k = top_k;
        }
        let pixels = |key: &str, value: &mut f32| {
            if let Some(read) = self.count(group, key)? {
                *value = read as f32;
            }
            Ok::<_, ConfigError>(())
        };
        pixels("roi-top-offset", &mut class.roi_top)?;
        pixels("roi-bottom-offset", &mut class.roi_bottom)?;
        pixels("detected-min-w", &mut class.min_size.0)?;
        pixels("detected-min-h", &mut class.min_size.1)?;
        pixels("detected-max-w", &mut class.max_size.0)?;
        pixels("detected-max-h", &mut class.max_size.1)?;
        for key in ["border-color", "bg-color"] {
            if self.keys.has_key(group, key)? && self.keys.double_list(group, key)?.len() != 4 {
                return Err(ConfigError(format!("Error: Group {group}, Number of Color params should be exactly 4")));
            }
        }
        Ok(())
    }
}

/// Reads the file at `path` as nvinfer of `version` does.
pub(crate) fn read(path: &Path, version: Version) -> Result<Read, ConfigError> {
    let text = fs::read_to_string(path)
        .map_err(|error| ConfigError(format!("Failed to load config file: {}: {error}", path.display())))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    parse(&text, &folder, version)
}

/// Reads a file's text. Relative paths begin at `folder`.
pub(crate) fn parse(text: &str, folder: &Path, version: Version) -> Result<Read, ConfigError> {
    let keys = KeyFile::new();
    keys.load_from_data(text, KeyFileFlags::NONE)
        .map_err(|error| ConfigError(format!("Failed to load config file: {}", error.message())))?;
    if !keys.has_group(PROPERTY) {
        return Err(ConfigError(format!("Could not find group {PROPERTY}")));
    }
    let file = File { keys, folder };
    let mut complaints = Vec::new();
    for key in file.keys.keys(PROPERTY)? {
        let now = (version.major, version.minor);
        match KEYS.iter().find(|(known, _, from, until)| *known == key.as_str() && *from <= now && now < *until) {
            Some((_, kind, ..)) => file.check(PROPERTY, key.as_str(), *kind)?,
            None => complaints.push(format!("Unknown or legacy key specified '{key}' for group [{PROPERTY}]")),
        }
    }
    let known = |key: &str| {
        let now = (version.major, version.minor);
        KEYS.iter().any(|(name, _, from, until)| *name == key && *from <= now && now < *until)
    };
    let config = properties(&file, &known)?;
    let config = classes(&file, config, &mut complaints)?;
    Ok(Read { config, complaints })
}

/// `[property]`. `known` says whether the version knows a key; others are as if they were not there.
fn properties(file: &File<'_>, known: &dyn Fn(&str) -> bool) -> Result<Config, ConfigError> {
    let flag = |key: &str| if known(key) { file.boolean(key) } else { Ok(false) };
    let unique_id = file.integer(PROPERTY, "gie-unique-id")?;
    if unique_id.is_some_and(|id| id <= 0) {
        return Err(ConfigError("Error: gie-unique-id should be > 0".to_owned()));
    }
    let batch_size = file.integer(PROPERTY, "batch-size")?.unwrap_or(1);
    let batch_size = u32::try_from(batch_size).ok().filter(|size| (1..=MAX_BATCH_SIZE).contains(size));
    let batch_size = batch_size
        .ok_or_else(|| ConfigError(format!("Error: batch-size should be in the range [1,{MAX_BATCH_SIZE}]")))?;
    let infer_dims = if file.has("infer-dims") {
        let list = file.keys.integer_list(PROPERTY, "infer-dims")?;
        let sizes: Vec<u32> = list.iter().filter_map(|size| u32::try_from(*size).ok()).collect();
        let sizes = <[u32; 3]>::try_from(sizes).map_err(|list| {
            ConfigError(format!("Error. 'infer-dims' array length is {}. Should be 3 as [c;h;w] order.", list.len()))
        })?;
        Some(sizes)
    } else {
        None
    };
    let offsets: Vec<f32> = if file.has("offsets") {
        file.keys.double_list(PROPERTY, "offsets")?.iter().map(|value| *value as f32).collect()
    } else {
        Vec::new()
    };
    if offsets.len() > 4 {
        return Err(ConfigError("Error. Maximum length of 4 is allowed for 'offsets'".to_owned()));
    }
    let filter_out = if file.has("filter-out-class-ids") {
        file.keys.integer_list(PROPERTY, "filter-out-class-ids")?
    } else {
        Vec::new()
    };
    let cluster = match file.one_of("cluster-mode", &[0, 1, 2, 3, 4])? {
        None | Some(0) if flag("enable-dbscan")? && !file.has("cluster-mode") => Cluster::Dbscan,
        None | Some(0) => Cluster::Group,
        Some(1) => Cluster::Dbscan,
        Some(2) => Cluster::Nms,
        Some(3) => Cluster::Hybrid,
        Some(_) => Cluster::None,
    };
    let network_type = match file.one_of("network-type", &[0, 1, 2, 3, 100])? {
        Some(network_type) => network_type,
        None => u32::from(flag("is-classifier")?),
    };
    let others = ["model-file", "uff-file", "tlt-encoded-model"];
    let other_model = others.into_iter().find(|key| known(key) && file.has(key)).map(str::to_owned);
    Ok(Config {
        unique_id: unique_id.and_then(|id| u32::try_from(id).ok()),
        process_mode: file.one_of("process-mode", &[1, 2])?.unwrap_or(1),
        interval: file.count(PROPERTY, "interval")?.unwrap_or(0),
        labels: file.path("labelfile-path")?,
        gpu_id: file.count(PROPERTY, "gpu-id")?.unwrap_or(0),
        output_tensor_meta: flag("output-tensor-meta")?,
        batch_size,
        network_mode: file.one_of("network-mode", &[0, 1, 2, 3])?.unwrap_or(0),
        engine_file: file.path("model-engine-file")?,
        onnx_file: file.path("onnx-file")?,
        other_model,
        network_type,
        infer_dims,
        colors: match file.one_of("model-color-format", &[0, 1, 2])? {
            Some(1) => Colors::Bgr,
            Some(2) => Colors::Gray,
            _ => Colors::Rgb,
        },
        scale: file.real(PROPERTY, "net-scale-factor")?.unwrap_or(1.0),
        offsets,
        maintain_aspect_ratio: flag("maintain-aspect-ratio")?,
        symmetric_padding: flag("symmetric-padding")?,
        scaling_filter: file.one_of("scaling-filter", &[0, 1, 2, 3, 4, 5, 6])?.unwrap_or(6),
        nhwc: known("network-input-order") && file.one_of("network-input-order", &[0, 1])? == Some(1),
        input_from_meta: flag("input-tensor-from-meta")?,
        custom_library: file.path("custom-lib-path")?,
        parse_function: file.text("parse-bbox-func-name")?,
        cluster,
        crop_to_roi: flag("crop-objects-to-roi-boundary")?,
        filter_out,
        classes: vec![Class::default(); file.count(PROPERTY, "num-detected-classes")?.unwrap_or(0) as usize],
    })
}

/// The groups of classes, `all` first.
fn classes(file: &File<'_>, mut config: Config, complaints: &mut Vec<String>) -> Result<Config, ConfigError> {
    if !matches!(config.network_type, 0 | 3) {
        return Ok(config);
    }
    let all = format!("{CLASS_PREFIX}all");
    if file.keys.has_group(&all) {
        let mut class = Class::default();
        file.class(&all, &mut class, complaints)?;
        config.classes.fill(class);
    }
    for group in file.keys.groups() {
        let Some(number) = group.strip_prefix(CLASS_PREFIX).filter(|number| *number != "all") else { continue };
        let index: usize = number.parse().map_err(|_| {
            ConfigError(format!(
                "Invalid group [{group}]. Class attributes should be specified using group name \
                 '{CLASS_PREFIX}<class-id>'"
            ))
        })?;
        let classes = config.classes.len();
        let class = config.classes.get_mut(index).ok_or_else(|| {
            ConfigError(format!(
                "Attributes specified for class {index} while element has been configured with \
                 num-detected-classes={classes}"
            ))
        })?;
        file.class(&group, class, complaints)?;
    }
    Ok(config)
}
