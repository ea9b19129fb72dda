//! Runs the model on tensors that nvdspreprocess has attached.

use std::{ffi::c_void, slice};

use deepstream_standin::{
    layout::{BatchMeta, FrameHead, NetworkInfo, PreprocessBatch, RegionView, UserMeta, read_region, region_size},
    list, meta_type,
    version::{current, epoch},
};

use super::{
    attach,
    detections::{clip, join, to_frame},
    element::Running,
};
use crate::{nvmm::Mapped, placement::Placement};

/// Runs the model on every tensor of the batch that is for it.
///
/// # Safety
/// `batch` must be the batch of the mapped buffer, which the caller may write to.
pub(super) unsafe fn infer(
    running: &mut Running,
    batch: *mut BatchMeta,
    mapped: &Mapped<'_>,
    clip_to_region: bool,
) -> Result<(), String> {
    // SAFETY: as the caller warrants; metadata of this number is a batch of nvdspreprocess.
    unsafe {
        for user in list::items((*batch).user_list) {
            let user = &*user.cast::<UserMeta>();
            if Some(user.base.meta_type) != meta_type::preprocess_batch(current()) {
                continue;
            }
            let prepared = &*user.data.cast::<PreprocessBatch>();
            let targets = elements::<u64>(prepared.targets.begin, prepared.targets.end);
            if targets.contains(&u64::from(running.unique_id)) && !prepared.tensor.is_null() {
                run(running, batch, prepared, mapped, clip_to_region)?;
            }
        }
    }
    Ok(())
}

/// What a vector holds.
unsafe fn elements<'a, T>(begin: *mut c_void, end: *mut c_void) -> &'a [T] {
    if begin.is_null() {
        return &[];
    }
    // SAFETY: the caller gives the ends of a vector of such elements.
    unsafe { slice::from_raw_parts(begin.cast(), (end as usize - begin as usize) / size_of::<T>()) }
}

/// # Safety
/// As for [`infer`]; `prepared` is of the batch.
unsafe fn run(
    running: &mut Running,
    batch: *mut BatchMeta,
    prepared: &PreprocessBatch,
    mapped: &Mapped<'_>,
    clip_to_region: bool,
) -> Result<(), String> {
    // SAFETY: as the caller warrants; vectors and strings are laid out as the C++ library has them.
    let (tensor, name, shape, values, regions) = unsafe {
        let tensor = &*prepared.tensor;
        let name = slice::from_raw_parts(tensor.name.text.cast::<u8>(), tensor.name.length);
        let shape = elements::<i32>(tensor.shape.begin, tensor.shape.end);
        let values = slice::from_raw_parts(tensor.buffer.cast::<f32>(), tensor.size as usize / size_of::<f32>());
        let step = region_size(current(), epoch());
        let count = (prepared.regions.end as usize - prepared.regions.begin as usize) / step;
        let regions: Vec<RegionView> = (0..count)
            .map(|index| read_region(current(), epoch(), prepared.regions.begin.byte_add(index * step)))
            .collect();
        (tensor, name, shape, values, regions)
    };
    if tensor.gpu_id != running.gpu_id {
        return Err(format!(
            "nvinfer configured with gpu-id {} but received input tensor allocated on gpu {}",
            running.gpu_id, tensor.gpu_id
        ));
    }
    if name != running.backend.input.as_bytes() {
        // The real element warns and goes on without a result; whoever wants one would wait for ever.
        return Err(format!("nvinfer could not find input layer with name = {}", String::from_utf8_lossy(name)));
    }
    let length = running.backend.picture_len();
    if shape.first().is_none_or(|batch| *batch as usize != regions.len()) || values.len() != length * regions.len() {
        return Err(format!("the tensor of shape {shape:?} does not fit the model's input {:?}", running.backend.dims));
    }
    for (part, values) in regions.chunks(running.batch_size).zip(values.chunks(length * running.batch_size)) {
        let size = running.backend.batch(part.len());
        let mut input = values.to_vec();
        input.resize(length * size, 0.0);
        let outputs = running.backend.run(&input, size)?;
        let [channels, height, width] = running.backend.dims;
        let network = NetworkInfo { width, height, channels };
        for (picture, region) in part.iter().enumerate() {
            let frame = region.frame.cast::<FrameHead>();
            // SAFETY: a frame of the batch.
            let index = unsafe { (*frame).batch_id } as usize;
            let surface = mapped.params(index).ok_or_else(|| format!("the batch has no surface {index}"))?;
            let size_of_frame = (surface.width as usize, surface.height as usize);
            let placement = Placement {
                scale_x: region.scale.0,
                scale_y: region.scale.1,
                offset_left: region.offset.0 as usize,
                offset_top: region.offset.1 as usize,
                width: width as usize,
                height: height as usize,
                origin: (region.area[0], region.area[1]),
            };
            let found = running.read(&outputs, (picture, size), network)?;
            let detections: Vec<_> = join(found, &running.config)
                .iter()
                .filter_map(|found| to_frame(found, &placement, size_of_frame, &running.config))
                .map(|found| if clip_to_region { clip(found, region.area) } else { found })
                .collect();
            // SAFETY: a frame of the batch, which is ours to change.
            unsafe { attach::objects(batch, frame, &detections, running.unique_id, &running.labels) };
        }
    }
    Ok(())
}
