//! DeepStream's structs, one `repr(C)` type per layout that ever was. The compiler places the fields; a test holds
//! sizes and offsets against the published ones.
//!
//! What all epochs share is a struct of its own that stands at the head of the epoch's struct, so that code which needs
//! nothing else works without knowing the epoch.

mod batch;
mod frame;
mod infer;
mod object;
mod osd;
mod preprocess;
mod surface;
#[cfg(test)]
mod tests;

pub use batch::{BaseMeta, BatchMeta, CopyFunction, GstMetaWrapper, MetaPool, ReleaseFunction, UserMeta};
pub use frame::{Frame5, Frame6, Frame8, FrameHead, FrameView, SensorInfo, frame_size, frame_view};
pub use infer::{
    CppVector, Dims, LayerInfo, NetworkInfo, ObjectInfo24, ObjectInfo28, ParseParameters, TensorMeta, object_info_size,
};
pub use object::{
    Classifier5, Classifier6, ClassifierHead, LabelInfo, Object5, ObjectHead, ObjectPreview, ObjectTail, ObjectView,
    classifier_size, object_size, object_view,
};
pub use osd::{
    ArrowParams, CircleParams, Color, DisplayMeta, FontParams, LineParams, MaskParams, RectParams, RotatedRectParams,
    TextParams, display_size,
};
pub use preprocess::{
    CppString, PreprocessBatch, Region, RegionView, TensorInput, read_region, region_size, write_region,
};
pub use surface::{
    MappedAddresses, MappedAddresses8, PlaneParams, Surface, Surface8, SurfaceHead, SurfaceParams, SurfaceParams8,
    SurfaceParamsHead, color_format, memory_type, surface_params, surface_params_size,
};
