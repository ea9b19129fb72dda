//! The parser library for nvinfer reads outputs as the program's own post-processing does.

#![allow(clippy::unwrap_used)]

use std::{
    ffi::{CString, c_char, c_int, c_long, c_uint, c_void},
    path::{Path, PathBuf},
    process::Command,
};

use analytics_pod::model::{
    Layout, Placement, Thresholds,
    decode::{Head, Output, decode},
};
use half::f16;
use libloading::{Library, Symbol};
use proptest::{prelude::*, test_runner::TestRunner};

const CLASSES: usize = 3;
const SIDE: u32 = 64;
const CAPACITY: usize = 4096;

#[repr(C)]
struct HarnessTensor {
    name: *const c_char,
    kind: c_int,
    dimensions: c_uint,
    shape: [c_uint; 8],
    values: *mut c_void,
}

type HarnessParse = unsafe extern "C" fn(
    *const c_void,
    *const HarnessTensor,
    usize,
    c_uint,
    c_uint,
    *const f32,
    c_uint,
    *mut f32,
    usize,
) -> c_long;

/// Element type of a tensor, as nvinfer numbers them.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Float = 0,
    Half = 1,
    Integer = 3,
}

#[derive(Clone, Debug)]
struct Tensor {
    name: &'static str,
    kind: Kind,
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Tensor {
    fn new(name: &'static str, shape: &[usize], values: Vec<f32>) -> Self {
        Self { name, kind: Kind::Float, shape: shape.to_vec(), values }
    }
}

/// A library as an image has it, with the harness in it.
struct Parsers {
    library: Library,
    _folder: tempfile::TempDir,
}

impl Parsers {
    fn build(generation: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("deepstream/parsers");
        let path: PathBuf = folder.path().join("libparsers.so");
        let built = Command::new(sources.join("build.sh"))
            .arg(&path)
            .arg(generation)
            .env("VISION_PARSERS_EXTRA", sources.join("harness.cpp"))
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        assert!(built.stderr.is_empty(), "{}", String::from_utf8_lossy(&built.stderr));
        // SAFETY: the library was just built, and its initialisers are the C++ runtime's.
        let library = unsafe { Library::new(&path) }.unwrap();
        Self { library, _folder: folder }
    }

    fn object_size(&self) -> u32 {
        // SAFETY: it has this prototype.
        unsafe { self.library.get::<unsafe extern "C" fn() -> c_uint>(b"VisionParseObjectSize").unwrap()() }
    }

