//! What values may be and become: what may change is changed in one scenario, certificates' lives are those of the binaries'
//! table, and whatever the chart lets through, the binaries understand.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use certificates::Profile;
use chart_contract::{Rendered, container, in_chart, strings, understood};
use naming_contract::{Component, ReleaseObjects};
use serde_json::{Map, Value, json};

const CHART: &str = "charts/hosted-control-plane";
const EVERY_MUTABLE_VALUE: &str = "tests/scenarios/every-mutable-value.yaml";

/// What that scenario leaves as it is. All else is installed with it by `admission.rs`.
const LEFT_OUT: [(&str, &str); 12] = [
    ("global", "nothing in the chart looks at it"),
    ("nameOverride", "another name is another control plane"),
    ("network.serviceSubnets", "cannot be changed"),
    ("etcd.storage.size", "claims cannot be changed"),
    ("etcd.storage.className", "claims cannot be changed"),
    ("etcd.storage.emptyDir", "claims cannot be changed"),
    ("pods.runtimeClassName", "the test cluster has no runtime class"),
    ("networkPolicies.enabled", "without policies nothing below it is looked at: scenarios/bare.yaml"),
    ("podMonitor.enabled", "the test cluster has no PodMonitors"),
    ("podMonitor.labels", "the test cluster has no PodMonitors"),
    ("podMonitor.interval", "the test cluster has no PodMonitors"),
    ("podMonitor.clientCertificateSecret", "the test cluster has no PodMonitors"),
];

/// Paths and defaults, in which an empty map is a value: any keys may be set in it.
fn leaves(path: &str, value: &Value, into: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(&path, value, into);
            }
        }
        _ => into.push((path.to_owned(), value.clone())),
    }
}

#[test]
fn every_value_that_may_change_is_changed_in_one_scenario() -> Result<()> {
    let mut defaults = Vec::new();
    leaves("", &in_chart(CHART, "values.yaml")?, &mut defaults);
    let scenario = in_chart(CHART, EVERY_MUTABLE_VALUE)?;
    let is_changed = |path: &str, default: &Value| {
        let value = path.split('.').try_fold(&scenario, |value, key| value.get(key));
        value.is_some_and(|value| value != default)
    };
    let unchanged: BTreeSet<&str> = defaults
        .iter()
        .filter(|(path, default)| !is_changed(path, default))
        .map(|(path, _)| path.as_str())
        .collect();
    assert_eq!(unchanged, LEFT_OUT.map(|(path, _reason)| path).into());
    Ok(())
}

#[test]
fn lives_are_set_for_profiles_that_there_are() -> Result<()> {
    let schema = in_chart(CHART, "values.schema.json")?;
    let lifetimes = &schema["properties"]["certificateAuthority"]["properties"]["lifetimes"];
    assert_eq!(strings(&lifetimes["propertyNames"]["enum"]), Profile::ALL.map(Profile::name));
    Ok(())
}

/// Every profile's least life, less so many seconds.
fn with_lifetimes(less: u64) -> Result<Rendered> {
    let life = |profile: Profile| {
        let seconds = profile.row().minimum_lifetime.as_secs().saturating_sub(less);
        (profile.name().to_owned(), json!(format!("{seconds}s")))
    };
    let lifetimes: Map<String, Value> = Profile::ALL.into_iter().map(life).collect();
    Rendered::of(CHART, &[], &[&format!("certificateAuthority.lifetimes={}", Value::from(lifetimes))])
}

#[test]
#[ignore = "needs helm and our binaries: cargo xtask test --step chart"]
fn lives_are_as_short_as_the_table_lets_them_be() -> Result<()> {
    is_understood(&with_lifetimes(0)?, Component::CertificateAuthority)?;
    let refused = format!("{:#}", with_lifetimes(1).unwrap_err());
    for profile in Profile::ALL {
        let least = match profile.row().minimum_lifetime.as_secs() {
            seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
            seconds => format!("{seconds}s"),
        };
        let sentence = format!("set certificateAuthority.lifetimes.{profile} to at least {least}.");
        assert!(refused.contains(&sentence), "no {sentence:?} in {refused}");
    }
    Ok(())
}

fn is_understood(rendered: &Rendered, component: Component) -> Result<()> {
    let pod = rendered.pod(&ReleaseObjects::of("demo").component(component))?;
    let arguments = strings(&container(pod, component.name())?["args"]);
    let (code, said) = understood(component.supervisor(), &arguments)?;
    assert_eq!(code, Some(78), "{component}: {said}");
    let why = "no management API server is known outside a Pod";
    assert!(said.contains(why), "{component}: {said}");
    Ok(())
}

/// What is just within the schema and the refusals.
#[test]
#[ignore = "needs helm and our binaries: cargo xtask test --step chart"]
fn whatever_the_chart_lets_through_is_understood() -> Result<()> {
    let label = "l".repeat(63);
    let long = format!(r#""{label}.{label}.{label}.example.com""#);
    let names =
        format!(r#"apiServer.externalAddresses=["API.example.com:65535", {long}, "localhost", "1a"]"#);
    let addresses = r#"apiServer.externalAddresses=["[2001:db8::1]:1", "192.0.2.1", "127.0.0.1", "[::1]"]"#;
    for external in [names.as_str(), addresses, "apiServer.externalAddresses=[]"] {
        let settings = [
            external,
            &format!(r#"apiServer.certificateNames=[{long}, "192.0.2.1", "2001:db8::1", "a-b"]"#),
            r#"network.dnsDomain="a-1.b2""#,
            r#"logging.level="info,supervision=debug,kube_client::client=off""#,
            r#"certificateAuthority.rotation={"serviceAccountKeyOverlap": "999999d", "certificateAuthorityOverlap": "0s"}"#,
        ];
        let rendered = Rendered::of(CHART, &[], &settings)?;
        for component in [Component::CertificateAuthority, Component::ClusterBootstrap] {
            is_understood(&rendered, component).with_context(|| external.to_owned())?;
        }
    }
    Ok(())
}
