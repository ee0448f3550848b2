//! Problems: what is wrong with a manifest or an app, where, and what to do about it.
//!
//! A problem is a value: it renders in a terminal as a miette diagnostic, and for machines as one JSON object. It never owns the
//! decision to stop; whoever collects problems asks [`Problem::is_error`].

use std::{fmt, ops::Range, sync::Arc};

use miette::{Diagnostic, LabeledSpan, NamedSource, Severity as MietteSeverity, SourceCode};
use serde::ser::{Serialize, SerializeStruct, Serializer};

/// Every kind of problem. The names are stable: scripts may match on them.
macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What kind of problem it is; the name is stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, for tables and tests.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name, as `watertight::NAME` in diagnostics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

codes! {
    /// The text is not TOML.
    Syntax = "syntax",
    /// A key that does not exist at this place.
    UnknownKey = "unknown-key",
    /// A key that must be there is not.
    MissingKey = "missing-key",
    /// A value of another TOML type than the key takes.
    WrongValue = "wrong-value",
    /// A value that is none of the choices.
    UnknownChoice = "unknown-choice",
    /// A name that cannot name an app or a component.
    BadName = "bad-name",
    /// Not a version.
    BadVersion = "bad-version",
    /// Not a size in bytes, or one out of range.
    BadSize = "bad-size",
    /// Not a duration, or one out of range.
    BadDuration = "bad-duration",
    /// Not a count, or one out of range.
    BadCount = "bad-count",
    /// Not a share: a number above 0, at most 1.
    BadShare = "bad-share",
    /// Not an origin that HTTP can be granted to.
    BadUrl = "bad-url",
    /// Not an address with a port.
    BadAddress = "bad-address",
    /// Not a host name.
    BadHost = "bad-host",
    /// Not an environment variable or argument a guest can be given.
    BadText = "bad-text",
    /// A path that cannot be a source, a folder or a guest path.
    BadPath = "bad-path",
    /// Two guest paths of which one holds the other.
    OverlappingDirs = "overlapping-dirs",
    /// The same entry twice.
    Repeated = "repeated",
    /// A function that has no error to return, and no word on what its caller gets instead.
    OnlyTrap = "only-trap",
    /// Not a fault that can be injected.
    BadFault = "bad-fault",
    /// Not an expectation of a drill.
    BadExpectation = "bad-expectation",
    /// Not a route.
    BadRoute = "bad-route",
    /// Two triggers with the same route.
    DuplicateRoute = "duplicate-route",
    /// An app without a component.
    NoComponents = "no-components",
    /// A name of a component that the app does not have.
    UnknownComponent = "unknown-component",
    /// A source file that is not there or cannot be read.
    MissingFile = "missing-file",
    /// A granted folder that is not there or is no folder.
    MissingFolder = "missing-folder",
    /// Bytes that are not a component.
    NotAComponent = "not-a-component",
    /// A script is written in a language that no runtime runs.
    NoRuntime = "no-runtime",
    /// An import or export of a kind that no edge can carry.
    Unsupported = "unsupported",
    /// An import that nobody satisfies.
    Unsatisfied = "unsatisfied-import",
    /// An import that two listed components satisfy.
    Ambiguous = "ambiguous-import",
    /// An import and the export that meets it differ in type.
    TypeMismatch = "type-mismatch",
    /// Two sides of an edge mean different resources by the same name.
    ResourceMismatch = "resource-mismatch",
    /// A component that uses itself, directly or around a circle.
    Cycle = "cycle",
    /// A listed component that meets no import.
    UnusedUse = "unused-use",
    /// An edge key that names no import.
    UnknownImport = "unknown-import",
    /// An edge key without a version where several versions are imported.
    AmbiguousEdge = "ambiguous-edge",
    /// A setting that has no effect.
    NoEffect = "no-effect",
    /// A key that names no function of an import.
    UnknownFunction = "unknown-function",
    /// A function that is to return an error, and has none that a failure can be turned into.
    NoError = "no-error",
    /// A value to return that is not WAVE, or not of the function's type.
    BadReturn = "bad-return",
    /// Calls that are to be made again, and cannot be.
    BadRetry = "bad-retry",
    /// A component that cannot stand in for another.
    BadFallback = "bad-fallback",
    /// A breaker that would never open, or of which it is not said when.
    UnclearBreaker = "unclear-breaker",
    /// An export to be called by everybody, and cannot be.
    UnknownExport = "unknown-export",
    /// A triggered component without a handler.
    NoHandler = "no-handler",
    /// A lifetime that cannot keep what the component exports.
    LifetimeTooShort = "lifetime-too-short",
    /// A setting of its own on a component that shares its importer's store.
    FusedSetting = "fused-setting",
    /// A fused component that a trigger starts.
    FusedTrigger = "fused-trigger",
    /// Parts of one fused cell that import the same interface from different places.
    FusedConflict = "fused-conflict",
    /// A fused component that nobody uses.
    FusedUnused = "fused-unused",
    /// A member of a group that the app does not have.
    UnknownMember = "unknown-member",
    /// A member, or a setting, that makes sense only of residents.
    NotResident = "not-resident",
    /// A component for the whole node that cannot be reached from other processes.
    NodeScope = "node-scope",
    /// A build that does not say what to do, or says it twice.
    UnclearBuild = "unclear-build",
    /// A member of two groups.
    TwoGroups = "two-groups",
    /// A component and a group of one name.
    SameName = "same-name",
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The app cannot start.
    Error,
    /// The app starts, but the manifest says something that it does not mean.
    Warning,
}

