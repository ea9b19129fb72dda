//! Golden tensors of every layout, and what must hold of all of them.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

/// An input of 320 × 240 into which a picture of 640 × 320 was laid at 0, 40.
const PLACEMENT: Placement = Placement { x: 0, y: 40, width: 320, height: 160 };

fn thresholds() -> Thresholds {
    Thresholds { confidence: 0.25, iou: 0.45, per_class: [].into(), class_agnostic: false, max_objects: 300 }
}

fn head(layout: Layout) -> Head {
    Head { layout, classes: 3, width: 320, height: 240, background: false }
}

/// The outputs of an object of class 1 with score 0.8, centre 160, 120, size 64 × 32 in input pixels, of one of class
/// 2 with score 0.5 that lies in the padding, and of a second, overlapping box of the first where the layout leaves
/// suppression to us. Everything else scores 0.
fn golden(layout: Layout) -> Vec<(Vec<usize>, Vec<f32>)> {
    match layout {
        Layout::YoloV5 | Layout::YoloXDecoded => {
            let mut values = vec![0.0; 8 * 10];
            values[8..16].copy_from_slice(&[160.0, 120.0, 64.0, 32.0, 1.0, 0.1, 0.8, 0.2]);
            values[24..32].copy_from_slice(&[160.0, 10.0, 20.0, 10.0, 1.0, 0.1, 0.2, 0.5]);
            values[40..48].copy_from_slice(&[162.0, 120.0, 64.0, 32.0, 0.875, 0.1, 0.8, 0.2]);
            vec![(vec![10, 8], values)]
        }
        Layout::YoloV8 => {
            let boxes = [[160.0, 120.0, 64.0, 32.0], [160.0, 10.0, 20.0, 10.0], [162.0, 120.0, 64.0, 32.0]];
            let scores = [[0.1, 0.8, 0.2], [0.1, 0.2, 0.5], [0.1, 0.7, 0.2]];
            // More anchors than one block holds, the objects in different blocks.
            let (anchors, at) = (1200, [0, 511, 1199]);
            let mut values = vec![0.0; 7 * anchors];
            for (object, anchor) in at.into_iter().enumerate() {
                for row in 0..4 {
                    values[row * anchors + anchor] = boxes[object][row];
                }
                for row in 0..3 {
                    values[(4 + row) * anchors + anchor] = scores[object][row];
                }
            }
            vec![(vec![7, anchors], values)]
        }
        Layout::YoloEndToEnd => {
            let mut values = vec![0.0; 6 * 5];
            values[..6].copy_from_slice(&[150.0, 5.0, 170.0, 15.0, 0.5, 2.0]);
            values[6..12].copy_from_slice(&[128.0, 104.0, 192.0, 136.0, 0.8, 1.0]);
            vec![(vec![5, 6], values)]
        }
        Layout::YoloXRaw => {
            // Grids of 40 × 30, 20 × 15 and 10 × 7 cells.
            let rows = 1200 + 300 + 70;
            let mut values = vec![0.0; 8 * rows];
            // Stride 32, cell 4, 3: the centre lies at 1.0, 0.75 cells from it.
            let row = 8 * (1500 + 3 * 10 + 4);
            values[row..row + 8].copy_from_slice(&[1.0, 0.75, 2_f32.ln(), 0.0, 1.0, 0.1, 0.8, 0.2]);
            // Stride 8, cell 20, 1.
            let row = 8 * (40 + 20);
            values[row..row + 8].copy_from_slice(&[0.0, 0.25, 2.5_f32.ln(), 1.25_f32.ln(), 1.0, 0.1, 0.2, 0.5]);
            // Stride 16, cell 10, 7.
            let row = 8 * (1200 + 7 * 20 + 10);
            values[row..row + 8].copy_from_slice(&[0.125, 0.5, 4_f32.ln(), 2_f32.ln(), 0.875, 0.1, 0.8, 0.2]);
            vec![(vec![rows, 8], values)]
        }
        Layout::Ssd => {
            let boxes = vec![
                160.0 / 320.0 - 0.1,
                104.0 / 240.0,
                192.0 / 320.0,
                136.0 / 240.0, //
                0.45,
                0.02,
                0.55,
                0.06, //
                0.406_25,
                104.0 / 240.0,
                0.606_25,
                136.0 / 240.0,
            ];
            let scores = vec![0.1, 0.8, 0.2, 0.1, 0.2, 0.5, 0.1, 0.7, 0.2];
            vec![(vec![3, 4], boxes), (vec![3, 3], scores)]
        }
        Layout::Queries => {
            let logit = |score: f32| (score / (1.0 - score)).ln();
            let boxes = vec![0.5, 10.0 / 240.0, 0.1, 0.01, 0.5, 0.5, 0.2, 32.0 / 240.0];
            let scores = [0.1, 0.2, 0.5, 0.1, 0.8, 0.2].map(logit);
            vec![(vec![2, 4], boxes), (vec![2, 3], scores.to_vec())]
        }
        Layout::FastestDet => {
            // One grid of 10 × 8 cells of 32 × 30 pixels.
            let cells = 80;
            let mut values = vec![0.0; 8 * cells];
            let logit = |share: f32| (share / (1.0 - share)).ln();
            let mut set = |line: usize, column: usize, cell: [f32; 8]| {
                for (channel, value) in cell.into_iter().enumerate() {
                    values[channel * cells + line * 10 + column] = value;
                }
            };
            let size = [logit(0.2), logit(32.0 / 240.0)];
            set(4, 5, [0.8, 0.0, 0.0, size[0], size[1], 0.1, 0.8, 0.2]);
            set(0, 5, [0.5, 0.0, 0.3, size[0], logit(0.02), 0.1, 0.2, 0.5]);
            set(4, 4, [0.7, 0.99_f32.atanh(), 0.0, size[0], size[1], 0.1, 0.7, 0.2]);
            vec![(vec![8, 8, 10], values)]
        }
    }
}

