//! Cars and trucks.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::pick;
use crate::figure::{Figure, Profile};
use crate::geometry::{Pose, Vec3, vec3};
use crate::picture::{Rgb, rgb};

const GLASS: u32 = 0x2A3640;
const TYRE: u32 = 0x1A1A1C;
const PAINTS: [u32; 12] = [
    0xE8E8E6, 0xB8BCC0, 0x707478, 0x282A2E, 0xA02024, 0x203C78, 0x2C5C48, 0xC8B890, 0xD08020, 0x6090B0, 0x482028,
    0xE0C830,
];

/// How a car looks.
#[derive(Clone, Debug)]
pub(crate) struct Car {
    length: f32,
    half_width: f32,
    height: f32,
    paint: Rgb,
    /// Lengths of bonnet and boot in metres: a hatchback has a short boot, a saloon a long one.
    bonnet: f32,
    boot: f32,
    lights: bool,
}

/// How a truck looks.
#[derive(Clone, Debug)]
pub(crate) struct Truck {
    length: f32,
    half_width: f32,
    cab_height: f32,
    /// Height of the load's top, and whether it is an open bed.
    load_height: f32,
    open: bool,
    paint: Rgb,
    load: Rgb,
    stripe: Rgb,
    lights: bool,
}

/// A rectangle across the driving direction at `x`.
fn across(x: f32, y: (f32, f32), z: (f32, f32)) -> [Vec3; 4] {
    [vec3(x, y.0, z.0), vec3(x, y.1, z.0), vec3(x, y.1, z.1), vec3(x, y.0, z.1)]
}

/// A side face of a profile, drawn in towards its centre.
fn side_window(profile: Profile, hand: f32, shrink: f32, out: f32) -> Vec<Vec3> {
    let count = profile.len() as f32;
    let (cx, cy) = profile.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / count, y + p.1 / count));
    profile
        .iter()
        .map(|&(x, y, half)| vec3(cx + (x - cx) * shrink, cy + (y - cy) * shrink, hand * (half + out)))
        .collect()
}

fn draw_wheel(figure: &mut Figure, layer: u8, x: f32, radius: f32, half_width: f32) {
    for hand in [-1.0, 1.0] {
        let centre = vec3(x, radius, hand * half_width);
        figure.disc(layer, rgb(TYRE), centre, radius, centre);
        figure.disc(layer + 1, rgb(0x9A9CA0), centre, radius * 0.58, centre);
        figure.disc(layer + 2, rgb(0x505256), centre, radius * 0.2, centre);
    }
}

/// Head lamps at the front, rear lamps and a number plate at the back.
fn draw_lamps(figure: &mut Figure, layer: u8, (front, rear): (f32, f32), height: f32, half_width: f32, lit: bool) {
    let (white, red) = if lit { (rgb(0xFFFAE8), rgb(0xFF3028)) } else { (rgb(0xD8DCE0), rgb(0x901818)) };
    for hand in [-1.0_f32, 1.0] {
        let z = (hand * half_width * 0.55, hand * half_width * 0.92);
        let head = across(front, (height - 0.09, height + 0.07), z);
        let tail = across(rear, (height - 0.02, height + 0.16), z);
        if lit {
            figure.lamp(layer, white, &head, vec3(0.0, height, 0.0), head[0]);
            figure.lamp(layer, red, &tail, vec3(0.0, height, 0.0), tail[0]);
        } else {
            figure.face(layer, white, &head, vec3(0.0, height, 0.0), head[0]);
            figure.face(layer, red, &tail, vec3(0.0, height, 0.0), tail[0]);
        }
    }
    for x in [front, rear] {
        let plate = across(x, (height - 0.26, height - 0.14), (-0.24, 0.24));
        figure.face(layer, rgb(0xE8E8E0), &plate, vec3(0.0, height, 0.0), plate[0]);
    }
}

impl Car {
    pub(crate) fn new(random: &mut ChaCha8Rng, lights: bool) -> Self {
        let length = random.random_range(3.7..4.9);
        let tall = random.random_bool(0.3);
        Self {
            length,
            half_width: random.random_range(0.85..0.95),
            height: if tall { random.random_range(1.6..1.8) } else { random.random_range(1.38..1.52) },
            paint: pick(random, &PAINTS),
            bonnet: random.random_range(0.85..1.2),
            boot: if random.random_bool(0.45) { random.random_range(0.5..0.8) } else { 0.08 },
            lights,
        }
    }

