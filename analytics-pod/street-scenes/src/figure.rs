//! Figures: solids in the world, and the flat shapes they become in the picture.

use crate::geometry::{Camera, Footprint, NEAR, Pose, Vec3, vec3};
use crate::light::Light;
use crate::picture::Rgb;
use crate::raster::convex_hull;

/// Most corners of a face.
const MAX_CORNERS: usize = 14;

/// A ball of a rounded solid.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ball {
    centre: Vec3,
    radius: f32,
}

/// What a figure is made of. Rounded solids are convex hulls of balls (a limb is two, a head one, a torso four).
#[derive(Clone, Copy, Debug)]
enum Solid {
    Round { balls: [Ball; 4], count: usize },
    Face { corners: [Vec3; MAX_CORNERS], count: usize, normal: Vec3 },
}

/// A solid with its place in the drawing order.
#[derive(Clone, Copy, Debug)]
struct Piece {
    solid: Solid,
    colour: Rgb,
    /// Shines by itself: not shaded.
    glowing: bool,
    /// Pieces of a higher layer are drawn over those of a lower one.
    layer: u8,
    /// Within a layer the farther centre is drawn first.
    centre: Vec3,
}

/// An outline of a prism: local `x`, local `y` and half the width there.
pub(crate) type Profile<'a> = &'a [(f32, f32, f32)];

/// Solids of one object, standing somewhere in the world.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pose: Pose,
    pieces: Vec<Piece>,
}

impl Figure {
    pub(crate) fn new(pose: Pose) -> Self {
        Self { pose, pieces: Vec::with_capacity(32) }
    }

    /// Adds the hull of up to four balls, each a local centre and a radius.
    pub(crate) fn round(&mut self, layer: u8, colour: Rgb, balls: &[(Vec3, f32)]) {
        let mut solid = [Ball::default(); 4];
        let mut centre = Vec3::default();
        let count = balls.len().min(solid.len());
        for (slot, &(local, radius)) in solid.iter_mut().zip(balls) {
            *slot = Ball { centre: self.pose.world(local), radius };
            centre = centre + slot.centre * (1.0 / count as f32);
        }
        let solid = Solid::Round { balls: solid, count };
        self.pieces.push(Piece { solid, colour, glowing: false, layer, centre });
    }

    /// Adds a flat face that is seen from the side away from `inside`; `order` is the centre it is sorted by.
    pub(crate) fn face(&mut self, layer: u8, colour: Rgb, corners: &[Vec3], inside: Vec3, order: Vec3) {
        self.add_face(layer, colour, false, corners, inside, order);
    }

    /// Adds a face that shines.
    pub(crate) fn lamp(&mut self, layer: u8, colour: Rgb, corners: &[Vec3], inside: Vec3, order: Vec3) {
        self.add_face(layer, colour, true, corners, inside, order);
    }

    fn add_face(&mut self, layer: u8, colour: Rgb, glowing: bool, corners: &[Vec3], inside: Vec3, order: Vec3) {
        let count = corners.len().min(MAX_CORNERS);
        if count < 3 {
            return;
        }
        let mut world = [Vec3::default(); MAX_CORNERS];
        for (slot, &corner) in world.iter_mut().zip(corners) {
            *slot = self.pose.world(corner);
        }
        let across = (world[count / 3] - world[0]).cross(world[2 * count / 3] - world[0]).unit();
        let outward = (world[0] - self.pose.world(inside)).dot(across);
        let normal = if outward < 0.0 { across * -1.0 } else { across };
        let solid = Solid::Face { corners: world, count, normal };
        self.pieces.push(Piece { solid, colour, glowing, layer, centre: self.pose.world(order) });
    }

