//! The part of a scene that does not move, apart from what stands on it: ground, house fronts and sky.
//!
//! Every pixel is the mean of four rays that are followed to the surface they meet, so that paving and windows recede
//! correctly at any angle.

use crate::geometry::{Camera, Vec3, vec3};
use crate::light::{Hour, Light};
use crate::picture::{Picture, Rgb, rgb};
use crate::street::{House, Kind, Street};

/// Where the four rays of a pixel pass it: a rotated grid, which treats edges of all directions alike.
const SAMPLES: [[f32; 2]; 4] = [[0.375, 0.125], [0.875, 0.375], [0.125, 0.625], [0.625, 0.875]];

/// How far behind the first row of houses the second stands, in metres.
const BACK_ROW: f32 = 32.0;

/// Smooth noise that the rays of one pixel share: it hardly changes between them.
#[derive(Default)]
struct Texture {
    cloud: Option<f32>,
    spots: Option<f32>,
    stain: Option<f32>,
}

/// What the backdrop is drawn from.
pub(crate) struct Backdrop<'a> {
    pub(crate) street: &'a Street,
    pub(crate) light: &'a Light,
    pub(crate) camera: &'a Camera,
    pub(crate) seed: u32,
}

impl Backdrop<'_> {
    pub(crate) fn draw(&self, picture: &mut Picture) {
        let (width, height) = (picture.width as usize, picture.height as usize);
        let half = width / 2;
        let mut rows = [vec![Rgb::default(); width], vec![Rgb::default(); width]];
        for pair in 0..height / 2 {
            for (offset, row) in rows.iter_mut().enumerate() {
                let line = pair * 2 + offset;
                for (column, pixel) in row.iter_mut().enumerate() {
                    let mut texture = Texture::default();
                    let sum = SAMPLES.iter().fold(Rgb::default(), |sum, [dx, dy]| {
                        sum.plus(self.colour(self.camera.ray(column as f32 + dx, line as f32 + dy), &mut texture))
                    });
                    *pixel = sum.scale(0.25);
                    picture.y[line * width + column] = pixel.to_yuv()[0];
                }
            }
            for column in 0..half {
                let mean = rows
                    .iter()
                    .flat_map(|row| &row[column * 2..column * 2 + 2])
                    .fold(Rgb::default(), |sum, &pixel| sum.plus(pixel))
                    .scale(0.25);
                let [_, u, v] = mean.to_yuv();
                picture.u[pair * half + column] = u;
                picture.v[pair * half + column] = v;
            }
        }
    }

    fn colour(&self, ray: Vec3, texture: &mut Texture) -> Rgb {
        let from = self.camera.position;
        let to_ground = if ray.y < 0.0 { -from.y / ray.y } else { f32::INFINITY };
        // Through the gaps of the first row one sees the next street's.
        for (behind, shift) in [(0.0, 0.0), (BACK_ROW, 9.0)] {
            let reach = if ray.z > 0.0 { (self.street.front + behind - from.z) / ray.z } else { f32::INFINITY };
            if reach < to_ground {
                let hit = from + ray * reach + vec3(shift, 0.0, 0.0);
                if let Some(house) = self.street.house(hit.x)
                    && hit.y < house.height
                {
                    let distance = ray.length() * reach;
                    return self.light.haze(self.facade(house, hit, distance, texture), distance);
                }
            }
        }
        if to_ground < 1500.0 {
            let hit = from + ray * to_ground;
            let distance = ray.length() * to_ground;
            // The longer side of the patch of ground that one pixel shows.
            let patch = distance * distance / (self.camera.focal * from.y);
            return self.light.haze(self.ground(hit, patch, texture), distance);
        }
        self.sky(ray.unit(), texture)
    }

    fn sky(&self, ray: Vec3, texture: &mut Texture) -> Rgb {
        // A skyline of far houses.
        let bearing = ray.x.atan2(ray.z) * 40.0;
        let skyline = 0.015 + 0.035 * unit_hash(bearing.floor() as i32, 7, self.seed);
        if ray.y < skyline {
            return self.light.sky_horizon.scale(0.82);
        }
        let height = (ray.y * 2.2).clamp(0.0, 1.0).sqrt();
        let clear = self.light.sky_horizon.mix(self.light.sky_top, height);
        let (x, z) = (ray.x / (ray.y + 0.12) * 1.6, ray.z / (ray.y + 0.12) * 1.6);
        let cloud = *texture.cloud.get_or_insert_with(|| fractal(x, z, self.seed)) * 1.7 - 0.75;
        let white = if self.light.hour == Hour::Night { rgb(0x303440) } else { rgb(0xF4F4F2) };
        clear.mix(white, cloud.clamp(0.0, 0.75) * (ray.y * 8.0).clamp(0.0, 1.0))
    }

    fn ground(&self, hit: Vec3, patch: f32, texture: &mut Texture) -> Rgb {
        let Street { kind, parking_end, .. } = *self.street;
        let up = vec3(0.0, 1.0, 0.0);
        let sunlit = if self.street.is_sunlit(hit, self.light.sun) { 1.0 } else { 0.0 };
        let on_road = kind == Kind::Road && hit.z > 0.0 && hit.z < parking_end;
        let surface = if on_road {
            self.asphalt(hit, patch)
        } else if kind == Kind::Road && (hit.z.abs() < 0.16 || (hit.z - parking_end).abs() < 0.16) {
            rgb(0xA8A6A0)
        } else if hit.z > self.street.front {
            // A yard behind the line of fronts.
            rgb(0x6A7C50).mix(rgb(0x586848), unit_hash((hit.x * 3.0) as i32, (hit.z * 3.0) as i32, self.seed))
        } else {
            self.paving(hit, patch)
        };
        let spots = *texture.spots.get_or_insert_with(|| fractal(hit.x * 0.35, hit.z * 0.35, self.seed ^ 0x55)) - 0.5;
        let grain = (unit_hash((hit.x * 40.0) as i32, (hit.z * 40.0) as i32, self.seed) - 0.5) * detail(patch, 0.08);
        let worn = surface.scale(1.0 + 0.16 * spots + 0.12 * grain);
        let mut colour = self.light.shade(worn, up, sunlit);
        if self.light.hour == Hour::Night {
            // Pools of light under the lamps.
            let pool = ((hit.x * 0.42).sin() * 0.5 + 0.5).powi(3) * (1.0 - ((hit.z - 1.0) / 9.0).abs()).max(0.0);
            colour = colour.plus(worn.times(rgb(0xFFD898)).scale(0.45 * pool));
        }
        colour
    }

    fn asphalt(&self, hit: Vec3, patch: f32) -> Rgb {
        let street = self.street;
        let tone = unit_hash(1, 2, self.seed);
        let base = rgb(0x505256).mix(rgb(0x787674), tone);
        let paint = rgb(0xE4E2DA);
        let painted = |on: bool, fade: f32| if on { base.mix(paint, 0.85 * fade) } else { base };
        if hit.z > street.road_end - 0.05 {
            // Marked parking bays.
            let bay = hit.x.rem_euclid(5.6) < 0.12 || hit.z < street.road_end + 0.07;
            return painted(bay, detail(patch, 0.6)).scale(0.95);
        }
        for way in &street.cycle_paths {
            let offset = (hit.z - way.start.z).abs();
            if offset < 0.72 {
                let tint = if tone > 0.5 { rgb(0x9A5044) } else { rgb(0x4C7C58) };
                return base.mix(tint, 0.55);
            }
            if offset < 0.84 {
                return painted(true, detail(patch, 0.5));
            }
        }
        let middle = street.lanes.len() / 2;
        for pair in 1..street.lanes.len() {
            let (a, b) = (street.lanes[pair - 1].start.z, street.lanes[pair].start.z);
            let dashed = hit.x.rem_euclid(6.0) < 3.0 || (pair == middle && street.lanes.len() > 2);
            if dashed && (hit.z - f32::midpoint(a, b)).abs() < 0.07 {
                return painted(true, detail(patch, 1.2));
            }
        }
        // Wheels darken their tracks.
        let track = street.lanes.iter().map(|lane| ((hit.z - lane.start.z).abs() - 0.75).abs()).fold(9.0, f32::min);
        base.scale(1.0 - 0.08 * (1.0 - track / 0.4).max(0.0))
    }

    fn paving(&self, hit: Vec3, patch: f32) -> Rgb {
        let tones = [rgb(0xA8A298), rgb(0x9C948C), rgb(0xB4A898), rgb(0x8C8C90), rgb(0xA89080)];
        let tone = tones[(unit_hash(3, 4, self.seed) * 4.99) as usize];
        let size = 0.6;
        let row = (hit.z / size).floor();
        let shift = if row.rem_euclid(2.0) < 1.0 { 0.0 } else { size };
        let (column, across) = ((hit.x + shift) / (2.0 * size), hit.z / size);
        let clear = detail(patch, size);
        let slab = unit_hash(column.floor() as i32, row as i32, self.seed) - 0.5;
        let seam = (column - column.floor()) * 2.0 * size < 0.03 || (across - across.floor()) * size < 0.03;
        tone.scale(1.0 + 0.12 * slab * clear - if seam { 0.16 * clear } else { 0.0 })
    }

    fn facade(&self, house: &House, hit: Vec3, distance: f32, texture: &mut Texture) -> Rgb {
        let walls = [0xC8B498, 0xB0846C, 0xD4CCBC, 0x9A6C58, 0xB8B8B4, 0xA89878, 0xC0A088, 0x8C9498, 0xCCBCA0];
        let wall = rgb(walls[house.seed as usize % walls.len()]);
        let sun = self.light.sun;
        let facing = vec3(0.0, 0.0, -1.0);
        let sunlit = if sun.is_some_and(|sun| sun.z < 0.0) { 1.0 } else { 0.0 };
        let clear = detail(distance / self.camera.focal, 0.25);
        let (x, top) = (hit.x - house.x.0, house.height - hit.y);
        let width = house.x.1 - house.x.0;
        let shop = house.seed >> 8 & 1 == 0;
        let stain = *texture.stain.get_or_insert_with(|| fractal(hit.x * 0.5, hit.y * 0.5, house.seed));
        let plain = self.light.shade(wall.scale(0.92 + 0.1 * stain), facing, sunlit);
        if top < 0.35 {
            return self.light.shade(wall.scale(0.62), facing, sunlit);
        }
        if x < 0.12 || width - x < 0.12 {
            return plain.scale(0.85);
        }
        let glass = |column: i32, floor: i32| self.glass(house, hit, column, floor);
        let ground_floor = 3.4;
        if hit.y < ground_floor {
            let bays = (width / 3.2).floor().max(1.0);
            let bay = x / width * bays;
            let (column, along) = (bay.floor() as i32, bay.fract());
            let awning = rgb([0xA03030, 0x306048, 0x2C4878, 0xC09040][house.seed as usize >> 10 & 3]);
            if shop && hit.y > 2.75 {
                let stripe = (x * 2.2).rem_euclid(1.0) < 0.5;
                return self.light.shade(if stripe { awning } else { awning.mix(rgb(0xE8E4DC), 0.7) }, facing, sunlit);
            }
            let door = column == (house.seed >> 12) as i32 % bays as i32;
            let (low, high, edge) = if door {
                (0.0, 2.3, 0.3)
            } else if shop {
                (0.5, 2.6, 0.08)
            } else {
                (1.0, 2.5, 0.28)
            };
            if hit.y > low && hit.y < high && along > edge && along < 1.0 - edge {
                return if door {
                    self.light.shade(awning.scale(0.6), facing, sunlit)
                } else {
                    plain.mix(glass(column, 0), 0.3 + 0.7 * clear)
                };
            }
            return plain.scale(0.9);
        }
        let pitch = 3.0;
        let floor = ((hit.y - ground_floor) / pitch).floor();
        let level = (hit.y - ground_floor) - floor * pitch;
        let columns = (width / (1.9 + (house.seed >> 16 & 3) as f32 * 0.4)).floor().max(1.0);
        let cell = x / width * columns;
        let (column, along) = (cell.floor() as i32, cell.fract());
        if level < 0.12 {
            return plain.scale(0.88);
        }
        if level > 0.85 && level < 2.35 && along > 0.27 && along < 0.73 && top > 1.0 {
            let frame = !(0.3..=0.7).contains(&along) || !(0.93..=2.27).contains(&level) || (along - 0.5).abs() < 0.015;
            let pane = glass(column, floor as i32 + 1);
            let pane =
                if frame { self.light.shade(rgb(0xE0DCD4), facing, sunlit).mix(pane, 1.0 - clear) } else { pane };
            return plain.mix(pane, 0.3 + 0.7 * clear);
        }
        plain
    }

    fn glass(&self, house: &House, hit: Vec3, column: i32, floor: i32) -> Rgb {
        let chance = unit_hash(column, floor, house.seed);
        if self.street.lamps_lit && chance < if self.light.hour == Hour::Night { 0.35 } else { 0.15 } {
            return rgb(0xF0CC80).scale(0.6 + chance);
        }
        let reflected = rgb(0x303C48).mix(self.light.sky_horizon, 0.12 + 0.3 * chance + 0.05 * (hit.y * 0.8).sin());
        if self.light.hour == Hour::Night { reflected.scale(0.35) } else { reflected }
    }
}

