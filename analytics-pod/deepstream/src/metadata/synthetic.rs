//! Writes batches into memory of its own, by the same table that reads them.

use super::{Batch, base, batch, list, meta_type, pool, user};
use crate::layout::{Epoch, LABEL_SIZE, Layout};

/// What an object is to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectValues {
    /// See [`super::Object::component`].
    pub component: i32,
    /// See [`super::Object::class`].
    pub class: i32,
    /// See [`super::Object::id`].
    pub id: u64,
    /// See [`super::Object::confidence`].
    pub confidence: f32,
    /// See [`super::Object::rectangle`].
    pub rectangle: [f32; 4],
    /// See [`super::Object::detector_rectangle`].
    pub detector_rectangle: [f32; 4],
    /// See [`super::Object::tracker_confidence`].
    pub tracker_confidence: f32,
    /// See [`super::Object::label`].
    pub label: Vec<u8>,
}

/// What a frame is to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FrameValues {
    /// See [`super::Frame::pad_index`].
    pub pad_index: u32,
    /// See [`super::Frame::batch_id`].
    pub batch_id: u32,
    /// See [`super::Frame::number`].
    pub number: i32,
    /// See [`super::Frame::pts`].
    pub pts: u64,
    /// See [`super::Frame::ntp_timestamp`].
    pub ntp_timestamp: u64,
    /// See [`super::Frame::source_id`].
    pub source_id: u32,
    /// See [`super::Frame::source_width`] and its height.
    pub source_size: (u32, u32),
    /// See [`super::Frame::pipeline_size`].
    pub pipeline_size: (u32, u32),
    /// See [`super::Frame::is_inferred`].
    pub inferred: bool,
    /// See [`super::Frame::objects`].
    pub objects: Vec<ObjectValues>,
    /// See [`super::Frame::user_metadata`].
    pub user_types: Vec<i32>,
}

/// Memory with a batch in it. Every struct is an allocation of exactly its size, so that a tool that watches memory sees
/// a read beyond it.
#[derive(Debug)]
pub struct SyntheticBatch {
    layout: &'static Layout,
    batch: *mut u8,
    allocations: Vec<(*mut u8, usize)>,
}

impl SyntheticBatch {
    /// A batch of `frames`, laid out as in `epoch`; what no field covers holds `filling`.
    #[must_use]
    pub fn new(epoch: Epoch, frames: &[FrameValues], filling: u8) -> Self {
        let layout = epoch.layout();
        let mut this = Self { layout, batch: std::ptr::null_mut(), allocations: Vec::new() };
        let batch_address = this.allocate(batch::SIZE, filling);
        this.batch = batch_address;
        put(batch_address, batch::NUM_FRAMES, frames.len() as u32);
        for (offset, size) in [(batch::FRAME_POOL, layout.frame.size), (batch::OBJECT_POOL, layout.object.size)] {
            let address = this.allocate(56, filling);
            put(address, pool::ELEMENT_SIZE, size as u32);
            put(batch_address, offset, address);
        }
        let frames = frames.iter().map(|frame| this.frame(frame, filling)).collect();
        let head = this.list(frames);
        put(batch_address, batch::FRAMES, head);
        this
    }

    /// The batch, to be read.
    #[must_use]
    pub fn read(&self) -> Batch<'_> {
        // SAFETY: the batch was laid out by this layout, and lives as long as `self`; nobody writes to it.
        let read = unsafe { Batch::new(self.batch, self.layout) };
        read.unwrap_or_else(|| unreachable!("an allocation is not null"))
    }

    /// Makes the list of frames a ring.
    pub fn bite_its_tail(&mut self) {
        // SAFETY: a list was written there, and its nodes live as long as `self`.
        unsafe {
            let head = self.batch.add(batch::FRAMES).cast::<*mut u8>().read_unaligned();
            if !head.is_null() {
                put(head, list::NEXT, head);
            }
        }
    }

    fn allocate(&mut self, size: usize, filling: u8) -> *mut u8 {
        let address = Box::into_raw(vec![filling; size].into_boxed_slice()).cast::<u8>();
        self.allocations.push((address, size));
        address
    }

    fn list(&mut self, data: Vec<*mut u8>) -> *mut u8 {
        data.into_iter().rev().fold(std::ptr::null_mut(), |next, data| {
            let node = self.allocate(24, 0);
            put(node, list::DATA, data);
            put(node, list::NEXT, next);
            node
        })
    }

    fn frame(&mut self, values: &FrameValues, filling: u8) -> *mut u8 {
        let layout = &self.layout.frame;
        let frame = self.allocate(layout.size, filling);
        put(frame, base::BATCH, self.batch);
        put(frame, base::META_TYPE, meta_type::FRAME);
        put(frame, layout.pad_index, values.pad_index);
        put(frame, layout.batch_id, values.batch_id);
        put(frame, layout.frame_num, values.number);
        put(frame, layout.buf_pts, values.pts);
        put(frame, layout.ntp_timestamp, values.ntp_timestamp);
        put(frame, layout.source_id, values.source_id);
        put(frame, layout.source_frame_width, values.source_size.0);
        put(frame, layout.source_frame_height, values.source_size.1);
        put(frame, layout.num_obj_meta, values.objects.len() as u32);
        put(frame, layout.infer_done, i32::from(values.inferred));
        if let Some((width, height)) = layout.pipeline_size {
            put(frame, width, values.pipeline_size.0);
            put(frame, height, values.pipeline_size.1);
        }
        let objects = values.objects.iter().map(|object| self.object(object, filling)).collect();
        put(frame, layout.obj_meta_list, self.list(objects));
        let user = values.user_types.iter().map(|kind| self.user(*kind, filling)).collect();
        put(frame, layout.frame_user_meta_list, self.list(user));
        frame
    }

    fn user(&mut self, kind: i32, filling: u8) -> *mut u8 {
        let metadata = self.allocate(48, filling);
        put(metadata, base::META_TYPE, kind);
        put(metadata, user::DATA, metadata);
        metadata
    }

    fn object(&mut self, values: &ObjectValues, filling: u8) -> *mut u8 {
        let layout = &self.layout.object;
        let object = self.allocate(layout.size, filling);
        put(object, base::BATCH, self.batch);
        put(object, base::META_TYPE, meta_type::OBJECT);
        put(object, layout.unique_component_id, values.component);
        put(object, layout.class_id, values.class);
        put(object, layout.object_id, values.id);
        put(object, layout.confidence, values.confidence);
        put(object, layout.rect_params, values.rectangle);
        if let Some(offset) = layout.detector_bbox {
            put(object, offset, values.detector_rectangle);
        }
        if let Some(offset) = layout.tracker_confidence {
            put(object, offset, values.tracker_confidence);
        }
        let mut label = [0; LABEL_SIZE];
        for (to, from) in label.iter_mut().zip(&values.label) {
            *to = *from;
        }
        put(object, layout.obj_label, label);
        object
    }
}

impl Drop for SyntheticBatch {
    fn drop(&mut self) {
        for (address, size) in self.allocations.drain(..) {
            // SAFETY: each came from a boxed slice of that length, and is let go of once.
            drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(address, size)) });
        }
    }
}

/// Writes `value` at `offset` of the allocation at `address`; all callers stay within the struct that they allocated.
fn put<T: Copy>(address: *mut u8, offset: usize, value: T) {
    // SAFETY: `address` is an allocation of this module, of the size of its struct, and the test
    // `fields_lie_within_their_metadata_and_do_not_overlap` holds every offset of the table against that size.
    unsafe { address.add(offset).cast::<T>().write_unaligned(value) }
}
