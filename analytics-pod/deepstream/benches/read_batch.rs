//! What reading a batch costs.

#![allow(missing_docs, reason = "criterion's macro makes a function")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use deepstream::{
    Epoch,
    metadata::synthetic::{FrameValues, ObjectValues, SyntheticBatch},
};

const FRAMES: usize = 16;
const OBJECTS: usize = 30;

fn read_batch(criterion: &mut Criterion) {
    let object = ObjectValues {
        confidence: 0.5,
        rectangle: [10.0, 20.0, 30.0, 40.0],
        label: b"person".to_vec(),
        ..ObjectValues::default()
    };
    let frame = FrameValues { objects: vec![object; OBJECTS], pipeline_size: (1920, 1080), ..FrameValues::default() };
    let frames = vec![frame; FRAMES];
    let mut group = criterion.benchmark_group("frames of 30 objects");
    group.throughput(Throughput::Elements(FRAMES as u64));
    for epoch in [Epoch::V5Preview, Epoch::V6_3, Epoch::V9] {
        let memory = SyntheticBatch::new(epoch, &frames, 0);
        group.bench_function(epoch.to_string(), |bencher| {
            bencher.iter(|| {
                for frame in memory.read().frames() {
                    let objects: Vec<_> = frame
                        .objects()
                        .map(|object| (object.class(), object.confidence(), object.id(), object.rectangle()))
                        .collect();
                    black_box(objects);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, read_batch);
criterion_main!(benches);
