//! Makes the batched buffer: surfaces of one size, and their metadata.

use std::{
    ffi::c_void,
    time::{SystemTime, UNIX_EPOCH},
};

use deepstream_standin::{
    layout::{SurfaceParamsHead, color_format, frame_view, memory_type},
    meta_type,
    version::epoch,
};
use gstreamer as gst;

use super::state::Queued;
use crate::{
    nvmm::{self, Mapped},
    picture::{Area, Filter, Format, Picture, scale},
    runtime::table,
};

/// How batches are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) batch_size: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) padding: bool,
    pub(super) filter: Filter,
    pub(super) gpu_id: u32,
    pub(super) memory_type: i32,
    pub(super) system_time: bool,
}

/// Why a batch cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum BatchError {
    #[error("the buffer of source {0} holds no NVMM surface")]
    NoSurface(u32),
    #[error("the batch's metadata cannot be attached")]
    Metadata,
}

/// Where a frame goes in a picture of the mux: all of it, or as much as keeps its shape. Even, for chroma is halved.
fn area(frame: &SurfaceParamsHead, settings: &Settings) -> Area {
    let Settings { width, height, .. } = *settings;
    if !settings.padding {
        return Area { left: 0, top: 0, width, height };
    }
    let scale = (width as f64 / f64::from(frame.width)).min(height as f64 / f64::from(frame.height));
    let even = |value: f64| (value as usize) & !1;
    Area {
        left: 0,
        top: 0,
        width: even(f64::from(frame.width) * scale).min(width),
        height: even(f64::from(frame.height) * scale).min(height),
    }
}

/// The batched buffer of these frames.
pub(super) fn make(frames: &[(u32, i32, Queued)], settings: &Settings) -> Result<gst::Buffer, BatchError> {
    let mut pictures = Vec::with_capacity(frames.len());
    let mut sizes = Vec::with_capacity(frames.len());
    for (id, _, queued) in frames {
        let mapped = Mapped::new(&queued.buffer).ok_or(BatchError::NoSurface(*id))?;
        let (params, view) = mapped.params(0).zip(mapped.picture(0)).ok_or(BatchError::NoSurface(*id))?;
        let color = if view.format == Format::I420 { color_format::YUV420 } else { view.color };
        let mut picture = Picture::black(view.format, color, settings.width, settings.height);
        scale(&view, &mut picture, area(&params, settings), settings.filter);
        pictures.push(picture);
        sizes.push((params.width, params.height));
    }
    let memory_type =
        if settings.memory_type == memory_type::DEFAULT { memory_type::CUDA_DEVICE } else { settings.memory_type };
    let memory = nvmm::memory(pictures, settings.batch_size, settings.gpu_id, memory_type);
    let mut buffer = gst::Buffer::new();
    let target = buffer.get_mut().ok_or(BatchError::Metadata)?;
    target.append_memory(memory);
    target.set_pts(frames.first().and_then(|(.., queued)| queued.running_time));
    attach(target, frames, &sizes, settings)?;
    Ok(buffer)
}

/// Attaches the metadata of the frames.
fn attach(
    buffer: &mut gst::BufferRef,
    frames: &[(u32, i32, Queued)],
    sizes: &[(u32, u32)],
    settings: &Settings,
) -> Result<(), BatchError> {
    let table = table();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    // SAFETY: the functions get what the headers ask for; the batch is ours until the buffer has it, and frees it then.
    unsafe {
        let batch = (table.nvds_create_batch_meta)(settings.batch_size as u32);
        for (index, ((id, number, queued), size)) in frames.iter().zip(sizes).enumerate() {
            let frame: *mut c_void = (table.nvds_acquire_frame_meta_from_pool)(batch);
            let view = frame_view(epoch(), frame);
            view.head.pad_index = *id;
            view.head.source_id = *id;
            view.head.batch_id = index as u32;
            view.head.frame_num = *number;
            view.head.buf_pts = queued.running_time.map_or(u64::MAX, gst::ClockTime::nseconds);
            view.head.ntp_timestamp = if settings.system_time { now } else { 0 };
            view.head.surfaces_per_frame = 1;
            (view.head.source_width, view.head.source_height) = *size;
            if let Some((width, height)) = view.pipeline {
                (*width, *height) = (settings.width as u32, settings.height as u32);
            }
            if let Some(sensor) = view.sensor {
                sensor.source_id = *id;
            }
            (table.nvds_add_frame_meta_to_batch)(batch, frame);
        }
        let meta = (table.gst_buffer_add_nvds_meta)(
            buffer.as_mut_ptr(),
            batch.cast(),
            std::ptr::null_mut(),
            Some(table.nvds_batch_meta_copy_func),
            Some(table.nvds_batch_meta_release_func),
        );
        if meta.is_null() {
            return Err(BatchError::Metadata);
        }
        (*meta).meta_type = meta_type::BATCH_GST;
    }
    Ok(())
}
