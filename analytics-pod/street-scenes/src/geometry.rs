//! Vectors, ground poses and the pinhole camera that every drawing goes through.
//!
//! World axes: `x` along the street, `y` up, `z` across the street away from the camera; metres.

use std::ops::{Add, Mul, Sub};

/// A point or direction in metres.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Vec3 {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) z: f32,
}

pub(crate) const fn vec3(x: f32, y: f32, z: f32) -> Vec3 {
    Vec3 { x, y, z }
}

impl Add for Vec3 {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        vec3(self.x + other.x, self.y + other.y, self.z + other.z)
    }
}

impl Sub for Vec3 {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        vec3(self.x - other.x, self.y - other.y, self.z - other.z)
    }
}

impl Mul<f32> for Vec3 {
    type Output = Self;
    fn mul(self, factor: f32) -> Self {
        vec3(self.x * factor, self.y * factor, self.z * factor)
    }
}

impl Vec3 {
    pub(crate) fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y + self.z * other.z
    }

    pub(crate) fn cross(self, other: Self) -> Self {
        vec3(
            self.y * other.z - self.z * other.y,
            self.z * other.x - self.x * other.z,
            self.x * other.y - self.y * other.x,
        )
    }

    pub(crate) fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// The direction of `self`; the zero vector stays zero.
    pub(crate) fn unit(self) -> Self {
        let length = self.length();
        if length > 0.0 { self * (1.0 / length) } else { self }
    }

    pub(crate) fn mix(self, other: Self, share: f32) -> Self {
        self * (1.0 - share) + other * share
    }
}

/// Where a figure stands and where it looks: local `x` is forward, `y` up, `z` to its right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pose {
    pub(crate) origin: Vec3,
    cos: f32,
    sin: f32,
}

impl Pose {
    /// `heading` in radians from the world's `x` axis towards `z`.
    pub(crate) fn new(origin: Vec3, heading: f32) -> Self {
        Self { origin, cos: heading.cos(), sin: heading.sin() }
    }

    pub(crate) fn world(&self, local: Vec3) -> Vec3 {
        self.origin + vec3(local.x * self.cos - local.z * self.sin, local.y, local.x * self.sin + local.z * self.cos)
    }
}

/// An axis-aligned rectangle on the ground: what a figure stands on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Footprint {
    pub(crate) x: (f32, f32),
    pub(crate) z: (f32, f32),
}

impl Footprint {
    /// The rectangle around one of half length `along` and half width `across` that is turned by `heading`.
    pub(crate) fn around(centre: Vec3, heading: f32, along: f32, across: f32) -> Self {
        let (sin, cos) = (heading.sin().abs(), heading.cos().abs());
        let (half_x, half_z) = (along * cos + across * sin, along * sin + across * cos);
        Self { x: (centre.x - half_x, centre.x + half_x), z: (centre.z - half_z, centre.z + half_z) }
    }
}

/// Nearest distance in front of the lens at which anything is drawn, in metres.
pub(crate) const NEAR: f32 = 0.4;

/// A pinhole camera without roll.
#[derive(Clone, Debug)]
pub(crate) struct Camera {
    pub(crate) position: Vec3,
    pub(crate) right: Vec3,
    pub(crate) down: Vec3,
    pub(crate) forward: Vec3,
    /// Pixels per unit of tangent.
    pub(crate) focal: f32,
    pub(crate) centre: [f32; 2],
}

impl Camera {
    /// `yaw` turns from straight across the street towards `x`, `pitch` tilts down, `fov` is the horizontal angle
    /// of view; all in radians.
    pub(crate) fn new(position: Vec3, yaw: f32, pitch: f32, fov: f32, width: u32, height: u32) -> Self {
        let level = vec3(yaw.sin(), 0.0, yaw.cos());
        let forward = level * pitch.cos() - vec3(0.0, pitch.sin(), 0.0);
        let right = vec3(yaw.cos(), 0.0, -yaw.sin());
        let down = level * -pitch.sin() - vec3(0.0, pitch.cos(), 0.0);
        let focal = width as f32 / 2.0 / (fov / 2.0).tan();
        Self { position, right, down, forward, focal, centre: [width as f32 / 2.0, height as f32 / 2.0] }
    }

    /// Right, down and forward distances from the lens.
    pub(crate) fn view(&self, point: Vec3) -> Vec3 {
        let offset = point - self.position;
        vec3(offset.dot(self.right), offset.dot(self.down), offset.dot(self.forward))
    }

    /// The pixel of a point in view coordinates; its `z` must be [`NEAR`] or more.
    pub(crate) fn pixel(&self, view: Vec3) -> [f32; 2] {
        let scale = self.focal / view.z;
        [self.centre[0] + view.x * scale, self.centre[1] + view.y * scale]
    }

    /// The direction of the ray through a pixel, not of unit length.
    pub(crate) fn ray(&self, x: f32, y: f32) -> Vec3 {
        self.forward
            + self.right * ((x - self.centre[0]) / self.focal)
            + self.down * ((y - self.centre[1]) / self.focal)
    }

    /// Whether something on `far` can hide behind something on `near`, judged by planes that part the two.
    pub(crate) fn is_behind(&self, far: &Footprint, near: &Footprint) -> bool {
        let (cx, cz) = (self.position.x, self.position.z);
        let parted = |far: (f32, f32), near: (f32, f32), camera: f32| {
            if near.1 <= far.0 {
                Some(camera < f32::midpoint(near.1, far.0))
            } else if far.1 <= near.0 {
                Some(camera > f32::midpoint(far.1, near.0))
            } else {
                None
            }
        };
        let by_z = parted(far.z, near.z, cz);
        let by_x = parted(far.x, near.x, cx);
        by_z.or(by_x).unwrap_or_else(|| {
            let distance = |f: &Footprint| {
                let (dx, dz) = (f32::midpoint(f.x.0, f.x.1) - cx, f32::midpoint(f.z.0, f.z.1) - cz);
                dx * dx + dz * dz
            };
            distance(far) > distance(near)
        })
    }
}
