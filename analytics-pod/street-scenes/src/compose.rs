//! Puts a scene together: what hides what, the pixels, and the truth about them.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::backdrop::{Backdrop, unit_hash};
use crate::brush::{Brush, Cutout};
use crate::figure::{Bounds, Shapes};
use crate::figures::furniture::Prop;
use crate::geometry::{Camera, Footprint, Pose, Vec3};
use crate::light::Light;
use crate::raster::{Filler, Owners};
use crate::street::{self, Street};
use crate::traffic::{COPIES, Look, Traffic};
use crate::{Class, MIN_LOOP_SECONDS, Picture, Settings, SettingsError, TruthObject};

/// Ids of parked vehicles start here, above those of everything that moves.
const FIRST_PARKED_ID: u64 = 1 << 32;

/// A street scene: a loop of frames with their truth.
#[derive(Clone, Debug)]
pub struct Scene {
    settings: Settings,
    camera: Camera,
    light: Light,
    street: Street,
    traffic: Traffic,
    /// Ground, houses, sky and everything that stands.
    backdrop: Picture,
    /// What stands, farthest first.
    fixtures: Vec<Fixture>,
    grain: Vec<i8>,
    grain_seed: u32,
}

/// Something that stands, as it is in the picture.
#[derive(Clone, Debug)]
struct Fixture {
    footprint: Footprint,
    shapes: Shapes,
    cutout: Cutout,
    truth: Option<(u64, Class)>,
}

/// Something that moves, as it is in one frame.
struct Moving {
    id: u64,
    class: Class,
    footprint: Footprint,
    shapes: Shapes,
    shadow: Shapes,
    /// How much the shadow darkens the ground, 0–1.
    shade: f32,
}

/// One entry of a frame's drawing order.
#[derive(Clone, Copy)]
enum Item {
    Fixture(usize),
    Moving(usize),
}

