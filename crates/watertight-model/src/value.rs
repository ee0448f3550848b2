//! Values of WIT types as data: what a manifest sets for a function to return. Which type a value is of is not kept; it was checked when the
//! value was read, and whoever uses it has the type at hand.

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A `bool`.
    Bool(bool),
    /// Any number without a sign.
    Unsigned(u64),
    /// Any number with one.
    Signed(i64),
    /// A `f32`.
    F32(f32),
    /// A `f64`.
    F64(f64),
    /// A `char`.
    Char(char),
    /// A `string`.
    Text(String),
    /// A `string` that is known only when a call has failed: the failure's message.
    Message,
    /// The elements of a list.
    List(Vec<Self>),
    /// The fields of a record or a tuple, in the order of its type.
    Fields(Vec<Self>),
    /// A case of a variant, an enum, an option (0: none) or a result (0: ok), by its place in the type.
    Case(u32, Option<Box<Self>>),
    /// Flags that are set, by their places in the type.
    Flags(Vec<u32>),
}

impl Value {
    /// The `err` of a result.
    #[must_use]
    pub fn error(payload: Option<Self>) -> Self {
        Self::Case(1, payload.map(Box::new))
    }
}