fn views(outputs: &[(Vec<usize>, Vec<f32>)]) -> Vec<Output<'_>> {
    outputs.iter().map(|(shape, values)| Output { shape, values }).collect()
}

#[test]
fn every_layout_reads_its_golden_tensor() {
    for layout in Layout::ALL {
        let outputs = golden(layout);
        let found = decode(&head(layout), &views(&outputs), PLACEMENT, &thresholds()).unwrap();
        let [object] = found[..] else { panic!("{layout}: {found:?}") };
        assert_eq!(object.class, 1, "{layout}");
        assert!((object.confidence - 0.8).abs() < 1e-5, "{layout}: {object:?}");
        let expected = NormalizedBox { x: 128.0 / 320.0, y: 64.0 / 160.0, width: 0.2, height: 0.2 };
        assert!(object.bounding_box.iou(&expected) > 0.9999, "{layout}: {object:?}");
    }
}

#[test]
fn what_a_class_needs_is_its_own() {
    for layout in Layout::ALL {
        let outputs = golden(layout);
        let classes = |thresholds: &Thresholds| {
            let whole = Placement { x: 0, y: 0, width: 320, height: 240 };
            let found = decode(&head(layout), &views(&outputs), whole, thresholds).unwrap();
            found.iter().map(|object| object.class).collect::<Vec<_>>()
        };
        assert_eq!(classes(&thresholds()), [1, 2], "{layout}");
        assert_eq!(classes(&Thresholds { confidence: 0.6, ..thresholds() }), [1], "{layout}");
        let laxer = Thresholds { confidence: 0.9, per_class: [(2, 0.4)].into(), ..thresholds() };
        assert_eq!(classes(&laxer), [2], "{layout}");
        let stricter = Thresholds { per_class: [(1, 0.9)].into(), ..thresholds() };
        assert_eq!(classes(&stricter), [2], "{layout}");
        assert_eq!(classes(&Thresholds { max_objects: 1, ..thresholds() }), [1], "{layout}");
        assert_eq!(classes(&Thresholds { max_objects: 0, ..thresholds() }), [0; 0], "{layout}");
    }
}

#[test]
fn overlapping_boxes_of_two_classes_are_two_objects_unless_asked() {
    let values = [100.0, 100.0, 50.0, 50.0, 1.0, 0.9, 0.0, 0.0, 100.0, 100.0, 50.0, 50.0, 1.0, 0.0, 0.8, 0.0];
    let output = [Output { shape: &[2, 8], values: &values }];
    let count = |thresholds: &Thresholds| decode(&head(Layout::YoloV5), &output, PLACEMENT, thresholds).unwrap().len();
    assert_eq!(count(&thresholds()), 2);
    assert_eq!(count(&Thresholds { class_agnostic: true, ..thresholds() }), 1);
    assert_eq!(count(&Thresholds { class_agnostic: true, iou: 1.0, ..thresholds() }), 2);
}

