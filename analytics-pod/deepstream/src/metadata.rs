//! Reads the metadata that DeepStream's elements leave on a batch of pictures, by the table of [`crate::layout`].
//!
//! One `unsafe` step makes a [`Batch`] of a pointer; everything from there on is safe. Nothing is allocated, nothing is
//! kept, lists are walked up to a bound, and pointers that are null end a walk instead of the program.

use std::{marker::PhantomData, ptr::NonNull};

use crate::layout::{LABEL_SIZE, Layout, PoolSizes, base, batch, list, meta_type, pool, user};

/// Frames of a batch at the most: the largest batch that nvinfer takes.
pub const MAX_FRAMES: usize = 1024;
/// Objects of a frame at the most. A list that is longer, or that bites its own tail, is read so far.
pub const MAX_OBJECTS: usize = 16_384;
/// User metadata of a frame at the most.
pub const MAX_USER_META: usize = 256;

/// Memory that begins with a struct of DeepStream's, readable as long as the batch lives.
#[derive(Clone, Copy, Debug)]
struct Record<'a> {
    address: NonNull<u8>,
    batch: PhantomData<&'a ()>,
}

impl Record<'_> {
    /// # Safety
    /// `address` is readable for the whole struct that it points to, until `'a` ends, and nobody writes to it.
    unsafe fn new(address: *const u8) -> Option<Self> {
        NonNull::new(address.cast_mut()).map(|address| Self { address, batch: PhantomData })
    }

    /// The field at `offset`.
    ///
    /// # Safety
    /// A field of type `T` lies there, and every pattern of bits is a `T`.
    unsafe fn field<T: Copy>(self, offset: usize) -> T {
        // SAFETY: by the contract of `new` the struct is readable, and by that of this function the field is in it. No
        // alignment is asked for, so a table that is wrong reads a wrong value and nothing worse.
        unsafe { self.address.as_ptr().add(offset).cast::<T>().read_unaligned() }
    }

    /// What the pointer at `offset` points to.
    ///
    /// # Safety
    /// As [`Self::field`], and the pointer is null or points to a struct as [`Self::new`] demands it.
    unsafe fn pointer(self, offset: usize) -> Option<Self> {
        // SAFETY: both contracts are passed on to the caller.
        unsafe { Self::new(self.field::<*const u8>(offset)) }
    }
}

/// Walks a `GList` of metadata.
#[derive(Clone, Debug)]
struct Elements<'a> {
    node: Option<Record<'a>>,
    left: usize,
}

impl<'a> Elements<'a> {
    /// # Safety
    /// At `offset` of `owner` is the head of a `GList` (or null) that lives as long, and whose data are null or structs
    /// that do.
    unsafe fn new(owner: Record<'a>, offset: usize, at_most: usize) -> Self {
        // SAFETY: passed on to the caller.
        Self { node: unsafe { owner.pointer(offset) }, left: at_most }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let node = self.node?;
            self.left = self.left.checked_sub(1)?;
            // SAFETY: by the contract of `new` this is a node of a list whose nodes and data live as long as `'a`.
            let (data, next) = unsafe { (node.pointer(list::DATA), node.pointer(list::NEXT)) };
            self.node = next;
            if data.is_some() {
                return data;
            }
        }
    }
}

/// The metadata of a batch (`NvDsBatchMeta`).
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    record: Record<'a>,
    layout: &'static Layout,
}

impl<'a> Batch<'a> {
    /// The batch at `address`; `None` where that is null.
    ///
    /// # Safety
    /// `address` is null or what `gst_buffer_get_nvds_batch_meta` of a DeepStream with this `layout` returned for a
    /// buffer that lives until `'a` ends, and while it does nobody changes the batch: the caller is in the thread that
    /// the buffer is passing through.
    #[must_use]
    pub unsafe fn new(address: *const u8, layout: &'static Layout) -> Option<Self> {
        // SAFETY: passed on to the caller.
        unsafe { Record::new(address) }.map(|record| Self { record, layout })
    }

