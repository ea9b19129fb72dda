//! The numbers that hold the planner back. Times in milliseconds.

/// A pod that has not answered for so long is taken for dead; a container that is back sooner keeps its streams.
pub const DOWN_GRACE: i64 = 3_000;

/// Frames that have waited for so long without an inference mean that the engine hangs.
pub const ENGINE_HANGS: u64 = 10_000;

/// A pod that has been dead to us for so long is deleted, to be replaced.
pub const GIVE_UP_POD: i64 = 60_000;

/// A handover must be warm by then.
pub const HANDOVER_TIMEOUT: i64 = 15_000;

/// How long a pod that lost a source may take to let go of it before another one opens it.
pub const RELEASE_TIMEOUT: i64 = 5_000;

/// From one look at the balance of the pods to the next.
pub const ROUND: i64 = 10_000;

/// Handovers in flight from or to a pod, where nothing presses.
pub const GENTLE_IN_FLIGHT: u32 = 2;

/// Handovers in flight to a pod, where streams must leave theirs.
pub const URGENT_IN_FLIGHT: u32 = 16;

/// A stream that was bound or refused to move is left where it is for so long, where nothing presses.
pub const COOL_DOWN: i64 = 60_000;

/// Load of the fullest pod over the mean that is even enough, in percent.
pub const EVEN_PERCENT: u64 = 115;

/// Fewer pods are enough when they would be planned to this part of what is planned at the most, in percent: so they do
/// not fill up again at once.
pub const SCALE_DOWN_PERCENT: u64 = 90;

/// A measured demand counts when it differs by more than this many percent …
pub const DEMAND_PERCENT: u64 = 20;

/// … for so long.
pub const DEMAND_SETTLES: i64 = 60_000;

/// A camera that has failed for so long is tried from another pod.
pub const CAMERA_FAILS: i64 = 30_000;

/// Pods that a failing camera is tried from.
pub const CAMERA_PODS: usize = 2;

/// The wait before a pod is made anew after one ended by itself; doubles each time up to [`CREATE_BACKOFF_MOST`].
pub const CREATE_BACKOFF: i64 = 10_000;

/// The longest such wait.
pub const CREATE_BACKOFF_MOST: i64 = 300_000;
