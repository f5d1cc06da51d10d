//! What is taken, what is refused and with which words, and what a state directory remembers.

use proptest::prelude::*;

use super::*;

fn asked() -> Requested {
    Requested { components: Some("/components".into()), ..Requested::default() }
}

fn refusal(requested: Requested) -> String {
    requested.settle(None).unwrap_err().to_string()
}

#[test]
fn nothing_but_the_components_need_be_given() {
    let settings = asked().settle(None).unwrap();
    assert_eq!(
        (settings.etcd_members, settings.api_servers, settings.controller_managers, settings.schedulers),
        (3, 2, 2, 2)
    );
    assert_eq!(settings.port, 6443);
    assert_eq!(settings.service_subnets, ["10.96.0.0/16".parse::<IpNet>().unwrap()]);
    assert!(settings.pod_subnets.is_empty());
    assert_eq!(settings.cloud_controller_managers(), 0);
}

#[test]
fn the_smallest_control_plane_has_one_of_each() {
    let settings = Requested {
        etcd_members: Some(1),
        api_servers: Some(1),
        controller_managers: Some(1),
        schedulers: Some(1),
        ..asked()
    };
    assert!(settings.settle(None).is_ok());
}

#[test]
fn refusals_name_the_flag_and_what_to_give() {
    assert!(refusal(Requested { etcd_members: Some(2), ..asked() }).ends_with("give 1, 3 or 5"));
    assert!(refusal(Requested { api_servers: Some(0), ..asked() }).contains("--api-servers 0"));
    assert!(refusal(Requested { schedulers: Some(5), ..asked() }).contains("from 1 to 4"));
    assert!(refusal(Requested::default()).contains("cargo xtask components"));
    for address in ["127.0.0.1", "::1", "0.0.0.0"] {
        let advertise_address = Some(address.parse().unwrap());
        assert!(refusal(Requested { advertise_address, ..asked() }).contains(address));
    }
    for name in ["", "-a.example.org", "api_server", "UPPER.example.org", "a..b", "http://a"] {
        let certificate_names = vec![name.to_owned()];
        assert!(refusal(Requested { certificate_names, ..asked() }).contains("DNS name"), "{name}");
    }
    let certificate_names =
        ["api.example.org", "*.example.org", "192.0.2.1", "fd00::1"].map(str::to_owned).to_vec();
    assert!(Requested { certificate_names, ..asked() }.settle(None).is_ok());
}

#[test]
fn subnets_must_be_clean_and_apart() {
    let subnets = |service: &[&str], pod: &[&str]| {
        let parsed = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        Requested { service_subnets: parsed(service), pod_subnets: parsed(pod), ..asked() }.settle(None)
    };
    assert!(subnets(&["10.96.0.0/16"], &["10.244.0.0/16"]).is_ok());
    assert!(subnets(&["10.96.0.0/16", "fd00:96::/112"], &["10.244.0.0/16", "fd00:244::/56"]).is_ok());
    let message = |result: Result<Settings, SettingsError>| result.unwrap_err().to_string();
    assert!(message(subnets(&["10.96.0.0/16"], &["10.0.0.0/8"])).contains("overlap"));
    assert!(message(subnets(&["10.96.0.0/16"], &["10.96.4.0/24"])).contains("overlap"));
    assert!(message(subnets(&["10.96.0.0/16", "10.97.0.0/16"], &[])).contains("IPv6"));
    assert!(message(subnets(&["10.0.0.0/8"], &[])).contains("20 bits"));
    assert!(message(subnets(&["10.96.0.0/31"], &[])).contains("too few"));
    assert!(message(subnets(&["10.96.1.0/16"], &[])).contains("give 10.96.0.0/16"));
    assert!(message(subnets(&["127.0.0.0/16"], &[])).contains("loopback"));
}

#[test]
fn the_advertised_address_is_no_service() {
    let advertise_address = Some("10.96.0.5".parse().unwrap());
    assert!(refusal(Requested { advertise_address, ..asked() }).contains("--advertise-address 10.96.0.5"));
}

#[test]
fn what_was_chosen_first_is_remembered_and_what_cannot_change_is_refused() {
    let first = Requested { etcd_members: Some(1), port: Some(7443), ..asked() }.settle(None).unwrap();
    let again = Requested::default().settle(Some(&first)).unwrap();
    assert_eq!(again, first);
    let other = Requested { api_servers: Some(3), port: Some(8443), ..Requested::default() };
    let changed = other.settle(Some(&first)).unwrap();
    assert_eq!((changed.api_servers, changed.port, changed.etcd_members), (3, 8443, 1));
    let refused = Requested { etcd_members: Some(3), ..Requested::default() }.settle(Some(&first));
    assert!(refused.unwrap_err().to_string().contains("made with 1"));
    let service_subnets = vec!["10.97.0.0/16".parse().unwrap()];
    let refused = Requested { service_subnets, ..Requested::default() }.settle(Some(&first));
    assert!(refused.unwrap_err().to_string().contains("10.96.0.0/16"));
}

proptest! {
    #[test]
    fn whatever_is_taken_once_is_taken_again_unchanged(
        etcd in prop::sample::select(vec![1_u32, 3, 5]),
        api_servers in 1_u32..=8,
        port in 1_u16..,
        prefix in 12_u8..=28,
    ) {
        let service: IpNet = format!("10.96.0.0/{prefix}").parse().unwrap();
        let requested = Requested {
            etcd_members: Some(etcd),
            api_servers: Some(api_servers),
            port: Some(port),
            service_subnets: vec![service.trunc()],
            ..asked()
        };
        let settings = requested.clone().settle(None).unwrap();
        prop_assert_eq!(&requested.settle(Some(&settings)).unwrap(), &settings);
        let text = serde_json::to_string(&settings).unwrap();
        prop_assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), settings);
    }
}
