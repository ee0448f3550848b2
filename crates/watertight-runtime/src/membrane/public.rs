//! Functions that everybody may call: arguments come as JSON and become a frame, a frame of results becomes JSON.
//!
//! What comes is hostile: it is held against the function's types ([`super::cbor`]), and is refused with the place where it does not fit.

use wasmtime::component::{Component, types::ComponentItem};
use watertight_model::{
    app::{EdgeShape, PublicFunction, PublicInterface},
    cbor::TooLong,
    json,
};

use super::{
    Frame,
    cbor::{Author, Returned},
    frame::MAX_FRAME_BYTES,
    link::ExportedFunction,
    types::FunctionTypes,
};

/// A function of a component that a route calls.
#[derive(Debug)]
pub(crate) struct Public {
    pub(crate) export: ExportedFunction,
    types: FunctionTypes,
    parameters: Vec<String>,
    name: String,
}

/// What a function returned, in JSON.
#[derive(Debug, PartialEq, Eq)]
pub enum PublicResult {
    /// Its result, or the value of an `ok`.
    Value(Vec<u8>),
    /// The value of an `err`, and what a message says of it.
    Error {
        /// In JSON.
        payload: Vec<u8>,
        /// For people.
        message: String,
    },
}

impl Public {
    /// Finds it in its component, or says what is not as it was when the app was checked.
    pub(crate) fn find(
        component: &Component,
        interface: &PublicInterface,
        function: &PublicFunction,
    ) -> Result<Self, String> {
        let gone = || format!("it has no `{}` in `{}` any more", function.name, interface.export);
        let (ty, engine) = (component.component_type(), component.engine());
        let export = ty.get_export(engine, &interface.export).ok_or_else(gone)?.ty;
        let (item, index) = match (interface.shape, export) {
            (EdgeShape::Interface, ComponentItem::ComponentInstance(instance)) => {
                let place = component.get_export_index(None, &interface.export).ok_or_else(gone)?;
                let item = instance.get_export(engine, &function.name).ok_or_else(gone)?.ty;
                (item, component.get_export_index(Some(&place), &function.name))
            }
            (EdgeShape::Function, item) => (item, component.get_export_index(None, &interface.export)),
            (EdgeShape::Interface, _) => return Err(gone()),
        };
        let (ComponentItem::ComponentFunc(ty), Some(index)) = (item, index) else { return Err(gone()) };
        let types = FunctionTypes::of(&ty, &component.component_type().instance_type());
        Ok(Self {
            export: ExportedFunction::new(0, index, &ty, None),
            types: types.map_err(|error| format!("`{}` of `{}`: {error:#}", function.name, interface.export))?,
            parameters: function.parameters.clone(),
            name: function.name.clone(),
        })
    }

    /// The frame of arguments that came as an array in JSON, for a component that has so much memory; else what is wrong with them.
    pub(crate) fn arguments(&self, json: &[u8], memory: usize) -> Result<Frame, String> {
        let refused = |why: &dyn std::fmt::Display| format!("{}: {why}", self.name);
        let cbor = json::to_cbor(json, MAX_FRAME_BYTES).map_err(|error| refused(&error))?;
        self.types.arguments(&cbor, &self.parameters, memory, Author::Json).map_err(|error| refused(&error))
    }

    /// What is in a frame of results; none where that is no value.
    pub(crate) fn returned(&self, frame: &Frame, limit: usize) -> Result<Option<PublicResult>, TooLong> {
        let returned = self.types.returned_json(&frame.bytes, limit)?;
        Ok(returned.map(|returned| match returned {
            Returned::Value(value) => PublicResult::Value(value),
            Returned::Error { value, text } => {
                let message = if text.is_empty() { format!("{} failed", self.name) } else { text };
                PublicResult::Error { payload: value, message }
            }
        }))
    }
}
