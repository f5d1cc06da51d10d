//! The chart says what the binaries understand: names, ports, paths, users, flags and rights.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use chart_contract::{Flags, Rendered, container, strings, understood};
use naming_contract::objects::{
    CLUSTER_RECORD_KEY, KUBECONFIG_KEY, LONGEST_RELEASE_NAME, VERSION_RECORD_KEY,
};
use naming_contract::{Component, ReleaseObjects, labels, ports};
use serde_json::Value;

const CHART: &str = "charts/hosted-control-plane";
const EXAMPLE: &str = "charts/examples/etcd-and-api-server";
/// Every component and every optional object.
const EVERYTHING: &str = "tests/scenarios/everything.yaml";
const NAMED: &str = r#"nameOverride="demo""#;

fn everything() -> Result<Rendered> {
    Rendered::of(CHART, &[EVERYTHING], &[NAMED])
}

fn demo() -> ReleaseObjects {
    ReleaseObjects::of("demo")
}

#[test]
#[ignore = "needs helm and our binaries: cargo xtask test --step chart"]
fn every_argument_is_a_flag_of_the_binary_that_gets_it() -> Result<()> {
    let (all, plain, example) =
        (everything()?, Rendered::of(CHART, &[], &[])?, Rendered::of(EXAMPLE, &[], &[])?);
    for component in Component::ALL {
        let flags = Flags::of(component.supervisor(), "run")?;
        for rendered in [&all, &plain, &example] {
            let Ok(pod) = rendered.pod(&demo().component(component)) else { continue };
            let arguments = strings(&container(pod, component.name())?["args"]);
            assert_eq!(arguments.first(), Some(&"run"), "{component}");
            assert_eq!(flags.unknown(&arguments), [""; 0], "{}", flags.binary());
            let (code, said) = understood(component.supervisor(), &arguments)?;
            assert_eq!(code, Some(78), "{component}: {said}");
            assert!(said.contains("no management API server is known outside a Pod"), "{component}: {said}");
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs helm: cargo xtask test --step chart"]
fn each_component_runs_its_own_binary_as_its_own_user() -> Result<()> {
    let rendered = everything()?;
    let mut users = Vec::new();
    for component in Component::ALL {
        let pod = rendered.pod(&demo().component(component))?;
        let main = container(pod, component.name())?;
        let command = strings(&main["command"]);
        if component.has_child() {
            assert_eq!(command, [format!("/pilothouse/{}", component.supervisor())], "{component}");
            let install = container(pod, "install")?;
            assert_eq!(strings(&install["command"]), [format!("/{}", component.supervisor())]);
            assert_eq!(strings(&install["args"]), ["install", "/pilothouse"]);
            let image = install["image"].as_str().unwrap_or_default();
            assert!(image.ends_with(&format!("/{}:0.1.0", component.supervisor())), "{image}");
        } else {
            assert_eq!(command, [format!("/{}", component.supervisor())], "{component}");
        }
        users.push((component, pod["spec"]["securityContext"]["runAsUser"].as_u64()));
    }
    assert_eq!(
        users,
        [
            (Component::CertificateAuthority, Some(10001)),
            (Component::Etcd, Some(10002)),
            (Component::KubeApiserver, Some(10003)),
            (Component::KubeControllerManager, Some(10004)),
            (Component::KubeScheduler, Some(10005)),
            (Component::CloudControllerManager, Some(10006)),
            (Component::ClusterBootstrap, Some(10007)),
        ]
    );
    Ok(())
}

#[test]
#[ignore = "needs helm: cargo xtask test --step chart"]
fn ports_are_those_of_the_contract() -> Result<()> {
    let rendered = everything()?;
    let serving: [(Component, &[(&str, u16)]); 7] = [
        (Component::CertificateAuthority, &[("https", ports::CERTIFICATE_AUTHORITY)]),
        (
            Component::Etcd,
            &[
                ("client", ports::ETCD_CLIENT),
                ("peer", ports::ETCD_PEER),
                ("http", ports::ETCD_HTTP),
                ("metrics", 2382),
            ],
        ),
        (Component::KubeApiserver, &[("https", ports::KUBE_APISERVER)]),
        (Component::KubeControllerManager, &[("https", ports::KUBE_CONTROLLER_MANAGER)]),
        (Component::KubeScheduler, &[("https", ports::KUBE_SCHEDULER)]),
        (Component::CloudControllerManager, &[("https", ports::CLOUD_CONTROLLER_MANAGER)]),
        (Component::ClusterBootstrap, &[]),
    ];
    for (component, expected) in serving {
        let main = container(rendered.pod(&demo().component(component))?, component.name())?;
        let found: Vec<_> = main["ports"].as_array().into_iter().flatten().filter_map(port).collect();
        let mut expected = expected.to_vec();
        expected.push(("health", ports::HEALTH));
        expected.sort_unstable();
        assert_eq!(sorted(found), expected, "{component}");
        for probe in ["livenessProbe", "readinessProbe"] {
            assert_eq!(main[probe]["httpGet"]["port"], "health", "{component}");
        }
    }
    let services = [
        (demo().component(Component::Etcd), vec![ports::ETCD_CLIENT]),
        (demo().etcd_peers(), vec![ports::ETCD_PEER, ports::HEALTH]),
        (demo().component(Component::KubeApiserver), vec![ports::KUBE_APISERVER]),
        (demo().apiserver_replicas(), vec![ports::KUBE_APISERVER, ports::HEALTH]),
        (demo().apiserver_addresses(), vec![ports::KUBE_APISERVER]),
        (demo().component(Component::CertificateAuthority), vec![ports::CERTIFICATE_AUTHORITY]),
    ];
    for (name, expected) in &services {
        let service = rendered.object("Service", name)?;
        let found: Vec<_> = service["spec"]["ports"].as_array().into_iter().flatten().collect();
        assert_eq!(
            found.iter().filter_map(|port| port["port"].as_u64()).collect::<Vec<_>>(),
            expected.iter().copied().map(u64::from).collect::<Vec<_>>(),
            "{name}"
        );
    }
    assert_eq!(rendered.kind("Service").count(), services.len());
    Ok(())
}

fn port(port: &Value) -> Option<(&str, u16)> {
    Some((port["name"].as_str()?, u16::try_from(port["containerPort"].as_u64()?).ok()?))
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort_unstable();
    list
}

#[test]
#[ignore = "needs helm: cargo xtask test --step chart"]
fn names_are_those_of_the_contract() -> Result<()> {
    let rendered = everything()?;
    let demo = demo();
    for component in Component::ALL {
        let name = demo.component(component);
        let kind = if component == Component::Etcd { "StatefulSet" } else { "Deployment" };
        for kind in [kind, "ServiceAccount", "Role", "RoleBinding", "PodDisruptionBudget", "NetworkPolicy"] {
            rendered.object(kind, &name)?;
        }
        assert_eq!(rendered.pod(&name)?["spec"]["serviceAccountName"], name.as_str());
    }
    rendered.object("ConfigMap", &demo.anchor())?;
    let peers = demo.etcd_peers();
    assert_eq!(
        rendered.object("StatefulSet", &demo.component(Component::Etcd))?["spec"]["serviceName"],
        peers.as_str()
    );
    assert_eq!((CLUSTER_RECORD_KEY, VERSION_RECORD_KEY), ("record.json", "kubernetes"));
    let test = rendered.object("Pod", "demo-test")?;
    let volumes = test["spec"]["volumes"].to_string();
    assert!(volumes.contains(&demo.kubeconfig()), "{volumes}");
    assert!(
        test["spec"]["containers"]
            .to_string()
            .contains(&format!("--kubeconfig=/kubeconfig/{KUBECONFIG_KEY}"))
    );
    Ok(())
}

#[test]
#[ignore = "needs helm: cargo xtask test --step chart"]
fn addresses_and_objects_in_arguments_are_those_of_the_contract() -> Result<()> {
    let rendered = everything()?;
    let demo = demo();
    let host = |name: String| format!("{name}.tenants.svc");
    let authority = host(demo.component(Component::CertificateAuthority));
    for component in
        Component::ALL.into_iter().filter(|component| *component != Component::CertificateAuthority)
    {
        let pod = rendered.pod(&demo.component(component))?;
        let arguments = strings(&container(pod, component.name())?["args"]);
        let has =
            |argument: String| assert!(arguments.contains(&argument.as_str()), "{component}: no {argument}");
        has(format!("--authority-url=https://{authority}:{}", ports::CERTIFICATE_AUTHORITY));
        has(format!("--trust-config-map={}", demo.trust()));
        has("--caller-token-file=/var/run/secrets/pilothouse/caller-token".to_owned());
        if component.has_child() {
            has(format!("--restart-lease={}", demo.restart_lease(component)));
        }
        match component {
            Component::Etcd => {
                has(format!("--cluster-record-config-map={}", demo.cluster_record()));
                has(format!("--stateful-set={}", demo.component(component)));
                has(format!("--peer-domain={}", host(demo.etcd_peers())));
            }
            Component::KubeApiserver => {
                has(format!(
                    "--etcd-endpoint=https://{}:{}",
                    host(demo.component(Component::Etcd)),
                    ports::ETCD_CLIENT
                ));
                has(format!("--etcd-members={}:{}", host(demo.etcd_peers()), ports::ETCD_CLIENT));
                has(format!("--version-record-config-map={}", demo.version_record()));
                let replicas = host(demo.apiserver_replicas());
                has(format!("--api-server-replicas={replicas}:{}", ports::KUBE_APISERVER));
                let all = host(demo.apiserver_addresses());
                has(format!("--api-server-supervisors={all}:{}", ports::HEALTH));
            }
            _ => {
                has(format!(
                    "--api-server=https://{}:{}",
                    host(demo.component(Component::KubeApiserver)),
                    ports::KUBE_APISERVER
                ));
                if component != Component::ClusterBootstrap {
                    let replicas = host(demo.apiserver_addresses());
                    has(format!("--api-server-replicas={replicas}:{}", ports::KUBE_APISERVER));
                }
            }
        }
        let volumes = pod["spec"]["volumes"].to_string();
        assert!(volumes.contains(&format!("\"audience\":\"{}\"", demo.audience("tenants"))), "{volumes}");
    }
    Ok(())
}

/// A right: API group, resource, names, verbs.
type Right = (String, String, Vec<String>, Vec<String>);

fn rights(rendered: &Rendered, component: Component) -> Result<Vec<Right>> {
    let role = rendered.object("Role", &demo().component(component))?;
    let rules = role["rules"].as_array().context("a Role without rules")?;
    let list =
        |rule: &Value, key: &str| strings(&rule[key]).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let right = |rule: &Value| {
        let (groups, resources) = (list(rule, "apiGroups"), list(rule, "resources"));
        assert_eq!((groups.len(), resources.len()), (1, 1), "{rule}");
        (
            groups.concat(),
            resources.concat(),
            sorted(list(rule, "resourceNames")),
            sorted(list(rule, "verbs")),
        )
    };
    Ok(sorted(rules.iter().map(right).collect()))
}

#[test]
#[ignore = "needs helm: cargo xtask test --step chart"]
fn rights_are_those_of_the_contract_and_no_more() -> Result<()> {
    let rendered = everything()?;
    let demo = demo();
    let right = |group: &str, resource: &str, names: &[String], verbs: &str| -> Right {
        let verbs = verbs.split(' ').map(str::to_owned).collect();
        (group.to_owned(), resource.to_owned(), sorted(names.to_vec()), sorted(verbs))
    };
    let trust = || right("", "configmaps", &[demo.trust()], "get watch");
    for component in Component::ALL {
        let mut expected = match component {
            Component::CertificateAuthority => {
                let secrets =
                    ["cluster", "etcd", "etcd-peer", "front-proxy"].map(|name| demo.authority_secret(name));
                let keys = ["service-account", "encryption"].map(|name| demo.shared_key_secret(name));
                let secrets = [secrets.as_slice(), &keys, &[demo.kubeconfig()]].concat();
                let accounts = Component::ALL.map(|component| demo.component(component));
                vec![
                    right("", "secrets", &secrets, "get create patch update watch"),
                    right("", "configmaps", &[demo.trust(), demo.anchor()], "get create patch update"),
                    right("", "configmaps", &[demo.cluster_record(), demo.version_record()], "get update"),
                    right("", "pods", &[], "get list"),
                    right("", "serviceaccounts", &accounts, "get"),
                    right("", "services", &[demo.component(Component::KubeApiserver)], "get watch"),
                ]
            }
            Component::ClusterBootstrap => {
                vec![trust(), right("", "services", &[demo.component(Component::KubeApiserver)], "get watch")]
            }
            _ => vec![
                trust(),
                right(
                    "coordination.k8s.io",
                    "leases",
                    &[demo.restart_lease(component)],
                    "get create update patch",
                ),
                right("", "events", &[], "create"),
            ],
        };
        if component == Component::KubeApiserver {
            expected.push(right("", "configmaps", &[demo.version_record()], "get create patch update"));
        }
        if component == Component::Etcd {
            let members: Vec<String> = (0..5).map(|ordinal| demo.etcd_member(ordinal)).collect();
            expected.push(right("apps", "statefulsets", &[demo.component(component)], "get"));
            expected.push(right("", "pods", &members, "get"));
            expected.push(right("", "pods/eviction", &members, "create"));
            expected.push(right("", "configmaps", &[demo.cluster_record()], "get create patch update watch"));
        }
        assert_eq!(rights(&rendered, component)?, sorted(expected), "{component}");
    }
    assert_eq!(rendered.kind("Role").count(), Component::ALL.len());
    assert_eq!(rendered.kind("ClusterRole").count() + rendered.kind("ClusterRoleBinding").count(), 0);
    Ok(())
}

/// Rotation and the records among them.
#[test]
#[ignore = "needs helm: cargo xtask test --step chart"]
fn the_example_gives_its_certificate_authority_the_same_rights() -> Result<()> {
    let without_names = |rendered: &Rendered| -> Result<Vec<_>> {
        let rights = rights(rendered, Component::CertificateAuthority)?;
        Ok(rights.into_iter().map(|(group, resource, _, verbs)| (group, resource, verbs)).collect())
    };
    let ours = without_names(&Rendered::of(CHART, &[], &[])?)?;
    assert_eq!(sorted(without_names(&Rendered::of(EXAMPLE, &[], &[])?)?), sorted(ours));
    Ok(())
}

/// All but who manages them, which version they are of and which chart made them.
#[test]
#[ignore = "needs helm: cargo xtask test --step chart"]
fn what_is_made_at_run_time_has_the_labels_of_the_charts_own_objects() -> Result<()> {
    let rendered = everything()?;
    let demo = demo();
    for component in Component::ALL {
        let role = rendered.object("Role", &demo.component(component))?;
        let labels = role["metadata"]["labels"].as_object().context("a Role without labels")?;
        let mut own = BTreeMap::new();
        for (name, value) in labels {
            let differs = ["app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/chart"];
            if !differs.contains(&name.as_str()) {
                own.insert(name.clone(), value.as_str().context("a label that is no text")?.to_owned());
            }
        }
        let mut ours = labels::recommended(Some(&demo), component);
        assert_eq!(ours.remove("app.kubernetes.io/managed-by").as_deref(), Some("pilothouse"));
        assert_eq!(ours, own, "{component}");
    }
    Ok(())
}

#[test]
#[ignore = "needs helm: cargo xtask test --step chart"]
fn names_end_where_the_contract_says() -> Result<()> {
    let named = |length: usize| format!("nameOverride=\"{}\"", "r".repeat(length));
    Rendered::of(CHART, &[], &[&named(LONGEST_RELEASE_NAME)])?;
    let error = format!("{:#}", Rendered::of(CHART, &[], &[&named(LONGEST_RELEASE_NAME + 1)]).unwrap_err());
    assert!(error.contains("at most 30"), "{error}");
    Ok(())
}
