//! Makes the closed JSON Schema of a chart's values from their defaults and annotations. Pure.
//! It refuses values that nobody described and types that cannot be told.

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};

use super::annotated::{Annotated, Annotation};

/// The schema, as values.schema.json holds it.
pub(crate) fn schema(annotated: &Annotated) -> Result<Value> {
    let mut schema = object(annotated, "", &annotated.values)?;
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
        schema.insert("title".to_owned(), json!("Values of the chart hosted-control-plane"));
    }
    // The condition of a parent chart; Helm hands it down with all other values of this chart's name.
    schema["properties"]["enabled"] = json!({ "type": "boolean", "description": "Not looked at here: for the condition of a parent chart." });
    Ok(schema)
}

fn object(annotated: &Annotated, path: &str, values: &Value) -> Result<Value> {
    let mut properties = Map::new();
    for (key, value) in values.as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        properties.insert(key.clone(), property(annotated, &path, value)?);
    }
    Ok(json!({ "type": "object", "additionalProperties": false, "properties": properties }))
}

fn property(annotated: &Annotated, path: &str, value: &Value) -> Result<Value> {
    let annotation = annotated.annotation(path).cloned().unwrap_or_default();
    if let Some(like) = annotation.schema.get("like").and_then(Value::as_str) {
        if annotated.default(like).is_none() {
            bail!("{path}: @schema says `like: {like}`, but there is no such value");
        }
        return Ok(json!({ "$ref": format!("#/properties/{}", like.replace('.', "/properties/")) }));
    }
    let mut schema = match annotation.schema.get("open") {
        Some(open) => json!({ "type": "object", "additionalProperties": additional(path, open)? }),
        None if value.is_object() => object(annotated, path, value)?,
        None => typed(path, value, &annotation)?,
    };
    if annotation.description.is_empty() && !value.is_object() {
        bail!("{path} is not described: write a comment `# -- …` above it");
    }
    let Some(keywords) = schema.as_object_mut() else { return Ok(schema) };
    if !annotation.description.is_empty() {
        keywords.insert("description".to_owned(), annotation.description.into());
    }
    if !value.is_object() && !value.is_null() {
        keywords.insert("default".to_owned(), value.clone());
    }
    keywords.extend(annotation.schema.into_iter().filter(|(keyword, _)| keyword != "open"));
    Ok(schema)
}

fn additional(path: &str, open: &Value) -> Result<Value> {
    match open {
        Value::Bool(true) => Ok(json!(true)),
        Value::String(name) => Ok(json!({ "type": name })),
        _ => bail!("{path}: @schema says `open: {open}`; write true, or the type of the values"),
    }
}

fn typed(path: &str, value: &Value, annotation: &Annotation) -> Result<Value> {
    let name = match value {
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::Array(_) if annotation.schema.contains_key("items") => "array",
        _ if annotation.schema.contains_key("type") => return Ok(json!({})),
        _ => bail!(
            "the type of {path} cannot be told: write `# @schema {{type: …}}` or `{{items: …}}` above it"
        ),
    };
    Ok(json!({ "type": name }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Value> {
        schema(&Annotated::parse(text)?)
    }

    #[test]
    fn every_level_is_closed_but_what_is_open() {
        let schema = of("a:\n  # -- B.\n  b: 1\n# -- C.\n# @schema {open: string}\nc: {}\n").unwrap();
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["properties"]["a"]["additionalProperties"], false);
        assert_eq!(schema["properties"]["a"]["properties"]["b"]["type"], "integer");
        assert_eq!(schema["properties"]["c"]["additionalProperties"], json!({ "type": "string" }));
        assert_eq!(schema["properties"]["enabled"]["type"], "boolean");
    }

    #[test]
    fn likeness_is_a_reference_to_what_exists() {
        let schema = of("a:\n  # -- B.\n  b: x\n# -- C.\n# @schema {like: a.b}\nc: y\n").unwrap();
        assert_eq!(schema["properties"]["c"]["$ref"], "#/properties/a/properties/b");
        assert!(of("# -- C.\n# @schema {like: a.b}\nc: y\n").is_err());
    }

    #[test]
    fn what_is_not_described_or_not_typed_is_refused() {
        assert!(of("a: 1\n").unwrap_err().to_string().contains("not described"));
        assert!(of("# -- A.\na: []\n").unwrap_err().to_string().contains("cannot be told"));
        assert!(of("# -- A.\na:\n").unwrap_err().to_string().contains("cannot be told"));
    }
}
