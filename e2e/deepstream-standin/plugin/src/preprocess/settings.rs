//! The configuration file of nvdspreprocess.

use std::{collections::HashMap, fs, path::Path};

use gstreamer::glib::{KeyFile, KeyFileFlags};

/// Keys of `[property]` without which the real element does not start.
const MANDATORY: [&str; 11] = [
    "processing-width",
    "processing-height",
    "network-input-order",
    "network-input-shape",
    "network-color-format",
    "tensor-data-type",
    "tensor-name",
    "custom-lib-path",
    "custom-tensor-preparation-function",
    "scaling-filter",
    "scaling-pool-memory-type",
];

/// The functions of the library that comes with DeepStream, whose work is done here.
const FUNCTIONS: [(&str, &str); 2] = [
    ("custom-tensor-preparation-function", "CustomTensorPreparation"),
    ("custom-input-transformation-function", "CustomAsyncTransformation"),
];

/// Regions by source: left, top, width, height. `None`: the whole frame.
type Sources = HashMap<i32, Option<Vec<[u32; 4]>>>;

/// What a file says.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "the file's own switches")]
pub(super) struct Settings {
    pub(super) enable: bool,
    pub(super) targets: Vec<u64>,
    pub(super) gpu_id: u32,
    pub(super) maintain_aspect_ratio: bool,
    pub(super) symmetric_padding: bool,
    /// Batch, channels, height, width.
    pub(super) shape: [u32; 4],
    pub(super) bgr: bool,
    pub(super) nhwc: bool,
    pub(super) bilinear: bool,
    pub(super) tensor_name: String,
    pub(super) scale: f32,
    pub(super) offsets: Vec<f32>,
    pub(super) sources: Sources,
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Settings, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse(&text, path.parent().unwrap_or(Path::new(".")))
}

fn parse(text: &str, folder: &Path) -> Result<Settings, String> {
    let keys = KeyFile::new();
    keys.load_from_data(text, KeyFileFlags::NONE).map_err(|error| error.message().to_owned())?;
    let has = |group: &str, key: &str| keys.has_key(group, key).unwrap_or(false);
    let missing: Vec<_> = MANDATORY.into_iter().filter(|key| !has("property", key)).collect();
    if !missing.is_empty() {
        return Err(format!("[property] lacks {}", missing.join(", ")));
    }
    let word = |error: gstreamer::glib::Error| error.message().to_owned();
    let integer = |group: &str, key: &str, default: i32| {
        if has(group, key) { keys.integer(group, key).map_err(word) } else { Ok(default) }
    };
    let integers = |group: &str, key: &str| {
        if has(group, key) { keys.integer_list(group, key).map_err(word) } else { Ok(Vec::new()) }
    };
    let text_of = |group: &str, key: &str| keys.string(group, key).map(|text| text.trim().to_owned()).map_err(word);

    let shape: Vec<u32> =
        integers("property", "network-input-shape")?.iter().filter_map(|size| u32::try_from(*size).ok()).collect();
    let shape = <[u32; 4]>::try_from(shape).map_err(|_| "network-input-shape is not N;C;H;W".to_owned())?;
    let nhwc = integer("property", "network-input-order", 0)? == 1;
    let shape = if nhwc { [shape[0], shape[3], shape[1], shape[2]] } else { shape };
    let size = (integer("property", "processing-width", 0)?, integer("property", "processing-height", 0)?);
    if (i64::from(size.0), i64::from(size.1)) != (i64::from(shape[3]), i64::from(shape[2])) {
        return Err(format!(
            "Processing height = {} and width = {} should be same as network height = {} and width = {}",
            size.1, size.0, shape[2], shape[3]
        ));
    }
    if shape[1] != 3 || shape[0] == 0 {
        return Err("the stand-in makes tensors of three colours".to_owned());
    }
    if integer("property", "tensor-data-type", 0)? != 0 {
        return Err("the stand-in makes tensors of 32-bit floating point (tensor-data-type=0)".to_owned());
    }
    if integer("property", "process-on-frame", 1)? != 1 {
        return Err("the stand-in works on frames (process-on-frame=1)".to_owned());
    }
    let filter = integer("property", "scaling-filter", 6)?;
    if !matches!(filter, 0 | 1 | 6) {
        return Err(format!("the stand-in does not play scaling-filter={filter}, only 0, 1 and 6"));
    }
    let library = folder.join(text_of("property", "custom-lib-path")?);
    if !library.is_file() {
        return Err(format!("Could not open custom library {}", library.display()));
    }
    let sources = groups(&keys, &integers)?;
    let [preparation, _] = FUNCTIONS;
    let function = text_of("property", preparation.0)?;
    if function != preparation.1 {
        return Err(format!("{} is {function}; the stand-in does the work of {} itself", preparation.0, preparation.1));
    }
    let reals = |key: &str| {
        if has("user-configs", key) { keys.double_list("user-configs", key).map_err(word) } else { Ok(Vec::new()) }
    };
    Ok(Settings {
        enable: integer("property", "enable", 1)? != 0,
        targets: integers("property", "target-unique-ids")?.iter().map(|id| *id as u64).collect(),
        gpu_id: integer("property", "gpu-id", 0)?.try_into().unwrap_or(0),
        maintain_aspect_ratio: integer("property", "maintain-aspect-ratio", 0)? != 0,
        symmetric_padding: integer("property", "symmetric-padding", 0)? != 0,
        shape,
        bgr: integer("property", "network-color-format", 0)? == 1,
        nhwc,
        bilinear: filter == 1,
        tensor_name: text_of("property", "tensor-name")?,
        scale: reals("pixel-normalization-factor")?.first().map_or(1.0, |scale| *scale as f32),
        offsets: reals("offsets")?.iter().map(|offset| *offset as f32).collect(),
        sources,
    })
}

type Integers<'a> = dyn Fn(&str, &str) -> Result<Vec<i32>, String> + 'a;

/// The groups of sources.
fn groups(keys: &KeyFile, integers: &Integers<'_>) -> Result<Sources, String> {
    let mut sources = HashMap::new();
    for group in keys.groups().iter().filter(|group| group.starts_with("group-")) {
        let group = group.as_str();
        let function = keys.string(group, FUNCTIONS[1].0).map(|text| text.trim().to_owned()).unwrap_or_default();
        if function != FUNCTIONS[1].1 {
            return Err(format!("[{group}]: {} is {function:?}, not {}", FUNCTIONS[1].0, FUNCTIONS[1].1));
        }
        let on_regions = integers(group, "process-on-roi")?.first() == Some(&1);
        for source in integers(group, "src-ids")? {
            let regions = if on_regions {
                let key = format!("roi-params-src-{source}");
                let numbers: Vec<u32> =
                    integers(group, &key)?.iter().filter_map(|number| u32::try_from(*number).ok()).collect();
                if numbers.is_empty() || !numbers.len().is_multiple_of(4) {
                    return Err(format!("[{group}]: {key} is not left;top;width;height;…"));
                }
                Some(numbers.chunks_exact(4).map(|region| [region[0], region[1], region[2], region[3]]).collect())
            } else {
                None
            };
            sources.insert(source, regions);
        }
    }
    if sources.is_empty() {
        return Err("there is no [group-0] with src-ids".to_owned());
    }
    Ok(sources)
}
