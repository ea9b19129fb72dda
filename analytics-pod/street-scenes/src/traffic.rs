//! What moves: belts that carry figures along the street, periodic in the loop.
//!
//! Everything on a belt moves at the belt's speed `v`, so after a loop of `T` seconds it has moved by `v·T`. A belt that
//! is occupied periodically with period `v·T` therefore looks the same after the loop: each mover of it stands for the
//! copies of itself one period apart, of which those on the belt's length are in the scene.

use std::f32::consts::PI;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::Class;
use crate::figure::Figure;
use crate::figures::bicycle::Bicycle;
use crate::figures::dog::Dog;
use crate::figures::person::{Gait, Person};
use crate::figures::vehicle::{Car, Truck};
use crate::geometry::{Footprint, Pose, Vec3, vec3};
use crate::street::Street;

/// Ids of the next object begin so much higher; those between are for copies of the same one.
pub(crate) const COPIES: u64 = 1 << 12;

/// How an object looks.
#[derive(Clone, Debug)]
pub(crate) enum Look {
    Person(Person),
    Car(Car),
    Truck(Truck),
    Bicycle(Bicycle),
    Dog(Dog),
}

impl Look {
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Person(_) => Class::Person,
            Self::Car(_) => Class::Car,
            Self::Truck(_) => Class::Truck,
            Self::Bicycle(_) => Class::Bicycle,
            Self::Dog(_) => Class::Dog,
        }
    }

    /// Half of the length and half of the width on the ground, metres.
    pub(crate) fn half_size(&self) -> (f32, f32) {
        match self {
            Self::Person(_) => (0.28, 0.25),
            Self::Car(car) => car.half_size(),
            Self::Truck(truck) => truck.half_size(),
            Self::Bicycle(_) => (0.9, 0.3),
            Self::Dog(_) => (0.5, 0.18),
        }
    }

    /// Solids after moving so many metres; who stands still sways with `share` (0–1) of the loop instead.
    pub(crate) fn figure(&self, pose: Pose, motion: Motion) -> Figure {
        let metres = match motion {
            Motion::Moved(metres) => metres,
            Motion::Resting(_) => 0.0,
        };
        match self {
            Self::Person(person) => person.figure(
                pose,
                match motion {
                    Motion::Moved(metres) => Gait::Walking(metres),
                    Motion::Resting(share) => Gait::Standing(share),
                },
            ),
            Self::Car(car) => car.figure(pose),
            Self::Truck(truck) => truck.figure(pose),
            Self::Bicycle(bicycle) => bicycle.figure(pose, metres),
            Self::Dog(dog) => dog.figure(pose, metres),
        }
    }
}

/// Where in its movement an object is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Motion {
    /// Metres since its belt began.
    Moved(f32),
    /// Share of its idle sway, 0–1.
    Resting(f32),
}

/// Something that moves, or stands where others move.
#[derive(Clone, Debug)]
pub(crate) struct Mover {
    look: Look,
    track: Track,
}

#[derive(Clone, Copy, Debug)]
enum Track {
    /// From `start` in the direction of `heading` for `length` metres, `offset` metres ahead of the belt.
    Belt { start: Vec3, heading: f32, length: f32, speed: f32, offset: f32 },
    /// Stays, swaying `sways` times a loop.
    Place { at: Vec3, heading: f32, sways: f32 },
}

/// One object at one moment.
pub(crate) struct Presence<'a> {
    pub(crate) id: u64,
    pub(crate) look: &'a Look,
    pub(crate) at: Vec3,
    pub(crate) heading: f32,
    pub(crate) motion: Motion,
}

impl Presence<'_> {
    pub(crate) fn footprint(&self) -> Footprint {
        let (along, across) = self.look.half_size();
        Footprint::around(self.at, self.heading, along, across)
    }

    pub(crate) fn figure(&self) -> Figure {
        self.look.figure(Pose::new(self.at, self.heading), self.motion)
    }
}

/// Everything that moves in a scene.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    movers: Vec<Mover>,
    /// Seconds after which the traffic repeats.
    period: f32,
}

