//! Names of imports and exports, and which export a name's version fits.

use semver::Version;

/// `press:image/thumbnail@0.1.0`, taken apart: a name without `:` and `/` is the component's own and has no version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExternName<'a> {
    /// Everything before the version.
    pub(crate) base: &'a str,
    pub(crate) version: Option<Version>,
}

impl<'a> ExternName<'a> {
    pub(crate) fn parse(name: &'a str) -> Self {
        if let Some((base, version)) = name.split_once('@')
            && let Ok(version) = Version::parse(version)
        {
            return Self { base, version: Some(version) };
        }
        Self { base: name, version: None }
    }

    /// The package, without its version: `press:image`.
    pub(crate) fn package(&self) -> &'a str {
        self.base.split_once('/').map_or(self.base, |(package, _)| package)
    }

    /// Whether an import of this name is met by an export of the other: the same version, or a later one that promises to
    /// be compatible.
    pub(crate) fn met_by(&self, export: &Self) -> bool {
        self.base == export.base
            && match (&self.version, &export.version) {
                (None, None) => true,
                (Some(import), Some(export)) => compatible(import, export) && export >= import,
                (None, Some(_)) | (Some(_), None) => false,
            }
    }

    /// Whether a name written by a person, perhaps without its version, means this one.
    pub(crate) fn meant_by(&self, written: &Self) -> bool {
        self.base == written.base && (written.version.is_none() || written.version == self.version)
    }
}

/// Whether two versions promise to be compatible, in either direction.
pub(crate) fn compatible(a: &Version, b: &Version) -> bool {
    if !a.pre.is_empty() || !b.pre.is_empty() {
        return a == b;
    }
    match (a.major, a.minor) {
        (0, 0) => (a.major, a.minor, a.patch) == (b.major, b.minor, b.patch),
        (0, _) => (a.major, a.minor) == (b.major, b.minor),
        _ => a.major == b.major,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_met_by_the_same_or_a_later_compatible_version() {
        for (import, export, met) in [
            ("a:b/c", "a:b/c", true),
            ("a:b/c@0.2.1", "a:b/c@0.2.3", true),
            ("a:b/c@0.2.3", "a:b/c@0.2.1", false),
            ("a:b/c@0.2.0", "a:b/c@0.3.0", false),
            ("a:b/c@1.2.0", "a:b/c@1.3.0", true),
            ("a:b/c@1.2.0", "a:b/c@2.0.0", false),
            ("a:b/c@0.0.1", "a:b/c@0.0.2", false),
            ("a:b/c@0.0.1", "a:b/c@0.0.1", true),
            ("a:b/c@1.0.0-rc.1", "a:b/c@1.0.0", false),
            ("a:b/c@1.0.0-rc.1", "a:b/c@1.0.0-rc.1", true),
            ("a:b/c", "a:b/c@1.0.0", false),
            ("a:b/c@1.0.0", "a:b/c", false),
            ("a:b/c@1.0.0", "a:b/d@1.0.0", false),
            ("log", "log", true),
        ] {
            assert_eq!(ExternName::parse(import).met_by(&ExternName::parse(export)), met, "{import} by {export}");
        }
    }
}