impl Scene {
    /// Plans the scene and draws everything in it that does not move.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
        let camera = street::camera(&mut random, settings.width, settings.height);
        let light = Light::new(&mut random, &camera);
        let street = Street::new(&mut random, &light);
        let period = (settings.frames as f32 / settings.fps as f32).max(MIN_LOOP_SECONDS);
        let traffic = Traffic::new(&mut random, &street, period);
        let mut backdrop = Picture::new(settings.width, settings.height);
        Backdrop { street: &street, light: &light, camera: &camera, seed: random.next_u32() }.draw(&mut backdrop);
        let amplitude = i16::from(light.noise);
        let grain = (0..settings.width as usize * 2 + 4096)
            .map(|_| {
                let sum: i16 =
                    random.random_range(-amplitude..=amplitude) + random.random_range(-amplitude..=amplitude);
                (sum / 2) as i8
            })
            .collect();
        let mut scene = Self {
            settings: settings.clone(),
            camera,
            light,
            street,
            traffic,
            backdrop,
            fixtures: Vec::new(),
            grain,
            grain_seed: random.next_u32(),
        };
        scene.place_fixtures();
        Ok(scene)
    }

    /// What the scene was made from.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Draws frame `frame` modulo [`Settings::frames`]. A picture of another size is replaced by one of the scene's.
    pub fn render(&self, frame: u32, picture: &mut Picture) {
        if (picture.width, picture.height) == (self.settings.width, self.settings.height) {
            picture.y.copy_from_slice(&self.backdrop.y);
            picture.u.copy_from_slice(&self.backdrop.u);
            picture.v.copy_from_slice(&self.backdrop.v);
        } else {
            *picture = self.backdrop.clone();
        }
        let mut brush = Brush::default();
        let moving = self.moving(frame);
        let mut covered = Vec::with_capacity(moving.len() * 2);
        for Moving { shadow, shade, .. } in &moving {
            brush.darken(shadow, *shade, picture);
            covered.push(*shadow.bounds());
        }
        for item in self.order(&moving) {
            match item {
                Item::Moving(index) => {
                    brush.paint(&moving[index].shapes, picture);
                    covered.push(*moving[index].shapes.bounds());
                }
                Item::Fixture(index) => {
                    let fixture = &self.fixtures[index];
                    if covered.iter().any(|bounds| bounds.overlaps(fixture.shapes.bounds())) {
                        fixture.cutout.restore(&self.backdrop, picture);
                    }
                }
            }
        }
        self.add_grain(frame, picture);
    }

    /// What is in frame `frame` modulo [`Settings::frames`], also where it is hidden. Objects too small to cover one
    /// pixel are left out.
    #[must_use]
    pub fn truth(&self, frame: u32) -> Vec<TruthObject> {
        let size = (self.settings.width as usize, self.settings.height as usize);
        let moving = self.moving(frame);
        let mut owners = vec![0_u16; size.0 * size.1];
        let mut filler = Filler::default();
        let mut listed = Vec::new();
        for item in self.order(&moving) {
            let (shapes, truth) = match item {
                Item::Moving(index) => (&moving[index].shapes, Some((moving[index].id, moving[index].class))),
                Item::Fixture(index) => (&self.fixtures[index].shapes, self.fixtures[index].truth),
            };
            let owner = if let Some(truth) = truth {
                listed.push((truth, shapes));
                listed.len() as u16
            } else {
                0
            };
            let mut target = Owners { plane: &mut owners, size, owner };
            for (points, _) in shapes.iter() {
                filler.fill(points, [0.0; 2], 1.0, &mut target);
            }
        }
        let mut seen = vec![0_u32; listed.len() + 1];
        for &owner in &owners {
            seen[usize::from(owner)] += 1;
        }
        listed
            .iter()
            .zip(&seen[1..])
            .filter_map(|(&((id, class), shapes), &seen)| {
                let whole = self.area(shapes, &mut filler);
                let inside = shapes.bounds().clip(self.settings.width, self.settings.height);
                if whole == 0 || inside.is_empty() {
                    return None;
                }
                let (width, height) = (self.settings.width as f32, self.settings.height as f32);
                Some(TruthObject {
                    id,
                    class,
                    x: inside.low[0] / width,
                    y: inside.low[1] / height,
                    width: (inside.high[0] - inside.low[0]) / width,
                    height: (inside.high[1] - inside.low[1]) / height,
                    visible: (seen as f32 / whole as f32).min(1.0),
                })
            })
            .collect()
    }

    /// Pixels that an object would cover if nothing hid it and the picture had no end (up to its own size beyond it).
    fn area(&self, shapes: &Shapes, filler: &mut Filler) -> usize {
        let (width, height) = (self.settings.width as f32, self.settings.height as f32);
        let bounds = shapes.bounds();
        let low = [bounds.low[0].max(-width).floor(), bounds.low[1].max(-height).floor()];
        let high = [bounds.high[0].min(2.0 * width).ceil(), bounds.high[1].min(2.0 * height).ceil()];
        if low[0] >= high[0] || low[1] >= high[1] {
            return 0;
        }
        let size = ((high[0] - low[0]) as usize, (high[1] - low[1]) as usize);
        let mut plane = vec![0_u16; size.0 * size.1];
        let mut target = Owners { plane: &mut plane, size, owner: 1 };
        for (points, _) in shapes.iter() {
            filler.fill(points, low, 1.0, &mut target);
        }
        plane.iter().filter(|&&owner| owner == 1).count()
    }

    fn seconds(&self, frame: u32) -> f32 {
        (frame % self.settings.frames) as f32 / self.settings.fps as f32
    }

    /// Everything that moves and is in the picture.
    fn moving(&self, frame: u32) -> Vec<Moving> {
        let (width, height) = (self.settings.width, self.settings.height);
        let mut moving = Vec::new();
        for presence in self.traffic.at(self.seconds(frame)) {
            let footprint = presence.footprint();
            if !self.may_see(presence.at, presence.look.half_size().0 + 1.0) {
                continue;
            }
            let figure = presence.figure();
            let sunlit = self.sunlit(presence.at);
            let mut shadow = Shapes::default();
            let shade = match self.light.sun {
                Some(sun) if sunlit > 0.0 => {
                    figure.project_shadow(&self.camera, sun, &mut shadow);
                    self.light.shadow
                }
                _ => {
                    shadow.add_patch(&footprint, &self.camera);
                    self.light.shadow * 0.6
                }
            };
            let mut shapes = Shapes::default();
            figure.project(&self.camera, &self.light, sunlit, &mut shapes);
            if !shapes.bounds().clip(width, height).is_empty() {
                let (id, class) = (presence.id, presence.look.class());
                moving.push(Moving { id, class, footprint, shapes, shadow, shade });
            }
        }
        moving
    }

    /// Whether something within `radius` metres of a point on the ground can be in the picture.
    fn may_see(&self, at: Vec3, radius: f32) -> bool {
        let view = self.camera.view(at);
        let half_width = self.camera.centre[0] / self.camera.focal;
        // The distance to the side planes of the view is shorter than the sideways distance.
        view.z > -radius && view.x.abs() - view.z * half_width < radius * (1.0 + half_width)
    }

    fn sunlit(&self, at: Vec3) -> f32 {
        if self.street.is_sunlit(at, self.light.sun) { 1.0 } else { 0.0 }
    }

    /// What stands and what moves in the order in which it must be drawn.
    fn order(&self, moving: &[Moving]) -> Vec<Item> {
        let fixtures = self.fixtures.iter().map(|fixture| (fixture.footprint, *fixture.shapes.bounds()));
        let parts: Vec<_> =
            fixtures.chain(moving.iter().map(|moving| (moving.footprint, *moving.shapes.bounds()))).collect();
        painters_order(&self.camera, &parts)
            .into_iter()
            .map(|index| match index.checked_sub(self.fixtures.len()) {
                Some(moving) => Item::Moving(moving),
                None => Item::Fixture(index),
            })
            .collect()
    }

    /// Adds the sensor's noise.
    fn add_grain(&self, frame: u32, picture: &mut Picture) {
        if self.light.noise == 0 {
            return;
        }
        let width = picture.width as usize;
        let frame = frame % self.settings.frames;
        for (row, pixels) in picture.y.chunks_exact_mut(width).enumerate() {
            let start = (unit_hash(row as i32, frame as i32, self.grain_seed) * (width + 4095) as f32) as usize;
            for (pixel, &grain) in pixels.iter_mut().zip(&self.grain[start..]) {
                *pixel = pixel.saturating_add_signed(grain);
            }
        }
    }

    /// Draws what stands into the backdrop, farthest first, and remembers where it is.
    fn place_fixtures(&mut self) {
        let mut brush = Brush::default();
        let mut fixtures = Vec::new();
        for (standing, id) in self.street.standing.iter().zip((FIRST_PARKED_ID..).step_by(COPIES as usize)) {
            let (along, across) = standing.prop.half_size();
            let footprint = Footprint::around(standing.at, standing.heading, along, across);
            let figure = standing.prop.figure(Pose::new(standing.at, standing.heading));
            let sunlit = self.sunlit(standing.at);
            let mut shadow = Shapes::default();
            let shade = match self.light.sun {
                Some(sun) if sunlit > 0.0 => {
                    figure.project_shadow(&self.camera, sun, &mut shadow);
                    self.light.shadow
                }
                _ => {
                    shadow.add_patch(&footprint, &self.camera);
                    self.light.shadow * 0.6
                }
            };
            brush.darken(&shadow, shade, &mut self.backdrop);
            let mut shapes = Shapes::default();
            figure.project(&self.camera, &self.light, sunlit, &mut shapes);
            if shapes.bounds().clip(self.settings.width, self.settings.height).is_empty() {
                continue;
            }
            let truth = match &standing.prop {
                Prop::Parked(look) => Some((id, Look::class(look))),
                _ => None,
            };
            fixtures.push(Fixture { footprint, shapes, cutout: Cutout::default(), truth });
        }
        let parts: Vec<_> = fixtures.iter().map(|fixture| (fixture.footprint, *fixture.shapes.bounds())).collect();
        for index in painters_order(&self.camera, &parts) {
            let mut fixture = fixtures[index].clone();
            brush.paint(&fixture.shapes, &mut self.backdrop);
            fixture.cutout = brush.cut_out(&fixture.shapes, &self.backdrop);
            self.fixtures.push(fixture);
        }
    }
}

