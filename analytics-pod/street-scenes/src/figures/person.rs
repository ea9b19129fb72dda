//! Pedestrians.

use std::f32::consts::PI;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::pick;
use crate::figure::Figure;
use crate::geometry::{Pose, Vec3, vec3};
use crate::picture::Rgb;

pub(super) const SKIN: [u32; 5] = [0xF0C8A8, 0xE0AC84, 0xC0885C, 0x8C5C3C, 0x60402C];
pub(super) const HAIR: [u32; 6] = [0x1C1816, 0x3A2618, 0x604024, 0xA88048, 0x909090, 0xD0C8C0];
pub(super) const TOPS: [u32; 14] = [
    0xB82C2C, 0x285098, 0x2C7848, 0xE0DCD4, 0x303034, 0xD8A028, 0x703880, 0xE07030, 0x5090B8, 0x88888C, 0x1C2848,
    0xC86488, 0x746044, 0xA8C048,
];
pub(super) const BOTTOMS: [u32; 8] = [0x202430, 0x303C5C, 0x485878, 0x504840, 0x807460, 0x2C2C2C, 0xB0A898, 0x3C4438];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outfit {
    Trousers,
    Shorts,
    Skirt,
    Coat,
}

/// How a person looks.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    height: f32,
    girth: f32,
    skin: Rgb,
    hair: Rgb,
    top: Rgb,
    bottom: Rgb,
    shoes: Rgb,
    outfit: Outfit,
    long_hair: bool,
    cap: Option<Rgb>,
    backpack: Option<Rgb>,
    bag: Option<Rgb>,
}

/// Where in its movement a person is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gait {
    /// Metres walked.
    Walking(f32),
    /// Share of an idle sway, 0–1.
    Standing(f32),
}

impl Person {
    pub(crate) fn new(random: &mut ChaCha8Rng) -> Self {
        let child = random.random_bool(0.1);
        let outfit = match random.random_range(0..10) {
            0..=5 => Outfit::Trousers,
            6 => Outfit::Shorts,
            7 => Outfit::Skirt,
            _ => Outfit::Coat,
        };
        Self {
            height: if child { random.random_range(1.15..1.45) } else { random.random_range(1.56..1.92) },
            girth: random.random_range(0.9..1.2),
            skin: pick(random, &SKIN),
            hair: pick(random, &HAIR),
            top: pick(random, &TOPS),
            bottom: pick(random, &BOTTOMS),
            shoes: pick(random, &[0x181818, 0xD8D4CC, 0x5C3C28]),
            outfit,
            long_hair: random.random_bool(0.4),
            cap: random.random_bool(0.2).then(|| pick(random, &TOPS)),
            backpack: random.random_bool(0.25).then(|| pick(random, &TOPS)),
            bag: random.random_bool(0.2).then(|| pick(random, &[0x3C2820, 0x202024, 0xA03030])),
        }
    }

    /// Length of two steps in metres.
    fn stride(&self) -> f32 {
        self.height * 0.82
    }

    pub(crate) fn figure(&self, pose: Pose, gait: Gait) -> Figure {
        let mut figure = Figure::new(pose);
        let (phase, swing, sway) = match gait {
            Gait::Walking(metres) => (metres / self.stride() * 2.0 * PI, 1.0, 0.0),
            Gait::Standing(share) => (0.0, 0.0, (share * 2.0 * PI).sin() * 0.015),
        };
        let h = self.height;
        let bone = 0.245 * h;
        let legs = [-1.0_f32, 1.0].map(|side| {
            let turn = if side < 0.0 { phase } else { phase + PI };
            let thigh = 0.5 * swing * turn.sin();
            let knee = 0.08 + swing * 0.85 * (turn + 0.5 * PI).sin().max(0.0).powi(2);
            let down = vec3(thigh.sin(), -thigh.cos(), 0.0) * bone;
            let shin = thigh - knee;
            (side, down, down + vec3(shin.sin(), -shin.cos(), 0.0) * bone, shin)
        });
        // The lower foot stands on the ground.
        let hip_height = legs.iter().map(|(_, _, foot, _)| -foot.y).fold(0.0, f32::max) + 0.03 * h;
        let hip = vec3(sway, hip_height, 0.0);
        for (side, knee, ankle, shin) in legs {
            self.draw_leg(&mut figure, hip, side, knee, ankle, shin);
        }
        let shoulder = hip + vec3(0.02 * swing * h, 0.3 * h, 0.0);
        self.draw_torso(&mut figure, hip, shoulder);
        for side in [-1.0, 1.0] {
            let turn = if side < 0.0 { phase + PI } else { phase };
            self.draw_arm(&mut figure, shoulder, side, 0.45 * swing * turn.sin(), swing);
        }
        self.draw_head(&mut figure, shoulder + vec3(0.015 * h, 0.135 * h, 0.0));
        figure
    }

