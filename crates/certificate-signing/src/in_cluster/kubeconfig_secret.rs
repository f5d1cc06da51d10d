//! The administrators' kubeconfig as Cluster API expects it: Secret `<cluster>-kubeconfig`, key `value`, valid for a
//! year, written anew at half of it, and when the address, the CA or somebody's edit makes it wrong.
//! Refuses an address that the API servers' certificates do not carry yet.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certificates::identities::{ADMINISTRATOR_USER, ADMINISTRATORS_GROUP};
use certificates::{Authority, Expected, LeafFacts, Observed, Profile, Requester, Verdict, verdict};
use health_endpoints::{AuthorityInUse, StatusBoard};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use management_api::{create_only, find, replace};
use naming_contract::labels::recommended;
use naming_contract::objects::KUBECONFIG_KEY;
use naming_contract::{Component, ports};
use rcgen::KeyPair;
use time::OffsetDateTime;

use super::Release;
use super::addresses::Server;
use super::carried::{Carried, carried};
use super::tend::{TendError, Tended};
use crate::{AuthorityKeys, Issuing};

/// The type of Cluster API's Secrets (`ClusterSecretType` of its API).
const TYPE: &str = "cluster.x-k8s.io/secret";
/// The label by which Cluster API finds a cluster's Secrets.
const CLUSTER_LABEL: &str = "cluster.x-k8s.io/cluster-name";
/// Supervisors ask every minute which names their leaves should carry; one that has not asked for so long is no reason
/// to withhold the address from people.
const NAMES_TAKEN_UP_WITHIN: Duration = Duration::from_secs(5 * 60);
/// As which its CA and its signer are told.
const ON_BOARD: &str = "cluster/kubeconfig";
/// The line that a comparison leaves out: the key is compared with its certificate instead.
const KEY_LINE: &str = "client-key-data:";

impl Release {
    /// One look at the Secret.
    pub(super) async fn write_kubeconfig(
        &self,
        keys: &AuthorityKeys,
        issuing: &Issuing,
        instance: &str,
        board: &StatusBoard,
    ) -> Result<Tended, TendError> {
        let name = self.objects.kubeconfig();
        let anchor = self.owner.reference().await?;
        let present = find::<Secret>(&self.api, &name).await?;
        let Some(authority) = keys.authority(Authority::Cluster) else { return Ok(Tended::LookAgain) };
        let (bundle, signer) = (authority.bundle_pem.as_str(), authority.fingerprint.as_str());
        let now = OffsetDateTime::now_utc();
        let Some(server) = self.server(present.as_ref(), bundle).await else { return Ok(Tended::LookAgain) };
        let Some(mut secret) = present else {
            let metadata = ObjectMeta { name: Some(name), ..ObjectMeta::default() };
            let mut secret = Secret { metadata, type_: Some(TYPE.to_owned()), ..Secret::default() };
            self.complete(&mut secret.metadata, anchor.as_ref());
            secret.data = Some(self.fresh("there is none yet", &server, bundle, issuing, instance, now)?);
            return written(create_only(&self.api, &self.creator, &secret).await.map(drop));
        };
        if secret.type_.as_deref() != Some(TYPE) {
            let namespace = self.api.namespace();
            return Err(TendError::InTheWay(format!(
                "Secret {namespace}/{name} is not of type {TYPE}, which cannot be changed; delete it"
            )));
        }
        let incomplete = self.complete(&mut secret.metadata, anchor.as_ref());
        let reason = judge(&secret, self.objects.release(), &server, bundle, signer, now);
        if let Some(reason) = &reason {
            if !self.is_in_step().await? {
                return Ok(Tended::LookAgain);
            }
            secret.data = Some(self.fresh(reason, &server, bundle, issuing, instance, now)?);
        } else {
            let in_use =
                AuthorityInUse { trusted: authority.trusted.clone(), signed_by: vec![signer.to_owned()] };
            board.authority(ON_BOARD, in_use);
            if !incomplete {
                return Ok(Tended::Right);
            }
        }
        written(replace(&self.api, &secret).await.map(drop))
    }

    /// A kubeconfig with a new key.
    fn fresh(
        &self,
        reason: &str,
        server: &str,
        bundle: &str,
        issuing: &Issuing,
        instance: &str,
        now: OffsetDateTime,
    ) -> Result<BTreeMap<String, ByteString>, TendError> {
        let preview = issuing.preview(Profile::Administrator, Requester { instance, names: &[] })?;
        let key = KeyPair::generate().map_err(TendError::Key)?;
        let issued = issuing.issue(Profile::Administrator, &preview.contents, &key, now)?;
        let certificate = issued.certificate.as_bytes();
        let key = key.serialize_pem();
        let rendered = render(self.objects.release(), server, bundle.as_bytes(), certificate, key.as_bytes());
        let secret = self.objects.kubeconfig();
        tracing::info!(secret, reason, server, not_after = %issued.not_after, "administrators' kubeconfig");
        Ok(BTreeMap::from([(KUBECONFIG_KEY.to_owned(), ByteString(rendered.into_bytes()))]))
    }

