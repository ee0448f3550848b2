//! Cycles: an app whose components use each other in a circle is refused, with the way around it.
//!
//! A cell is never entered while it waits for a call of its own, so a circle could only end in a failure; it is better said at load.

use std::{collections::VecDeque, ops::Range};

use super::{
    Checker,
    resolve::{Link, Met},
};
use crate::problem::{Code, Problem};

impl Checker<'_> {
    /// Reports each circle once, by its shortest way around.
    pub(super) fn cycles(&mut self, uses: &[Vec<(usize, Range<usize>)>], links: &[Link]) {
        let count = self.types.len();
        let mut next: Vec<Vec<usize>> = vec![Vec::new(); count];
        for link in links {
            if let Met::By { component, .. } = link.met {
                next[link.importer].push(component);
            }
            let fallbacks = link.policy.functions.iter().filter_map(|function| function.fallback.as_ref());
            next[link.importer].extend(fallbacks.map(|fallback| fallback.component.0 as usize));
        }
        // Where a type is unknown, what is listed stands for what would be met.
        for (importer, uses) in uses.iter().enumerate() {
            let unknown = |used: &usize| self.types[importer].is_none() || self.types[*used].is_none();
            next[importer].extend(uses.iter().map(|(used, _)| *used).filter(unknown));
        }
        let mut reported = vec![false; count];
        for start in 0..count {
            if reported[start] {
                continue;
            }
            let Some(path) = shortest_cycle(start, &next) else { continue };
            for component in &path {
                reported[*component] = true;
            }
            self.report_cycle(&path, uses);
        }
    }

    fn report_cycle(&mut self, path: &[usize], uses: &[Vec<(usize, Range<usize>)>]) {
        let names: Vec<&str> = path.iter().chain(path.first()).map(|component| self.name(*component)).collect();
        let message = format!("the components use each other in a circle: {}", names.join(" → "));
        let mut problem = Problem::new(Code::Cycle, message)
            .help("break it: move what both need into a component of its own, or pass what is needed as an argument");
        for (index, component) in path.iter().enumerate() {
            let to = path[(index + 1) % path.len()];
            let span = uses[*component].iter().find(|(used, _)| *used == to).map(|(_, span)| span.clone());
            let span = span.unwrap_or_else(|| self.name_span(*component));
            problem = problem.at(
                &self.manifest.source,
                span,
                format!("`{}` uses `{}`", self.name(*component), self.name(to)),
            );
        }
        self.problems.push(problem);
    }
}

/// The shortest way from a component back to itself.
fn shortest_cycle(start: usize, next: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut came_from = vec![None; next.len()];
    let mut queue = VecDeque::from([start]);
    while let Some(component) = queue.pop_front() {
        for to in &next[component] {
            if *to == start {
                let mut path = vec![component];
                while let Some(before) = path.last().and_then(|last| came_from[*last]) {
                    path.push(before);
                }
                path.reverse();
                return Some(path);
            }
            if came_from[*to].is_none() {
                came_from[*to] = Some(component);
                queue.push_back(*to);
            }
        }
    }
    None
}