#[test]
fn ssd_passes_over_the_background() {
    let head = Head { background: true, ..head(Layout::Ssd) };
    let boxes = [0.1, 0.3, 0.3, 0.6, 0.5, 0.3, 0.7, 0.6];
    let scores = [0.9, 0.1, 0.05, 0.05, 0.1, 0.1, 0.1, 0.7];
    let outputs = [Output { shape: &[2, 1, 4], values: &boxes }, Output { shape: &[2, 4], values: &scores }];
    let found = decode(&head, &outputs, PLACEMENT, &thresholds()).unwrap();
    assert_eq!(found.iter().map(|object| object.class).collect::<Vec<_>>(), [2]);
}

#[test]
fn queries_of_every_exporter_are_the_same() {
    let joined = [0.5, 0.5, 0.2, 32.0 / 240.0, 0.1, 0.8, 0.2, 0.5, 0.5, 0.2, 0.1, 0.1, 0.2, 0.1];
    let joined = [Output { shape: &[2, 7], values: &joined }];
    let corners = [128.0, 104.0, 192.0, 136.0, 0.0, 40.0, 320.0, 200.0];
    let finished = [
        Output { shape: &[2, 4], values: &corners },
        Output { shape: &[2], values: &[0.8, 0.9] },
        // The second is of a class that the model has no name for.
        Output { shape: &[2], values: &[1.0, 3.0] },
    ];
    for outputs in [&joined[..], &finished[..]] {
        let found = decode(&head(Layout::Queries), outputs, PLACEMENT, &thresholds()).unwrap();
        let [object] = found[..] else { panic!("{found:?}") };
        assert_eq!((object.class, object.confidence), (1, 0.8));
        let expected = NormalizedBox { x: 128.0 / 320.0, y: 64.0 / 160.0, width: 0.2, height: 0.2 };
        assert!(object.bounding_box.iou(&expected) > 0.9999, "{object:?}");
    }
    let short = [finished[0], finished[1], Output { shape: &[1], values: &[1.0] }];
    assert!(decode(&head(Layout::Queries), &short, PLACEMENT, &thresholds()).is_err());
}

#[test]
fn boxes_are_clipped_to_the_picture() {
    let values = [0.0, 120.0, 100.0, 1000.0, 1.0, 0.9, 0.0, 0.0];
    let output = [Output { shape: &[1, 8], values: &values }];
    let found = decode(&head(Layout::YoloV5), &output, PLACEMENT, &thresholds()).unwrap();
    assert_eq!(found[0].bounding_box, NormalizedBox { x: 0.0, y: 0.0, width: 50.0 / 320.0, height: 1.0 });
}

#[test]
fn numbers_that_are_not_finite_are_no_detections() {
    for layout in Layout::ALL {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let outputs: Vec<_> =
                golden(layout).into_iter().map(|(shape, values)| (shape, vec![bad; values.len()])).collect();
            let found = decode(&head(layout), &views(&outputs), PLACEMENT, &thresholds()).unwrap();
            assert_eq!(found, [], "{layout} of {bad}");
        }
    }
}

#[test]
fn wrong_shapes_are_refused_with_what_was_expected() {
    for layout in Layout::ALL {
        let outputs = golden(layout);
        let one_more_class = Head { classes: 4, ..head(layout) };
        if layout != Layout::YoloEndToEnd {
            let error = decode(&one_more_class, &views(&outputs), PLACEMENT, &thresholds()).unwrap_err();
            assert!(error.to_string().contains("expected"), "{error}");
        }
        assert!(decode(&head(layout), &[], PLACEMENT, &thresholds()).is_err(), "{layout}");
        let mut short = outputs.clone();
        short.last_mut().unwrap().1.pop();
        assert!(decode(&head(layout), &views(&short), PLACEMENT, &thresholds()).is_err(), "{layout}");
    }
    let error = decode(&head(Layout::YoloV8), &views(&golden(Layout::YoloV5)), PLACEMENT, &thresholds());
    insta::assert_snapshot!(error.unwrap_err(), @"7×N was expected of a YOLOv8 output, found 10×8 of 80 values");
}

fn any_value() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => 0.0_f32..1.0,
        2 => -2.0_f32..400.0,
        1 => any::<f32>(),
        1 => Just(f32::NAN),
        1 => Just(f32::INFINITY),
    ]
}

/// The shape of a layout's outputs for three classes, of any length.
fn shapes(layout: Layout, rows: usize) -> Vec<Vec<usize>> {
    match layout {
        Layout::YoloV5 | Layout::YoloXDecoded => vec![vec![rows, 8]],
        Layout::YoloV8 => vec![vec![7, rows]],
        Layout::YoloEndToEnd => vec![vec![rows, 6]],
        Layout::YoloXRaw => vec![vec![4 * 4 + 2 * 2 + 1, 8]],
        Layout::Ssd | Layout::Queries => vec![vec![rows, 4], vec![rows, 3]],
        Layout::FastestDet => vec![vec![8, rows.min(6), 3]],
    }
}