    /// Objects as class, corners and confidence, best first; `None` where the parser refuses.
    fn parse(&self, function: &str, tensors: &[Tensor], thresholds: &[f32]) -> Option<Vec<(u32, [f32; 4], f32)>> {
        let names: Vec<CString> = tensors.iter().map(|tensor| CString::new(tensor.name).unwrap()).collect();
        let mut bytes: Vec<Vec<u8>> = tensors
            .iter()
            .map(|tensor| {
                let values = tensor.values.iter();
                match tensor.kind {
                    Kind::Float => values.flat_map(|value| value.to_ne_bytes()).collect(),
                    Kind::Half => values.flat_map(|value| f16::from_f32(*value).to_ne_bytes()).collect(),
                    Kind::Integer => values.flat_map(|value| (*value as i32).to_ne_bytes()).collect(),
                }
            })
            .collect();
        let described: Vec<HarnessTensor> = tensors
            .iter()
            .zip(&names)
            .zip(&mut bytes)
            .map(|((tensor, name), bytes)| {
                let mut shape = [0; 8];
                for (to, from) in shape.iter_mut().zip(&tensor.shape) {
                    *to = u32::try_from(*from).unwrap();
                }
                HarnessTensor {
                    name: name.as_ptr(),
                    kind: tensor.kind as c_int,
                    dimensions: u32::try_from(tensor.shape.len()).unwrap(),
                    shape,
                    values: bytes.as_mut_ptr().cast(),
                }
            })
            .collect();
        let mut out = vec![0.0_f32; CAPACITY * 6];
        // SAFETY: both functions have these prototypes; every array lives during the call and is as long as is said.
        let count = unsafe {
            let parser: Symbol<'_, *const c_void> = self.library.get(function.as_bytes()).unwrap();
            let harness: Symbol<'_, HarnessParse> = self.library.get(b"harness_parse").unwrap();
            let classes = u32::try_from(thresholds.len()).unwrap();
            harness(
                *parser,
                described.as_ptr(),
                described.len(),
                SIDE,
                SIDE,
                thresholds.as_ptr(),
                classes,
                out.as_mut_ptr(),
                CAPACITY,
            )
        };
        let count = usize::try_from(count).ok()?;
        assert!(count <= CAPACITY);
        let mut objects: Vec<_> = out
            .chunks_exact(6)
            .take(count)
            .map(|row| (row[0] as u32, [row[1], row[2], row[1] + row[3], row[2] + row[4]], row[5]))
            .collect();
        objects.sort_by(|a, b| b.2.total_cmp(&a.2));
        Some(objects)
    }
}

/// What the program itself reads, without suppression.
fn expected(layout: Layout, background: bool, tensors: &[Tensor], thresholds: &[f32]) -> Vec<(u32, [f32; 4], f32)> {
    let head = Head { layout, classes: CLASSES, width: SIDE, height: SIDE, background };
    let outputs: Vec<_> =
        tensors.iter().map(|tensor| Output { shape: &tensor.shape, values: &tensor.values }).collect();
    let placement = Placement { x: 0, y: 0, width: SIDE, height: SIDE };
    let per_class: Vec<_> = thresholds.iter().enumerate().map(|(class, cutoff)| (class as u32, *cutoff)).collect();
    let thresholds = Thresholds {
        confidence: 1.0,
        iou: 1.0,
        per_class: per_class.into(),
        class_agnostic: false,
        max_objects: CAPACITY,
    };
    let side = SIDE as f32;
    decode(&head, &outputs, placement, &thresholds)
        .unwrap()
        .into_iter()
        .map(|found| {
            let area = found.bounding_box;
            let corners = [area.x, area.y, area.x + area.width, area.y + area.height].map(|edge| edge * side);
            (found.class, corners, found.confidence)
        })
        .collect()
}

fn assert_same(case: &str, found: &[(u32, [f32; 4], f32)], expected: &[(u32, [f32; 4], f32)]) {
    assert_eq!(found.len(), expected.len(), "{case}");
    for expected in expected {
        let near = |a: f32, b: f32, tolerance: f32| (a - b).abs() <= tolerance;
        let same = |found: &&(u32, [f32; 4], f32)| {
            found.0 == expected.0
                && near(found.2, expected.2, 1e-5)
                && found.1.iter().zip(&expected.1).all(|(a, b)| near(*a, *b, 1e-3))
        };
        assert!(found.iter().any(|object| same(&object)), "{case}: {expected:?} is not in {found:?}");
    }
}

/// Values that outputs have, with some that they should not.
fn value() -> impl Strategy<Value = f32> {
    prop_oneof![
        12 => 0.0_f32..1.0,
        6 => -4.0_f32..80.0,
        1 => prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(-0.0), Just(1e30)],
    ]
}

fn values(count: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(value(), count)
}

/// Tensors of each layout as its models give them, with the name of its parser.
fn cases() -> Vec<(Layout, bool, &'static str, BoxedStrategy<Vec<Tensor>>)> {
    let one = |name: &'static str, shape: Vec<usize>| {
        let count = shape.iter().product();
        values(count).prop_map(move |values| vec![Tensor::new(name, &shape, values)]).boxed()
    };
    let two = |columns: usize, middle: bool| {
        (values(20 * 4), values(20 * columns))
            .prop_map(move |(boxes, scores)| {
                let shape: &[usize] = if middle { &[20, 1, 4] } else { &[20, 4] };
                vec![Tensor::new("boxes", shape, boxes), Tensor::new("scores", &[20, columns], scores)]
            })
            .boxed()
    };
    let finished =
        (values(20 * 4), values(20), prop::collection::vec(0_u8..4, 20)).prop_map(|(boxes, scores, classes)| {
            let classes = classes.into_iter().map(f32::from).collect();
            vec![
                Tensor::new("boxes", &[20, 4], boxes),
                Tensor::new("scores", &[20], scores),
                Tensor::new("labels", &[20], classes),
            ]
        });
    let cells = (8 * 8) + (4 * 4) + (2 * 2);
    vec![
        (Layout::YoloV5, false, "VisionParseYoloV5", one("output", vec![30, CLASSES + 5])),
        (Layout::YoloXDecoded, false, "VisionParseYoloXDecoded", one("output", vec![30, CLASSES + 5])),
        (Layout::YoloV8, false, "VisionParseYoloV8", one("output", vec![CLASSES + 4, 30])),
        (Layout::YoloEndToEnd, false, "VisionParseYoloEndToEnd", one("output", vec![30, 6])),
        (Layout::YoloXRaw, false, "VisionParseYoloXRaw", one("output", vec![cells, CLASSES + 5])),
        (Layout::Ssd, true, "VisionParseSsd", two(CLASSES + 1, false)),
        (Layout::Ssd, false, "VisionParseSsd", two(CLASSES, true)),
        (Layout::Queries, false, "VisionParseQueries", two(CLASSES, false)),
        (Layout::Queries, false, "VisionParseQueries", one("output", vec![30, CLASSES + 4])),
        (Layout::Queries, false, "VisionParseQueries", finished.boxed()),
        (Layout::FastestDet, false, "VisionParseFastestDet", one("output", vec![CLASSES + 5, 4, 4])),
    ]
}

