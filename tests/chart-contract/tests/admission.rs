//! What an API server says to the chart: admitted where `restricted` is enforced, from somebody who has nothing but the
//! built-in role `admin` of one namespace; upgraded to another version with other values, rolled back, taken away again.
//! No node runs here: that Pods become ready is shown on real nodes.
#![allow(clippy::expect_used, clippy::panic, reason = "test code: a broken expectation is a failed test")]

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use chart_contract::{Copies, Rendered, containers, strings};
use end_to_end::{ControlPlane, component, eventually};

/// Bound to the role `admin` of the namespace and to nothing else.
const TENANT: &str = "tenant";
const SMALL: [&str; 8] =
    ["--etcd", "1", "--api-servers", "1", "--controller-managers", "1", "--schedulers", "1"];

/// A management cluster with one namespace, and commands that speak to it.
struct Management {
    plane: ControlPlane,
}

impl Management {
    async fn ready() -> Self {
        let plane = ControlPlane::ready(&SMALL).await;
        let management = Self { plane };
        management.kubectl("create namespace tenants");
        management.kubectl("label namespace tenants pod-security.kubernetes.io/enforce=restricted");
        management.kubectl("create rolebinding tenant --clusterrole=admin --user=tenant --namespace=tenants");
        // The controllers put it together from others, a moment after the API server is ready.
        eventually("the role `admin`", Duration::from_secs(60), async || {
            let rules = management.kubectl("get clusterrole admin --output=jsonpath={.rules}");
            if rules.contains("networkpolicies") { Ok(()) } else { Err(rules) }
        })
        .await;
        management
    }

    /// What kubectl says to the administrator.
    fn kubectl(&self, line: &str) -> String {
        self.run(Command::new(component("kubectl")).args(line.split(' ')))
    }

    /// What Helm says to the tenant.
    fn helm(&self, line: &str, chart: Option<&Path>, values: &[PathBuf]) -> String {
        let helm = std::env::var_os("PILOTHOUSE_HELM").expect("PILOTHOUSE_HELM says where helm is");
        let mut command = Command::new(helm);
        command.args(line.split(' ')).args(chart).args(["--namespace", "tenants", "--kube-as-user", TENANT]);
        for file in values {
            command.arg("--values").arg(file);
        }
        self.run(&mut command)
    }

    fn run(&self, command: &mut Command) -> String {
        let output = command.env("KUBECONFIG", self.plane.kubeconfig()).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command:?}: {said}");
        assert!(!said.contains("would violate PodSecurity"), "{command:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits for so many Pods of the release: what does not fit the namespace's rules is refused when Pods are made.
    async fn pods(&self, release: &str, count: usize) {
        let line = format!(
            "get pods --namespace=tenants --selector=app.kubernetes.io/instance={release} --output=name"
        );
        eventually("all Pods admitted", Duration::from_secs(60), async || {
            let found = self.kubectl(&line).lines().count();
            if found == count { Ok(()) } else { Err(format!("{found} of {count}")) }
        })
        .await;
    }
}

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/hosted-control-plane")
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/examples/etcd-and-api-server")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs helm, our binaries and upstream's: cargo xtask test --step chart"]
async fn an_admin_of_a_namespace_installs_upgrades_and_uninstalls() {
    let management = Management::ready().await;
    let high_availability = [chart().join("values-ha.yaml")];
    management.helm("install demo", Some(&chart()), &high_availability);
    management.pods("demo", 3 + 2 + 2 + 2 + 2 + 1).await;

    let copies = Copies::new().expect("a directory");
    let next = copies.with_version("charts/hosted-control-plane", "9.9.9").expect("a copy");
    let other_values = [chart().join("tests/scenarios/every-mutable-value.yaml")];
    management.helm("upgrade demo", Some(&next), &other_values);
    let next = "get statefulsets,deployments --namespace=tenants --selector=helm.sh/chart=hosted-control-plane-9.9.9 --output=name";
    assert!(management.kubectl(next).contains("demo-cluster-bootstrap"));
    management.helm("rollback demo 1", None, &[]);
    assert_eq!(management.kubectl(next), "");

    management.helm("uninstall demo --wait --timeout 60s", None, &[]);
    let kept = "get services,statefulsets,deployments,secrets,serviceaccounts,roles,poddisruptionbudgets,networkpolicies,persistentvolumeclaims --namespace=tenants --selector=app.kubernetes.io/instance=demo --output=name";
    let claims = "persistentvolumeclaim/data-demo-etcd-";
    let kept: Vec<String> = management.kubectl(kept).lines().map(str::to_owned).collect();
    assert!(kept.len() >= 3 && kept.iter().all(|object| object.starts_with(claims)), "{kept:?}");

    // The other shapes are admitted too.
    management.helm("install small", Some(&chart()), &[chart().join("values-small.yaml")]);
    management.pods("small", 6).await;
    management.helm("install bare", Some(&chart()), &[chart().join("tests/scenarios/bare.yaml")]);
    management.pods("bare", 3 + 2 + 2 + 2 + 2 + 1).await;
    management.helm("install custom", Some(&example()), &[]);
    management.pods("custom", 4).await;
}

/// What the Pod of `helm test` runs, run here: against a control plane with everything it asks for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs helm, our binaries and upstream's: cargo xtask test --step chart"]
async fn every_step_of_helm_test_works() {
    let plane = ControlPlane::ready(&SMALL).await;
    let rendered = Rendered::of("charts/hosted-control-plane", &[], &[]).expect("it renders");
    let directory = tempfile::tempdir().expect("a directory");
    let objects = directory.path().join("objects.json");
    let written = rendered.object("ConfigMap", "demo-test").expect("the test's objects");
    let text = written["data"]["objects.json"].as_str().expect("a file");
    let mut file = File::create(&objects).expect("it can be made");
    file.write_all(text.as_bytes()).expect("it can be written");
    let pod = rendered.object("Pod", "demo-test").expect("the test");
    assert!(containers(pod).count() > 5);
    for container in containers(pod) {
        let mut command = Command::new(component("kubectl"));
        command.arg("--kubeconfig").arg(plane.kubeconfig());
        for argument in strings(&container["args"]) {
            match argument.split_once('=') {
                Some(("--kubeconfig" | "--server", _)) => {}
                Some(("--filename", _)) => drop(command.arg("--filename").arg(&objects)),
                _ => drop(command.arg(argument)),
            }
        }
        let output = command.output().expect("kubectl starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", container["name"]);
    }
}