/// The shape and values of an output.
type AnyOutput = (Vec<usize>, Vec<f32>);

fn any_outputs() -> impl Strategy<Value = (Layout, Vec<AnyOutput>)> {
    (prop::sample::select(&Layout::ALL[..]), 1_usize..40).prop_flat_map(|(layout, rows)| {
        let outputs: Vec<_> = shapes(layout, rows)
            .into_iter()
            .map(|shape| {
                let length = shape.iter().product::<usize>();
                (Just(shape), prop::collection::vec(any_value(), length))
            })
            .collect();
        (Just(layout), outputs)
    })
}

fn any_thresholds() -> impl Strategy<Value = Thresholds> {
    (0.0_f32..=1.0, 0.0_f32..=1.0, prop::collection::vec((0_u32..4, 0.0_f32..=1.0), 0..3), any::<bool>(), 0_usize..20)
        .prop_map(|(confidence, iou, per_class, class_agnostic, max_objects)| Thresholds {
            confidence,
            iou,
            per_class: per_class.into(),
            class_agnostic,
            max_objects,
        })
}

proptest! {
    #[test]
    fn whatever_comes_out_is_a_detection(
        (layout, outputs) in any_outputs(),
        thresholds in any_thresholds(),
        placement in (0_u32..20, 0_u32..20, 0_u32..64, 0_u32..64)
            .prop_map(|(x, y, width, height)| Placement { x, y, width, height }),
    ) {
        let head = Head { layout, classes: 3, width: 32, height: 32, background: false };
        let found = decode(&head, &views(&outputs), placement, &thresholds).unwrap();
        prop_assert!(found.len() <= thresholds.max_objects);
        prop_assert!(found.is_sorted_by(|a, b| a.confidence >= b.confidence));
        let lowest = Cutoffs::new(&thresholds);
        for object in &found {
            prop_assert!(object.class < 3);
            prop_assert!((0.0..=1.0).contains(&object.confidence));
            prop_assert!(lowest.keeps(object.class, object.confidence));
            let NormalizedBox { x, y, width, height } = object.bounding_box;
            prop_assert!(x >= 0.0 && y >= 0.0 && width > 0.0 && height > 0.0);
            prop_assert!(x + width <= 1.0 + f32::EPSILON && y + height <= 1.0 + f32::EPSILON);
        }
    }

    #[test]
    fn shapes_of_any_kind_never_panic(
        layout in prop::sample::select(&Layout::ALL[..]),
        shapes in prop::collection::vec(prop::collection::vec(0_usize..12, 0..5), 0..4),
        value in any_value(),
        missing in 0_usize..3,
        classes in 0_usize..5,
        background in any::<bool>(),
    ) {
        let outputs: Vec<_> = shapes
            .into_iter()
            .map(|shape| {
                let length = shape.iter().product::<usize>();
                (shape, vec![value; length.saturating_sub(missing)])
            })
            .collect();
        let head = Head { layout, classes, width: 32, height: 32, background };
        let _ = decode(&head, &views(&outputs), PLACEMENT, &thresholds());
    }

    #[test]
    fn of_two_kept_boxes_of_a_class_none_hides_the_other(
        values in prop::collection::vec((0.0_f32..64.0, 0.0_f32..64.0, 1.0_f32..32.0, 0.3_f32..1.0), 1..60),
    ) {
        let rows: Vec<f32> = values
            .iter()
            .flat_map(|(x, y, size, score)| [*x, *y, *size, *size, 1.0, *score, 0.0, 0.0])
            .collect();
        let head = Head { layout: Layout::YoloV5, classes: 3, width: 320, height: 240, background: false };
        // The whole input is the picture and no box touches its edge, so nothing is clipped.
        let shifted: Vec<f32> = rows.chunks_exact(8).flat_map(|row| {
            let mut row = row.to_vec();
            row[0] += 64.0;
            row[1] += 64.0;
            row
        }).collect();
        let whole = Placement { x: 0, y: 0, width: 320, height: 240 };
        let output = [Output { shape: &[values.len(), 8], values: &shifted }];
        let kept = decode(&head, &output, whole, &thresholds()).unwrap();
        for (index, one) in kept.iter().enumerate() {
            for other in &kept[..index] {
                prop_assert!(one.bounding_box.iou(&other.bounding_box) <= 0.45 + 1e-3);
            }
        }
        let best = values.iter().map(|value| value.3).fold(0.0, f32::max);
        prop_assert!((kept[0].confidence - best).abs() < 1e-6);
    }
}
