//! The check of a Kubernetes component: version and whole argv in one question where possible.
//! Refuses to look further than the binary's own parser: what only fails at run time shows as a crash.

use component_flags::{ArgumentError, EtcdVersion, KubernetesVersion};
use conditions::Progress;

use crate::complaint::accused;
use crate::{Answer, BinaryError, UpstreamBinary};

/// A binary that will take its flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its version.
    pub version: KubernetesVersion,
    /// The argv for this version.
    pub argv: Vec<String>,
}

impl UpstreamBinary {
    /// Renders the argv for the version that the binary has and makes sure that the binary takes it. Asks once, and
    /// never again for the same argv of the same file.
    pub async fn checked(
        &self,
        render: impl Fn(KubernetesVersion) -> Result<Vec<String>, ArgumentError>,
        operators: &[String],
        progress: &dyn Progress,
    ) -> Result<Checked, BinaryError> {
        // Most binaries are of the newest version: guessing it saves a question, some 80 ms of every start.
        let guess = render(KubernetesVersion::NEWEST).map_err(BinaryError::Argument)?;
        if let Some(checked) = self.took_before(&guess) {
            return Ok(checked);
        }
        let answer = self.ask(&guess, progress).await?;
        let version = match &answer {
            Answer::Version(printed) => self.parse(printed)?,
            Answer::Refusal(_) => self.version(progress).await?,
        };
        let argv = render(version).map_err(BinaryError::Argument)?;
        let answer = if argv == guess { answer } else { self.ask(&argv, progress).await? };
        match answer {
            Answer::Version(_) => {
                let checked = Checked { version, argv };
                self.remember(guess, checked.clone());
                Ok(checked)
            }
            Answer::Refusal(complaint) => Err(self.flags_error(Some(version), complaint, operators)),
        }
    }

    /// Makes sure that a binary of any version takes this argv. One that knows no `--version` is believed.
    pub async fn checked_flags(
        &self,
        argv: &[String],
        operators: &[String],
        progress: &dyn Progress,
    ) -> Result<(), BinaryError> {
        match self.ask(argv, progress).await? {
            Answer::Version(_) => Ok(()),
            Answer::Refusal(complaint) if complaint.contains("--version") => {
                tracing::debug!(program = %self.program().display(), complaint, "its flags cannot be checked beforehand");
                Ok(())
            }
            Answer::Refusal(complaint) => Err(self.flags_error(None, complaint, operators)),
        }
    }

    /// Makes sure that an etcd takes this argv; its version.
    pub async fn checked_etcd(
        &self,
        argv: &[String],
        operators: &[String],
        progress: &dyn Progress,
    ) -> Result<EtcdVersion, BinaryError> {
        match self.ask(argv, progress).await? {
            Answer::Version(printed) => EtcdVersion::parse(&printed)
                .map_err(|source| BinaryError::Version { program: self.program().to_owned(), source }),
            Answer::Refusal(complaint) => Err(self.flags_error(None, complaint, operators)),
        }
    }

    /// The version of a Kubernetes component.
    pub async fn version(&self, progress: &dyn Progress) -> Result<KubernetesVersion, BinaryError> {
        match self.ask(&[], progress).await? {
            Answer::Version(printed) => self.parse(&printed),
            Answer::Refusal(complaint) => {
                Err(BinaryError::NoVersion { program: self.program().to_owned(), complaint })
            }
        }
    }

    fn parse(&self, printed: &str) -> Result<KubernetesVersion, BinaryError> {
        KubernetesVersion::parse(printed)
            .map_err(|source| BinaryError::Version { program: self.program().to_owned(), source })
    }

    fn flags_error(
        &self,
        version: Option<KubernetesVersion>,
        complaint: String,
        operators: &[String],
    ) -> BinaryError {
        BinaryError::Flags {
            program: self.program().to_owned(),
            version,
            from_operator: accused(&complaint, operators).is_some(),
            complaint,
        }
    }
}
