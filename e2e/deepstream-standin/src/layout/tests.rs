//! The compiler's sizes and offsets against those that were published. The numbers stand here and nowhere else in this
//! crate.

use std::mem::offset_of;

use super::{infer::CppVector, *};
use crate::version::Epoch;

type MiddleObject = Object5<RectParams>;
type LastObject = Object5<RotatedRectParams>;
type EarlyDisplay = DisplayMeta<RectParams>;
type LastDisplay = DisplayMeta<RotatedRectParams>;

/// One value per epoch, in the order of [`Epoch::ALL`].
fn by_epoch(size: fn(Epoch) -> usize) -> [usize; 6] {
    Epoch::ALL.map(size)
}

#[test]
fn sizes_of_metadata_are_the_published_ones_in_every_epoch() {
    assert_eq!(size_of::<BaseMeta>(), 40);
    assert_eq!(size_of::<BatchMeta>(), 192);
    assert_eq!(size_of::<MetaPool>(), 56);
    assert_eq!(size_of::<UserMeta>(), 48);
    assert_eq!(size_of::<LabelInfo>(), 200);
    assert_eq!(size_of::<GstMetaWrapper>(), 72);
    assert_eq!(by_epoch(frame_size), [192, 192, 200, 200, 232, 232]);
    assert_eq!(by_epoch(object_size), [488, 544, 544, 544, 544, 552]);
    assert_eq!(by_epoch(classifier_size), [56, 56, 64, 64, 64, 64]);
    assert_eq!(by_epoch(display_size), [6912, 6912, 6912, 6912, 6912, 7040]);
    assert_eq!(by_epoch(object_info_size), [24, 24, 24, 24, 24, 28]);
    assert_eq!(by_epoch(surface_params_size), [384, 384, 384, 384, 416, 416]);
}

#[test]
fn base_and_batch_fields_lie_where_published() {
    assert_eq!(offset_of!(BaseMeta, meta_type), 8);
    assert_eq!(offset_of!(BaseMeta, user_context), 16);
    assert_eq!(offset_of!(BaseMeta, copy), 24);
    assert_eq!(offset_of!(BaseMeta, release), 32);
    assert_eq!(offset_of!(BatchMeta, max_frames), 40);
    assert_eq!(offset_of!(BatchMeta, frames), 44);
    assert_eq!(offset_of!(BatchMeta, frame_pool), 48);
    assert_eq!(offset_of!(BatchMeta, object_pool), 56);
    assert_eq!(offset_of!(BatchMeta, classifier_pool), 64);
    assert_eq!(offset_of!(BatchMeta, display_pool), 72);
    assert_eq!(offset_of!(BatchMeta, user_pool), 80);
    assert_eq!(offset_of!(BatchMeta, label_info_pool), 88);
    assert_eq!(offset_of!(BatchMeta, frame_list), 96);
    assert_eq!(offset_of!(BatchMeta, user_list), 104);
    assert_eq!(offset_of!(BatchMeta, mutex), 112);
    assert_eq!(offset_of!(BatchMeta, misc), 128);
    assert_eq!(offset_of!(BatchMeta, reserved), 160);
    assert_eq!(offset_of!(MetaPool, max_elements), 4);
    assert_eq!(offset_of!(MetaPool, element_size), 8);
    assert_eq!(offset_of!(MetaPool, empty), 12);
    assert_eq!(offset_of!(MetaPool, full), 16);
    assert_eq!(offset_of!(MetaPool, empty_list), 24);
    assert_eq!(offset_of!(MetaPool, full_list), 32);
    assert_eq!(offset_of!(MetaPool, copy), 40);
    assert_eq!(offset_of!(MetaPool, release), 48);
    assert_eq!(offset_of!(UserMeta, data), 40);
    assert_eq!(offset_of!(GstMetaWrapper, info), 8);
    assert_eq!(offset_of!(GstMetaWrapper, meta_data), 16);
    assert_eq!(offset_of!(GstMetaWrapper, user_data), 24);
    assert_eq!(offset_of!(GstMetaWrapper, meta_type), 32);
    assert_eq!(offset_of!(GstMetaWrapper, copy), 40);
    assert_eq!(offset_of!(GstMetaWrapper, free), 48);
    assert_eq!(offset_of!(GstMetaWrapper, transform), 56);
    assert_eq!(offset_of!(GstMetaWrapper, transform_release), 64);
}

