//! Which route a path belongs to.
//!
//! A route is a path (`/about`), in which a part in brackets stands for any one part (`/users/[id]`), or a prefix ending in `/...`
//! (`/api/...`, which takes `/api`, `/api/` and everything below). Of several that fit, the one that is more exact from the left takes the path: a
//! name before `[id]`, and that before `...`. Paths are compared as the client wrote them: nothing is decoded or normalized, because the guest
//! gets the same bytes and may read them otherwise.

use std::collections::HashMap;

/// A route, by its place in the list it came from (the app's HTTP triggers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub u32);

/// Finds the route for a path. A lookup allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Router {
    exact: HashMap<Box<str>, RouteId>,
    /// Those that take more than one path, the most exact first.
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    parts: Vec<Part>,
    id: RouteId,
}

/// A part of a pattern, in the order of how exact it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Name(Box<str>),
    Any,
    Rest,
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
    /// A pattern with brackets that do not hold a whole part of it.
    #[error("route \"{0}\" has a bracket in a part: one that stands for any part is written \"/users/[id]\"")]
    StrayBracket(String),
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
        let rank = |part: &Part| match part {
            Part::Name(_) => 0,
            Part::Any => 1,
            Part::Rest => 2,
        };
        // Of two that take one path, the first part in which they are not of one kind decides.
        router.patterns.sort_by_cached_key(|pattern| pattern.parts.iter().map(rank).collect::<Vec<u8>>());
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
        self.patterns.iter().find(|pattern| takes(&pattern.parts, path)).map(|pattern| pattern.id)
    }

    fn add(&mut self, pattern: &str, id: RouteId) -> Result<(), RouteError> {
        if !pattern.starts_with('/') {
            return Err(RouteError::NotAbsolute(pattern.to_owned()));
        }
        if pattern.contains(|c: char| !c.is_ascii_graphic() || matches!(c, '?' | '#')) {
            return Err(RouteError::BadCharacter(pattern.to_owned()));
        }
        let parts: Vec<&str> = pattern.split('/').skip(1).collect();
        let prefix = pattern.ends_with("/...");
        if parts.iter().enumerate().any(|(index, part)| *part == "..." && !(prefix && index + 1 == parts.len())) {
            return Err(RouteError::StrayDots(pattern.to_owned()));
        }
        let any = |part: &str| {
            part.len() > 2
                && part.starts_with('[')
                && part.ends_with(']')
                && !part[1..part.len() - 1].contains(['[', ']'])
        };
        if parts.iter().any(|part| part.contains(['[', ']']) && !any(part)) {
            return Err(RouteError::StrayBracket(pattern.to_owned()));
        }
        if !prefix && !parts.iter().any(|part| any(part)) {
            let twice = self.exact.insert(pattern.into(), id).is_some();
            return if twice { Err(RouteError::Twice(pattern.to_owned())) } else { Ok(()) };
        }
        let part = |part: &&str| match *part {
            "..." => Part::Rest,
            part if any(part) => Part::Any,
            part => Part::Name(part.into()),
        };
        let parts: Vec<Part> = parts.iter().map(part).collect();
        if self.patterns.iter().any(|other| other.parts == parts) {
            return Err(RouteError::Twice(pattern.to_owned()));
        }
        self.patterns.push(Pattern { parts, id });
        Ok(())
    }
}

/// Whether a pattern takes a path.
fn takes(pattern: &[Part], path: &str) -> bool {
    let Some(path) = path.strip_prefix('/') else { return false };
    let mut parts = path.split('/');
    for part in pattern {
        let taken = match (part, parts.next()) {
            // Of `/api/...` also `/api`.
            (Part::Rest, _) => return true,
            (Part::Name(name), Some(found)) => **name == *found,
            (Part::Any, Some(found)) => !found.is_empty(),
            (Part::Name(_) | Part::Any, None) => false,
        };
        if !taken {
            return false;
        }
    }
    parts.next().is_none()
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
    fn a_part_in_brackets_takes_any_one_part() {
        let patterns = [
            "/users/[id]",
            "/users/new",
            "/users/...",
            "/users/[id]/posts",
            "/users/new/...",
            "/[any]/posts",
            "/[a]/[b]/...",
            "/x/[id]/",
        ];
        let router = Router::new(patterns).expect("the patterns are valid");
        for (path, pattern) in [
            ("/users/7", Some("/users/[id]")),
            ("/users/a%2Fb", Some("/users/[id]")),
            ("/users/new", Some("/users/new")),
            ("/users/new/1", Some("/users/new/...")),
            ("/users/7/posts", Some("/users/[id]/posts")),
            ("/users/7/", Some("/users/...")),
            ("/users/7/photos", Some("/users/...")),
            ("/users/", Some("/users/...")),
            ("/users", Some("/users/...")),
            ("/groups/posts", Some("/[any]/posts")),
            ("/groups/7", Some("/[a]/[b]/...")),
            ("/groups/7/8/9", Some("/[a]/[b]/...")),
            ("/x/1/", Some("/x/[id]/")),
            ("/groups", None),
            ("//posts", None),
            ("/", None),
        ] {
            let found = router.find(path).map(|id| patterns[id.0 as usize]);
            assert_eq!(found, pattern, "{path}");
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
        let cases: [(&[&str], RouteError); 9] = [
            (&["/a[b]"], RouteError::StrayBracket("/a[b]".into())),
            (&["/[]"], RouteError::StrayBracket("/[]".into())),
            (&["/[a]/b", "/[c]/b"], RouteError::Twice("/[c]/b".into())),
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