    /// Adds the faces of a convex outline that is as wide as the profile says; `skin(i)` colours the strip from
    /// corner `i` to the next one, `None` leaves it out. Returns the centre that they are sorted by.
    pub(crate) fn prism(
        &mut self,
        layer: u8,
        side: Rgb,
        profile: Profile,
        skin: impl Fn(usize) -> Option<Rgb>,
    ) -> Vec3 {
        let count = profile.len() as f32;
        let centre = profile.iter().fold(Vec3::default(), |sum, &(x, y, _)| sum + vec3(x, y, 0.0)) * (1.0 / count);
        for (index, &(x, y, half)) in profile.iter().enumerate() {
            let (next_x, next_y, next_half) = profile[(index + 1) % profile.len()];
            if let Some(colour) = skin(index) {
                let strip = [
                    vec3(x, y, half),
                    vec3(next_x, next_y, next_half),
                    vec3(next_x, next_y, -next_half),
                    vec3(x, y, -half),
                ];
                self.face(layer, colour, &strip, centre, centre);
            }
        }
        for hand in [-1.0, 1.0] {
            let mut corners = [Vec3::default(); MAX_CORNERS];
            for (corner, &(x, y, half)) in corners.iter_mut().zip(profile) {
                *corner = vec3(x, y, half * hand);
            }
            self.face(layer, side, &corners[..profile.len().min(MAX_CORNERS)], centre, centre);
        }
        centre
    }

    /// Adds an upright box: local corner to local corner.
    pub(crate) fn cuboid(&mut self, layer: u8, colour: Rgb, low: Vec3, high: Vec3) {
        let middle = f32::midpoint(low.z, high.z);
        let shift = vec3(0.0, 0.0, middle);
        let half = (high.z - low.z) / 2.0;
        let outline = [(low.x, low.y), (high.x, low.y), (high.x, high.y), (low.x, high.y)];
        let centre = (low + high) * 0.5;
        for (index, &(x, y)) in outline.iter().enumerate() {
            let (next_x, next_y) = outline[(index + 1) % 4];
            let strip = [
                vec3(x, y, half) + shift,
                vec3(next_x, next_y, half) + shift,
                vec3(next_x, next_y, -half) + shift,
                vec3(x, y, -half) + shift,
            ];
            self.face(layer, colour, &strip, centre, centre);
        }
        for z in [low.z, high.z] {
            self.face(layer, colour, &outline.map(|(x, y)| vec3(x, y, z)), centre, centre);
        }
    }

    /// Adds an upright disc in the plane of local `x` and `y`, seen from the side away from the figure's middle line.
    pub(crate) fn disc(&mut self, layer: u8, colour: Rgb, centre: Vec3, radius: f32, order: Vec3) {
        let corners: [Vec3; MAX_CORNERS] = std::array::from_fn(|index| {
            let angle = index as f32 * std::f32::consts::TAU / MAX_CORNERS as f32;
            centre + vec3(angle.cos() * radius, angle.sin() * radius, 0.0)
        });
        self.face(layer, colour, &corners, vec3(centre.x, centre.y, 0.0), order);
    }

    /// Projects the figure, nearest pieces last. `sunlit` is 1 in the sun and 0 in the shade.
    pub(crate) fn project(mut self, camera: &Camera, light: &Light, sunlit: f32, shapes: &mut Shapes) {
        let distance = |piece: &Piece| (piece.centre - camera.position).length();
        self.pieces.sort_by(|a, b| a.layer.cmp(&b.layer).then_with(|| distance(b).total_cmp(&distance(a))));
        for piece in &self.pieces {
            match &piece.solid {
                Solid::Round { balls, count } => {
                    project_round(&balls[..*count], piece.colour, camera, light, sunlit, shapes);
                }
                Solid::Face { corners, count, normal } => {
                    if normal.dot(camera.position - corners[0]) > 0.0 {
                        let distance = (piece.centre - camera.position).length();
                        let colour = if piece.glowing {
                            light.haze(piece.colour, distance)
                        } else {
                            light.haze(light.shade(piece.colour, *normal, sunlit), distance)
                        };
                        shapes.add_face(&corners[..*count], camera, colour);
                    }
                }
            }
        }
    }