#[test]
fn frame_fields_lie_where_published() {
    assert_eq!(offset_of!(FrameHead, pad_index), 40);
    assert_eq!(offset_of!(FrameHead, batch_id), 44);
    assert_eq!(offset_of!(FrameHead, frame_num), 48);
    assert_eq!(offset_of!(FrameHead, buf_pts), 56);
    assert_eq!(offset_of!(FrameHead, ntp_timestamp), 64);
    assert_eq!(offset_of!(FrameHead, source_id), 72);
    assert_eq!(offset_of!(FrameHead, surfaces_per_frame), 76);
    assert_eq!(offset_of!(FrameHead, source_width), 80);
    assert_eq!(offset_of!(FrameHead, source_height), 84);
    assert_eq!(offset_of!(FrameHead, surface_type), 88);
    assert_eq!(offset_of!(FrameHead, surface_index), 92);
    assert_eq!(offset_of!(FrameHead, objects), 96);
    assert_eq!(offset_of!(FrameHead, infer_done), 100);
    assert_eq!(offset_of!(FrameHead, object_list), 104);
    assert_eq!(offset_of!(FrameHead, display_list), 112);
    assert_eq!(offset_of!(FrameHead, user_list), 120);
    assert_eq!(offset_of!(FrameHead, misc), 128);
    assert_eq!(offset_of!(Frame5, reserved), 160);
    assert_eq!(offset_of!(Frame6, pipeline_width), 160);
    assert_eq!(offset_of!(Frame6, pipeline_height), 164);
    assert_eq!(offset_of!(Frame6, reserved), 168);
    assert_eq!(offset_of!(Frame8, pipeline_width), 160);
    assert_eq!(offset_of!(Frame8, pipeline_height), 164);
    assert_eq!(offset_of!(Frame8, sensor_info), 168);
    assert_eq!(offset_of!(Frame8, reserved), 200);
    assert_eq!(size_of::<SensorInfo>(), 32);
    assert_eq!(offset_of!(SensorInfo, uri), 8);
    assert_eq!(offset_of!(SensorInfo, sensor_id), 16);
    assert_eq!(offset_of!(SensorInfo, sensor_name), 24);
}

#[test]
fn object_fields_lie_where_published() {
    assert_eq!(offset_of!(ObjectHead, parent), 40);
    assert_eq!(offset_of!(ObjectHead, component_id), 48);
    assert_eq!(offset_of!(ObjectHead, class_id), 52);
    assert_eq!(offset_of!(ObjectHead, object_id), 56);

    assert_eq!(offset_of!(ObjectPreview, confidence), 64);
    assert_eq!(offset_of!(ObjectPreview, rect), 72);
    assert_eq!(offset_of!(ObjectPreview, text), 176);
    assert_eq!(offset_of!(ObjectPreview, tail.label), 280);
    assert_eq!(offset_of!(ObjectPreview, tail.classifier_list), 408);
    assert_eq!(offset_of!(ObjectPreview, tail.user_list), 416);
    assert_eq!(offset_of!(ObjectPreview, tail.misc), 424);
    assert_eq!(offset_of!(ObjectPreview, tail.reserved), 456);

    assert_eq!(offset_of!(MiddleObject, detector_box), 64);
    assert_eq!(offset_of!(MiddleObject, tracker_box), 80);
    assert_eq!(offset_of!(MiddleObject, confidence), 96);
    assert_eq!(offset_of!(MiddleObject, tracker_confidence), 100);
    assert_eq!(offset_of!(MiddleObject, rect), 104);
    assert_eq!(offset_of!(MiddleObject, mask), 208);
    assert_eq!(offset_of!(MiddleObject, text), 232);
    assert_eq!(offset_of!(MiddleObject, tail.label), 336);
    assert_eq!(offset_of!(MiddleObject, tail.classifier_list), 464);
    assert_eq!(offset_of!(MiddleObject, tail.user_list), 472);
    assert_eq!(offset_of!(MiddleObject, tail.misc), 480);
    assert_eq!(offset_of!(MiddleObject, tail.reserved), 512);

    assert_eq!(offset_of!(LastObject, rect), 104);
    assert_eq!(offset_of!(LastObject, mask), 216);
    assert_eq!(offset_of!(LastObject, text), 240);
    assert_eq!(offset_of!(LastObject, tail.label), 344);
    assert_eq!(offset_of!(LastObject, tail.classifier_list), 472);
    assert_eq!(offset_of!(LastObject, tail.user_list), 480);
    assert_eq!(offset_of!(LastObject, tail.misc), 488);
    assert_eq!(offset_of!(LastObject, tail.reserved), 520);
}

