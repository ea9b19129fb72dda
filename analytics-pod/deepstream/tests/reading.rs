//! What is written by the table is read back, whatever it is, and nothing beside it.

use deepstream::{
    Epoch,
    metadata::{
        MAX_FRAMES, Rectangle,
        synthetic::{FrameValues, ObjectValues, SyntheticBatch},
    },
};
use proptest::prelude::*;

fn any_float() -> impl Strategy<Value = f32> {
    any::<u32>().prop_map(f32::from_bits)
}

prop_compose! {
    fn any_object()(
        component in any::<i32>(),
        class in any::<i32>(),
        id in any::<u64>(),
        confidence in any_float(),
        rectangle in prop::array::uniform4(any_float()),
        detector_rectangle in prop::array::uniform4(any_float()),
        tracker_confidence in any_float(),
        label in prop::collection::vec(1_u8.., 0..=128),
    ) -> ObjectValues {
        ObjectValues { component, class, id, confidence, rectangle, detector_rectangle, tracker_confidence, label }
    }
}

prop_compose! {
    fn any_frame()(
        numbers in any::<[u32; 4]>(),
        number in any::<i32>(),
        times in any::<[u64; 2]>(),
        source_size in any::<(u32, u32)>(),
        pipeline_size in any::<(u32, u32)>(),
        inferred in any::<bool>(),
        objects in prop::collection::vec(any_object(), 0..12),
        user_types in prop::collection::vec(any::<i32>(), 0..4),
    ) -> FrameValues {
        let [pad_index, batch_id, source_id, _] = numbers;
        let [pts, ntp_timestamp] = times;
        FrameValues {
            pad_index, batch_id, number, pts, ntp_timestamp, source_id, source_size, pipeline_size, inferred, objects,
            user_types,
        }
    }
}

fn bits(rectangle: Rectangle) -> [u32; 4] {
    [rectangle.left, rectangle.top, rectangle.width, rectangle.height].map(f32::to_bits)
}

fn check(epoch: Epoch, frames: &[FrameValues], filling: u8) {
    let memory = SyntheticBatch::new(epoch, frames, filling);
    let batch = memory.read();
    assert_eq!(batch.pool_sizes(), Some(epoch.layout().sizes()));
    assert_eq!(batch.declared_frames() as usize, frames.len());
    assert!(batch.is_consistent());
    assert_eq!(batch.frames().count(), frames.len());
    for (read, written) in batch.frames().zip(frames) {
        assert_eq!(
            (read.pad_index(), read.batch_id(), read.number(), read.source_id()),
            (written.pad_index, written.batch_id, written.number, written.source_id)
        );
        assert_eq!((read.pts(), read.ntp_timestamp()), (written.pts, written.ntp_timestamp));
        assert_eq!((read.source_width(), read.source_height()), written.source_size);
        assert_eq!(read.is_inferred(), written.inferred);
        assert_eq!(read.pipeline_size(), (epoch >= Epoch::V6_0).then_some(written.pipeline_size));
        assert_eq!(read.declared_objects() as usize, written.objects.len());
        assert_eq!(read.user_metadata().map(|(kind, _)| kind).collect::<Vec<_>>(), written.user_types);
        assert_eq!(read.objects().count(), written.objects.len());
        for (read, written) in read.objects().zip(&written.objects) {
            assert_eq!((read.component(), read.class(), read.id()), (written.component, written.class, written.id));
            assert_eq!(read.confidence().to_bits(), written.confidence.to_bits());
            assert_eq!(bits(read.rectangle()), written.rectangle.map(f32::to_bits));
            let told = epoch != Epoch::V5Preview;
            assert_eq!(
                read.detector_rectangle().map(bits),
                told.then_some(written.detector_rectangle.map(f32::to_bits))
            );
            assert_eq!(
                read.tracker_confidence().map(f32::to_bits),
                told.then_some(written.tracker_confidence.to_bits())
            );
            assert_eq!(read.label(), written.label);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 64 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_written_is_read_back_in_every_layout(
        frames in prop::collection::vec(any_frame(), 0..5),
        filling in any::<u8>(),
    ) {
        for epoch in Epoch::ALL {
            check(epoch, &frames, filling);
        }
    }
}

#[test]
fn a_list_that_bites_its_own_tail_ends() {
    let frames = [FrameValues::default(), FrameValues::default()];
    let mut memory = SyntheticBatch::new(Epoch::V6_3, &frames, 0);
    memory.bite_its_tail();
    assert_eq!(memory.read().frames().count(), MAX_FRAMES);
    assert!(!memory.read().is_consistent());
}

#[test]
fn a_batch_that_is_not_there_is_none() {
    // SAFETY: null is allowed.
    let batch = unsafe { deepstream::Batch::new(std::ptr::null(), Epoch::V8.layout()) };
    assert!(batch.is_none());
}

#[test]
fn another_layout_than_that_of_the_batch_is_seen() {
    let frames = [FrameValues { objects: vec![ObjectValues::default(); 3], ..FrameValues::default() }];
    let memory = SyntheticBatch::new(Epoch::V9, &frames, 0);
    let sizes = memory.read().pool_sizes();
    assert!(sizes.is_some_and(|sizes| Epoch::V8.confirm(sizes).is_err() && Epoch::V9.confirm(sizes).is_ok()));
}
