//! A chart as Helm renders it, and finding things in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The objects of a release called `demo` in the namespace `tenants`.
#[derive(Debug)]
pub struct Rendered {
    objects: Vec<Value>,
}

impl Rendered {
    /// Renders the chart in a folder of the checkout with `PILOTHOUSE_HELM`, each of `settings` as a `--set-json`.
    pub fn of(chart: &str, values: &[&str], settings: &[&str]) -> Result<Self> {
        Self::at(&checkout().join(chart), values, settings)
    }

    pub(crate) fn at(chart: &Path, values: &[&str], settings: &[&str]) -> Result<Self> {
        let helm =
            std::env::var_os("PILOTHOUSE_HELM").context("PILOTHOUSE_HELM does not say where helm is")?;
        let mut command = Command::new(helm);
        command.args(["template", "demo"]).arg(chart);
        command.args(["--namespace", "tenants", "--kube-version", "1.37.2"]);
        for file in values {
            command.arg("--values").arg(chart.join(file));
        }
        for setting in settings {
            command.args(["--set-json", setting]);
        }
        let output = command.output().context("cannot start helm")?;
        if !output.status.success() {
            bail!("helm template failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Self::parse(std::str::from_utf8(&output.stdout)?)
    }

    fn parse(text: &str) -> Result<Self> {
        let objects: Vec<Value> = serde_saphyr::from_multiple(text).context("helm rendered no YAML")?;
        Ok(Self { objects: objects.into_iter().filter(|object| !object.is_null()).collect() })
    }

    /// Every object.
    pub fn objects(&self) -> impl Iterator<Item = &Value> {
        self.objects.iter()
    }

    /// The objects of a kind.
    pub fn kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// An object by kind and name.
    pub fn object(&self, kind: &str, name: &str) -> Result<&Value> {
        self.kind(kind)
            .find(|object| object["metadata"]["name"] == name)
            .with_context(|| format!("the chart has no {kind} {name}"))
    }

    /// Every Pod template, with the name of its workload; bare Pods as well.
    pub fn pods(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.objects.iter().filter_map(|object| {
            let name = object["metadata"]["name"].as_str()?;
            match object["kind"].as_str()? {
                "Deployment" | "StatefulSet" => Some((name, &object["spec"]["template"])),
                "Pod" => Some((name, object)),
                _ => None,
            }
        })
    }

    /// The Pod template of a workload.
    pub fn pod(&self, name: &str) -> Result<&Value> {
        let workload = self.object("Deployment", name).or_else(|_| self.object("StatefulSet", name))?;
        Ok(&workload["spec"]["template"])
    }
}

/// A Pod template's container or init container.
pub fn container<'a>(pod: &'a Value, name: &str) -> Result<&'a Value> {
    containers(pod)
        .find(|container| container["name"] == name)
        .with_context(|| format!("no container {name}"))
}

/// All containers of a Pod template, init containers first.
pub fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let list = |key: &str| pod["spec"][key].as_array().into_iter().flatten();
    list("initContainers").chain(list("containers"))
}

/// A list of strings.
#[must_use]
pub fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A YAML or JSON file of a chart.
pub fn in_chart(chart: &str, file: &str) -> Result<Value> {
    let path = checkout().join(chart).join(file);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("{} is no YAML", path.display()))
}

pub(crate) fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_documents_are_read_and_empty_ones_left_out() {
        let read =
            Rendered::parse("---\n# nothing\n---\nkind: A\nmetadata: {name: one}\n---\nkind: B\n").unwrap();
        assert_eq!(read.objects().count(), 2);
        assert!(read.object("A", "one").is_ok());
        assert!(read.object("A", "two").is_err());
    }
}