    /// The sizes that the pools of the batch tell, where it has both.
    #[must_use]
    pub fn pool_sizes(&self) -> Option<PoolSizes> {
        let size = |offset| {
            // SAFETY: both pools are pointers in `NvDsBatchMeta` of every version, to structs that live as long as it,
            // and the size is a field of those.
            unsafe { Some(self.record.pointer(offset)?.field::<u32>(pool::ELEMENT_SIZE)) }
        };
        Some(PoolSizes { frame: size(batch::FRAME_POOL)?, object: size(batch::OBJECT_POOL)? })
    }

    /// How many frames the batch says it has.
    #[must_use]
    pub fn declared_frames(&self) -> u32 {
        // SAFETY: a field of `NvDsBatchMeta` in every version.
        unsafe { self.record.field(batch::NUM_FRAMES) }
    }

    /// Its frames, up to [`MAX_FRAMES`].
    pub fn frames(&self) -> impl Iterator<Item = Frame<'a>> + use<'a> {
        let layout = self.layout;
        // SAFETY: `frame_meta_list` of `NvDsBatchMeta` is a list of `NvDsFrameMeta` in every version.
        let records = unsafe { Elements::new(self.record, batch::FRAMES, MAX_FRAMES) };
        records.map(move |record| Frame { record, layout })
    }

    /// Whether `record` says that it is of `kind` and belongs to this batch: wrong offsets would hardly.
    fn owns(&self, record: Record<'_>, kind: i32) -> bool {
        // SAFETY: frames and objects begin with `NvDsBaseMeta` in every version.
        let (owner, found) = unsafe { (record.field::<*const u8>(base::BATCH), record.field::<i32>(base::META_TYPE)) };
        std::ptr::eq(owner, self.record.address.as_ptr()) && found == kind
    }

    /// Whether everything in the batch says that it belongs to it, and lists are as long as they are said to be. Holds
    /// for a batch that is laid out as the table says.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        let mut frames = 0;
        let consistent = self.frames().all(|frame| {
            frames += 1;
            let mut objects = 0;
            self.owns(frame.record, meta_type::FRAME)
                && frame.objects().all(|object| {
                    objects += 1;
                    self.owns(object.record, meta_type::OBJECT)
                })
                && objects == frame.declared_objects()
        });
        consistent && frames == self.declared_frames()
    }
}

/// The metadata of one picture (`NvDsFrameMeta`).
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    record: Record<'a>,
    layout: &'static Layout,
}

/// A getter of a plain field.
macro_rules! plain {
    ($part:ident: $($(#[$doc:meta])* $name:ident: $type:ty = $field:ident;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(&self) -> $type {
                // SAFETY: the table of this layout says that the field lies there, and any bits are a number.
                unsafe { self.record.field(self.layout.$part.$field) }
            }
        )*
    };
}

impl<'a> Frame<'a> {
    plain! { frame:
        /// The number of the mux's pad that the picture came in by.
        pad_index: u32 = pad_index;
        /// Where in the batch the picture is.
        batch_id: u32 = batch_id;
        /// Counts the pictures of a source.
        number: i32 = frame_num;
        /// The picture's time stamp in nanoseconds.
        pts: u64 = buf_pts;
        /// When it was taken, in nanoseconds since 1970, as the camera's or the system's clock says; 0 if unknown.
        ntp_timestamp: u64 = ntp_timestamp;
        /// The number of the source.
        source_id: u32 = source_id;
        /// Width of the picture as it came in.
        source_width: u32 = source_frame_width;
        /// Height of the picture as it came in.
        source_height: u32 = source_frame_height;
        /// How many objects the frame says it has.
        declared_objects: u32 = num_obj_meta;
    }

    /// Whether a detector has looked at the picture.
    #[must_use]
    pub fn is_inferred(&self) -> bool {
        // SAFETY: `bInferDone` is an integer of four bytes at this place of every layout.
        unsafe { self.record.field::<i32>(self.layout.frame.infer_done) != 0 }
    }

