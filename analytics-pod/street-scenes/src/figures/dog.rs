//! Dogs.

use std::f32::consts::PI;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::pick;
use crate::figure::Figure;
use crate::geometry::{Pose, vec3};
use crate::picture::Rgb;

/// How a dog looks.
#[derive(Clone, Debug)]
pub(crate) struct Dog {
    /// Height of the back in metres.
    height: f32,
    coat: Rgb,
    belly: Rgb,
    legs: f32,
    stout: f32,
    floppy_ears: bool,
    collar: Rgb,
}

impl Dog {
    pub(crate) fn new(random: &mut ChaCha8Rng) -> Self {
        let coats = [0x201C1A, 0x5C3C22, 0xA87844, 0xD8C094, 0xE8E4DC, 0x807C78, 0x3C2C24];
        let coat = pick(random, &coats);
        Self {
            height: random.random_range(0.42..0.72),
            coat,
            belly: if random.random_bool(0.5) { coat } else { pick(random, &coats) },
            legs: random.random_range(0.85..1.1),
            stout: random.random_range(0.85..1.2),
            floppy_ears: random.random_bool(0.5),
            collar: pick(random, &[0xC02020, 0x2060C0, 0x303030]),
        }
    }

    /// The dog after walking so many metres.
    pub(crate) fn figure(&self, pose: Pose, metres: f32) -> Figure {
        let mut figure = Figure::new(pose);
        let s = self.height / 0.6;
        let phase = metres / (0.85 * s) * 2.0 * PI;
        let back = 0.55 * s * self.legs;
        let bob = 0.012 * s * (2.0 * phase).sin();
        let at = |x: f32, y: f32, z: f32| vec3(x * s, y * s + bob, z * s);
        let spine = back / s;
        let wide = self.stout;

        // Diagonal legs swing together, as in a trot.
        for (x, side, turn) in [(0.27, -1.0, 0.0), (0.27, 1.0, PI), (-0.3, -1.0, PI), (-0.3, 1.0, 0.0)] {
            let angle = 0.5 * (phase + turn).sin();
            let lift = 0.07 * (phase + turn + 0.5 * PI).sin().max(0.0);
            let root = at(x, spine - 0.08, side * 0.085 * wide);
            let paw = vec3(root.x + angle * 0.3 * s, (0.03 + lift) * s, root.z);
            let bend = if x > 0.0 { 0.04 } else { -0.07 };
            let joint = root.mix(paw, 0.5) + vec3(bend * s, 0.0, 0.0);
            figure.round(0, self.belly, &[(joint, 0.038 * s), (paw, 0.032 * s)]);
            figure.round(0, self.coat, &[(root, 0.075 * s * wide), (joint, 0.042 * s)]);
        }
        let tail = at(-0.6, spine + 0.2, 0.1 * (2.0 * phase).sin());
        figure.round(1, self.coat, &[(at(-0.38, spine, 0.0), 0.04 * s), (tail, 0.02 * s)]);
        figure.round(
            1,
            self.coat,
            &[
                (at(-0.32, spine - 0.03, 0.0), 0.125 * s * wide),
                (at(0.0, spine - 0.05, 0.0), 0.125 * s * wide),
                (at(0.28, spine - 0.05, 0.0), 0.15 * s * wide),
            ],
        );
        let head = at(0.52, spine + 0.24, 0.0);
        figure.round(1, self.coat, &[(at(0.32, spine, 0.0), 0.11 * s * wide), (head, 0.085 * s)]);
        figure.round(2, self.collar, &[(at(0.42, spine + 0.1, 0.0), 0.098 * s)]);
        figure.round(3, self.coat, &[(head, 0.098 * s), (head + at(0.04, 0.0, 0.0) - vec3(0.0, bob, 0.0), 0.09 * s)]);
        let nose = head + vec3(0.2 * s, -0.05 * s, 0.0);
        figure.round(3, self.belly, &[(head + vec3(0.07 * s, -0.03 * s, 0.0), 0.06 * s), (nose, 0.04 * s)]);
        figure.round(4, Rgb([0.06; 3]), &[(nose + vec3(0.03 * s, 0.015 * s, 0.0), 0.018 * s)]);
        for side in [-1.0, 1.0] {
            let root = head + vec3(-0.03 * s, 0.06 * s, side * 0.07 * s);
            let (up, out) = if self.floppy_ears { (-0.1, 0.05) } else { (0.11, 0.0) };
            let tip = root + vec3(-0.02 * s, up * s, side * out * s);
            figure.round(4, self.coat.scale(0.75), &[(root, 0.038 * s), (tip, 0.015 * s)]);
        }
        figure
    }
}
