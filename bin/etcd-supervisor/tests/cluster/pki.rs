//! The three CAs that etcd's supervisors need, and leaves put where an earlier life of a supervisor would have left them,
//! so that no certificate-authority is needed.

use std::path::Path;

use certificates::{Authority, NamingSettings, Profile, Requester, RuntimeDirectory, Usage, leaf_contents};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

pub(crate) struct Pki {
    authorities: Vec<(Authority, String, Issuer<'static, KeyPair>)>,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let make = |authority: Authority| {
            let mut parameters = CertificateParams::default();
            parameters.distinguished_name.push(DnType::CommonName, authority.bundle());
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
            let key = KeyPair::generate().unwrap();
            let certificate = parameters.self_signed(&key).unwrap().pem();
            (authority, certificate, Issuer::new(parameters, key))
        };
        Self { authorities: [Authority::Cluster, Authority::Etcd, Authority::EtcdPeer].map(make).into() }
    }

    /// What a certificate-authority publishes.
    pub(crate) fn publish(&self, directory: &Path) {
        self.publish_beside(directory, &[]);
    }

    /// The same with the CAs that will follow.
    pub(crate) fn publish_beside(&self, directory: &Path, followers: &[&Self]) {
        std::fs::create_dir_all(directory).unwrap();
        for (number, (authority, certificate, _)) in self.authorities.iter().enumerate() {
            let further = followers.iter().map(|pki| pki.authorities[number].1.as_str());
            let bundle: String = std::iter::once(certificate.as_str()).chain(further).collect();
            durable_write(&directory.join(authority.bundle()), &bundle);
        }
    }

    /// The leaves and bundles of one instance.
    pub(crate) fn equip(&self, runtime: &Path, instance: &str) {
        let directory = RuntimeDirectory::new(runtime);
        directory.create().unwrap();
        for (authority, certificate, _) in &self.authorities {
            durable_write(&directory.trust(*authority), certificate);
        }
        for profile in [Profile::EtcdServer, Profile::EtcdPeer, Profile::EtcdMemberClient] {
            let (certificate, key) = self.leaf(profile, instance);
            directory.write_leaf(profile, &certificate, &key).unwrap();
        }
    }

    fn leaf(&self, profile: Profile, instance: &str) -> (String, String) {
        let requester = Requester { instance, names: &[] };
        let contents = leaf_contents(profile, requester, &NamingSettings::default()).unwrap();
        let names: Vec<String> = contents.names.iter().map(ToString::to_string).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, contents.common_name);
        if let Some(organisation) = contents.organisation {
            parameters.distinguished_name.push(DnType::OrganizationName, organisation);
        }
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = contents
            .usages
            .iter()
            .map(|usage| match usage {
                Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
                Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
            })
            .collect();
        let now = rcgen::date_time_ymd(2026, 1, 1);
        parameters.not_before = now;
        parameters.not_after = rcgen::date_time_ymd(2090, 1, 1);
        let key = KeyPair::generate().unwrap();
        let (_, _, issuer) =
            self.authorities.iter().find(|(authority, _, _)| *authority == profile.authority()).unwrap();
        (parameters.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
    }
}

fn durable_write(path: &Path, text: &str) {
    use std::io::Write as _;
    std::fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}
