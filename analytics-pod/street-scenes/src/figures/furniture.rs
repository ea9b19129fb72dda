//! What stands on a street: lamp posts, trees, signs, bins, benches and parked vehicles.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::pick;
use super::vehicle::{Car, Truck};
use crate::figure::Figure;
use crate::geometry::{Pose, Vec3, vec3};
use crate::picture::{Rgb, rgb};
use crate::traffic::{Look, Motion};

/// Something that stands.
#[derive(Clone, Debug)]
pub(crate) enum Prop {
    Lamp { height: f32, lit: bool },
    Sign { colour: Rgb, round: bool },
    Bollard,
    Bin { colour: Rgb },
    Bench,
    Planter { blobs: Vec<(Vec3, f32, Rgb)> },
    Tree { height: f32, blobs: Vec<(Vec3, f32, Rgb)> },
    Shelter { colour: Rgb },
    Parked(Look),
}

const METAL: u32 = 0x484E52;
const LEAVES: [u32; 5] = [0x3C6C30, 0x4C7C34, 0x2E582C, 0x6A8438, 0x587028];

fn foliage(random: &mut ChaCha8Rng, centre: Vec3, radius: f32, count: usize) -> Vec<(Vec3, f32, Rgb)> {
    let base = pick(random, &LEAVES);
    (0..count)
        .map(|_| {
            let mut reach = || random.random_range(-1.0..1.0_f32);
            let offset = vec3(reach(), reach() * 0.75, reach()) * (radius * 0.7);
            let size = radius * random.random_range(0.24..0.46);
            // Leaves deeper down are darker.
            let depth = 0.8 + 0.3 * offset.y / radius + random.random_range(-0.08..0.08);
            (centre + offset, size, base.scale(depth))
        })
        .collect()
}

impl Prop {
    /// Something that hides little of what is behind it.
    pub(crate) fn slim(random: &mut ChaCha8Rng, lamps_lit: bool) -> Self {
        match random.random_range(0..7) {
            0..=2 => Self::Lamp { height: random.random_range(5.5..7.5), lit: lamps_lit },
            3 => Self::Sign {
                colour: pick(random, &[0xC02020, 0x2050B0, 0xE0E0E0, 0xE0C030]),
                round: random.random_bool(0.5),
            },
            4 => Self::Bin { colour: pick(random, &[0x305038, 0x383C40, 0xC06020]) },
            _ => Self::Bollard,
        }
    }

    /// Anything but a parked vehicle.
    pub(crate) fn any(random: &mut ChaCha8Rng, lamps_lit: bool) -> Self {
        match random.random_range(0..10) {
            0..=3 => {
                let height = random.random_range(4.5..7.5);
                let radius = height * random.random_range(0.26..0.36);
                let blobs = foliage(random, vec3(0.0, height - radius * 0.7, 0.0), radius, 44);
                Self::Tree { height, blobs }
            }
            4 => Self::Bench,
            5 => Self::Planter { blobs: foliage(random, vec3(0.0, 0.75, 0.0), 0.55, 12) },
            6 if random.random_bool(0.5) => Self::Shelter { colour: pick(random, &[0x306090, 0x407050, 0x505458]) },
            _ => Self::slim(random, lamps_lit),
        }
    }

    pub(crate) fn parked(random: &mut ChaCha8Rng) -> Self {
        Self::Parked(if random.random_bool(0.1) {
            Look::Truck(Truck::new(random, false))
        } else {
            Look::Car(Car::new(random, false))
        })
    }

    /// Half of the length and half of the width on the ground, metres.
    pub(crate) fn half_size(&self) -> (f32, f32) {
        match self {
            Self::Lamp { .. } | Self::Sign { .. } | Self::Bollard => (0.1, 0.1),
            Self::Bin { .. } => (0.3, 0.3),
            Self::Bench => (0.9, 0.3),
            Self::Planter { .. } => (0.7, 0.45),
            Self::Tree { .. } => (0.4, 0.4),
            Self::Shelter { .. } => (1.8, 0.6),
            Self::Parked(look) => look.half_size(),
        }
    }

