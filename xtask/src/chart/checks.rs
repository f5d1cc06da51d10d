//! Everything about the charts that can be checked without a cluster: what is generated is fresh, Helm 3 and 4 have nothing
//! to say and render the same twice, the unit tests pass, and every object fits the schemas of every supported Kubernetes.
//! It refuses to judge what is in the objects: that is tests/chart-contract.

use std::fs::{self, File};
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{annotated, folder, generated, openapi, read, unused};
use crate::components::{self, Release};
use crate::stopwatch::Stopwatch;
use crate::{checkout, program};

/// Kubernetes versions of management clusters, each with schemas of its own.
const MANAGEMENT_CLUSTERS: [&str; 3] = ["1.35", "1.36", "1.37"];

/// Checks both charts, the one that is installed and the example of somebody's own; gives the tools that it did it with.
pub(crate) fn check() -> Result<Tools> {
    for generated in generated()? {
        generated.check()?;
    }
    let unused = unused::unused(&annotated()?, &templates(&folder().join("templates"))?);
    ensure!(unused.is_empty(), "no template looks at these values: {}", unused.join(", "));
    let tools = Tools::ensure()?;
    let work = checkout::root().join("target/chart");
    let schemas = work.join("schemas");
    for minor in MANAGEMENT_CLUSTERS {
        write_schemas(&Release::pinned(minor)?, &schemas.join(minor))?;
    }
    program::run(program::program(&tools.unittest).arg(folder()))?;
    for scenario in scenarios()? {
        let rendered = render(&tools, &scenario)?;
        let file = work.join(format!("{}.yaml", scenario.name));
        write(&file, rendered.as_bytes())?;
        for minor in MANAGEMENT_CLUSTERS {
            let location = schemas.join(minor).join("{{.ResourceKind}}{{.KindSuffix}}.json");
            let mut kubeconform = program::program(&tools.kubeconform);
            // A PodMonitor's schema is its operator's, not Kubernetes'.
            kubeconform.args(["-strict", "-skip", "PodMonitor", "-schema-location"]).arg(location).arg(&file);
            program::run(&mut kubeconform)
                .with_context(|| format!("{} on Kubernetes {minor}", scenario.name))?;
        }
    }
    Ok(tools)
}

/// The text of all templates below a folder.
fn templates(directory: &Path) -> Result<String> {
    let mut text = String::new();
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let path = entry?.path();
        text += &if path.is_dir() { templates(&path)? } else { read(&path)? };
    }
    Ok(text)
}

/// A chart with values.
struct Scenario {
    name: String,
    chart: PathBuf,
    values: Option<PathBuf>,
}

/// The chart with its defaults, with the values files that it ships and with those of its tests; the example.
fn scenarios() -> Result<Vec<Scenario>> {
    let chart = folder();
    let mut scenarios = vec![
        Scenario { name: "defaults".to_owned(), chart: chart.clone(), values: None },
        Scenario { name: "custom".to_owned(), chart: checkout::root().join(EXAMPLE), values: None },
    ];
    for directory in [chart.clone(), chart.join("tests/scenarios")] {
        let entries =
            fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
        for entry in entries {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let is_scenario = name != "values.yaml"
                && path.extension().is_some_and(|extension| extension == "yaml")
                && (name.starts_with("values-") || directory != chart);
            if is_scenario {
                let name = name.trim_end_matches(".yaml").to_owned();
                scenarios.push(Scenario { name, chart: chart.clone(), values: Some(path) });
            }
        }
    }
    scenarios.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(scenarios)
}

/// Somebody's own chart, the example of docs/custom-charts.md.
const EXAMPLE: &str = "charts/examples/etcd-and-api-server";

/// What both Helms make of it: each the same twice, and both the same but for empty lines between objects.
fn render(tools: &Tools, scenario: &Scenario) -> Result<String> {
    let stopwatch = Stopwatch::start();
    let mut rendered = Vec::new();
    for helm in &tools.helms {
        program::output(of(scenario, program::program(helm).args(["lint", "--strict"])))?;
        let template = || program::output(of(scenario, program::program(helm).args(["template", "demo"])));
        let output = template()?;
        ensure!(output == template()?, "{}: rendered twice by {}, it differs", scenario.name, helm.display());
        rendered.push(output);
    }
    let lines =
        |text: &str| text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let mut each = rendered.iter().map(|text| lines(text));
    let first = each.next().unwrap_or_default();
    ensure!(each.all(|other| other == first), "{}: Helm 3 and 4 render it differently", scenario.name);
    eprintln!("{}: {} lines, the same from Helm 3 and 4, in {stopwatch}", scenario.name, first.len());
    Ok(rendered.pop().unwrap_or_default())
}

fn of<'a>(scenario: &Scenario, command: &'a mut Command) -> &'a mut Command {
    command.arg(&scenario.chart).args(["--namespace", "tenants", "--kube-version", "1.37.2"]);
    if let Some(values) = &scenario.values {
        command.arg("--values").arg(values);
    }
    command
}

/// One file for each kind, from the OpenAPI document in the Go module of that version.
fn write_schemas(release: &Release, directory: &Path) -> Result<()> {
    let done = directory.join(format!(".{}", release.kubernetes_version));
    if done.exists() {
        return Ok(());
    }
    let module = components::module_directory(&release.kubernetes.folder, "k8s.io/kubernetes")?;
    let document = module.join("api/openapi-spec/swagger.json");
    let file = File::open(&document).with_context(|| format!("cannot read {}", document.display()))?;
    let document = serde_json::from_reader(BufReader::new(file))?;
    for (name, schema) in openapi::schemas(&document)? {
        write(&directory.join(name), serde_json::to_string(&schema)?.as_bytes())?;
    }
    write(&done, b"")
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    let directory = path.parent().with_context(|| format!("{} has no directory", path.display()))?;
    fs::create_dir_all(directory)
        .and_then(|()| File::create(path)?.write_all(content))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The programs that charts are checked with.
pub(crate) struct Tools {
    helms: [PathBuf; 2],
    unittest: PathBuf,
    kubeconform: PathBuf,
}

impl Tools {
    /// The Helm that people use now.
    pub(crate) fn helm(&self) -> &Path {
        &self.helms[1]
    }

    fn ensure() -> Result<Self> {
        let directory = components::ensure_tools(components::Tools::Chart)?;
        Ok(Self {
            helms: ["helm-3", "helm-4"].map(|name| directory.join(name)),
            unittest: directory.join("helm-unittest"),
            kubeconform: directory.join("kubeconform"),
        })
    }
}
