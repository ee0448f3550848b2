//! What a key of the manifest takes, and how that is said.

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A table whose keys stand at this place.
    Table(&'static str),
    /// A table from names to tables whose keys stand at this place.
    Named(&'static str),
    /// An array of tables whose keys stand at this place.
    Tables(&'static str),
    /// A table from names to strings.
    Texts,
    /// A string.
    Text(Form),
    /// A string, or a table whose keys stand at this place.
    TextOr(Form, &'static str),
    /// An array of strings.
    List(Form),
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// One of these strings, or a table whose keys stand at this place.
    ChoiceOr(&'static [&'static str], &'static str),
    /// `true` or `false`.
    Flag,
    /// A whole number within these bounds.
    Count(u32, u32),
    /// A number above 0, at most 1.
    Share,
}

/// What a string must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Anything without NUL.
    Any,
    /// The name of an app or a component.
    Name,
    /// A semantic version.
    Version,
    /// A path.
    Path,
    /// An absolute path of the guest.
    GuestPath,
    /// A number of bytes with its unit.
    Size,
    /// A time with its unit.
    Duration,
    /// A path of HTTP, or a prefix of one.
    Route,
    /// Scheme, host and port.
    Origin,
    /// Address and port.
    Address,
    /// A host name.
    Host,
}

impl Form {
    /// What it is, for a sentence.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Any => "a string",
            Self::Name => "a name",
            Self::Version => "a version",
            Self::Path => "a path",
            Self::GuestPath => "an absolute guest path",
            Self::Size => "a size",
            Self::Duration => "a duration",
            Self::Route => "a route",
            Self::Origin => "an origin",
            Self::Address => "an address with a port",
            Self::Host => "a host name",
        }
    }

    /// What an editor can check of it.
    #[must_use]
    pub const fn pattern(self) -> Option<&'static str> {
        match self {
            Self::Any | Self::Path => None,
            Self::Name => Some(r"^[a-z][a-z0-9_-]{0,62}$"),
            Self::Version => Some(r"^\d+\.\d+\.\d+([-+].*)?$"),
            Self::GuestPath => Some(r"^/"),
            Self::Size => Some(r"^\d+ ?(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$"),
            Self::Duration => Some(r"^\d+(\.\d+)? ?(us|µs|ms|s|m|h)$"),
            Self::Route => Some(r"^/"),
            Self::Origin => Some(r"^https?://[^/@?#]+$"),
            Self::Address => Some(r"^(\d+\.\d+\.\d+\.\d+|\[[0-9A-Fa-f:.]+\]):(\d+|\*)$"),
            Self::Host => Some(r"^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$"),
        }
    }
}

impl Kind {
    /// What it takes, for a sentence and for the documentation.
    #[must_use]
    pub fn noun(self) -> String {
        match self {
            Self::Table(_) | Self::Named(_) => "a table".to_owned(),
            Self::Tables(_) => "an array of tables".to_owned(),
            Self::Texts => "a table of strings".to_owned(),
            Self::Text(form) => form.noun().to_owned(),
            Self::TextOr(form, _) => format!("{} or a table", form.noun()),
            Self::List(Form::Any) => "an array of strings".to_owned(),
            Self::List(Form::Name) => "an array of names".to_owned(),
            Self::List(Form::Origin) => "an array of origins".to_owned(),
            Self::List(Form::Address) => "an array of addresses with ports".to_owned(),
            Self::List(Form::Host) => "an array of host names".to_owned(),
            Self::List(_) => "an array".to_owned(),
            Self::Choice(choices) => {
                choices.iter().map(|choice| format!("\"{choice}\"")).collect::<Vec<_>>().join(" or ")
            }
            Self::ChoiceOr(choices, _) => format!("{} or a table", Self::Choice(choices).noun()),
            Self::Flag => "true or false".to_owned(),
            Self::Count(_, _) => "a whole number".to_owned(),
            Self::Share => "a number above 0, at most 1".to_owned(),
        }
    }
}