    /// Projects the shadow that the figure casts on the ground.
    pub(crate) fn project_shadow(&self, camera: &Camera, sun: Vec3, shapes: &mut Shapes) {
        let fall = |point: Vec3| {
            let run = point.y.max(0.0) / sun.y;
            vec3(point.x - sun.x * run, 0.0, point.z - sun.z * run)
        };
        let mut outline = Vec::with_capacity(24);
        let mut hull = Vec::with_capacity(24);
        let pixels_per_metre = camera.focal / camera.view(self.pose.origin).z.max(NEAR);
        for piece in &self.pieces {
            match &piece.solid {
                Solid::Round { balls, count } => {
                    let widest = balls[..*count].iter().map(|ball| ball.radius).fold(0.0, f32::max);
                    if widest * pixels_per_metre < MIN_SHADOW_RADIUS {
                        continue;
                    }
                    outline.clear();
                    for ball in &balls[..*count] {
                        let (centre, stretch) = (fall(ball.centre), 1.0 / sun.y);
                        let along = vec3(sun.x, 0.0, sun.z).unit();
                        let across = vec3(-along.z, 0.0, along.x);
                        outline.extend((0..6).filter_map(|corner| {
                            let (sin, cos) = (corner as f32 * std::f32::consts::TAU / 6.0).sin_cos();
                            let rim = along * (cos * ball.radius * stretch) + across * (sin * ball.radius);
                            let view = camera.view(centre + rim);
                            (view.z >= NEAR).then(|| camera.pixel(view))
                        }));
                    }
                    if outline.len() == count * 6 {
                        convex_hull(&mut outline, &mut hull);
                        shapes.push(&hull, [0; 3]);
                    }
                }
                Solid::Face { corners, count, normal } => {
                    if normal.dot(sun) > 0.0 {
                        let mut fallen = [Vec3::default(); MAX_CORNERS];
                        for (slot, &corner) in fallen.iter_mut().zip(&corners[..*count]) {
                            *slot = fall(corner);
                        }
                        shapes.add_polygon(&fallen[..*count], camera, [0; 3]);
                    }
                }
            }
        }
    }
}

/// Rounded solids thinner than this in pixels are not drawn: one could not see them.
const MIN_RADIUS: f32 = 0.3;
/// Rounded solids thinner than this in pixels are drawn without a lit side.
const MIN_LIT_RADIUS: f32 = 2.5;

/// Rounded solids thinner than this in pixels cast no shadow of their own.
const MIN_SHADOW_RADIUS: f32 = 0.8;

/// The corners that a circle of this radius in pixels is drawn with.
fn arc_steps(radius: f32) -> usize {
    match radius {
        r if r < 1.5 => 4,
        r if r < 6.0 => 8,
        r if r < 24.0 => 12,
        _ => 20,
    }
}

fn project_round(balls: &[Ball], colour: Rgb, camera: &Camera, light: &Light, sunlit: f32, shapes: &mut Shapes) {
    let mut circles = [([0.0_f32; 2], 0.0_f32); 4];
    let mut widest = 0.0_f32;
    let mut distance = 0.0_f32;
    for (circle, ball) in circles.iter_mut().zip(balls) {
        let view = camera.view(ball.centre);
        if view.z < NEAR {
            return;
        }
        *circle = (camera.pixel(view), ball.radius * camera.focal / view.z);
        widest = widest.max(circle.1);
        distance = distance.max(view.z);
    }
    if widest < MIN_RADIUS {
        return;
    }
    let circles = &circles[..balls.len()];
    let steps = arc_steps(widest);
    let (shaded, bright) = light.round_shades(colour, sunlit);
    shapes.add_hull(circles, steps, light.haze(shaded, distance));
    if widest >= MIN_LIT_RADIUS {
        // The lit side of a rounded body, towards the light.
        let [dx, dy] = light.glint;
        let lit = circles.iter().map(|&([x, y], radius)| ([x + dx * radius, y + dy * radius], radius * 0.66));
        let mut moved = [([0.0; 2], 0.0); 4];
        for (slot, circle) in moved.iter_mut().zip(lit) {
            *slot = circle;
        }
        shapes.add_hull(&moved[..circles.len()], steps, light.haze(bright, distance));
    }
}

/// One flat shape: a convex polygon of one colour.
#[derive(Clone, Copy, Debug)]
struct Shape {
    first: u32,
    end: u32,
    colour: [u8; 3],
}

/// Flat shapes in drawing order, in pixels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shapes {
    points: Vec<[f32; 2]>,
    polygons: Vec<Shape>,
    bounds: Bounds,
    outline: Vec<[f32; 2]>,
    hull: Vec<[f32; 2]>,
}

/// A rectangle in pixels; starts out empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) low: [f32; 2],
    pub(crate) high: [f32; 2],
}

impl Default for Bounds {
    fn default() -> Self {
        Self { low: [f32::INFINITY; 2], high: [f32::NEG_INFINITY; 2] }
    }
}

