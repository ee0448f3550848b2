//! What a grant names: origins, addresses, host names, guest paths, routes. Text in, value or a [`Flaw`] out.
//!
//! Parsed by hand and strictly: what is granted must be exactly what is enforced, so nothing is guessed, completed or ignored.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::grant::{HttpGrant, HttpScheme, SocketGrant};

/// Why a text is not what its key takes, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) what: String,
    pub(super) next_step: String,
}

fn flaw<T>(what: impl Into<String>, next_step: impl Into<String>) -> Result<T, Flaw> {
    Err(Flaw { what: what.into(), next_step: next_step.into() })
}

/// `https://api.example.com:8443`.
pub(super) fn origin(text: &str) -> Result<HttpGrant, Flaw> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return flaw(format!("`{text}` has no scheme"), format!("write the scheme too: \"https://{text}\""));
    };
    let scheme = match scheme {
        "http" => HttpScheme::Http,
        "https" => HttpScheme::Https,
        other => {
            return flaw(
                format!("`{other}` is not a scheme that can be granted"),
                "write \"http://…\" or \"https://…\"",
            );
        }
    };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(authority_end);
    if authority.contains('@') {
        return flaw(
            format!("`{text}` holds a user or password"),
            "drop everything up to the `@`; the guest sends credentials in a header",
        );
    }
    if !tail.is_empty() {
        return flaw(
            format!("`{text}` holds a path, but a grant covers a whole origin"),
            format!("write \"{scheme}://{authority}\""),
        );
    }
    let (host, port) = host_and_port(authority)?;
    let port = match (port, scheme) {
        (Some(port), _) => port,
        (None, HttpScheme::Http) => 80,
        (None, HttpScheme::Https) => 443,
    };
    Ok(HttpGrant { scheme, host, port })
}

fn host_and_port(authority: &str) -> Result<(String, Option<u16>), Flaw> {
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((inside, after)) = rest.split_once(']') else {
            return flaw(format!("`{authority}` does not close its bracket"), "write an IPv6 address as \"[::1]\"");
        };
        let Ok(ip) = inside.parse::<Ipv6Addr>() else {
            return flaw(format!("`{inside}` is not an IPv6 address"), "write an IPv6 address as \"[::1]\"");
        };
        let port = match after.strip_prefix(':') {
            Some(port) => Some(port_number(port)?),
            None if after.is_empty() => None,
            None => return flaw(format!("`{after}` follows the address"), "write \"[ADDRESS]:PORT\""),
        };
        return Ok((format!("[{ip}]"), port));
    }
    let (name, port) = match authority.split_once(':') {
        Some((name, port)) => (name, Some(port_number(port)?)),
        None => (authority, None),
    };
    let host = match name.strip_prefix("*.") {
        Some(parent) => format!("*.{}", host_name(parent)?),
        None if name == "*" => {
            return flaw(
                "`*` would grant every host",
                "name the hosts, or the sub-domains of one: \"https://*.example.com\"",
            );
        }
        None => match name.parse::<IpAddr>() {
            Ok(ip) => ip.to_string(),
            Err(_) => host_name(name)?,
        },
    };
    Ok((host, port))
}

fn port_number(text: &str) -> Result<u16, Flaw> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ => flaw(format!("`{text}` is not a port"), "a port is a number from 1 to 65535"),
    }
}

/// `127.0.0.1:5432`, `[::1]:*`.
pub(super) fn address(text: &str) -> Result<SocketGrant, Flaw> {
    if let Some(ip) = text.strip_suffix(":*") {
        let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
        let parsed = match bare {
            Some(ip) => ip.parse().ok().map(IpAddr::V6),
            None => ip.parse().ok().map(IpAddr::V4),
        };
        return match parsed {
            Some(ip) => Ok(SocketGrant { ip, port: None }),
            None => not_an_address(text, ip),
        };
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => flaw(
            format!("`{text}` has port 0"),
            format!(
                "for any port write \"{}\"",
                text.strip_suffix('0').map_or_else(String::new, |ip| format!("{ip}*"))
            ),
        ),
        Ok(SocketAddr::V6(address)) if address.scope_id() != 0 => {
            flaw(format!("`{text}` has a scope"), "write the address without `%…`")
        }
        Ok(address) => Ok(SocketGrant { ip: address.ip(), port: Some(address.port()) }),
        Err(_) => not_an_address(text, text.rsplit_once(':').map_or(text, |(host, _)| host)),
    }
}

fn not_an_address<T>(text: &str, host: &str) -> Result<T, Flaw> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        let any = SocketGrant { ip, port: None };
        return flaw(format!("`{text}` has no port"), format!("write the port too, or `*` for any: \"{any}\""));
    }
    if host.parse::<IpAddr>().is_err() && host_name(host).is_ok() {
        return flaw(
            format!("`{host}` is a name, and sockets are granted by address"),
            format!("write its address here, and `dns = [\"{host}\"]` if the guest looks it up"),
        );
    }
    flaw(
        format!("`{text}` is not an address with a port"),
        "write \"127.0.0.1:5432\", \"[::1]:5432\", or `*` for any port",
    )
}