    /// Half of the length and half of the width, metres.
    pub(crate) fn half_size(&self) -> (f32, f32) {
        (self.length / 2.0, self.half_width)
    }

    pub(crate) fn figure(&self, pose: Pose) -> Figure {
        let mut figure = Figure::new(pose);
        let (half, wide, top) = (self.length / 2.0, self.half_width, self.height);
        let belt = top * 0.6;
        let body = [
            (-half, 0.32, wide),
            (-half + 0.1, 0.2, wide),
            (half - 0.1, 0.2, wide),
            (half, 0.32, wide * 0.97),
            (half, 0.62, wide * 0.95),
            (half - self.bonnet * 0.9, belt, wide * 0.98),
            (-half + 0.06, belt, wide * 0.98),
        ];
        figure.prism(0, self.paint, &body, |strip| (strip != 1).then_some(self.paint));
        let sill =
            [vec3(-half + 0.1, 0.2, 0.0), vec3(half - 0.1, 0.2, 0.0), vec3(half, 0.34, 0.0), vec3(-half, 0.34, 0.0)];
        for hand in [-1.0, 1.0] {
            let dark = sill.map(|corner| corner + vec3(0.0, 0.0, hand * (wide + 0.005)));
            figure.face(1, self.paint.scale(0.35), &dark, vec3(0.0, 0.3, 0.0), dark[0]);
            // A door seam.
            let seam = [vec3(0.02, 0.3, 0.0), vec3(0.05, 0.3, 0.0), vec3(0.05, belt, 0.0), vec3(0.02, belt, 0.0)]
                .map(|corner| corner + vec3(-0.1, 0.0, hand * (wide + 0.004)));
            figure.face(1, self.paint.scale(0.55), &seam, vec3(0.0, 0.3, 0.0), seam[0]);
        }
        for x in [-half * 0.62, half * 0.63] {
            draw_wheel(&mut figure, 2, x, 0.32, wide + 0.01);
        }
        draw_lamps(&mut figure, 2, (half + 0.005, -half - 0.005), 0.56, wide, self.lights);
        let roof = wide * 0.76;
        let rear = -half + self.boot;
        let windscreen = half - self.bonnet;
        let cabin = [
            (rear, belt, wide * 0.96),
            (windscreen, belt, wide * 0.96),
            (windscreen - 0.75, top, roof),
            (rear + 0.35, top, roof),
        ];
        let glass = rgb(GLASS);
        figure.prism(5, self.paint, &cabin, |strip| match strip {
            0 => None,
            2 => Some(self.paint),
            _ => Some(glass),
        });
        for hand in [-1.0, 1.0] {
            let inside = vec3(0.0, belt, 0.0);
            let window = side_window(&cabin, hand, 0.86, 0.01);
            figure.face(6, glass, &window, inside, window[0]);
            let x = f32::midpoint(rear + 0.2, windscreen - 0.4);
            let pillar = [(x - 0.04, belt), (x + 0.04, belt), (x + 0.04, top), (x - 0.04, top)].map(|(x, y)| {
                let share = (y - belt) / (top - belt);
                vec3(x, y, hand * (wide * 0.96 + (roof - wide * 0.96) * share + 0.015))
            });
            figure.face(7, self.paint.scale(0.85), &pillar, inside, pillar[0]);
        }
        figure
    }
}

impl Truck {
    pub(crate) fn new(random: &mut ChaCha8Rng, lights: bool) -> Self {
        Self {
            length: random.random_range(6.4..9.5),
            half_width: random.random_range(1.1..1.25),
            cab_height: random.random_range(2.35..2.8),
            load_height: random.random_range(2.9..3.6),
            open: random.random_bool(0.25),
            paint: pick(random, &PAINTS),
            load: pick(random, &[0xE8E8E6, 0xD8DCE0, 0xB03028, 0x285890, 0x3C7048, 0xD8B040, 0x808488]),
            stripe: pick(random, &PAINTS),
            lights,
        }
    }

    /// Half of the length and half of the width, metres.
    pub(crate) fn half_size(&self) -> (f32, f32) {
        (self.length / 2.0, self.half_width)
    }