/// The text that problems point into.
pub type SourceText = Arc<NamedSource<Arc<str>>>;

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    severity: Severity,
    message: String,
    help: Option<String>,
    source: Option<SourceText>,
    labels: Vec<LabeledSpan>,
}

/// A place in a file, counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Problem {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, severity: Severity::Error, message: message.into(), help: None, source: None, labels: Vec::new() }
    }

    pub(crate) fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::new(code, message) }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Points at a place; the first one pointed at is where the problem is.
    pub(crate) fn at(mut self, source: &SourceText, span: Range<usize>, label: impl Into<String>) -> Self {
        let label = label.into();
        let span = clamp(source.inner(), span);
        let label = (!label.is_empty()).then_some(label);
        self.labels.push(if self.labels.is_empty() {
            LabeledSpan::new_primary_with_span(label, span)
        } else {
            LabeledSpan::new_with_span(label, span)
        });
        self.source = Some(Arc::clone(source));
        self
    }

    /// What kind of problem it is.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Whether the app cannot start because of it.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// What is wrong, in one or more lines.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The next step.
    #[must_use]
    pub fn next_step(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The file it is in, as the shell named it.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.source.as_deref().map(NamedSource::name)
    }

    /// Where in that file.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        let text = self.source.as_deref()?.inner();
        let before = text.get(..self.offset()?)?;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Some(Place { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 })
    }

    /// The byte it starts at: the order in which problems are shown.
    pub(crate) fn offset(&self) -> Option<usize> {
        self.labels.first().map(LabeledSpan::offset)
    }
}

/// Keeps a span inside the text and on character borders, whatever a parser said.
fn clamp(text: &str, span: Range<usize>) -> Range<usize> {
    let floor = |mut index: usize| {
        index = index.min(text.len());
        while !text.is_char_boundary(index) {
            index -= 1;
        }
        index
    };
    let start = floor(span.start);
    start..floor(span.end).max(start)
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(format!("watertight::{}", self.code.name())))
    }

    fn severity(&self) -> Option<MietteSeverity> {
        Some(match self.severity {
            Severity::Error => MietteSeverity::Error,
            Severity::Warning => MietteSeverity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_deref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = self.place();
        let mut object = serializer.serialize_struct("Problem", 7)?;
        object.serialize_field("code", self.code.name())?;
        object.serialize_field("severity", &self.severity)?;
        object.serialize_field("file", &self.file())?;
        object.serialize_field("line", &place.map(|place| place.line))?;
        object.serialize_field("column", &place.map(|place| place.column))?;
        object.serialize_field("message", &self.message)?;
        object.serialize_field("help", &self.help)?;
        object.end()
    }
}