/// `db.internal`: lower-cased.
pub(super) fn host_name(text: &str) -> Result<String, Flaw> {
    if text.is_empty() {
        return flaw("the host name is empty", "write a name like \"db.internal\"");
    }
    if text.parse::<IpAddr>().is_ok() {
        return flaw(
            format!("`{text}` is an address, which needs no lookup"),
            "grant it under `tcp`, `udp` or `http` only",
        );
    }
    if !text.is_ascii() {
        return flaw(format!("`{text}` is not ASCII"), "write the name as it is in DNS, in punycode (`xn--…`)");
    }
    if text.contains('*') {
        return flaw(format!("`{text}` holds a `*`"), "write the names one by one; only `http` takes a leading `*.`");
    }
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() > 253 || !text.split('.').all(label_fits) {
        return flaw(
            format!("`{text}` is not a host name"),
            "a host name is labels of letters, digits and `-`, joined by single dots, without a port or a path",
        );
    }
    Ok(text.to_ascii_lowercase())
}

/// An absolute path, without a trailing slash, as a guest sees it.
pub(super) fn guest_path(text: &str) -> Result<String, Flaw> {
    if text.contains('\0') {
        return flaw("the path holds a NUL byte", "drop it");
    }
    let Some(rest) = text.strip_prefix('/') else {
        return flaw(format!("`{text}` is relative"), format!("guest paths are absolute: \"/{text}\""));
    };
    let rest = rest.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(rest);
    if rest.split('/').any(|part| part == "..") {
        return flaw(format!("`{text}` climbs with `..`"), "write the path it means");
    }
    if !rest.is_empty() && rest.split('/').any(|part| part.is_empty() || part == ".") {
        return flaw(format!("`{text}` has an empty part or a `.`"), "write it with single slashes and without `.`");
    }
    Ok(format!("/{rest}"))
}

