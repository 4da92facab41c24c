//! JSON Schemas (draft 2020-12) of what is printed as JSON; they follow from the types.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Where the schemas of this version are published.
const PUBLISHED: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/json/");

/// The words for an engine.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum EngineName {
    Sqlite,
    Postgres,
}

/// What makes the schema of one document.
pub(crate) type Make = fn(&mut SchemaGenerator) -> Schema;

/// The schema of a type.
pub(crate) fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.root_schema_for::<T>()
}

/// The schema of what is one of several.
pub(crate) fn any_of(generator: &SchemaGenerator, schemas: &[Schema]) -> Schema {
    let mut schema = schemars::json_schema!({ "anyOf": schemas });
    schema.insert(
        "$defs".to_owned(),
        Value::Object(generator.definitions().clone()),
    );
    schema
}

/// A schema as it is published under this name.
pub(crate) fn published(name: &str, make: Make) -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator();
    let mut schema = make(&mut generator);
    let mut head = Map::new();
    head.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    head.insert(
        "$id".to_owned(),
        json!(format!("{PUBLISHED}{name}.schema.json")),
    );
    head.insert("title".to_owned(), json!(name));
    let schema = schema.ensure_object();
    schema.append(&mut head);
    if let Some(parts) = schema.get_mut("$defs") {
        each(parts, &mut |part| close(part, true));
    }
    let mut schema = Value::Object(std::mem::take(schema));
    close(&mut schema, true);
    schema
}

/// Forbids members that the types do not have. What is combined with others is closed as a whole.
fn close(schema: &mut Value, is_whole: bool) {
    let Value::Object(parts) = schema else {
        return;
    };
    let is_object = parts.contains_key("properties");
    let is_combined = ["oneOf", "anyOf", "allOf", "$ref"]
        .iter()
        .any(|key| parts.contains_key(*key));
    let is_closed = ["additionalProperties", "unevaluatedProperties"]
        .iter()
        .any(|key| parts.contains_key(*key));
    if is_object && is_whole && !is_closed {
        let key = if is_combined {
            "unevaluatedProperties"
        } else {
            "additionalProperties"
        };
        parts.insert(key.to_owned(), Value::Bool(false));
    }
    for (key, part) in parts.iter_mut() {
        match key.as_str() {
            "properties" => each(part, &mut |part| close(part, true)),
            "oneOf" | "anyOf" | "allOf" => {
                each(part, &mut |part| close(part, is_whole && !is_object));
            }
            "items" | "additionalProperties" => close(part, true),
            _ => {}
        }
    }
}

/// Does it to each member of an object, and to each item of an array.
fn each(value: &mut Value, then: &mut impl FnMut(&mut Value)) {
    match value {
        Value::Object(members) => members.values_mut().for_each(then),
        Value::Array(items) => items.iter_mut().for_each(then),
        _ => {}
    }
}