    pub(crate) fn figure(&self, pose: Pose) -> Figure {
        if let Self::Parked(look) = self {
            return look.figure(pose, Motion::Resting(0.0));
        }
        let mut figure = Figure::new(pose);
        let metal = rgb(METAL);
        match self {
            Self::Lamp { height, lit } => {
                let (top, arm) = (vec3(0.0, *height, 0.0), vec3(0.0, height + 0.25, 1.3));
                figure.round(0, metal, &[(vec3(0.0, 0.0, 0.0), 0.09), (top, 0.055)]);
                figure.round(0, metal, &[(top, 0.05), (arm, 0.04)]);
                let bulb = if *lit { rgb(0xFFF0C0).scale(2.0) } else { rgb(0xD0D0C8) };
                figure.round(1, bulb, &[(arm, 0.1), (arm + vec3(0.0, 0.0, 0.4), 0.08)]);
            }
            Self::Sign { colour, round } => {
                figure.round(0, metal, &[(vec3(0.0, 0.0, 0.0), 0.035), (vec3(0.0, 2.6, 0.0), 0.035)]);
                if *round {
                    figure.round(1, *colour, &[(vec3(0.0, 2.55, 0.0), 0.3)]);
                    figure.round(2, rgb(0xF0F0F0), &[(vec3(0.0, 2.55, 0.0), 0.19)]);
                } else {
                    figure.cuboid(1, *colour, vec3(-0.3, 2.2, -0.03), vec3(0.3, 2.85, 0.03));
                }
            }
            Self::Bollard => {
                figure.round(0, metal, &[(vec3(0.0, 0.0, 0.0), 0.07), (vec3(0.0, 0.85, 0.0), 0.07)]);
                figure.round(1, rgb(0xE0E0D8), &[(vec3(0.0, 0.74, 0.0), 0.074), (vec3(0.0, 0.78, 0.0), 0.074)]);
            }
            Self::Bin { colour } => {
                figure.round(0, *colour, &[(vec3(0.0, 0.2, 0.0), 0.24), (vec3(0.0, 0.8, 0.0), 0.28)]);
                figure.round(1, colour.scale(0.6), &[(vec3(0.0, 0.98, 0.0), 0.2)]);
            }
            Self::Bench => {
                for x in [-0.7, 0.7] {
                    figure.cuboid(0, metal, vec3(x - 0.04, 0.0, -0.22), vec3(x + 0.04, 0.42, 0.22));
                }
                let wood = rgb(0x8A6038);
                figure.cuboid(1, wood, vec3(-0.9, 0.42, -0.25), vec3(0.9, 0.48, 0.25));
                figure.cuboid(1, wood, vec3(-0.9, 0.6, -0.28), vec3(0.9, 0.9, -0.23));
            }
            Self::Planter { blobs } => {
                figure.cuboid(0, rgb(0x908478), vec3(-0.7, 0.0, -0.45), vec3(0.7, 0.55, 0.45));
                draw_blobs(&mut figure, 1, blobs);
            }
            Self::Tree { height, blobs } => {
                let bark = rgb(0x5C4838);
                figure.round(0, bark, &[(vec3(0.0, 0.0, 0.0), 0.17), (vec3(0.05, height * 0.7, 0.0), 0.1)]);
                draw_blobs(&mut figure, 1, blobs);
            }
            Self::Shelter { colour } => {
                for x in [-1.7, 1.7] {
                    figure.cuboid(0, metal, vec3(x - 0.05, 0.0, -0.55), vec3(x + 0.05, 2.4, -0.45));
                    figure.cuboid(0, metal, vec3(x - 0.05, 0.0, 0.45), vec3(x + 0.05, 2.4, 0.55));
                }
                figure.cuboid(1, *colour, vec3(-1.9, 2.4, -0.7), vec3(1.9, 2.55, 0.7));
            }
            Self::Parked(_) => {}
        }
        figure
    }
}

fn draw_blobs(figure: &mut Figure, layer: u8, blobs: &[(Vec3, f32, Rgb)]) {
    for &(centre, radius, colour) in blobs {
        figure.round(layer, colour, &[(centre, radius)]);
    }
}