    /// Width and height of the pictures in the pipeline, to which boxes refer; told since 6.0.
    #[must_use]
    pub fn pipeline_size(&self) -> Option<(u32, u32)> {
        let (width, height) = self.layout.frame.pipeline_size?;
        // SAFETY: the layout has these two fields.
        unsafe { Some((self.record.field(width), self.record.field(height))) }
    }

    /// What was detected, up to [`MAX_OBJECTS`].
    pub fn objects(&self) -> impl Iterator<Item = Object<'a>> + use<'a> {
        let layout = self.layout;
        // SAFETY: `obj_meta_list` of `NvDsFrameMeta` is a list of `NvDsObjectMeta` in every version.
        let records = unsafe { Elements::new(self.record, layout.frame.obj_meta_list, MAX_OBJECTS) };
        records.map(move |record| Object { record, layout })
    }

    /// Types and addresses of the user metadata, up to [`MAX_USER_META`].
    pub fn user_metadata(&self) -> impl Iterator<Item = (i32, *const u8)> + use<'a> {
        // SAFETY: `frame_user_meta_list` is a list of `NvDsUserMeta` in every version.
        let records = unsafe { Elements::new(self.record, self.layout.frame.frame_user_meta_list, MAX_USER_META) };
        records.map(|record| {
            // SAFETY: `NvDsUserMeta` begins with `NvDsBaseMeta` and has its data at this place in every version.
            unsafe { (record.field(base::META_TYPE), record.field(user::DATA)) }
        })
    }
}

/// A box in pixels of the pipeline's pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rectangle {
    /// Left edge.
    pub left: f32,
    /// Top edge.
    pub top: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
}

impl From<[f32; 4]> for Rectangle {
    fn from([left, top, width, height]: [f32; 4]) -> Self {
        Self { left, top, width, height }
    }
}

/// One detected object (`NvDsObjectMeta`).
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    record: Record<'a>,
    layout: &'static Layout,
}

impl<'a> Object<'a> {
    plain! { object:
        /// The id of the element that detected it (nvinfer's `gie-unique-id`).
        component: i32 = unique_component_id;
        /// Index into the labels.
        class: i32 = class_id;
        /// The tracker's id; all ones where no tracker has seen it.
        id: u64 = object_id;
        /// The detector's confidence.
        confidence: f32 = confidence;
    }

    /// The box, as the last element left it.
    #[must_use]
    pub fn rectangle(&self) -> Rectangle {
        // SAFETY: `rect_params` begins with four floats in every version.
        unsafe { self.record.field::<[f32; 4]>(self.layout.object.rect_params) }.into()
    }

    /// The box that the detector found, whatever a tracker made of it; told since 5.0.
    #[must_use]
    pub fn detector_rectangle(&self) -> Option<Rectangle> {
        // SAFETY: the layout has the field, of four floats.
        Some(unsafe { self.record.field::<[f32; 4]>(self.layout.object.detector_bbox?) }.into())
    }

    /// The tracker's confidence; told since 5.0.
    #[must_use]
    pub fn tracker_confidence(&self) -> Option<f32> {
        // SAFETY: the layout has the field.
        Some(unsafe { self.record.field(self.layout.object.tracker_confidence?) })
    }

    /// The label, without what follows its end.
    #[must_use]
    pub fn label(&self) -> &'a [u8] {
        // SAFETY: `obj_label` is an array of that many bytes within the object, which lives as long as `'a`, and nobody
        // writes to it before that ends.
        let label = unsafe {
            let start = self.record.address.as_ptr().add(self.layout.object.obj_label);
            std::slice::from_raw_parts(start, LABEL_SIZE)
        };
        label.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

/// Batches laid out by the table, for tests and measurements without DeepStream.
#[doc(hidden)]
pub mod synthetic;
