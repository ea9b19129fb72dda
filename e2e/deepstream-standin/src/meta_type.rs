//! Numbers of `NvDsMetaType` and of `NvDsMeta`, which move from version to version.

use crate::version::Version;

/// A batch.
pub const BATCH: i32 = 1;
/// A frame.
pub const FRAME: i32 = 2;
/// An object.
pub const OBJECT: i32 = 3;
/// What is drawn on a frame.
pub const DISPLAY: i32 = 4;
/// The result of a classifier.
pub const CLASSIFIER: i32 = 5;
/// A label of a classifier's result.
pub const LABEL_INFO: i32 = 6;
/// Metadata of a user.
pub const USER: i32 = 7;
/// Raw outputs of a model (`NvDsInferTensorMeta`).
pub const TENSOR_OUTPUT: i32 = 12;
/// The first number that `nvds_get_user_meta_type` gives out.
pub const START_USER: i32 = 8193;
/// `NvDsMeta.meta_type` of a batch.
pub const BATCH_GST: i32 = 4097;

/// The number of a tensor that `nvdspreprocess` has prepared for a batch (`NVDS_PREPROCESS_BATCH_META`), from 6.0 on.
#[must_use]
pub fn preprocess_batch(version: Version) -> Option<i32> {
    match (version.major, version.minor) {
        (..=5, _) => None,
        (6, ..=2) => Some(19),
        (6, 3) => Some(21),
        (6 | 7, _) => Some(27),
        _ => Some(28),
    }
}
