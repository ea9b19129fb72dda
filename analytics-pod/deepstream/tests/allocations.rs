//! The reader allocates nothing.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use deepstream::{
    Epoch,
    metadata::synthetic::{FrameValues, ObjectValues, SyntheticBatch},
};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: the system's allocator does everything; counting touches a number of this thread only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { System.dealloc(address, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn reading_a_batch_allocates_nothing() {
    let object = ObjectValues { label: b"person".to_vec(), ..ObjectValues::default() };
    let frames = vec![FrameValues { objects: vec![object; 30], user_types: vec![12; 3], ..FrameValues::default() }; 8];
    for epoch in Epoch::ALL {
        let memory = SyntheticBatch::new(epoch, &frames, 0);
        let before = ALLOCATIONS.with(Cell::get);
        let batch = memory.read();
        let (mut objects, mut letters, mut area) = (0, 0, 0.0);
        for frame in batch.frames() {
            objects += frame.user_metadata().count();
            for object in frame.objects() {
                objects += 1;
                letters += object.label().len();
                area += object.rectangle().width * object.confidence() + object.id() as f32;
            }
        }
        assert!(batch.is_consistent() && area >= 0.0);
        assert_eq!((objects, letters), (8 * 33, 8 * 30 * 6));
        assert_eq!(ALLOCATIONS.with(Cell::get), before, "{epoch}");
    }
    assert!(ALLOCATIONS.with(Cell::get) > 0, "allocations are counted");
}