impl Traffic {
    /// Fills the street's lanes and pavements. `period` is the loop's length in seconds.
    pub(crate) fn new(random: &mut ChaCha8Rng, street: &Street, period: f32) -> Self {
        let mut traffic = Self { movers: Vec::new(), period };
        let lights = street.lamps_lit;
        for lane in &street.lanes {
            let speed = random.random_range(6.5..12.5);
            let spacing = random.random_range(22.0..60.0);
            traffic.fill_belt(random, lane, speed, spacing, |random| {
                let look = if random.random_bool(0.3) {
                    Look::Truck(Truck::new(random, lights))
                } else {
                    Look::Car(Car::new(random, lights))
                };
                vec![(look, vec3(0.0, 0.0, 0.0))]
            });
        }
        for path in &street.cycle_paths {
            let speed = random.random_range(3.6..6.5);
            let spacing = random.random_range(14.0..40.0);
            traffic.fill_belt(random, path, speed, spacing, |random| {
                vec![(Look::Bicycle(Bicycle::new(random)), vec3(0.0, 0.0, 0.0))]
            });
        }
        for path in &street.footpaths {
            let speed = random.random_range(0.9..1.7);
            let spacing = random.random_range(5.0..16.0);
            traffic.fill_belt(random, path, speed, spacing, |random| {
                let mut group = vec![(Look::Person(Person::new(random)), vec3(0.0, 0.0, 0.0))];
                if random.random_bool(0.35) {
                    let side = if random.random_bool(0.5) { 0.55 } else { -0.55 };
                    let ahead = random.random_range(0.4..1.0);
                    group.push((Look::Dog(Dog::new(random)), vec3(ahead, 0.0, side)));
                }
                if random.random_bool(0.25) {
                    group.push((Look::Person(Person::new(random)), vec3(random.random_range(-0.2..0.2), 0.0, 0.75)));
                }
                group
            });
        }
        for &(at, heading) in &street.waiting {
            let look = Look::Person(Person::new(random));
            let sways = (period / random.random_range(3.0..6.0)).ceil();
            traffic.movers.push(Mover { look, track: Track::Place { at, heading, sways } });
        }
        traffic
    }

    /// Puts groups (each a list of looks with their places relative to the group) on a belt, about `spacing` apart.
    fn fill_belt(
        &mut self,
        random: &mut ChaCha8Rng,
        way: &Way,
        speed: f32,
        spacing: f32,
        mut group: impl FnMut(&mut ChaCha8Rng) -> Vec<(Look, Vec3)>,
    ) {
        let repeat = speed * self.period;
        // With less than one group a period, whether there is one at all is a matter of chance.
        let wanted = repeat / spacing + random.random_range(-0.5..0.5);
        let count = wanted.round().max(0.0);
        let slot = repeat / count;
        let shift = random.random_range(0.0..1.0);
        for index in 0..count as u32 {
            let jitter = random.random_range(-0.18..0.18_f32);
            let offset = (index as f32 + shift + jitter) * slot;
            for (look, place) in group(random) {
                let pose = Pose::new(way.start, way.heading);
                let track = Track::Belt {
                    start: pose.world(vec3(0.0, 0.0, place.z)),
                    heading: way.heading,
                    length: way.length,
                    speed,
                    offset: offset + place.x,
                };
                self.movers.push(Mover { look, track });
            }
        }
    }

    /// What is in the scene `seconds` after the loop began.
    pub(crate) fn at(&self, seconds: f32) -> Vec<Presence<'_>> {
        let mut present = Vec::new();
        for (mover, first_id) in self.movers.iter().zip((0..).step_by(COPIES as usize)) {
            match mover.track {
                Track::Place { at, heading, sways } => {
                    let motion = Motion::Resting((seconds / self.period * sways).fract());
                    present.push(Presence { id: first_id, look: &mover.look, at, heading, motion });
                }
                Track::Belt { start, heading, length, speed, offset } => {
                    let repeat = speed * self.period;
                    let direction = vec3(heading.cos(), 0.0, heading.sin());
                    let base = offset.rem_euclid(repeat) - repeat;
                    for copy in 0..COPIES {
                        let metres = base + speed * seconds + copy as f32 * repeat;
                        if metres >= length {
                            break;
                        }
                        if metres >= 0.0 {
                            present.push(Presence {
                                id: first_id + copy,
                                look: &mover.look,
                                at: start + direction * metres,
                                heading,
                                motion: Motion::Moved(metres),
                            });
                        }
                    }
                }
            }
        }
        present
    }
}

/// A straight way that a belt follows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) start: Vec3,
    pub(crate) heading: f32,
    pub(crate) length: f32,
}

impl Way {
    /// Along the street at distance `z`, from one end of `reach` to the other, to the right or to the left.
    pub(crate) fn along(z: f32, reach: f32, rightwards: bool) -> Self {
        let (x, heading) = if rightwards { (-reach, 0.0) } else { (reach, PI) };
        Self { start: vec3(x, 0.0, z), heading, length: 2.0 * reach }
    }
}
