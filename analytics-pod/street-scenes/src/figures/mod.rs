//! The figures of a scene, each built from solids for one moment.

pub(crate) mod bicycle;
pub(crate) mod dog;
pub(crate) mod furniture;
pub(crate) mod person;
pub(crate) mod vehicle;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::geometry::{Vec3, vec3};
use crate::picture::{Rgb, rgb};

/// One of `options`; black where there are none.
fn pick(random: &mut ChaCha8Rng, options: &[u32]) -> Rgb {
    let hex = options.get(random.random_range(0..options.len().max(1))).copied().unwrap_or_default();
    let vary = random.random_range(-0.05..0.05_f32);
    Rgb(rgb(hex).0.map(|channel| (channel + vary).clamp(0.02, 1.0)))
}

/// Knee or elbow of a limb of two equal bones between two points, bent towards local `x` (or away, where `bend` < 0).
fn joint(from: Vec3, to: Vec3, bone: f32, bend: f32) -> Vec3 {
    let middle = from.mix(to, 0.5);
    let span = to - from;
    let reach = (bone * bone - span.dot(span) / 4.0).max(0.0).sqrt();
    let side = vec3(-span.y, span.x, 0.0).unit();
    middle + side * (reach * bend)
}