#[test]
fn every_layout_is_read_as_the_program_reads_it() {
    let thresholds = [0.2, 0.5, 0.05];
    for generation in ["8", "9"] {
        let parsers = Parsers::build(generation);
        for (layout, background, function, tensors) in cases() {
            let mut runner =
                TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) });
            let outcome = runner.run(&tensors, |tensors| {
                let case = format!("{layout} of {tensors:?}");
                let found = parsers.parse(function, &tensors, &thresholds).unwrap();
                assert_same(&case, &found, &expected(layout, background, &tensors, &thresholds));
                Ok(())
            });
            outcome.unwrap();
            let fixed = sample(&tensors);
            let objects = parsers.parse(function, &fixed, &[0.0; CLASSES]).unwrap().len();
            assert!(objects > 0, "{layout}: something is found at all");
        }
    }
}

fn sample(strategy: &BoxedStrategy<Vec<Tensor>>) -> Vec<Tensor> {
    let mut runner = TestRunner::deterministic();
    strategy.new_tree(&mut runner).unwrap().current()
}

#[test]
fn halves_integers_and_other_orders_are_read() {
    let parsers = Parsers::build("8");
    let rows = vec![10.0, 20.0, 8.0, 4.0, 1.0, 0.25, 0.75, 0.5];
    let full = [Tensor::new("output", &[1, 8], rows)];
    let halves = [Tensor { kind: Kind::Half, ..full[0].clone() }];
    let found = parsers.parse("VisionParseYoloV5", &halves, &[0.1; CLASSES]).unwrap();
    assert_eq!(found, vec![(1, [6.0, 18.0, 14.0, 22.0], 0.75)]);

    let boxes = Tensor::new("boxes", &[2, 4], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    let scores = Tensor::new("scores", &[2], vec![0.9, 0.4]);
    let labels = Tensor { kind: Kind::Integer, ..Tensor::new("labels", &[2], vec![2.0, 0.0]) };
    let wanted = vec![(2, [1.0, 2.0, 3.0, 4.0], 0.9), (0, [5.0, 6.0, 7.0, 8.0], 0.4)];
    let orders = [
        [boxes.clone(), scores.clone(), labels.clone()],
        [labels.clone(), boxes.clone(), scores.clone()],
        [scores.clone(), labels, boxes.clone()],
        [Tensor { name: "labels", ..Tensor::new("", &[2], vec![2.0, 0.0]) }, scores, boxes],
    ];
    for tensors in orders {
        assert_eq!(parsers.parse("VisionParseQueries", &tensors, &[0.1; CLASSES]).unwrap(), wanted);
    }
}

#[test]
fn a_tensor_of_another_shape_is_refused() {
    let parsers = Parsers::build("8");
    let wrong = [Tensor::new("output", &[7], vec![0.5; 7])];
    for (_, _, function, _) in cases() {
        assert_eq!(parsers.parse(function, &wrong, &[0.1; CLASSES]), None, "{function}");
        assert_eq!(parsers.parse(function, &[], &[0.1; CLASSES]), None, "{function}");
    }
}

#[test]
fn objects_are_of_the_size_that_each_version_has() {
    for (generation, epoch) in [("8", deepstream::Epoch::V8), ("9", deepstream::Epoch::V9)] {
        assert_eq!(Parsers::build(generation).object_size() as usize, epoch.parse_object_size());
    }
}