/// A path of HTTP, or a prefix that ends in `/...`.
pub(super) fn route(text: &str) -> Result<String, Flaw> {
    let Some(rest) = text.strip_prefix('/') else {
        return flaw(
            format!("`{text}` does not start with `/`"),
            format!("write \"/{}\"", text.trim_start_matches("http://")),
        );
    };
    if text.contains(['?', '#']) {
        return flaw(format!("`{text}` holds a query or a fragment"), "a route is a path alone");
    }
    if let Some(odd) = text.chars().find(|c| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
        return flaw(format!("`{text}` holds {odd:?}"), "percent-encode it, as it stands in a URL");
    }
    if text.contains('*') {
        return flaw(
            format!("`{text}` holds a `*`"),
            "a prefix ends in `/...`, and nothing else stands for several paths",
        );
    }
    let parts: Vec<&str> = rest.split('/').collect();
    let named =
        |name: &str| !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'));
    let bracketed = |part: &str| part.strip_prefix('[').and_then(|part| part.strip_suffix(']')).is_some_and(named);
    if let Some(part) = parts.iter().find(|part| part.contains(['[', ']']) && !bracketed(part)) {
        return flaw(
            format!("`{text}` has `{part}`, which is not a whole part in brackets"),
            "one that stands for any part is written \"/users/[id]\"; all the rest, \"/docs/...\"",
        );
    }
    let (last, before) = parts.split_last().expect("splitting yields at least one part");
    if before.iter().any(|part| part.contains("...")) || (last.contains("...") && *last != "...") {
        return flaw(
            format!("`{text}` has `...` where it is not the last part"),
            "a prefix ends in `/...`: \"/api/...\"",
        );
    }
    if parts.iter().any(|part| matches!(*part, "." | "..")) {
        return flaw(format!("`{text}` has a `.` or `..`"), "write the path it means");
    }
    if before.iter().any(|part| part.is_empty()) {
        return flaw(format!("`{text}` has an empty part"), "write it with single slashes");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_taken_exactly() {
        for (text, shown) in [
            ("https://api.example.com", "https://api.example.com"),
            ("https://API.example.com:443", "https://api.example.com"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://127.0.0.1", "http://127.0.0.1"),
            ("http://[0:0::1]:80", "http://[::1]"),
            ("https://*.example.com", "https://*.example.com"),
        ] {
            assert_eq!(origin(text).map(|origin| origin.to_string()), Ok(shown.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_not_an_origin_is_refused_with_a_reason() {
        for (text, what) in [
            ("api.example.com", "`api.example.com` has no scheme"),
            ("ftp://example.com", "`ftp` is not a scheme that can be granted"),
            ("HTTPS://example.com", "`HTTPS` is not a scheme that can be granted"),
            ("https://example.com/", "`https://example.com/` holds a path, but a grant covers a whole origin"),
            ("https://example.com?q", "`https://example.com?q` holds a path, but a grant covers a whole origin"),
            ("https://me:pw@example.com", "`https://me:pw@example.com` holds a user or password"),
            ("https://", "the host name is empty"),
            ("https://:443", "the host name is empty"),
            ("https://*", "`*` would grant every host"),
            ("https://a.*.com", "`a.*.com` holds a `*`"),
            ("https://*.*.com", "`*.com` holds a `*`"),
            ("https://example.com:0", "`0` is not a port"),
            ("https://example.com:+80", "`+80` is not a port"),
            ("https://example.com:65536", "`65536` is not a port"),
            ("https://example.com:", "`` is not a port"),
            ("https://exa mple.com", "`exa mple.com` is not a host name"),
            ("https://bücher.example", "`bücher.example` is not ASCII"),
            ("https://[::1", "`[::1` does not close its bracket"),
            ("https://[::g]", "`::g` is not an IPv6 address"),
            ("https://[::1]x", "`x` follows the address"),
        ] {
            assert_eq!(origin(text).map_err(|flaw| flaw.what), Err(what.to_owned()), "{text}");
        }
    }

    #[test]
    fn addresses_are_taken_exactly() {
        for text in ["127.0.0.1:5432", "[::1]:53", "0.0.0.0:*", "[fe80::1]:*"] {
            assert_eq!(address(text).map(|address| address.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_is_not_an_address_is_refused_with_a_reason() {
        for (text, what, next_step) in [
            ("127.0.0.1", "`127.0.0.1` has no port", "write the port too, or `*` for any: \"127.0.0.1:*\""),
            ("::1", "`::1` has no port", "write the port too, or `*` for any: \"[::1]:*\""),
            ("127.0.0.1:0", "`127.0.0.1:0` has port 0", "for any port write \"127.0.0.1:*\""),
            (
                "db.internal:5432",
                "`db.internal` is a name, and sockets are granted by address",
                "write its address here, and `dns = [\"db.internal\"]` if the guest looks it up",
            ),
            (
                "300.0.0.1:x y",
                "`300.0.0.1` is a name, and sockets are granted by address",
                "write its address here, and `dns = [\"300.0.0.1\"]` if the guest looks it up",
            ),
            (
                "127.0.0.1:99999",
                "`127.0.0.1:99999` is not an address with a port",
                "write \"127.0.0.1:5432\", \"[::1]:5432\", or `*` for any port",
            ),
            ("[fe80::1%3]:80", "`[fe80::1%3]:80` has a scope", "write the address without `%…`"),
            (
                "::1:*",
                "`::1:*` is not an address with a port",
                "write \"127.0.0.1:5432\", \"[::1]:5432\", or `*` for any port",
            ),
            ("", "`` is not an address with a port", "write \"127.0.0.1:5432\", \"[::1]:5432\", or `*` for any port"),
        ] {
            assert_eq!(address(text), Err(Flaw { what: what.to_owned(), next_step: next_step.to_owned() }), "{text}");
        }
    }

    #[test]
    fn host_names_are_labels_joined_by_dots() {
        assert_eq!(host_name("DB.internal"), Ok("db.internal".to_owned()));
        assert_eq!(host_name("_srv.example"), Ok("_srv.example".to_owned()));
        let long = "a".repeat(64);
        for text in ["", "a..b", ".a", "a.", "-a", "a-", "a:80", "a/b", "10.0.0.1", "*.a", "é", long.as_str()] {
            assert!(host_name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn guest_paths_are_absolute_and_never_climb() {
        assert_eq!(guest_path("/"), Ok("/".to_owned()));
        assert_eq!(guest_path("/content/"), Ok("/content".to_owned()));
        assert_eq!(guest_path("/a/b.c/..d"), Ok("/a/b.c/..d".to_owned()));
        for text in ["", "content", "./a", "/a/../b", "/..", "/a//b", "//", "/./a", "/a\0b"] {
            assert!(guest_path(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn routes_are_paths_or_prefixes() {
        for text in ["/", "/...", "/api/...", "/a/b", "/a/", "/%20", "/users/[id]", "/[a]/b/[c-d]/..."] {
            assert_eq!(route(text), Ok(text.to_owned()));
        }
        for text in [
            "", "a", "...", "/a...", "/.../a", "/a?x", "/a#x", "/a b", "/*", "/a/*", "//", "/a//b", "/../a", "/é",
            "/[]", "/a[b]", "/[a", "/[...a]", "/[[a]]",
        ] {
            assert!(route(text).is_err(), "{text}");
        }
    }
}
