//! Turns Kubernetes' own OpenAPI document, which its Go module carries, into one closed JSON Schema for each kind. Pure.
//! It refuses the network: what is checked against is the very version that the checkout pins.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// Where definitions are referred to in the document and in the schemas alike.
const DEFINITIONS: &str = "#/definitions/";

/// Schemas of the document's kinds, by the file names that kubeconform asks for.
pub(crate) fn schemas(document: &Value) -> Result<BTreeMap<String, Value>> {
    let definitions =
        document["definitions"].as_object().context("the OpenAPI document has no definitions")?;
    let mut schemas = BTreeMap::new();
    for (name, definition) in definitions {
        for kind in definition["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
            let part = |key: &str| kind[key].as_str().unwrap_or_default().to_lowercase();
            let group = part("group");
            let group = group.split('.').next().filter(|group| !group.is_empty());
            let file = match group {
                Some(group) => format!("{}-{group}-{}.json", part("kind"), part("version")),
                None => format!("{}-{}.json", part("kind"), part("version")),
            };
            schemas.insert(file, standalone(name, definitions));
        }
    }
    Ok(schemas)
}

/// One definition with all that it refers to.
fn standalone(name: &str, definitions: &Map<String, Value>) -> Value {
    let mut reached = BTreeMap::new();
    let mut ahead = vec![name.to_owned()];
    while let Some(name) = ahead.pop() {
        let Some(definition) = definitions.get(&name).filter(|_| !reached.contains_key(&name)) else {
            continue;
        };
        let closed = closed(&name, definition);
        references(&closed, &mut ahead);
        reached.insert(name, closed);
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$ref": format!("{DEFINITIONS}{name}"),
        "definitions": reached,
    })
}

/// The definition without unknown fields, and with what OpenAPI cannot say.
fn closed(name: &str, definition: &Value) -> Value {
    if name.ends_with(".util.intstr.IntOrString") || name.ends_with(".api.resource.Quantity") {
        return json!({ "type": ["string", "integer", "number"] });
    }
    let mut definition = definition.clone();
    if let Some(keywords) = definition.as_object_mut() {
        keywords.retain(|keyword, _| !keyword.starts_with("x-kubernetes") && keyword != "description");
        if keywords.contains_key("properties") {
            keywords.insert("additionalProperties".to_owned(), json!(false));
        }
    }
    definition
}

fn references(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(keywords) => {
            let target = keywords.get("$ref").and_then(Value::as_str);
            into.extend(target.and_then(|target| target.strip_prefix(DEFINITIONS)).map(str::to_owned));
            keywords.values().for_each(|value| references(value, into));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, into)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_comes_with_all_it_refers_to_and_nothing_unknown() {
        let document = json!({ "definitions": {
            "io.k8s.api.apps.v1.Deployment": {
                "type": "object",
                "properties": { "spec": { "$ref": "#/definitions/spec" } },
                "x-kubernetes-group-version-kind": [{ "group": "apps", "kind": "Deployment", "version": "v1" }],
            },
            "spec": { "type": "object", "properties": { "port": { "$ref": "#/definitions/a.util.intstr.IntOrString" } } },
            "a.util.intstr.IntOrString": { "type": "string" },
            "other": { "type": "object" },
        }});
        let schemas = schemas(&document).unwrap();
        let deployment = &schemas["deployment-apps-v1.json"];
        assert_eq!(deployment["$ref"], "#/definitions/io.k8s.api.apps.v1.Deployment");
        assert_eq!(deployment["definitions"]["spec"]["additionalProperties"], false);
        assert_eq!(deployment["definitions"]["a.util.intstr.IntOrString"]["type"][1], "integer");
        assert!(deployment["definitions"].get("other").is_none());
    }
}
