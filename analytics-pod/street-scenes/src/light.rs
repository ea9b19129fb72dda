//! Time of day: what lights the scene and how far one sees.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::geometry::{Camera, Vec3, vec3};
use crate::picture::{Rgb, rgb};

/// When the scene plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hour {
    Day,
    Overcast,
    Evening,
    Night,
}

/// The light of a scene.
#[derive(Clone, Debug)]
pub(crate) struct Light {
    pub(crate) hour: Hour,
    /// Unit vector towards the sun where it casts shadows.
    pub(crate) sun: Option<Vec3>,
    /// How much darker the ground is in a shadow, 0–1.
    pub(crate) shadow: f32,
    ambient: Rgb,
    direct: Rgb,
    pub(crate) sky_top: Rgb,
    pub(crate) sky_horizon: Rgb,
    /// Distance at which 63 % of an object's contrast is gone, in metres.
    visibility: f32,
    /// Where on a rounded body the light glints: shift right and down in radii.
    pub(crate) glint: [f32; 2],
    /// Highest change of a pixel from frame to frame that the sensor adds.
    pub(crate) noise: u8,
}

impl Light {
    pub(crate) fn new(random: &mut ChaCha8Rng, camera: &Camera) -> Self {
        let hour = match random.random_range(0..10) {
            0..=3 => Hour::Day,
            4..=6 => Hour::Overcast,
            7 | 8 => Hour::Evening,
            _ => Hour::Night,
        };
        let azimuth = random.random_range(0.0..std::f32::consts::TAU);
        let elevation: f32 = match hour {
            Hour::Evening => random.random_range(0.38..0.6),
            _ => random.random_range(0.65..1.2),
        };
        let towards = vec3(azimuth.cos() * elevation.cos(), elevation.sin(), azimuth.sin() * elevation.cos());
        let casts = matches!(hour, Hour::Day | Hour::Evening);
        let (ambient, direct, sky_top, sky_horizon) = match hour {
            Hour::Day => (rgb(0x98A0AC), rgb(0x7C7468), rgb(0x4A86C8), rgb(0xC4D8EA)),
            Hour::Overcast => (rgb(0xB0B4B8), rgb(0x242424), rgb(0x9AA4AE), rgb(0xD0D4D6)),
            Hour::Evening => (rgb(0x706C80), rgb(0x987048), rgb(0x3C5892), rgb(0xF0B880)),
            Hour::Night => (rgb(0x505466), rgb(0x221E18), rgb(0x0A0E1C), rgb(0x242838)),
        };
        let exposure = random.random_range(0.88..1.12);
        let glint = casts.then(|| {
            let side = [towards.dot(camera.right), towards.dot(camera.down)];
            [side[0] * 0.3, side[1] * 0.3]
        });
        Self {
            hour,
            sun: casts.then_some(towards),
            shadow: random.random_range(0.3..0.5),
            ambient: ambient.scale(exposure),
            direct: direct.scale(exposure),
            sky_top,
            sky_horizon,
            visibility: match hour {
                Hour::Overcast => random.random_range(120.0..400.0),
                _ => random.random_range(250.0..900.0),
            },
            glint: glint.unwrap_or([0.0, -0.3]),
            noise: match hour {
                Hour::Night => random.random_range(2..6),
                _ => random.random_range(0..4),
            },
        }
    }

    /// The colour of a surface with this outward normal.
    pub(crate) fn shade(&self, colour: Rgb, normal: Vec3, sunlit: f32) -> Rgb {
        let above = 0.8 + 0.2 * normal.y;
        let direct = match self.sun {
            Some(sun) => normal.dot(sun).max(0.0) * sunlit * 1.25,
            None => (0.6 + 0.4 * normal.y).max(0.0),
        };
        self.lit(colour, above, direct)
    }

    /// The darker and the brighter side of a rounded body.
    pub(crate) fn round_shades(&self, colour: Rgb, sunlit: f32) -> (Rgb, Rgb) {
        let direct = if self.sun.is_some() { sunlit } else { 0.8 };
        (self.lit(colour, 0.78, direct * 0.15), self.lit(colour, 0.95, direct * 0.9))
    }

    fn lit(&self, colour: Rgb, ambient: f32, direct: f32) -> Rgb {
        colour.times(self.ambient.scale(ambient * 1.35).plus(self.direct.scale(direct)))
    }

    /// The colour as it looks from `distance` metres.
    pub(crate) fn haze(&self, colour: Rgb, distance: f32) -> Rgb {
        colour.mix(self.sky_horizon, 1.0 - (-distance / self.visibility).exp())
    }
}
