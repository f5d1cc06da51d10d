//! The chart by other hands than `helm install`'s: rendered and applied, and as a dependency of another chart.

use std::path::PathBuf;
use std::time::Duration;

use end_to_end::component;
use hosted_control_plane::{Helm, Release, Tenant, chart};
use management_cluster::kubectl;

const LIMIT: Duration = Duration::from_secs(60);

/// Renders a release as it would be installed; `values` are further arguments of helm.
async fn rendered(tenant: &Tenant, helm: &Helm, name: &str, values: &[&str]) -> String {
    let (chart, small) = (chart().display().to_string(), Release::values_file("values-small.yaml"));
    let mut line =
        vec!["template", name, &chart, "--namespace", tenant.namespace(), "--no-hooks", small.as_str()];
    line.extend(values);
    let (one, other) = (helm.succeeds(&line, LIMIT).await.output, helm.succeeds(&line, LIMIT).await.output);
    assert_eq!(one, other, "rendering twice gives the same");
    one
}

/// What the API says when the tenant applies it.
async fn apply(tenant: &Tenant, manifests: &str, how: &[&str]) -> Result<usize, String> {
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), manifests).unwrap();
    let components = component("kubectl").parent().unwrap().to_owned();
    let file = format!("--filename={}", file.path().display());
    let mut line = vec!["apply", "--server-side", file.as_str()];
    line.extend(how);
    let ran = kubectl(&components, tenant.kubeconfig(), line).await.map_err(|error| error.to_string())?;
    assert!(ran.complaints.is_empty(), "warnings: {}", ran.complaints);
    Ok(ran.output.lines().count())
}

fn objects(manifests: &str) -> usize {
    manifests.lines().filter(|line| line.starts_with("kind: ")).count()
}

/// Installs the release as `GitOps` controllers do: rendered, tried without effect, applied.
pub(crate) async fn install(tenant: &Tenant, helm: &Helm, name: &str, values: &[&str]) {
    let manifests = rendered(tenant, helm, name, values).await;
    let why = apply(tenant, &manifests, &["--dry-run=server"]).await.unwrap_err();
    let errors: Vec<&str> = why.lines().filter(|line| line.contains("rror from")).collect();
    assert!(!errors.is_empty(), "{why}");
    for error in errors {
        let binding = error.contains("rolebindings.rbac.authorization.k8s.io") && error.contains("not found");
        assert!(binding, "before its Roles are there, only a RoleBinding may be refused: {why}");
    }
    assert_eq!(apply(tenant, &manifests, &[]).await.unwrap(), objects(&manifests));
}

/// What was applied once is applied again, tried without effect, without a conflict: who owns what did not change.
pub(crate) async fn is_settled(tenant: &Tenant, helm: &Helm, name: &str, values: &[&str]) {
    let manifests = rendered(tenant, helm, name, values).await;
    let applied = apply(tenant, &manifests, &["--dry-run=server"]).await.expect("a dry run is clean");
    assert_eq!(applied, objects(&manifests));
    println!("a server-side dry run applies all {applied} objects of {name}");
}

/// Somebody else than helm may take over what helm installed. Without force that is refused: lists without keys, such as the
/// sources of a projected volume, are compared with what the API made of them.
pub(crate) async fn may_be_taken_over(tenant: &Tenant, helm: &Helm, name: &str, values: &[&str]) {
    let manifests = rendered(tenant, helm, name, values).await;
    let how = ["--dry-run=server", "--force-conflicts"];
    assert_eq!(apply(tenant, &manifests, &how).await.unwrap(), objects(&manifests));
}

/// Somebody's chart that has ours as a dependency with a condition, sets a global, and holds values-small.yaml for it.
pub(crate) async fn parent_chart(helm: &Helm) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let ours: PathBuf = chart().canonicalize().unwrap();
    let description = std::fs::read_to_string(ours.join("Chart.yaml")).unwrap();
    let version = description.lines().find_map(|line| line.strip_prefix("version: ")).unwrap();
    let parent = format!(
        "apiVersion: v2\nname: platform\nversion: 1.0.0\ndependencies:\n  - name: hosted-control-plane\n    version: \
         {version}\n    repository: file://{}\n    condition: hosted-control-plane.enabled\n",
        ours.display()
    );
    let mut values = "global:\n  region: here\nhosted-control-plane:\n  enabled: true\n".to_owned();
    for line in std::fs::read_to_string(ours.join("values-small.yaml")).unwrap().lines() {
        values.extend(["  ", line, "\n"]);
    }
    std::fs::write(directory.path().join("Chart.yaml"), parent).unwrap();
    std::fs::write(directory.path().join("values.yaml"), values).unwrap();
    let path = directory.path().display().to_string();
    helm.succeeds(&["dependency", "build", &path], LIMIT).await;
    let without = ["template", "demo", &path, "--set=hosted-control-plane.enabled=false"];
    assert_eq!(helm.succeeds(&without, LIMIT).await.output.trim(), "", "the condition leaves all of it out");
    directory
}
