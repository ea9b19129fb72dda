//! The street's plan: which strips it has, how high the houses are, what stands on it and where traffic may go.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::figures::furniture::Prop;
use crate::geometry::{Camera, Vec3, vec3};
use crate::light::{Hour, Light};
use crate::traffic::Way;

/// How far traffic goes to either side of the camera, in metres.
const VEHICLE_REACH: f32 = 130.0;
const CYCLE_REACH: f32 = 80.0;
const WALK_REACH: f32 = 55.0;

/// What carries traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A carriageway between two pavements.
    Road,
    /// Paved from wall to wall, without motor traffic.
    Promenade,
}

/// A house front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct House {
    /// From where to where it stands along the street.
    pub(crate) x: (f32, f32),
    pub(crate) height: f32,
    pub(crate) seed: u32,
}

/// Something that stands.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) prop: Prop,
    pub(crate) at: Vec3,
    pub(crate) heading: f32,
}

/// The plan of a street.
#[derive(Clone, Debug)]
pub(crate) struct Street {
    pub(crate) kind: Kind,
    /// Strips across the street: kerb, edge of the parking strip, far kerb, house fronts; metres from the near kerb.
    pub(crate) road_end: f32,
    pub(crate) parking_end: f32,
    pub(crate) front: f32,
    pub(crate) houses: Vec<House>,
    pub(crate) standing: Vec<Standing>,
    pub(crate) lanes: Vec<Way>,
    pub(crate) cycle_paths: Vec<Way>,
    pub(crate) footpaths: Vec<Way>,
    pub(crate) waiting: Vec<(Vec3, f32)>,
    pub(crate) lamps_lit: bool,
}

impl Street {
    pub(crate) fn new(random: &mut ChaCha8Rng, light: &Light) -> Self {
        let kind = if random.random_bool(0.25) { Kind::Promenade } else { Kind::Road };
        let cycle_lane = random.random_bool(0.5);
        let lanes_each_way = if random.random_bool(0.2) { 2 } else { 1 };
        let lane_width = random.random_range(3.1..3.6);
        let verge = if cycle_lane { 1.5 } else { 0.3 };
        let road_end = match kind {
            Kind::Road => 2.0 * verge + 2.0 * lane_width * lanes_each_way as f32,
            Kind::Promenade => random.random_range(6.0..10.0),
        };
        let parking = kind == Kind::Road && random.random_bool(0.6);
        let parking_end = if parking { road_end + 2.3 } else { road_end };
        let front = parking_end + random.random_range(3.0..5.5);
        let mut street = Self {
            kind,
            road_end,
            parking_end,
            front,
            houses: Vec::new(),
            standing: Vec::new(),
            lanes: Vec::new(),
            cycle_paths: Vec::new(),
            footpaths: Vec::new(),
            waiting: Vec::new(),
            lamps_lit: matches!(light.hour, Hour::Night | Hour::Evening),
        };
        street.build_houses(random);
        match kind {
            Kind::Road => street.lay_lanes(verge, lane_width, lanes_each_way, cycle_lane),
            Kind::Promenade => street.lay_promenade(random),
        }
        street.furnish(random, parking);
        street
    }

    fn build_houses(&mut self, random: &mut ChaCha8Rng) {
        let mut x = -220.0;
        while x < 220.0 {
            let width = random.random_range(7.0..20.0);
            let gap = random.random_bool(0.14);
            let height = if gap { 0.0 } else { random.random_range(5.0..17.0) };
            self.houses.push(House { x: (x, x + width), height, seed: random.random() });
            x += width;
        }
    }

