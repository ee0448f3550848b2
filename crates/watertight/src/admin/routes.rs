//! What can be asked for at which path, by which method, and by whom: one table, which the documents of the API are compared with.

use http::Method;

/// Who may ask, beside the owner of the admin socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Anyone.
    Open,
    /// Anyone on this machine, and who holds the token.
    Read,
    /// Who holds the token: what cells were called with, or wrote.
    Secret,
    /// Who holds the token: it changes something.
    Tell,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Page,
    Metrics,
    Document,
    Rights,
    Node,
    Apps,
    Components,
    Component,
    Edges,
    Cells,
    Events,
    Calls,
    Postmortems,
    Postmortem,
    Tap,
    Record,
    Eject,
    Restart,
    Reload,
    Faults,
    SetFaults,
    ClearFaults,
}

/// A line of the table.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: Method,
    /// Segments in braces are any; one in braces with a star is all that is left.
    pub(super) path: &'static str,
    pub(super) access: Access,
    pub(super) what: What,
}

const fn route(method: Method, path: &'static str, access: Access, what: What) -> Route {
    Route { method, path, access, what }
}

pub(super) static ROUTES: [Route; 22] = [
    route(Method::GET, "/", Access::Open, What::Page),
    route(Method::GET, "/metrics", Access::Read, What::Metrics),
    route(Method::GET, "/v1/openapi.json", Access::Read, What::Document),
    route(Method::GET, "/v1/rights", Access::Read, What::Rights),
    route(Method::GET, "/v1/node", Access::Read, What::Node),
    route(Method::GET, "/v1/apps", Access::Read, What::Apps),
    route(Method::GET, "/v1/components", Access::Read, What::Components),
    route(Method::GET, "/v1/components/{name}", Access::Read, What::Component),
    route(Method::POST, "/v1/components/{name}/eject", Access::Tell, What::Eject),
    route(Method::POST, "/v1/components/{name}/restart", Access::Tell, What::Restart),
    route(Method::GET, "/v1/edges", Access::Read, What::Edges),
    route(Method::GET, "/v1/cells", Access::Read, What::Cells),
    route(Method::GET, "/v1/events", Access::Read, What::Events),
    route(Method::GET, "/v1/calls", Access::Read, What::Calls),
    route(Method::GET, "/v1/postmortems", Access::Read, What::Postmortems),
    route(Method::GET, "/v1/postmortems/{id*}", Access::Secret, What::Postmortem),
    route(Method::POST, "/v1/tap", Access::Secret, What::Tap),
    route(Method::POST, "/v1/record", Access::Secret, What::Record),
    route(Method::POST, "/v1/reload", Access::Tell, What::Reload),
    route(Method::GET, "/v1/faults", Access::Read, What::Faults),
    route(Method::PUT, "/v1/faults", Access::Tell, What::SetFaults),
    route(Method::DELETE, "/v1/faults", Access::Tell, What::ClearFaults),
];

/// What a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'p> {
    /// That, of what stands for the braces.
    Route(What, &'p str),
    /// Another method would do: these.
    OtherMethod(String),
    Nothing,
}

/// Looks a request up. What only asks for the head gets what it would have got: the rest is left out on the way.
pub(super) fn find<'p>(method: &Method, path: &'p str) -> Found<'p> {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let mut others = Vec::new();
    for route in &ROUTES {
        let Some(part) = fits(route.path, path) else { continue };
        if route.method == *method {
            return Found::Route(route.what, part);
        }
        others.push(route.method.as_str());
        if route.method == Method::GET {
            others.push("HEAD");
        }
    }
    if others.is_empty() { Found::Nothing } else { Found::OtherMethod(others.join(", ")) }
}

/// Who may ask for it. For what there is not, who may learn that.
pub(super) fn access(method: &Method, path: &str) -> Access {
    let (reads, method) = match *method {
        Method::HEAD | Method::GET => (true, &Method::GET),
        _ => (false, method),
    };
    let known = ROUTES.iter().find(|route| route.method == *method && fits(route.path, path).is_some());
    known.map_or(if reads { Access::Read } else { Access::Tell }, |route| route.access)
}

/// Whether a path is of a pattern; and what stands for its braces.
fn fits<'p>(pattern: &str, path: &'p str) -> Option<&'p str> {
    let Some((begin, rest)) = pattern.split_once('{') else { return (pattern == path).then_some("") };
    let (name, end) = rest.split_once('}')?;
    let part = path.strip_prefix(begin)?.strip_suffix(end)?;
    (!part.is_empty() && (name.ends_with('*') || !part.contains('/'))).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_with_what_they_name_and_other_methods_are_told() {
        for (method, path, found) in [
            (Method::GET, "/", Found::Route(What::Page, "")),
            (Method::HEAD, "/v1/node", Found::Route(What::Node, "")),
            (Method::GET, "/v1/components", Found::Route(What::Components, "")),
            (Method::GET, "/v1/components/web", Found::Route(What::Component, "web")),
            (Method::POST, "/v1/components/web/eject", Found::Route(What::Eject, "web")),
            (Method::GET, "/v1/postmortems/a/b/c", Found::Route(What::Postmortem, "a/b/c")),
            (Method::GET, "/v1/components/", Found::Nothing),
            (Method::GET, "/v1/components/a/b", Found::Nothing),
            (Method::GET, "/v1/components/web/eject", Found::OtherMethod("POST".to_owned())),
            (Method::POST, "/v1/faults", Found::OtherMethod("GET, HEAD, PUT, DELETE".to_owned())),
            (Method::GET, "/v2/node", Found::Nothing),
        ] {
            assert_eq!(find(&method, path), found, "{method} {path}");
        }
    }

    #[test]
    fn what_changes_something_needs_the_token_and_so_does_what_is_not_known() {
        for route in &ROUTES {
            let tells = route.method != Method::GET;
            assert_eq!(matches!(route.access, Access::Tell | Access::Secret), tells || route.what == What::Postmortem);
        }
        assert_eq!(access(&Method::POST, "/v1/nothing"), Access::Tell);
        assert_eq!(access(&Method::GET, "/v1/nothing"), Access::Read);
        assert_eq!(access(&Method::HEAD, "/v1/postmortems/a/b/c"), Access::Secret);
    }

    /// What the document calls the end of a path that is all that is left.
    fn documented(path: &str) -> String {
        path.replace("*}", "}")
    }

    #[test]
    fn the_document_has_every_route_and_no_other_and_says_which_need_the_token() {
        let document: serde_json::Value = serde_json::from_str(super::super::DOCUMENT).expect("it is JSON");
        let paths = document["paths"].as_object().expect("it has paths");
        let mut told = Vec::new();
        for (path, methods) in paths {
            for (method, operation) in methods.as_object().expect("a path has methods") {
                told.push((path.clone(), method.to_uppercase(), operation.get("security").is_some()));
            }
        }
        let needs = |access| matches!(access, Access::Secret | Access::Tell);
        let mut there: Vec<_> = ROUTES
            .iter()
            .map(|route| (documented(route.path), route.method.as_str().to_owned(), needs(route.access)))
            .collect();
        told.sort();
        there.sort();
        assert_eq!(told, there);
    }
}