#[test]
fn classifier_and_label_fields_lie_where_published() {
    assert_eq!(offset_of!(ClassifierHead, labels), 40);
    assert_eq!(offset_of!(ClassifierHead, component_id), 44);
    assert_eq!(offset_of!(ClassifierHead, label_list), 48);
    assert_eq!(offset_of!(Classifier6, classifier_type), 56);
    assert_eq!(offset_of!(LabelInfo, classes), 40);
    assert_eq!(offset_of!(LabelInfo, label), 44);
    assert_eq!(offset_of!(LabelInfo, long_label), 176);
    assert_eq!(offset_of!(LabelInfo, class_id), 184);
    assert_eq!(offset_of!(LabelInfo, label_id), 188);
    assert_eq!(offset_of!(LabelInfo, probability), 192);
}

#[test]
fn drawing_fields_lie_where_published() {
    assert_eq!(size_of::<RectParams>(), 104);
    assert_eq!(offset_of!(RectParams, top), 4);
    assert_eq!(offset_of!(RectParams, width), 8);
    assert_eq!(offset_of!(RectParams, height), 12);
    assert_eq!(offset_of!(RectParams, border_width), 16);
    assert_eq!(offset_of!(RectParams, border_color), 24);
    assert_eq!(offset_of!(RectParams, has_background), 56);
    assert_eq!(offset_of!(RectParams, reserved), 60);
    assert_eq!(offset_of!(RectParams, background), 64);
    assert_eq!(offset_of!(RectParams, has_color_info), 96);
    assert_eq!(offset_of!(RectParams, color_id), 100);
    assert_eq!(size_of::<RotatedRectParams>(), 112);
    assert_eq!(offset_of!(RotatedRectParams, rotation_angle), 104);
    assert_eq!(size_of::<TextParams>(), 104);
    assert_eq!(offset_of!(TextParams, x), 8);
    assert_eq!(offset_of!(TextParams, y), 12);
    assert_eq!(offset_of!(TextParams, font), 16);
    assert_eq!(offset_of!(TextParams, has_background), 64);
    assert_eq!(offset_of!(TextParams, background), 72);
    assert_eq!(size_of::<FontParams>(), 48);
    assert_eq!(size_of::<MaskParams>(), 24);
    assert_eq!(offset_of!(MaskParams, size), 8);
    assert_eq!(offset_of!(MaskParams, threshold), 12);
    assert_eq!(offset_of!(MaskParams, width), 16);
    assert_eq!(offset_of!(MaskParams, height), 20);
    assert_eq!([size_of::<LineParams>(), size_of::<ArrowParams>(), size_of::<CircleParams>()], [56, 64, 96]);

    assert_eq!(offset_of!(EarlyDisplay, counts), 40);
    assert_eq!(offset_of!(EarlyDisplay, rects), 64);
    assert_eq!(offset_of!(EarlyDisplay, texts), 1728);
    assert_eq!(offset_of!(EarlyDisplay, lines), 3392);
    assert_eq!(offset_of!(EarlyDisplay, arrows), 4288);
    assert_eq!(offset_of!(EarlyDisplay, circles), 5312);
    assert_eq!(offset_of!(EarlyDisplay, misc), 6848);
    assert_eq!(offset_of!(LastDisplay, texts), 1856);
    assert_eq!(offset_of!(LastDisplay, lines), 3520);
    assert_eq!(offset_of!(LastDisplay, arrows), 4416);
    assert_eq!(offset_of!(LastDisplay, circles), 5440);
    assert_eq!(offset_of!(LastDisplay, misc), 6976);
}

