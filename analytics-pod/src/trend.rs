//! Whether a series of measurements rises or falls, and how sure that is.

use serde::{Deserialize, Serialize};

/// A straight line through a series, per minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trend {
    /// By how much the value changes in a minute.
    pub per_minute: f64,
    /// Of [`Self::per_minute`].
    pub standard_error: f64,
}

impl Trend {
    /// Least squares through `(seconds, value)` points; `None` for fewer than three or all at one time.
    #[must_use]
    pub fn through(points: &[(f64, f64)]) -> Option<Self> {
        let count = points.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (mean_time, mean_value) = (mean(|point| point.0), mean(|point| point.1));
        let spread: f64 = points.iter().map(|(time, _)| (time - mean_time).powi(2)).sum();
        if points.len() < 3 || spread == 0.0 {
            return None;
        }
        let slope = points.iter().map(|(time, value)| (time - mean_time) * (value - mean_value)).sum::<f64>() / spread;
        let residual: f64 =
            points.iter().map(|(time, value)| (value - mean_value - slope * (time - mean_time)).powi(2)).sum();
        let standard_error = (residual / (count - 2.0) / spread).sqrt();
        Some(Self { per_minute: slope * 60.0, standard_error: standard_error * 60.0 })
    }

    /// Whether the value rises by more than chance explains: more than three standard errors, which happens by chance
    /// to about one series in 300 that does not rise.
    #[must_use]
    pub fn rises(&self) -> bool {
        self.per_minute > 3.0 * self.standard_error
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_trend_finds_a_line(slope in -100.0..100.0_f64, start in -100.0..100.0_f64, count in 3..50_usize) {
            let points: Vec<_> = (0..count).map(|n| (n as f64 * 10.0, start + slope * n as f64 * 10.0)).collect();
            let trend = Trend::through(&points).unwrap();
            prop_assert!((trend.per_minute - slope * 60.0).abs() < 1e-3);
            prop_assert!(trend.standard_error < 1e-3);
        }
    }

    #[test]
    fn too_few_points_have_no_trend() {
        assert_eq!(Trend::through(&[(0.0, 1.0), (1.0, 2.0)]), None);
        assert_eq!(Trend::through(&[(1.0, 1.0); 5]), None);
    }

    #[test]
    fn a_rise_within_its_error_is_none() {
        let noisy = |rise: f64| -> Vec<_> {
            (0..20).map(|n| (f64::from(n), rise * f64::from(n) + if n % 2 == 0 { 5.0 } else { -5.0 })).collect()
        };
        assert!(!Trend::through(&noisy(0.1)).unwrap().rises());
        assert!(Trend::through(&noisy(2.0)).unwrap().rises());
        assert!(!Trend::through(&noisy(-2.0)).unwrap().rises());
    }
}
