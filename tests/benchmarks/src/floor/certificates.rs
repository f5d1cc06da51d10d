//! CAs, certificates, keys and kubeconfigs by the names that kubeadm gives them (cmd/kubeadm/app/phases/certs and
//! kubeconfig), of the kind of key that ours are too.

use std::collections::BTreeMap;

use anyhow::Result;
use kubeconfig::render_embedded;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::{Names, flags};

/// Files by their names.
type Files = BTreeMap<String, String>;

/// Everything that is made beforehand.
pub(super) struct Pki {
    /// Of /etc/kubernetes/pki.
    pub(super) cluster: Files,
    /// Of /etc/kubernetes/pki/etcd.
    pub(super) etcd: Files,
    /// Of the controllers.
    pub(super) kubeconfigs: Files,
    /// The administrator's kubeconfig.
    pub(super) administrator: String,
}

pub(super) fn make(names: &Names<'_>) -> Result<Pki> {
    let cluster = Authority::new("kubernetes")?;
    let front_proxy = Authority::new("front-proxy-ca")?;
    let etcd = Authority::new("etcd-ca")?;

    let mut files = Files::new();
    put(&mut files, "ca", &cluster.pair);
    files.insert("front-proxy-ca.crt".to_owned(), front_proxy.pair.certificate.clone());
    put(&mut files, "apiserver", &cluster.server("kube-apiserver", api_server_names(names))?);
    let kubelets = cluster.client("kube-apiserver-kubelet-client", Some("kubeadm:cluster-admins"))?;
    put(&mut files, "apiserver-kubelet-client", &kubelets);
    put(&mut files, "front-proxy-client", &front_proxy.client("front-proxy-client", None)?);
    put(&mut files, "apiserver-etcd-client", &etcd.client("kube-apiserver-etcd-client", None)?);
    let accounts = KeyPair::generate()?;
    files.insert("sa.key".to_owned(), accounts.serialize_pem());
    files.insert("sa.pub".to_owned(), accounts.public_key_pem());

    let mut etcd_files = Files::from([("ca.crt".to_owned(), etcd.pair.certificate.clone())]);
    for name in ["server", "peer"] {
        let hosts = names.members().map(|(_, host)| host);
        put(&mut etcd_files, name, &etcd.server("etcd", hosts.chain(local()).collect())?);
    }

    let server = format!("https://{}:{}", names.api_servers(), flags::API_SERVER_PORT);
    let kubeconfig = |user: &str, organisation: Option<&str>| -> Result<String> {
        let pair = cluster.client(user, organisation)?;
        let (authority, certificate, key) = (&cluster.pair.certificate, &pair.certificate, &pair.key);
        let text = [authority, certificate, key].map(String::as_bytes);
        Ok(render_embedded("kubernetes", &server, user, text[0], text[1], text[2]))
    };
    let kubeconfigs = Files::from([
        ("controller-manager.conf".to_owned(), kubeconfig("system:kube-controller-manager", None)?),
        ("scheduler.conf".to_owned(), kubeconfig("system:kube-scheduler", None)?),
    ]);
    // kubeadm's super-admin.conf: nobody has bound a group to cluster-admin yet.
    let administrator = kubeconfig("kubernetes-super-admin", Some("system:masters"))?;
    Ok(Pki { cluster: files, etcd: etcd_files, kubeconfigs, administrator })
}

fn api_server_names(names: &Names<'_>) -> Vec<String> {
    let service = names.api_servers();
    let short = service.split('.').next().unwrap_or_default().to_owned();
    let own = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "10.96.0.1"].map(str::to_owned);
    [short, service].into_iter().chain(own).collect()
}

fn local() -> [String; 2] {
    ["localhost".to_owned(), "127.0.0.1".to_owned()]
}

fn put(files: &mut Files, name: &str, pair: &Pair) {
    files.insert(format!("{name}.crt"), pair.certificate.clone());
    files.insert(format!("{name}.key"), pair.key.clone());
}

/// A certificate and its key, PEM.
struct Pair {
    certificate: String,
    key: String,
}

struct Authority {
    pair: Pair,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate = parameters.self_signed(&key)?.pem();
        let pair = Pair { certificate, key: key.serialize_pem() };
        Ok(Self { pair, issuer: Issuer::new(parameters, key) })
    }

    fn client(&self, name: &str, organisation: Option<&str>) -> Result<Pair> {
        self.sign(name, organisation, Vec::new(), &[ExtendedKeyUsagePurpose::ClientAuth])
    }

    /// etcd's servers are clients of each other.
    fn server(&self, name: &str, names: Vec<String>) -> Result<Pair> {
        let usages = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(name, None, names, &usages)
    }

    fn sign(
        &self,
        name: &str,
        organisation: Option<&str>,
        names: Vec<String>,
        usages: &[ExtendedKeyUsagePurpose],
    ) -> Result<Pair> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(names)?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        if let Some(organisation) = organisation {
            parameters.distinguished_name.push(DnType::OrganizationName, organisation);
        }
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = usages.to_vec();
        let certificate = parameters.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair { certificate, key: key.serialize_pem() })
    }
}
