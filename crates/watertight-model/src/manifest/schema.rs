//! The JSON Schema of the manifest, for editors: the table of keys in another notation.

use serde_json::{Map, Value, json};

use super::keys::{Form, Kind, keys_at};

/// The JSON Schema (draft 2020-12) of `watertight.toml`.
#[must_use]
pub fn schema() -> Value {
    let mut schema = object("");
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!("watertight.toml"));
    schema.insert("description".to_owned(), json!("An app of isolated WebAssembly components."));
    Value::Object(schema)
}

fn object(place: &str) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in keys_at(place) {
        let mut property = of_kind(key.kind);
        property.insert("description".to_owned(), json!(key.description()));
        if let Some(default) = key.default.and_then(as_json) {
            property.insert("default".to_owned(), default);
        }
        if let Some(example) = as_json(key.example) {
            property.insert("examples".to_owned(), json!([example]));
        }
        properties.insert(key.name.to_owned(), Value::Object(property));
        if key.required {
            required.push(key.name);
        }
    }
    let mut object = Map::new();
    object.insert("type".to_owned(), json!("object"));
    object.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        object.insert("required".to_owned(), json!(required));
    }
    object.insert("additionalProperties".to_owned(), json!(false));
    object
}

fn of_kind(kind: Kind) -> Map<String, Value> {
    let value = match kind {
        Kind::Table(place) => Value::Object(object(place)),
        Kind::Named("component.*") => json!({
            "type": "object", "minProperties": 1,
            "propertyNames": { "pattern": Form::Name.pattern() },
            "additionalProperties": Value::Object(object("component.*")),
        }),
        Kind::Named(place) => json!({ "type": "object", "additionalProperties": Value::Object(object(place)) }),
        Kind::Tables(place) => json!({ "type": "array", "items": Value::Object(object(place)) }),
        Kind::Texts => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::Text(form) => text(form),
        Kind::TextOr(form, place) => json!({ "anyOf": [text(form), Value::Object(object(place))] }),
        Kind::List(Form::Any) => json!({ "type": "array", "items": text(Form::Any) }),
        Kind::List(form) => json!({ "type": "array", "items": text(form), "uniqueItems": true }),
        Kind::Choice(choices) => json!({ "enum": choices }),
        Kind::ChoiceOr(choices, place) => json!({ "anyOf": [{ "enum": choices }, Value::Object(object(place))] }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Count(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Share => json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1 }),
    };
    value.as_object().cloned().unwrap_or_default()
}

fn text(form: Form) -> Value {
    match form.pattern() {
        Some(pattern) => json!({ "type": "string", "pattern": pattern }),
        None => json!({ "type": "string" }),
    }
}

/// A default or an example of the table, which is written as TOML.
fn as_json(toml_value: &str) -> Option<Value> {
    let table: toml::Table = format!("value = {toml_value}").parse().ok()?;
    serde_json::to_value(table.get("value")?).ok()
}
