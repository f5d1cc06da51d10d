//! The certificate-authority's own serving leaf, issued by itself, renewed at half life, kept in memory only.
//! Refuses to serve with an expired one silently: it tells the board.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use certificates::{LeafFacts, LeafName, Profile, Requester, renew_at};
use health_endpoints::{AuthorityInUse, CertificateStatus, StatusBoard};
use http_serving::TlsSource;
use rcgen::KeyPair;
use time::OffsetDateTime;

use crate::issuing::{IssueError, Issuing};

const PROFILE: Profile = Profile::CertificateAuthorityServing;

/// The leaf in use and the means to replace it.
pub(crate) struct ServingLeaf {
    issuing: Rc<Issuing>,
    instance: String,
    names: Vec<LeafName>,
    board: StatusBoard,
    present: Rc<RefCell<Arc<rustls::ServerConfig>>>,
    renew_at: OffsetDateTime,
    last_failure: Option<String>,
    status: CertificateStatus,
    /// Fingerprint of the CA that signed it.
    signer: String,
}

/// Why the server has no leaf.
#[derive(Debug, thiserror::Error)]
pub enum OwnLeafError {
    /// It cannot be signed.
    #[error("the certificate-authority cannot issue its own serving certificate")]
    Issue(#[from] IssueError),
    /// Its key cannot be made.
    #[error("the certificate-authority cannot make its own serving key")]
    Key(#[from] rcgen::Error),
    /// It cannot be read back.
    #[error("the certificate-authority's own serving certificate is malformed")]
    Parse(#[from] certificates::ParseError),
    /// It cannot be used.
    #[error("the certificate-authority's own serving certificate cannot be used")]
    Tls(#[from] mutual_tls::TlsError),
}

struct Fresh {
    configuration: Arc<rustls::ServerConfig>,
    renew_at: OffsetDateTime,
    status: CertificateStatus,
    signer: String,
}

impl ServingLeaf {
    pub(crate) fn new(
        issuing: Rc<Issuing>,
        instance: &str,
        names: Vec<LeafName>,
        board: StatusBoard,
        now: OffsetDateTime,
    ) -> Result<Self, OwnLeafError> {
        let fresh = fresh(&issuing, instance, &names, now)?;
        let signer = fresh.signer;
        board.certificate(fresh.status.clone());
        tell_authority(&board, &issuing, &signer);
        Ok(Self {
            signer,
            issuing,
            instance: instance.to_owned(),
            names,
            board,
            present: Rc::new(RefCell::new(fresh.configuration)),
            renew_at: fresh.renew_at,
            last_failure: None,
            status: fresh.status,
        })
    }

    /// Gives the present configuration for each connection.
    pub(crate) fn source(&self) -> TlsSource {
        let present = Rc::clone(&self.present);
        Rc::new(move || Arc::clone(&present.borrow()))
    }

    /// Replaces the leaf when half of its life is over, or when another CA signs; a failure is told and tried again at the next call.
    pub(crate) fn renew_if_due(&mut self, now: OffsetDateTime) {
        let replaced = signer(&self.issuing) != self.signer;
        tell_authority(&self.board, &self.issuing, &self.signer);
        if now < self.renew_at && !replaced {
            return;
        }
        match fresh(&self.issuing, &self.instance, &self.names, now) {
            Ok(fresh) => {
                *self.present.borrow_mut() = fresh.configuration;
                self.renew_at = fresh.renew_at;
                self.last_failure = None;
                self.status = fresh.status;
                self.signer = fresh.signer;
                tell_authority(&self.board, &self.issuing, &self.signer);
                tracing::info!(profile = %PROFILE, not_after = %self.status.not_after, "certificate renewed");
            }
            Err(error) => {
                let why = error.to_string();
                if self.last_failure.as_ref() != Some(&why) {
                    tracing::error!(profile = %PROFILE, error = why, "certificate not renewed; tried again");
                }
                self.status.last_failure = Some(why.clone());
                self.last_failure = Some(why);
            }
        }
        self.board.certificate(self.status.clone());
    }
}

/// Fingerprint of the CA that signs now.
fn signer(issuing: &Issuing) -> String {
    issuing.keys().authority(PROFILE.authority()).map(|known| known.fingerprint.clone()).unwrap_or_default()
}

/// What this process trusts is what it knows to be stored.
fn tell_authority(board: &StatusBoard, issuing: &Issuing, signer: &str) {
    let trusted = issuing.keys().authority(PROFILE.authority());
    let trusted = trusted.map(|known| known.trusted.clone()).unwrap_or_default();
    let in_use = AuthorityInUse { trusted, signed_by: vec![signer.to_owned()] };
    board.authority(PROFILE.authority().name(), in_use);
}

fn fresh(
    issuing: &Issuing,
    instance: &str,
    names: &[LeafName],
    now: OffsetDateTime,
) -> Result<Fresh, OwnLeafError> {
    let (key, signer) = (KeyPair::generate()?, signer(issuing));
    let preview = issuing.preview(PROFILE, Requester { instance, names })?;
    let issued = issuing.issue(PROFILE, &preview.contents, &key, now)?;
    let facts = LeafFacts::parse(issued.certificate.as_bytes(), None, None)?;
    let configuration =
        mutual_tls::server_configuration(issued.certificate.as_bytes(), key.serialize_pem().as_bytes())?;
    let renew_at = renew_at(&facts);
    let status = CertificateStatus {
        profile: PROFILE.name().to_owned(),
        not_before: issued.not_before,
        not_after: issued.not_after,
        renew_at,
        reload: PROFILE.row().reload,
        last_failure: None,
    };
    Ok(Fresh { configuration: Arc::new(configuration), renew_at, status, signer })
}
