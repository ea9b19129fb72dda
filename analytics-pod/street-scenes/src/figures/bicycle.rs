//! Bicycles with their riders.

use std::f32::consts::{PI, TAU};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::person::{BOTTOMS, HAIR, SKIN, TOPS};
use super::{joint, pick};
use crate::figure::Figure;
use crate::geometry::{Pose, vec3};
use crate::picture::{Rgb, rgb};

const WHEEL: f32 = 0.34;
const BASE: f32 = 0.53;

/// How a bicycle and its rider look.
#[derive(Clone, Debug)]
pub(crate) struct Bicycle {
    frame: Rgb,
    skin: Rgb,
    top: Rgb,
    bottom: Rgb,
    head: Rgb,
    /// Leaning of the rider's back from upright, radians.
    lean: f32,
    basket: Option<Rgb>,
}

impl Bicycle {
    pub(crate) fn new(random: &mut ChaCha8Rng) -> Self {
        let helmet = random.random_bool(0.6);
        Self {
            frame: pick(random, &[0xC02020, 0x2050A0, 0x202022, 0xE0E0E0, 0x308040, 0xE09020]),
            skin: pick(random, &SKIN),
            top: pick(random, &TOPS),
            bottom: pick(random, &BOTTOMS),
            head: if helmet { pick(random, &TOPS) } else { pick(random, &HAIR) },
            lean: random.random_range(0.2..0.75),
            basket: random.random_bool(0.25).then(|| pick(random, &[0x806038, 0x303030])),
        }
    }

    /// The bicycle after so many metres.
    pub(crate) fn figure(&self, pose: Pose, metres: f32) -> Figure {
        let mut figure = Figure::new(pose);
        let tyre = rgb(0x1C1C1E);
        let spoke = rgb(0x909498);
        for x in [-BASE, BASE] {
            let hub = vec3(x, WHEEL, 0.0);
            let turn = metres / WHEEL;
            for index in 0..3 {
                let (sin, cos) = (index as f32 * PI / 3.0 - turn).sin_cos();
                let rim = vec3(cos, sin, 0.0) * (WHEEL * 0.95);
                figure.round(0, spoke, &[(hub - rim, 0.006), (hub + rim, 0.006)]);
            }
            let rim = |index: u8| {
                let (sin, cos) = (f32::from(index) * TAU / 12.0).sin_cos();
                hub + vec3(cos, sin, 0.0) * WHEEL
            };
            for index in 0..12 {
                figure.round(0, tyre, &[(rim(index), 0.026), (rim(index + 1), 0.026)]);
            }
        }
        let (crank, seat, head) = (vec3(-0.06, 0.3, 0.0), vec3(-0.22, 0.88, 0.0), vec3(0.36, 0.86, 0.0));
        let (rear, front) = (vec3(-BASE, WHEEL, 0.0), vec3(BASE, WHEEL, 0.0));
        for (from, to) in [(crank, seat), (crank, head), (seat, head), (rear, crank), (rear, seat), (head, front)] {
            figure.round(1, self.frame, &[(from, 0.022), (to, 0.022)]);
        }
        let bar = vec3(0.36, 1.0, 0.0);
        figure.round(1, tyre, &[(bar - vec3(0.0, 0.0, 0.24), 0.018), (bar + vec3(0.0, 0.0, 0.24), 0.018)]);
        figure.round(1, tyre, &[(head, 0.02), (bar, 0.02)]);
        if let Some(colour) = self.basket {
            figure.cuboid(1, colour, vec3(0.4, 0.82, -0.16), vec3(0.68, 1.04, 0.16));
        }
        self.draw_rider(&mut figure, metres);
        figure
    }

    fn draw_rider(&self, figure: &mut Figure, metres: f32) {
        let hip = vec3(-0.2, 0.98, 0.0);
        let crank = vec3(-0.06, 0.3, 0.0);
        // One turn of the crank moves a city bicycle about 5 m.
        let turn = metres / 5.0 * TAU;
        for side in [-1.0_f32, 1.0] {
            let angle = if side < 0.0 { turn } else { turn + PI };
            let across = vec3(0.0, 0.0, side * 0.1);
            let pedal = crank + vec3(angle.cos(), -angle.sin(), 0.0) * 0.17 + across;
            let root = hip + across;
            let heel = pedal + vec3(-0.06, 0.07, 0.0);
            let knee = joint(root, heel, 0.44, 1.0);
            figure.round(2, self.bottom, &[(knee, 0.065), (heel, 0.045)]);
            figure.round(2, self.bottom, &[(root, 0.1), (knee, 0.068)]);
            figure.round(2, rgb(0x202022), &[(heel, 0.045), (pedal + vec3(0.12, 0.0, 0.0), 0.032)]);
        }
        let back = vec3(self.lean.sin(), self.lean.cos(), 0.0);
        let shoulder = hip + back * 0.5;
        let (half_hip, half_shoulder) = (vec3(0.0, 0.0, 0.07), vec3(0.0, 0.0, 0.14));
        figure.round(
            3,
            self.top,
            &[
                (hip - half_hip, 0.11),
                (hip + half_hip, 0.11),
                (shoulder - half_shoulder, 0.085),
                (shoulder + half_shoulder, 0.085),
            ],
        );
        for side in [-1.0_f32, 1.0] {
            let root = shoulder + vec3(0.0, 0.0, side * 0.19);
            let hand = vec3(0.36, 1.03, side * 0.22);
            let elbow = joint(root, hand, 0.3_f32.max((hand - root).length() / 2.0), -1.0);
            figure.round(3, self.skin, &[(elbow, 0.043), (hand, 0.038)]);
            figure.round(3, self.top, &[(root, 0.06), (elbow, 0.048)]);
        }
        let head = shoulder + vec3(0.09, 0.27, 0.0);
        figure.round(4, self.skin, &[(shoulder + vec3(0.02, 0.06, 0.0), 0.055), (head, 0.055)]);
        figure.round(5, self.skin, &[(head, 0.092)]);
        figure.round(6, self.head, &[(head + vec3(-0.03, 0.04, 0.0), 0.088), (head + vec3(0.03, 0.06, 0.0), 0.07)]);
    }
}