/// Indices of `parts` such that what is behind comes before what may hide it. Only parts that overlap in the picture
/// bind one another; should they do so in a circle, the farthest goes first.
fn painters_order(camera: &Camera, parts: &[(Footprint, Bounds)]) -> Vec<usize> {
    let mut hides = vec![Vec::new(); parts.len()];
    let mut behind_count = vec![0_u32; parts.len()];
    for (a, (footprint_a, bounds_a)) in parts.iter().enumerate() {
        for (b, (footprint_b, bounds_b)) in parts.iter().enumerate().skip(a + 1) {
            if bounds_a.overlaps(bounds_b) {
                let (far, near) = if camera.is_behind(footprint_a, footprint_b) { (a, b) } else { (b, a) };
                hides[far].push(near);
                behind_count[near] += 1;
            }
        }
    }
    let distance = |index: usize| {
        let Footprint { x, z } = parts[index].0;
        let (dx, dz) = (f32::midpoint(x.0, x.1) - camera.position.x, f32::midpoint(z.0, z.1) - camera.position.z);
        dx * dx + dz * dz
    };
    let mut by_distance: Vec<_> = (0..parts.len()).collect();
    by_distance.sort_by(|&a, &b| distance(b).total_cmp(&distance(a)));
    let mut order = Vec::with_capacity(parts.len());
    while !by_distance.is_empty() {
        let next = by_distance.iter().position(|&index| behind_count[index] == 0).unwrap_or(0);
        let index = by_distance.remove(next);
        for &near in &hides[index] {
            behind_count[near] = behind_count[near].saturating_sub(1);
        }
        order.push(index);
    }
    order
}
