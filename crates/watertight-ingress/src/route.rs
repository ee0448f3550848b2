//! Which route a path belongs to.
//!
//! A route is an exact path (`/about`) or a prefix ending in `/...` (`/api/...`, which takes `/api`, `/api/` and everything
//! below). An exact route wins over every prefix, a longer prefix over a shorter one. Paths are compared as the client
//! wrote them: nothing is decoded or normalized, because the guest gets the same bytes and may read them otherwise.

use std::collections::HashMap;

/// A route, by its place in the list it came from (the app's HTTP triggers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub u32);

/// Finds the route for a path. A lookup allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Router {
    exact: HashMap<Box<str>, RouteId>,
    /// Without the trailing `/...`, longest first.
    prefixes: Vec<(Box<str>, RouteId)>,
}

/// A list of routes that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// A pattern that no path could match.
    #[error("route \"{0}\" does not start with \"/\": write \"/{0}\"")]
    NotAbsolute(String),
    /// A pattern with `...` elsewhere than at the end.
    #[error("route \"{0}\" has \"...\" in a place other than the end: a prefix is written \"/path/...\"")]
    StrayDots(String),
    /// A pattern with a query, a fragment, white space or what cannot be in a path.
    #[error("route \"{0}\" has a character that no path holds; percent-encode it")]
    BadCharacter(String),
    /// The same pattern twice.
    #[error("route \"{0}\" is given twice: remove one")]
    Twice(String),
    /// More routes than can be numbered.
    #[error("too many routes")]
    TooMany,
}

impl Router {
    /// Routes in the order of their ids, starting at 0.
    ///
    /// # Errors
    /// The first pattern that cannot be served.
    pub fn new<P: AsRef<str>>(patterns: impl IntoIterator<Item = P>) -> Result<Self, RouteError> {
        let mut router = Self::default();
        for (index, pattern) in patterns.into_iter().enumerate() {
            let id = RouteId(u32::try_from(index).map_err(|_| RouteError::TooMany)?);
            router.add(pattern.as_ref(), id)?;
        }
        router.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Ok(router)
    }

    /// The route that takes `path`, if any.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<RouteId> {
        if !self.exact.is_empty()
            && let Some(id) = self.exact.get(path)
        {
            return Some(*id);
        }
        self.prefixes.iter().find(|(prefix, _)| is_below(path, prefix)).map(|(_, id)| *id)
    }

    fn add(&mut self, pattern: &str, id: RouteId) -> Result<(), RouteError> {
        if !pattern.starts_with('/') {
            return Err(RouteError::NotAbsolute(pattern.to_owned()));
        }
        if pattern.contains(|c: char| !c.is_ascii_graphic() || matches!(c, '?' | '#')) {
            return Err(RouteError::BadCharacter(pattern.to_owned()));
        }
        let prefix = pattern.strip_suffix("/...");
        if prefix.unwrap_or(pattern).split('/').any(|segment| segment == "...") {
            return Err(RouteError::StrayDots(pattern.to_owned()));
        }
        let twice = match prefix {
            Some(prefix) => {
                let twice = self.prefixes.iter().any(|(other, _)| **other == *prefix);
                self.prefixes.push((prefix.into(), id));
                twice
            }
            None => self.exact.insert(pattern.into(), id).is_some(),
        };
        if twice { Err(RouteError::Twice(pattern.to_owned())) } else { Ok(()) }
    }
}

/// Whether `path` is `prefix` or something under it, at a segment's border.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/') || (rest.is_empty() && !prefix.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_route_takes_the_path() {
        let patterns = ["/...", "/api/...", "/api/v1/...", "/api/v1/health", "/about", "/about/"];
        let router = Router::new(patterns).expect("the patterns are valid");
        let cases = [
            ("/", "/..."),
            ("/x", "/..."),
            ("/apix", "/..."),
            ("/api", "/api/..."),
            ("/api/", "/api/..."),
            ("/api/v2", "/api/..."),
            ("/api/v1", "/api/v1/..."),
            ("/api/v1/health", "/api/v1/health"),
            ("/api/v1/health/", "/api/v1/..."),
            ("/about", "/about"),
            ("/about/", "/about/"),
            ("/about/us", "/..."),
            ("/%61bout", "/..."),
        ];
        for (path, pattern) in cases {
            let found = router.find(path).map(|id| patterns[id.0 as usize]);
            assert_eq!(found, Some(pattern), "{path}");
        }
    }

    #[test]
    fn a_path_without_a_route_finds_none() {
        let router = Router::new(["/a/...", "/b"]).expect("the patterns are valid");
        for path in ["/", "", "*", "/b/", "/ab", "/A", "a/"] {
            assert_eq!(router.find(path), None, "{path}");
        }
    }

    #[test]
    fn patterns_that_cannot_be_served_are_refused_by_name() {
        let cases: [(&[&str], RouteError); 6] = [
            (&["x"], RouteError::NotAbsolute("x".into())),
            (&[""], RouteError::NotAbsolute(String::new())),
            (&["/.../x"], RouteError::StrayDots("/.../x".into())),
            (&["/a?b"], RouteError::BadCharacter("/a?b".into())),
            (&["/a b"], RouteError::BadCharacter("/a b".into())),
            (&["/a/...", "/b", "/a/..."], RouteError::Twice("/a/...".into())),
        ];
        for (patterns, error) in cases {
            assert_eq!(Router::new(patterns).err(), Some(error));
        }
    }
}
