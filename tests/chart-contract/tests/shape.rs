//! What every object and every Pod of the chart has in common, whatever the values; what an upgrade must find unchanged.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use chart_contract::{Copies, Rendered, containers, strings};
use serde_json::{Value, json};

const CHART: &str = "charts/hosted-control-plane";
const EXAMPLE: &str = "charts/examples/etcd-and-api-server";
const EVERYTHING: &str = "tests/scenarios/everything.yaml";
const NAMED: &str = r#"nameOverride="demo""#;
const CLOUD: &str =
    r#"cloudControllerManager={"enabled":true,"image":{"repository":"c","tag":"1"},"command":"/c"}"#;

fn charts() -> Result<[(&'static str, Rendered); 4]> {
    Ok([
        ("defaults", Rendered::of(CHART, &[], &[])?),
        ("small", Rendered::of(CHART, &["values-small.yaml"], &[])?),
        ("everything", Rendered::of(CHART, &[EVERYTHING], &[NAMED])?),
        ("example", Rendered::of(EXAMPLE, &[], &[])?),
    ])
}

/// The `restricted` Pod Security Standard, and what the blueprint asks for beyond it.
#[test]
#[ignore = "needs helm: cargo xtask test --step chart"]
fn every_pod_is_restricted() -> Result<()> {
    for (scenario, rendered) in charts()? {
        for (name, pod) in rendered.pods() {
            let place = format!("{scenario}: {name}");
            let spec = &pod["spec"];
            assert_eq!(spec["securityContext"]["runAsNonRoot"], true, "{place}");
            assert!(spec["securityContext"]["runAsUser"].as_u64() >= Some(10_000), "{place}");
            assert_eq!(
                spec["securityContext"]["seccompProfile"],
                json!({ "type": "RuntimeDefault" }),
                "{place}"
            );
            assert_eq!(spec["automountServiceAccountToken"], false, "{place}");
            assert_eq!(spec["enableServiceLinks"], false, "{place}");
            for host in ["hostNetwork", "hostPID", "hostIPC"] {
                assert!(spec[host].is_null(), "{place}: {host}");
            }
            // A container of the user's is the user's.
            for container in containers(pod).filter(|container| container["name"] != "sidecar") {
                let context = &container["securityContext"];
                assert_eq!(context["allowPrivilegeEscalation"], false, "{place}: {}", container["name"]);
                assert_eq!(context["readOnlyRootFilesystem"], true, "{place}: {}", container["name"]);
                assert_eq!(
                    context["capabilities"],
                    json!({ "drop": ["ALL"] }),
                    "{place}: {}",
                    container["name"]
                );
                assert!(context["privileged"].is_null() && context["runAsUser"].is_null(), "{place}");
            }
            for volume in spec["volumes"].as_array().into_iter().flatten() {
                let limit = &volume["emptyDir"]["sizeLimit"];
                assert!(volume["emptyDir"].is_null() || limit.is_string(), "{place}: {volume} has no limit");
            }
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs helm: cargo xtask test --step chart"]
fn secrets_are_mounted_nowhere_but_where_the_user_says() -> Result<()> {
    for (scenario, rendered) in charts()? {
        for (name, pod) in rendered.pods().filter(|(name, _)| !name.ends_with("-test")) {
            for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
                assert!(
                    volume["secret"].is_null() || volume["name"] == "cloud",
                    "{scenario}: {name}: {volume}"
                );
            }
            for container in containers(pod) {
                assert!(!container["env"].to_string().contains("secretKeyRef"), "{scenario}: {name}");
            }
        }
    }
    Ok(())
}

/// kubelet asks our process, and gives it no time to begin with.
#[test]
#[ignore = "needs helm: cargo xtask test --step chart"]
fn probes_have_no_fixed_delays() -> Result<()> {
    for (scenario, rendered) in charts()? {
        for (name, pod) in rendered.pods().filter(|(name, _)| !name.ends_with("-test")) {
            let main = &pod["spec"]["containers"][0];
            assert!(main["startupProbe"].is_null(), "{scenario}: {name}");
            for probe in ["livenessProbe", "readinessProbe"] {
                assert!(main[probe]["initialDelaySeconds"].is_null(), "{scenario}: {name}");
                assert_eq!(main[probe]["httpGet"]["port"], "health", "{scenario}: {name}");
            }
            assert!(main["readinessProbe"]["periodSeconds"].as_u64() <= Some(2), "{scenario}: {name}");
            let grace = &main["livenessProbe"]["terminationGracePeriodSeconds"];
            assert_eq!(grace, 15, "{scenario}: {name}");
            let limit = &main["resources"]["limits"]["memory"];
            assert!(limit.is_string(), "{scenario}: {name} has no memory limit");
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs helm: cargo xtask test --step chart"]
fn every_object_has_the_recommended_labels() -> Result<()> {
    for (scenario, rendered) in charts()?.into_iter().filter(|(scenario, _)| *scenario != "example") {
        for object in rendered.objects() {
            let labels = &object["metadata"]["labels"];
            for label in ["name", "instance", "component", "version", "part-of", "managed-by"] {
                let value = &labels[format!("app.kubernetes.io/{label}")];
                assert!(
                    value.is_string(),
                    "{scenario}: {} {} has no {label}",
                    object["kind"],
                    object["metadata"]["name"]
                );
            }
            assert!(labels["helm.sh/chart"].is_string(), "{scenario}: {}", object["metadata"]["name"]);
            assert_eq!(
                object["metadata"]["namespace"], "tenants",
                "{scenario}: {}",
                object["metadata"]["name"]
            );
        }
    }
    Ok(())
}

/// The API server refuses a change of these.
fn immutable(rendered: &Rendered) -> Vec<(String, Value)> {
    let mut fields = Vec::new();
    for object in rendered.objects() {
        let name = format!("{} {}", object["kind"], object["metadata"]["name"]);
        match object["kind"].as_str() {
            Some("Deployment") => fields.push((name, object["spec"]["selector"].clone())),
            Some("StatefulSet") => {
                let mut spec = object["spec"].clone();
                let changeable = [
                    "replicas",
                    "template",
                    "updateStrategy",
                    "revisionHistoryLimit",
                    "persistentVolumeClaimRetentionPolicy",
                ];
                if let Some(spec) = spec.as_object_mut() {
                    spec.retain(|field, _| !changeable.contains(&field.as_str()));
                }
                fields.push((name, spec));
            }
            Some("RoleBinding") => fields.push((name, object["roleRef"].clone())),
            _ => {}
        }
    }
    fields.sort_by(|left, right| left.0.cmp(&right.0));
    fields
}

#[test]
#[ignore = "needs helm: cargo xtask test --step chart"]
fn another_version_with_every_other_value_is_an_upgrade() -> Result<()> {
    let before = Rendered::of(CHART, &[], &[CLOUD])?;
    let after =
        Copies::new()?.under_version(CHART, "9.9.9", &["tests/scenarios/every-mutable-value.yaml"], &[])?;
    assert_eq!(immutable(&before), immutable(&after));
    let pod = |rendered: &Rendered| Ok::<_, anyhow::Error>(rendered.pod("demo-kube-scheduler")?.to_string());
    assert_ne!(pod(&before)?, pod(&after)?, "the versions differ");
    Ok(())
}

#[test]
#[ignore = "needs helm: cargo xtask test --step chart"]
fn scaling_rolls_nobody() -> Result<()> {
    let three = Rendered::of(CHART, &[], &[])?;
    let more = [
        "etcd.replicas=5",
        "controllerManager.replicas=3",
        "scheduler.replicas=1",
        "certificateAuthority.replicas=1",
    ];
    let more = Rendered::of(CHART, &[], &more)?;
    for (name, pod) in three.pods() {
        let scaled = more.pods().find(|(other, _)| *other == name).context("the same workloads")?.1;
        assert_eq!(pod, scaled, "{name}");
    }
    Ok(())
}

#[test]
#[ignore = "needs helm: cargo xtask test --step chart"]
fn as_a_dependency_it_takes_a_condition_and_globals() -> Result<()> {
    let copies = Copies::new()?;
    let chart = "hosted-control-plane";
    let on = copies
        .in_parent(CHART, &[r#"global={"any":{"thing":1}}"#, &format!(r#"{chart}={{"enabled":true}}"#)])?;
    let alone = Rendered::of(CHART, &[], &[])?;
    assert_eq!(on.objects().count(), alone.objects().count());
    let off = copies.in_parent(CHART, &[&format!(r#"{chart}={{"enabled":false}}"#)])?;
    assert_eq!(off.objects().count(), 0);
    let unknown = copies.in_parent(CHART, &[&format!(r#"{chart}={{"bogus":1}}"#)]);
    assert!(format!("{:#}", unknown.unwrap_err()).contains("bogus"));
    Ok(())
}

/// Two replicas on one node are lost with it.
#[test]
#[ignore = "needs helm: cargo xtask test --step chart"]
fn high_availability_keeps_replicas_on_different_nodes() -> Result<()> {
    let rendered = Rendered::of(CHART, &["values-ha.yaml"], &[CLOUD])?;
    let workloads = rendered.kind("Deployment").chain(rendered.kind("StatefulSet"));
    let several: Vec<_> =
        workloads.filter(|workload| workload["spec"]["replicas"].as_u64() > Some(1)).collect();
    assert_eq!(several.len(), 6);
    for workload in several {
        let name = &workload["metadata"]["name"];
        let spread = &workload["spec"]["template"]["spec"]["topologySpreadConstraints"];
        let over_nodes = spread.as_array().into_iter().flatten().find(|constraint| {
            constraint["topologyKey"] == "kubernetes.io/hostname" && constraint["maxSkew"] == 1
        });
        let over_nodes = over_nodes.with_context(|| format!("{name} is not spread over nodes"))?;
        assert_eq!(over_nodes["whenUnsatisfiable"], "DoNotSchedule", "{name}");
        // A node that is drained or dead is no place left empty, and the surge of a rollout is counted by itself.
        assert_eq!(over_nodes["nodeTaintsPolicy"], "Honor", "{name}");
        let revision =
            if workload["kind"] == "StatefulSet" { json!(null) } else { json!(["pod-template-hash"]) };
        assert_eq!(over_nodes["matchLabelKeys"], revision, "{name}");
    }
    Ok(())
}

/// Hooks can deadlock `--wait`; looked-up and random values differ at every rendering.
#[test]
#[ignore = "needs helm: cargo xtask test --step chart"]
fn hooks_are_tests_alone() -> Result<()> {
    for (scenario, rendered) in charts()? {
        let hooks = rendered
            .objects()
            .filter_map(|object| object["metadata"]["annotations"]["helm.sh/hook"].as_str());
        assert!(hooks.into_iter().all(|hook| hook == "test"), "{scenario}");
    }
    Ok(())
}

#[test]
#[ignore = "needs helm: cargo xtask test --step chart"]
fn policies_and_budgets_select_the_pods_of_their_component() -> Result<()> {
    let rendered = Rendered::of(CHART, &[EVERYTHING], &[NAMED])?;
    let workloads: BTreeSet<_> =
        rendered.pods().map(|(name, _)| name).filter(|name| !name.ends_with("-test")).collect();
    for (kind, path) in [("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")] {
        let mut covered = BTreeSet::new();
        for object in rendered.kind(kind) {
            let name = object["metadata"]["name"].as_str().context("a name")?;
            let labels = &rendered.pod(name)?["metadata"]["labels"];
            let selector = object["spec"][path]["matchLabels"].as_object().context("a selector")?;
            assert!(selector.iter().all(|(label, value)| labels[label] == *value), "{kind} {name}");
            assert_eq!(selector.len(), 3, "{kind} {name}");
            covered.insert(name);
        }
        assert_eq!(covered, workloads, "{kind}");
    }
    for policy in rendered.kind("NetworkPolicy") {
        assert!(strings(&policy["spec"]["policyTypes"]).contains(&"Ingress"));
    }
    Ok(())
}
