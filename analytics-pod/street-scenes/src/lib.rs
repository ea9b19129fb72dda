//! Street scenes drawn from a seed, with the ground truth of what is in each frame.
//!
//! A [`Scene`] is a loop of `Settings::frames` frames; frame `n` is a pure function of the settings and `n`.

pub mod barcode;

use serde::{Deserialize, Serialize};

/// What a scene shows and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Everything is drawn from this.
    pub seed: u64,
    /// Picture width in pixels, even, 64 or more.
    pub width: u32,
    /// Picture height in pixels, even, 64 or more.
    pub height: u32,
    /// Frames per second, 1 or more.
    pub fps: u32,
    /// Length of the loop in frames.
    pub frames: u32,
}

/// A kind of object, in the order of the starter model's classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// A pedestrian.
    Person,
    /// A car.
    Car,
    /// A truck.
    Truck,
    /// A bicycle with its rider.
    Bicycle,
    /// A dog.
    Dog,
}

/// One object in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TruthObject {
    /// The same object keeps it over the loop.
    pub id: u64,
    /// What it is.
    pub class: Class,
    /// Left edge, 0–1 of the picture's width, clipped to the picture.
    pub x: f32,
    /// Top edge, 0–1 of the picture's height.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
    /// Share of the object that is inside the picture and not hidden by others, 0–1.
    pub visible: f32,
}

/// A picture as planar YUV 4:2:0, BT.709 limited range, planes without padding between rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// `width × height` bytes.
    pub y: Vec<u8>,
    /// `width/2 × height/2` bytes.
    pub u: Vec<u8>,
    /// `width/2 × height/2` bytes.
    pub v: Vec<u8>,
}