impl Bounds {
    fn include(&mut self, point: [f32; 2]) {
        for (axis, value) in point.into_iter().enumerate() {
            self.low[axis] = self.low[axis].min(value);
            self.high[axis] = self.high[axis].max(value);
        }
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        (0..2).all(|axis| self.low[axis] < other.high[axis] && other.low[axis] < self.high[axis])
    }

    /// The part inside a picture of this size; empty when none is.
    pub(crate) fn clip(&self, width: u32, height: u32) -> Self {
        Self {
            low: self.low.map(|value| value.max(0.0)),
            high: [self.high[0].min(width as f32), self.high[1].min(height as f32)],
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        (0..2).any(|axis| self.low[axis] >= self.high[axis])
    }
}

impl Shapes {
    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Polygons with their colours (Y, Cb, Cr), in drawing order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[[f32; 2]], [u8; 3])> {
        self.polygons.iter().map(|shape| (&self.points[shape.first as usize..shape.end as usize], shape.colour))
    }

    fn push(&mut self, points: &[[f32; 2]], colour: [u8; 3]) {
        let first = self.points.len() as u32;
        for &point in points {
            self.bounds.include(point);
        }
        self.points.extend_from_slice(points);
        self.polygons.push(Shape { first, end: self.points.len() as u32, colour });
    }

    fn add_hull(&mut self, circles: &[([f32; 2], f32)], steps: usize, colour: Rgb) {
        let mut outline = std::mem::take(&mut self.outline);
        let mut hull = std::mem::take(&mut self.hull);
        outline.clear();
        for &([x, y], radius) in circles {
            outline.extend((0..steps).map(|step| {
                let (sin, cos) = ((step as f32 + 0.5) * std::f32::consts::TAU / steps as f32).sin_cos();
                [x + radius * cos, y + radius * sin]
            }));
        }
        convex_hull(&mut outline, &mut hull);
        self.push(&hull, colour.to_yuv());
        self.outline = outline;
        self.hull = hull;
    }

    /// An oval on the ground around a footprint: the shade under an object in diffuse light.
    pub(crate) fn add_patch(&mut self, footprint: &Footprint, camera: &Camera) {
        let (low, high) = (vec3(footprint.x.0, 0.0, footprint.z.0), vec3(footprint.x.1, 0.0, footprint.z.1));
        let (centre, half) = ((low + high) * 0.5, (high - low) * 0.5);
        let rim: [Vec3; MAX_CORNERS] = std::array::from_fn(|corner| {
            let (sin, cos) = (corner as f32 * std::f32::consts::TAU / MAX_CORNERS as f32).sin_cos();
            // Rounded off between an ellipse and its box, so that it reaches out from under a vehicle.
            let square = |value: f32| value.signum() * value.abs().sqrt();
            centre + vec3(half.x * square(cos) * 1.08, 0.0, half.z * square(sin) * 1.08)
        });
        self.add_polygon(&rim, camera, [0; 3]);
    }

    fn add_face(&mut self, corners: &[Vec3], camera: &Camera, colour: Rgb) {
        self.add_polygon(corners, camera, colour.to_yuv());
    }

    /// Cuts a flat polygon at the near plane and projects what is left.
    fn add_polygon(&mut self, corners: &[Vec3], camera: &Camera, colour: [u8; 3]) {
        let mut outline = std::mem::take(&mut self.outline);
        outline.clear();
        let Some(&last) = corners.last() else { return };
        let mut from = camera.view(last);
        for &corner in corners {
            let to = camera.view(corner);
            if (from.z < NEAR) != (to.z < NEAR) {
                outline.push(camera.pixel(from.mix(to, (NEAR - from.z) / (to.z - from.z)).at_least(NEAR)));
            }
            if to.z >= NEAR {
                outline.push(camera.pixel(to));
            }
            from = to;
        }
        if outline.len() >= 3 {
            self.push(&outline, colour);
        }
        self.outline = outline;
    }
}

impl Vec3 {
    /// The same point, not nearer than `depth`: rounding may put a cut slightly in front of the plane.
    fn at_least(self, depth: f32) -> Self {
        vec3(self.x, self.y, self.z.max(depth))
    }
}
