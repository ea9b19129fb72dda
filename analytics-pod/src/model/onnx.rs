//! What an ONNX file says of itself, read before any runtime opens it.
//!
//! The messages below declare only the fields that are asked for; their numbers are those of `onnx.proto3` (ONNX 1.20,
//! IR version 12), and everything else in the file, weights included, is skipped.

use std::collections::{BTreeMap, HashMap, HashSet};

use prost::Message;

#[derive(Message)]
struct ModelProto {
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSetIdProto>,
    #[prost(message, repeated, tag = "14")]
    metadata_props: Vec<StringStringEntryProto>,
}

#[derive(Message)]
struct OperatorSetIdProto {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Message)]
struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfoProto>,
}

#[derive(Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
}

#[derive(Message)]
struct TensorProto {
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
}

#[derive(Message)]
struct ValueInfoProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    r#type: Option<TypeProto>,
}

#[derive(Message)]
struct TypeProto {
    #[prost(message, optional, tag = "1")]
    tensor_type: Option<TensorTypeProto>,
}

#[derive(Message)]
struct TensorTypeProto {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<TensorShapeProto>,
}

#[derive(Message)]
struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<DimensionProto>,
}

#[derive(Message)]
struct DimensionProto {
    #[prost(int64, optional, tag = "1")]
    dim_value: Option<i64>,
}

/// Element type of a tensor, as far as detectors use them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorType {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point.
    F16,
    /// Unsigned bytes.
    U8,
    /// 64-bit integers.
    I64,
    /// 32-bit integers.
    I32,
    /// Any other, by its number in `TensorProto.DataType`.
    Other(i32),
}

impl TensorType {
    const fn from_onnx(number: i32) -> Self {
        match number {
            1 => Self::F32,
            10 => Self::F16,
            2 => Self::U8,
            7 => Self::I64,
            6 => Self::I32,
            other => Self::Other(other),
        }
    }
}

impl std::fmt::Display for TensorType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::F32 => f.write_str("f32"),
            Self::F16 => f.write_str("f16"),
            Self::U8 => f.write_str("u8"),
            Self::I64 => f.write_str("i64"),
            Self::I32 => f.write_str("i32"),
            Self::Other(number) => write!(f, "type {number}"),
        }
    }
}

/// An input or output of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub element_type: TensorType,
    /// Its dimensions; `None` where only a run tells.
    pub shape: Vec<Option<usize>>,
}

impl std::fmt::Display for TensorInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.name, self.element_type, describe_shape(&self.shape))
    }
}

/// `1×3×416×416`, with `?` for what only a run tells.
pub(super) fn describe_shape(shape: &[Option<usize>]) -> String {
    let dimensions: Vec<String> =
        shape.iter().map(|size| size.map_or_else(|| "?".to_owned(), |size| size.to_string())).collect();
    if dimensions.is_empty() { "scalar".to_owned() } else { dimensions.join("×") }
}

/// What an ONNX file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnnxHeader {
    /// What wrote it.
    pub producer: String,
    /// Version of the default operator set.
    pub opset: i64,
    /// Inputs, weights left out.
    pub inputs: Vec<TensorInfo>,
    /// Outputs.
    pub outputs: Vec<TensorInfo>,
    /// What the exporter wrote beside the graph (Ultralytics: `names`, `imgsz`, `task`, …).
    pub metadata: BTreeMap<String, String>,
    /// Names of the outputs that are only gathered from convolutions: no box is decoded on the way.
    pub undecoded: Vec<String>,
    /// The weights are 16-bit floating point.
    pub half_weights: bool,
}

impl OnnxHeader {
    /// Reads the header of the file whose content is `bytes`.
    ///
    /// # Errors
    /// Why it is not an ONNX model.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let model = ModelProto::decode(bytes).map_err(|error| format!("it cannot be parsed ({error})"))?;
        let graph = model.graph.ok_or("it holds no graph")?;
        let opset = model
            .opset_import
            .iter()
            .find(|set| set.domain.is_empty() || set.domain == "ai.onnx")
            .map(|set| set.version)
            .ok_or("it names no version of the ONNX operators")?;
        let weights: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
        let inputs: Vec<TensorInfo> =
            graph.input.iter().filter(|value| !weights.contains(value.name.as_str())).map(tensor_info).collect();
        let outputs: Vec<TensorInfo> = graph.output.iter().map(tensor_info).collect();
        if inputs.is_empty() || outputs.is_empty() {
            return Err("its graph has no input or no output".to_owned());
        }
        let undecoded = undecoded_outputs(&graph.node, &outputs);
        let floats = |number| graph.initializer.iter().filter(|tensor| tensor.data_type == number).count();
        Ok(Self {
            producer: model.producer_name,
            opset,
            half_weights: floats(10) > floats(1),
            inputs,
            outputs,
            metadata: model.metadata_props.into_iter().map(|entry| (entry.key, entry.value)).collect(),
            undecoded,
        })
    }
}

fn tensor_info(value: &ValueInfoProto) -> TensorInfo {
    let tensor = value.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    TensorInfo {
        name: value.name.clone(),
        element_type: TensorType::from_onnx(tensor.map_or(0, |tensor| tensor.elem_type)),
        shape: tensor
            .and_then(|tensor| tensor.shape.as_ref())
            .map(|shape| {
                shape.dim.iter().map(|dim| dim.dim_value.and_then(|size| usize::try_from(size).ok())).collect()
            })
            .unwrap_or_default(),
    }
}

/// Walks from each output towards the convolutions, over operators that only move values or squash each for itself.
/// An output from which nothing else is met holds the network's bare numbers.
fn undecoded_outputs(nodes: &[NodeProto], outputs: &[TensorInfo]) -> Vec<String> {
    let producer: HashMap<&str, &NodeProto> =
        nodes.iter().flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node))).collect();
    let is_undecoded = |output: &str| {
        let mut pending = vec![output];
        let mut seen = HashSet::new();
        let mut convolutions = 0;
        while let Some(name) = pending.pop() {
            if !seen.insert(name) {
                continue;
            }
            let Some(node) = producer.get(name) else { return false };
            match node.op_type.as_str() {
                "Conv" => convolutions += 1,
                "Concat" => pending.extend(node.input.iter().map(String::as_str)),
                "Transpose" | "Reshape" | "Flatten" | "Sigmoid" | "Identity" | "Cast" | "Squeeze" | "Unsqueeze" => {
                    pending.extend(node.input.first().map(String::as_str));
                }
                _ => return false,
            }
        }
        convolutions > 0
    };
    outputs.iter().map(|output| output.name.clone()).filter(|name| is_undecoded(name)).collect()
}
