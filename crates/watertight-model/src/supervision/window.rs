//! Restarts within a sliding window of time, as OTP's `supervisor` counts them.

use std::{collections::VecDeque, time::Duration};

use super::Intensity;

/// The restarts that still count. It never holds more than the intensity allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Window(VecDeque<Duration>);

impl Window {
    /// Counts a restart, unless there were too many: then whoever counts gives up.
    pub(super) fn admit(&mut self, intensity: Intensity, now: Duration) -> bool {
        self.forget(intensity, now);
        let fits = self.0.len() < intensity.max as usize;
        if fits {
            self.0.push_back(now);
        }
        fits
    }

    /// How many there were.
    pub(super) fn count(&mut self, intensity: Intensity, now: Duration) -> usize {
        self.forget(intensity, now);
        self.0.len()
    }

    /// A fresh supervisor has not restarted anything.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// One that is exactly as old as the window still counts, as in OTP.
    fn forget(&mut self, intensity: Intensity, now: Duration) {
        while self.0.front().is_some_and(|at| now.saturating_sub(*at) > intensity.within) {
            self.0.pop_front();
        }
    }
}