    fn lay_lanes(&mut self, verge: f32, lane_width: f32, each_way: u32, cycle_lane: bool) {
        for lane in 0..2 * each_way {
            let z = verge + lane_width * (lane as f32 + 0.5);
            self.lanes.push(Way::along(z, VEHICLE_REACH, lane < each_way));
        }
        if cycle_lane {
            self.cycle_paths.push(Way::along(0.75, CYCLE_REACH, true));
            self.cycle_paths.push(Way::along(self.road_end - 0.75, CYCLE_REACH, false));
        }
        for (z, rightwards) in [(-1.3, true), (-2.5, false), (-4.0, true)] {
            self.footpaths.push(Way::along(z, WALK_REACH, rightwards));
        }
        self.footpaths.push(Way::along(self.parking_end + 1.3, WALK_REACH, false));
        self.footpaths.push(Way::along(self.front - 0.8, WALK_REACH, true));
    }

    fn lay_promenade(&mut self, random: &mut ChaCha8Rng) {
        let mut z = -3.6;
        let mut rightwards = random.random_bool(0.5);
        while z < self.front - 0.8 {
            let way = Way::along(z, WALK_REACH, rightwards);
            if z > 0.5 && self.cycle_paths.len() < 2 && random.random_bool(0.4) {
                self.cycle_paths.push(way);
            } else {
                self.footpaths.push(way);
            }
            rightwards = !rightwards;
            z += random.random_range(1.5..2.6);
        }
    }

    fn furnish(&mut self, random: &mut ChaCha8Rng, parking: bool) {
        let lamps_lit = self.lamps_lit;
        // On the near kerb only slim things stand, and none right before the lens.
        let mut x = random.random_range(-60.0..-52.0);
        while x < 60.0_f32 {
            if x.abs() > 2.0 {
                let prop = Prop::slim(random, lamps_lit);
                self.standing.push(Standing { prop, at: vec3(x, 0.0, -0.45), heading: 0.0 });
            }
            x += random.random_range(5.0..14.0);
        }
        let mut x = random.random_range(-80.0..-70.0);
        while x < 80.0 {
            let prop = Prop::any(random, lamps_lit);
            self.standing.push(Standing {
                prop,
                at: vec3(x, 0.0, self.parking_end + 0.5),
                heading: std::f32::consts::PI,
            });
            x += random.random_range(4.0..13.0);
        }
        if parking {
            let mut x = random.random_range(-70.0..-60.0);
            while x < 70.0 {
                let prop = Prop::parked(random);
                let half = prop.half_size().0;
                if random.random_bool(0.55) {
                    let at = vec3(x + half, 0.0, self.road_end + 1.1);
                    self.standing.push(Standing { prop, at, heading: std::f32::consts::PI });
                }
                x += 2.0 * half + random.random_range(0.7..1.6);
            }
        }
        for _ in 0..random.random_range(0..4) {
            let z = if random.random_bool(0.3) { -3.2 } else { self.front - 0.35 };
            let at = vec3(random.random_range(-18.0..18.0), 0.0, z);
            self.waiting.push((at, random.random_range(-3.0..3.0)));
        }
    }

    /// The house front that stands at `x`, if one does.
    pub(crate) fn house(&self, x: f32) -> Option<&House> {
        let index = self.houses.partition_point(|house| house.x.1 <= x);
        self.houses.get(index).filter(|house| house.x.0 <= x && house.height > 0.0)
    }

    /// Whether the sun reaches a point on the ground past the houses.
    pub(crate) fn is_sunlit(&self, point: Vec3, sun: Option<Vec3>) -> bool {
        let Some(sun) = sun else { return false };
        if sun.z <= 0.0 {
            return true;
        }
        let run = (self.front - point.z) / sun.z;
        run < 0.0 || self.house(point.x + sun.x * run).is_none_or(|house| point.y + sun.y * run > house.height)
    }
}

/// A camera on the near side of the street.
pub(crate) fn camera(random: &mut ChaCha8Rng, width: u32, height: u32) -> Camera {
    let position = vec3(0.0, random.random_range(4.0..6.2), random.random_range(-9.0..-6.5));
    let yaw: f32 = random.random_range(-50.0..50.0);
    let pitch: f32 = random.random_range(10.0..16.5);
    let fov: f32 = random.random_range(54.0..68.0);
    Camera::new(position, yaw.to_radians(), pitch.to_radians(), fov.to_radians(), width, height)
}
