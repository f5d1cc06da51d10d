//! Which instances a control plane has, that names and ports never collide, and every command line as a snapshot.

use std::collections::HashSet;
use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::settings::Requested;

fn plan(requested: Requested, extras: &Extras) -> Plan {
    let name: ClusterName = "local".parse().unwrap();
    let requested = Requested { components: Some("/components".into()), ..requested };
    Plan::new(&Blueprint {
        name: &name,
        settings: &requested.settle(None).unwrap(),
        block: PortBlock::candidates("local").next().unwrap(),
        paths: &StatePaths::new("/state".into()),
        supervisors: Path::new("/supervisors"),
        extras,
    })
}

fn rendered(plan: &Plan) -> String {
    let mut text = String::new();
    for instance in &plan.instances {
        writeln!(text, "{}: {}", instance.name, instance.program.display()).unwrap();
        let mut arguments = instance.arguments.iter().peekable();
        while let Some(argument) = arguments.next() {
            let value = arguments.next_if(|next| argument.starts_with("--") && !next.starts_with("--"));
            writeln!(text, "    {argument} {}", value.map_or("", String::as_str)).unwrap();
        }
    }
    text.replace(" \n", "\n")
}

#[test]
fn the_default_control_plane() {
    let extras = Extras { log_format: "text".into(), ..Extras::default() };
    let plan = plan(Requested::default(), &extras);
    assert_eq!(plan.server, "https://127.0.0.1:6443");
    insta::assert_snapshot!(rendered(&plan));
}

#[test]
fn a_control_plane_with_everything() {
    let requested = Requested {
        etcd_members: Some(1),
        api_servers: Some(1),
        controller_managers: Some(1),
        schedulers: Some(1),
        port: Some(7443),
        advertise_address: Some("192.0.2.7".parse().unwrap()),
        service_subnets: vec!["10.97.0.0/16".parse().unwrap(), "fd00:97::/112".parse().unwrap()],
        pod_subnets: vec!["10.244.0.0/16".parse().unwrap()],
        certificate_names: vec!["api.example.org".into()],
        cloud_controller_manager: Some("/opt/ccm".into()),
        components: None,
    };
    let extras = Extras {
        arguments: vec![
            (Component::Etcd, "--heartbeat-interval=50".into()),
            (Component::KubeApiserver, "--v=4".into()),
            (Component::KubeControllerManager, "--v=3".into()),
            (Component::KubeScheduler, "--v=2".into()),
            (Component::CloudControllerManager, "--cloud-provider=fake".into()),
        ],
        lifetimes: vec!["etcd-server=20s".into()],
        service_account_key_overlap: "1h".into(),
        certificate_authority_overlap: "30d".into(),
        log_format: "json".into(),
        log_level: "debug".into(),
    };
    let plan = plan(requested, &extras);
    assert_eq!(plan.front.len(), 2);
    insta::assert_snapshot!(rendered(&plan));
}

#[test]
fn a_component_or_an_instance_is_selected() {
    let plan = plan(Requested::default(), &Extras::default());
    assert_eq!(plan.select("etcd").len(), 3);
    assert_eq!(plan.select("etcd-1").len(), 1);
    assert!(plan.select("etcd-3").is_empty());
}

#[test]
fn every_component_stops_in_exactly_one_stage_and_etcd_after_the_api_servers() {
    let order: Vec<Component> =
        STOP_STAGES.iter().flat_map(|stage| stage.components.iter().copied()).collect();
    assert_eq!(order.iter().collect::<HashSet<_>>().len(), Component::ALL.len());
    let place = |component| order.iter().position(|known| *known == component);
    assert!(place(Component::KubeControllerManager) < place(Component::KubeApiserver));
    assert!(place(Component::KubeApiserver) < place(Component::Etcd));
    assert!(place(Component::Etcd) < place(Component::CertificateAuthority));
}

proptest! {
    #[test]
    fn names_and_ports_are_unique_and_names_are_hostnames(
        etcd in prop::sample::select(vec![1_u32, 3, 5]),
        api_servers in 1_u32..=8,
        controllers in 1_u32..=4,
        cloud in any::<bool>(),
    ) {
        let requested = Requested {
            etcd_members: Some(etcd),
            api_servers: Some(api_servers),
            controller_managers: Some(controllers),
            schedulers: Some(controllers),
            cloud_controller_manager: cloud.then(|| "/opt/ccm".into()),
            ..Requested::default()
        };
        let plan = plan(requested, &Extras::default());
        let names: HashSet<_> = plan.instances.iter().map(|instance| &instance.name).collect();
        prop_assert_eq!(names.len(), plan.instances.len());
        prop_assert!(names.iter().all(|name| crate::settings::is_dns_label(name)));
        let ports: Vec<_> = plan.instances.iter().flat_map(|instance| &instance.listeners).collect();
        let distinct: HashSet<_> = ports.iter().map(|(_, address)| address.port()).collect();
        prop_assert_eq!(distinct.len(), ports.len());
    }
}