/// How visible a pattern of `size` metres is where a pixel shows `patch` metres, 0–1.
fn detail(patch: f32, size: f32) -> f32 {
    (1.4 - patch / size).clamp(0.0, 1.0)
}

/// A number in 0–1 that looks random.
pub(crate) fn unit_hash(x: i32, y: i32, seed: u32) -> f32 {
    let mut hash = (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77) ^ seed;
    hash = (hash ^ hash >> 15).wrapping_mul(0x2C1B_3C6D);
    hash = (hash ^ hash >> 12).wrapping_mul(0x297A_2D39);
    (hash ^ hash >> 15) as f32 / u32::MAX as f32
}

/// Rounds down. (`f32::floor` is a call on processors before SSE 4.1.)
fn floor(value: f32) -> i32 {
    let whole = value as i32;
    whole - i32::from((whole as f32) > value)
}

/// Smooth noise in 0–1 of several scales.
fn fractal(x: f32, y: f32, seed: u32) -> f32 {
    let mut sum = 0.0;
    let (mut x, mut y, mut weight) = (x, y, 0.5);
    for octave in 0..3 {
        sum += weight * value_noise(x, y, seed.wrapping_add(octave));
        (x, y, weight) = (x * 2.1 + 5.3, y * 2.1 + 1.7, weight * 0.5);
    }
    sum / 0.875
}

fn value_noise(x: f32, y: f32, seed: u32) -> f32 {
    let (column, row) = (floor(x), floor(y));
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let (along, across) = (ease(x - column as f32), ease(y - row as f32));
    let at = |dx: i32, dy: i32| unit_hash(column + dx, row + dy, seed);
    let near = at(0, 0) + (at(1, 0) - at(0, 0)) * along;
    let far = at(0, 1) + (at(1, 1) - at(0, 1)) * along;
    near + (far - near) * across
}