    /// The URL to write now; none while an address was learnt that certificates do not carry yet and what is there is
    /// good enough until then.
    async fn server(&self, present: Option<&Secret>, bundle: &str) -> Option<String> {
        let (address, since) = match self.addresses.server() {
            Server::Known(address) => return Some(format!("https://{address}")),
            Server::Learnt(address, since) => (address, since),
        };
        let learnt = format!("https://{address}");
        let is_there = present.is_some_and(|secret| text(secret).contains(&learnt));
        if is_there || since.elapsed() > NAMES_TAKEN_UP_WITHIN {
            return Some(learnt);
        }
        let replicas = format!(
            "{}.{}.svc:{}",
            self.objects.apiserver_replicas(),
            self.api.namespace(),
            ports::KUBE_APISERVER
        );
        match carried(&replicas, &address.host, bundle).await {
            Carried::ByAll => Some(learnt),
            Carried::NotBy(replica) => {
                tracing::debug!(%replica, %address, "the API server's certificate lacks the address");
                present.is_none().then(|| format!("https://{}", self.addresses.service()))
            }
        }
    }

    /// Labels and owner as they should be; says whether they were not.
    fn complete(
        &self,
        metadata: &mut ObjectMeta,
        anchor: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference>,
    ) -> bool {
        let mut changed = self.owner.apply(metadata, anchor);
        let present = metadata.labels.get_or_insert_default();
        let cluster = (CLUSTER_LABEL.to_owned(), self.objects.release().to_owned());
        for (label, value) in
            recommended(Some(&self.objects), Component::CertificateAuthority).into_iter().chain([cluster])
        {
            changed |= present.insert(label, value.clone()).as_ref() != Some(&value);
        }
        changed
    }
}

fn render(release: &str, server: &str, bundle: &[u8], certificate: &[u8], key: &[u8]) -> String {
    kubeconfig::render_embedded(release, server, ADMINISTRATOR_USER, bundle, certificate, key)
}

/// Why a new one must be written; none while the present one is good.
fn judge(
    secret: &Secret,
    release: &str,
    server: &str,
    bundle: &str,
    signer: &str,
    now: OffsetDateTime,
) -> Option<String> {
    let text = text(secret);
    let wrong = |why: &str| Some(why.to_owned());
    let inside = kubeconfig::embedded_certificates(&text);
    let Some(certificate) = inside.clients.first() else { return wrong("it has no client certificate") };
    let expected_text = render(release, server, bundle.as_bytes(), certificate, b"");
    if without_key(&text) != without_key(&expected_text) {
        return wrong("its address, its CA or something else in it was right once, but is not now");
    }
    let key = text.lines().find_map(|line| line.trim().strip_prefix(KEY_LINE));
    let Some(key) = key.and_then(|key| STANDARD.decode(key.trim()).ok()) else {
        return wrong("it has no key");
    };
    let facts = match LeafFacts::parse(certificate, Some(&key), Some(bundle.as_bytes())) {
        Ok(facts) => facts,
        Err(error) => return wrong(&error.to_string()),
    };
    let expected = Expected {
        common_name: ADMINISTRATOR_USER.to_owned(),
        organisation: Some(ADMINISTRATORS_GROUP.to_owned()),
        usages: Profile::Administrator.row().usages.to_vec(),
        names: None,
        signer: Some(signer.to_owned()),
    };
    match verdict(&Observed::Leaf(facts), &expected, now) {
        Verdict::Good { .. } => None,
        Verdict::Due(reason) | Verdict::Unusable(reason) => Some(reason.to_string()),
    }
}

fn text(secret: &Secret) -> String {
    let value = secret.data.as_ref().and_then(|data| data.get(KUBECONFIG_KEY));
    value.map(|value| String::from_utf8_lossy(&value.0).into_owned()).unwrap_or_default()
}

fn without_key(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.trim().starts_with(KEY_LINE)).collect()
}

/// A conflict means that somebody was faster; it is looked at again.
fn written(outcome: Result<(), management_api::ManagementError>) -> Result<Tended, TendError> {
    match outcome {
        Err(error) if !error.is_conflict() => Err(error.into()),
        _ => Ok(Tended::Written),
    }
}
