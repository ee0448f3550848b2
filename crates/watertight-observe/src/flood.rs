//! Failures by the thousand: the log shows the first few of a component in each second, and counts the others.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use watertight_model::app::ComponentId;

/// Lines that one component's failures get in one window.
const MAX_LINES: u32 = 3;

const WINDOW: Duration = Duration::from_secs(1);

/// What each component's failures have had of the log. It has as many entries as the app has components that failed.
#[derive(Debug, Default)]
pub(crate) struct Flood(BTreeMap<ComponentId, Window>);

#[derive(Debug)]
struct Window {
    ends: SystemTime,
    lines: u32,
    held_back: u64,
}

impl Flood {
    /// Whether a failure of this component is shown.
    pub(crate) fn shows(&mut self, component: ComponentId, at: SystemTime) -> bool {
        let window = self.0.entry(component).or_insert_with(|| Window { ends: at + WINDOW, lines: 0, held_back: 0 });
        if at >= window.ends {
            window.ends = at + WINDOW;
            window.lines = 0;
        }
        if window.lines == MAX_LINES {
            window.held_back += 1;
            return false;
        }
        window.lines += 1;
        true
    }

    /// Takes the count of what was held back, for each component whose window is over.
    pub(crate) fn over(&mut self, now: SystemTime) -> Vec<(ComponentId, u64)> {
        let over = self.0.iter_mut().filter(|(_, window)| window.held_back > 0 && now >= window.ends);
        over.map(|(component, window)| (*component, std::mem::take(&mut window.held_back))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_lines_a_second_and_a_count() {
        let (mut flood, start) = (Flood::default(), SystemTime::UNIX_EPOCH);
        let (loud, quiet) = (ComponentId(0), ComponentId(1));
        let shown = (0..1000).filter(|tick| flood.shows(loud, start + Duration::from_micros(*tick))).count();
        assert_eq!(shown, 3);
        assert!(flood.shows(quiet, start), "one component's flood leaves the others theirs");
        assert_eq!(flood.over(start), [], "the window is open");
        let later = start + WINDOW;
        assert_eq!(flood.over(later), [(loud, 997)]);
        assert_eq!(flood.over(later), [], "it was told");
        assert!(flood.shows(loud, later));
    }
}
