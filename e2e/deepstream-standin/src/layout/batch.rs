//! What every metadata begins with, batches, and pools.

use std::ffi::c_void;

use glib_sys::{GList, GRecMutex, gpointer};

/// Copies metadata: what is to be copied and the user's pointer in, the copy out.
pub type CopyFunction = Option<unsafe extern "C" fn(gpointer, gpointer) -> gpointer>;

/// Frees what metadata holds.
pub type ReleaseFunction = Option<unsafe extern "C" fn(gpointer, gpointer)>;

/// `NvDsBaseMeta`.
#[repr(C)]
#[derive(Debug)]
pub struct BaseMeta {
    /// The batch that it belongs to.
    pub batch_meta: *mut BatchMeta,
    /// A number of [`crate::meta_type`].
    pub meta_type: i32,
    /// The user's pointer.
    pub user_context: gpointer,
    /// How a user's data is copied.
    pub copy: CopyFunction,
    /// How a user's data is freed.
    pub release: ReleaseFunction,
}

/// `NvDsMetaPool`.
#[repr(C)]
#[derive(Debug)]
pub struct MetaPool {
    /// A number of [`crate::meta_type`].
    pub meta_type: i32,
    /// How many elements it holds.
    pub max_elements: u32,
    /// The size of one in bytes.
    pub element_size: u32,
    /// How many are not in use.
    pub empty: u32,
    /// How many are in use.
    pub full: u32,
    /// Those not in use.
    pub empty_list: *mut GList,
    /// Those in use.
    pub full_list: *mut GList,
    /// Copies one.
    pub copy: CopyFunction,
    /// Frees what one holds.
    pub release: ReleaseFunction,
}

/// `NvDsBatchMeta`.
#[repr(C)]
pub struct BatchMeta {
    /// What all metadata has.
    pub base: BaseMeta,
    /// How many frames the batch may hold.
    pub max_frames: u32,
    /// How many it holds.
    pub frames: u32,
    /// Frames.
    pub frame_pool: *mut MetaPool,
    /// Objects.
    pub object_pool: *mut MetaPool,
    /// Classifiers' results.
    pub classifier_pool: *mut MetaPool,
    /// What is drawn.
    pub display_pool: *mut MetaPool,
    /// Users' metadata.
    pub user_pool: *mut MetaPool,
    /// Labels.
    pub label_info_pool: *mut MetaPool,
    /// The frames.
    pub frame_list: *mut GList,
    /// Users' metadata of the batch.
    pub user_list: *mut GList,
    /// Held while metadata is changed.
    pub mutex: GRecMutex,
    /// For users.
    pub misc: [i64; 4],
    /// For DeepStream.
    pub reserved: [i64; 4],
}

/// `NvDsUserMeta`.
#[repr(C)]
#[derive(Debug)]
pub struct UserMeta {
    /// What all metadata has.
    pub base: BaseMeta,
    /// The user's data.
    pub data: *mut c_void,
}

/// `NvDsMeta`, which carries a batch's metadata on a GStreamer buffer. `flags` and `info` are `GstMeta`.
#[repr(C)]
#[derive(Debug)]
pub struct GstMetaWrapper {
    /// Flags of the `GstMeta`.
    pub flags: u32,
    /// The registration of the `GstMeta`.
    pub info: *const c_void,
    /// The metadata.
    pub meta_data: gpointer,
    /// The user's pointer.
    pub user_data: gpointer,
    /// What the metadata is ([`crate::meta_type::BATCH_GST`]).
    pub meta_type: i32,
    /// Copies the metadata with the buffer.
    pub copy: CopyFunction,
    /// Frees it with the buffer.
    pub free: ReleaseFunction,
    /// Makes metadata of a frame of it, in nvstreammux.
    pub transform: CopyFunction,
    /// Frees what `transform` made.
    pub transform_release: ReleaseFunction,
}