    pub(crate) fn figure(&self, pose: Pose) -> Figure {
        let mut figure = Figure::new(pose);
        let (half, wide) = (self.length / 2.0, self.half_width);
        let cab_rear = half - 2.0;
        let chassis = rgb(0x26282A);
        figure.cuboid(0, chassis, vec3(-half + 0.1, 0.5, -wide * 0.8), vec3(half - 0.2, 0.95, wide * 0.8));
        let radius = 0.48;
        for x in [half - 1.15, -half + 1.1, -half + 2.15] {
            draw_wheel(&mut figure, 1, x, radius, wide * 0.96);
        }
        self.draw_load(&mut figure, (-half, cab_rear - 0.25));
        self.draw_cab(&mut figure, (cab_rear, half));
        draw_lamps(&mut figure, 5, (half + 0.005, -half - 0.005), 0.82, wide, self.lights);
        figure
    }

    fn draw_load(&self, figure: &mut Figure, (rear, front): (f32, f32)) {
        let wide = self.half_width;
        let top = if self.open { 1.75 } else { self.load_height };
        figure.cuboid(4, self.load, vec3(rear, 0.95, -wide), vec3(front, top, wide));
        let centre = vec3(f32::midpoint(rear, front), f32::midpoint(0.95, top), 0.0);
        // Stripe and doors sort with the box, and after it because they are added later.
        for hand in [-1.0, 1.0] {
            let band = [(rear + 0.2, 0.3), (front - 0.2, 0.3), (front - 0.2, 0.52), (rear + 0.2, 0.52)]
                .map(|(x, share)| vec3(x, 0.95 + (top - 0.95) * share, hand * (wide + 0.01)));
            figure.face(4, self.stripe, &band, centre, centre);
        }
        let doors = across(rear - 0.01, (1.0, top - 0.06), (-0.02, 0.02));
        figure.face(4, self.load.scale(0.5), &doors, centre, centre);
        if self.open {
            let cargo = rgb(0x705C44);
            let profile = [
                (rear + 0.2, top - 0.1, wide * 0.9),
                (front - 0.2, top - 0.1, wide * 0.9),
                (f32::midpoint(rear, front), top + 0.5, 0.1),
            ];
            figure.prism(5, cargo, &profile, |strip| (strip != 0).then_some(cargo));
        }
    }

    fn draw_cab(&self, figure: &mut Figure, (rear, front): (f32, f32)) {
        let (wide, top) = (self.half_width, self.cab_height);
        let belt = 1.5;
        let cab = [
            (rear, 0.55, wide),
            (front, 0.55, wide),
            (front, belt, wide),
            (front - 0.3, top, wide * 0.95),
            (rear, top, wide * 0.95),
        ];
        // Windows and grille sort with the cab, and after it because they are added later.
        let centre = figure.prism(4, self.paint, &cab, |strip| (strip != 0).then_some(self.paint));
        let glass = rgb(GLASS);
        let lean = |y: f32| front + 0.01 - 0.3 * (y - belt) / (top - belt);
        let (low, high) = (belt + 0.06, top - 0.14);
        let screen = [
            vec3(lean(low), low, -wide * 0.9),
            vec3(lean(low), low, wide * 0.9),
            vec3(lean(high), high, wide * 0.86),
            vec3(lean(high), high, -wide * 0.86),
        ];
        figure.face(4, glass, &screen, centre, centre);
        let grille = across(front + 0.01, (0.9, 1.35), (-wide * 0.6, wide * 0.6));
        figure.face(4, self.paint.scale(0.35), &grille, centre, centre);
        for hand in [-1.0, 1.0] {
            let window = [(rear + 0.55, low), (front - 0.2, low), (front - 0.42, high), (rear + 0.55, high)]
                .map(|(x, y)| vec3(x, y, hand * (wide + 0.012 - 0.05 * wide * ((y - belt) / (top - belt)).max(0.0))));
            figure.face(4, glass, &window, centre, centre);
            let mirror = vec3(front - 0.15, 1.85, hand * (wide + 0.16));
            figure.round(5, rgb(TYRE), &[(mirror - vec3(0.0, 0.14, 0.0), 0.06), (mirror + vec3(0.0, 0.14, 0.0), 0.06)]);
        }
    }
}