    fn draw_leg(&self, figure: &mut Figure, hip: Vec3, side: f32, knee: Vec3, ankle: Vec3, shin: f32) {
        let h = self.height;
        let root = hip + vec3(0.0, 0.0, side * 0.048 * h * self.girth);
        let (knee, ankle) = (root + knee, root + ankle);
        let bare = matches!(self.outfit, Outfit::Shorts | Outfit::Skirt);
        let lower = if bare { self.skin } else { self.bottom };
        let wide = self.girth;
        figure.round(0, lower, &[(knee, 0.036 * h * wide), (ankle, 0.026 * h)]);
        figure.round(0, self.bottom, &[(root, 0.058 * h * wide), (knee, 0.041 * h * wide)]);
        let toe = ankle + vec3(shin.cos() * 0.085 * h, -0.012 * h + shin.sin() * 0.06 * h, 0.0);
        figure.round(0, self.shoes, &[(ankle, 0.026 * h), (toe.at_height(0.015 * h), 0.02 * h)]);
    }

    fn draw_torso(&self, figure: &mut Figure, hip: Vec3, shoulder: Vec3) {
        let (h, wide) = (self.height, self.girth);
        let half_hip = vec3(0.0, 0.0, 0.042 * h * wide);
        let half_shoulder = vec3(0.0, 0.0, 0.078 * h * wide);
        let waist = 0.062 * h * wide;
        let torso = [
            (hip - half_hip, waist),
            (hip + half_hip, waist),
            (shoulder - half_shoulder, 0.05 * h),
            (shoulder + half_shoulder, 0.05 * h),
        ];
        match self.outfit {
            Outfit::Skirt | Outfit::Coat => {
                let colour = if self.outfit == Outfit::Coat { self.top } else { self.bottom };
                let hem = hip - vec3(0.0, 0.2 * h, 0.0);
                let flare = vec3(0.0, 0.0, 0.055 * h * wide);
                figure.round(
                    1,
                    colour,
                    &[
                        (hip - half_hip, waist),
                        (hip + half_hip, waist),
                        (hem - flare, 0.07 * h),
                        (hem + flare, 0.07 * h),
                    ],
                );
            }
            Outfit::Trousers | Outfit::Shorts => {}
        }
        figure.round(1, self.top, &torso);
        if let Some(colour) = self.backpack {
            let back = |height: f32, reach: f32| shoulder + vec3(-0.1 * h * reach, height * h, 0.0);
            let half = vec3(0.0, 0.0, 0.05 * h);
            let (top, bottom) = (back(-0.03, 0.9), back(-0.2, 1.0));
            figure.round(
                1,
                colour,
                &[
                    (top - half, 0.04 * h),
                    (top + half, 0.04 * h),
                    (bottom - half, 0.045 * h),
                    (bottom + half, 0.045 * h),
                ],
            );
        }
    }

    fn draw_arm(&self, figure: &mut Figure, shoulder: Vec3, side: f32, angle: f32, swing: f32) {
        let h = self.height;
        let root = shoulder + vec3(0.0, -0.01 * h, side * 0.108 * h * self.girth);
        let elbow = root + vec3(angle.sin(), -angle.cos(), side * 0.08) * (0.17 * h);
        let fore = angle + 0.15 + 0.35 * swing;
        let hand = elbow + vec3(fore.sin(), -fore.cos(), 0.0) * (0.15 * h);
        let sleeve = if self.outfit == Outfit::Shorts { self.skin } else { self.top };
        figure.round(1, sleeve, &[(elbow, 0.026 * h), (hand, 0.02 * h)]);
        figure.round(1, self.top, &[(root, 0.036 * h), (elbow, 0.028 * h)]);
        figure.round(1, self.skin, &[(hand, 0.023 * h)]);
        if let (Some(colour), true) = (self.bag, side > 0.0) {
            let low = hand - vec3(0.0, 0.14 * h, 0.0);
            let reach = vec3(0.05 * h, 0.0, 0.0);
            figure.round(1, colour, &[(low - reach, 0.03 * h), (low + reach, 0.03 * h), (hand, 0.01 * h)]);
        }
    }

    fn draw_head(&self, figure: &mut Figure, head: Vec3) {
        let h = self.height;
        figure.round(2, self.skin, &[(head - vec3(0.0, 0.09 * h, 0.0), 0.03 * h), (head, 0.03 * h)]);
        let back = vec3(-0.014 * h, 0.014 * h, 0.0);
        if self.long_hair {
            let nape = head + vec3(-0.035 * h, -0.07 * h, 0.0);
            figure.round(2, self.hair, &[(head + back, 0.058 * h), (nape, 0.035 * h)]);
        }
        figure.round(3, self.skin, &[(head, 0.054 * h), (head - vec3(-0.01 * h, 0.025 * h, 0.0), 0.042 * h)]);
        let crown = self.cap.unwrap_or(self.hair);
        figure.round(4, crown, &[(head + back * 1.6, 0.05 * h), (head + vec3(0.008 * h, 0.034 * h, 0.0), 0.042 * h)]);
        if let Some(colour) = self.cap {
            let brim = head + vec3(0.07 * h, 0.022 * h, 0.0);
            figure.round(4, colour, &[(head + vec3(0.02 * h, 0.03 * h, 0.0), 0.03 * h), (brim, 0.012 * h)]);
        }
    }
}

impl Vec3 {
    fn at_height(self, floor: f32) -> Self {
        vec3(self.x, self.y.max(floor), self.z)
    }
}