#[test]
fn surface_fields_lie_where_published() {
    assert_eq!([size_of::<Surface>(), size_of::<Surface8>()], [64, 72]);
    assert_eq!(offset_of!(SurfaceHead, batch_size), 4);
    assert_eq!(offset_of!(SurfaceHead, filled), 8);
    assert_eq!(offset_of!(SurfaceHead, contiguous), 12);
    assert_eq!(offset_of!(SurfaceHead, memory_type), 16);
    assert_eq!(offset_of!(SurfaceHead, list), 24);
    assert_eq!(offset_of!(SurfaceParamsHead, height), 4);
    assert_eq!(offset_of!(SurfaceParamsHead, pitch), 8);
    assert_eq!(offset_of!(SurfaceParamsHead, color_format), 12);
    assert_eq!(offset_of!(SurfaceParamsHead, layout), 16);
    assert_eq!(offset_of!(SurfaceParamsHead, descriptor), 24);
    assert_eq!(offset_of!(SurfaceParamsHead, data_size), 32);
    assert_eq!(offset_of!(SurfaceParamsHead, data), 40);
    assert_eq!(offset_of!(SurfaceParamsHead, planes), 48);
    assert_eq!(size_of::<PlaneParams>(), 232);
    assert_eq!(offset_of!(SurfaceParams, mapped), 280);
    assert_eq!(offset_of!(SurfaceParams8, mapped), 280);
    assert_eq!([size_of::<MappedAddresses>(), size_of::<MappedAddresses8>()], [72, 88]);
}

#[test]
fn inference_structs_have_the_published_sizes() {
    assert_eq!([size_of::<LayerInfo>(), size_of::<NetworkInfo>(), size_of::<Dims>()], [72, 12, 40]);
    assert_eq!(offset_of!(LayerInfo, dims), 4);
    assert_eq!(offset_of!(LayerInfo, name), 48);
    assert_eq!(offset_of!(LayerInfo, buffer), 56);
    // A std::vector of libstdc++ is three pointers; the reference at the end is a fourth one.
    assert_eq!([size_of::<CppVector>(), size_of::<ParseParameters>()], [24, 64]);
}

#[test]
fn regions_have_the_published_sizes_and_come_back_as_they_were_written() {
    use crate::version::KNOWN;

    let view = RegionView {
        area: [1.0, 2.0, 3.0, 4.0],
        frame: 8 as *mut std::ffi::c_void,
        scale: (0.5, 0.25),
        offset: (6.0, 7.0),
    };
    for version in KNOWN {
        let size = region_size(version, version.epoch());
        let mut memory = [0_u64; 31];
        assert!(size <= size_of_val(&memory));
        // SAFETY: zeroed, aligned memory of that size.
        let read = unsafe {
            write_region(version, version.epoch(), memory.as_mut_ptr().cast(), &view);
            read_region(version, version.epoch(), memory.as_ptr().cast())
        };
        assert_eq!(read, view, "{version}");
        let expected = match (version.major, version.minor) {
            (..=5, _) | (6, ..=1) => 232,
            (6..=8, _) => 240,
            _ => 248,
        };
        assert_eq!(size, expected, "{version}");
    }
    assert_eq!([size_of::<CppString>(), size_of::<PreprocessBatch>(), size_of::<TensorInput>()], [32, 64, 104]);
    assert_eq!(offset_of!(TensorInput, shape), 16);
    assert_eq!(offset_of!(TensorInput, name), 48);
}
