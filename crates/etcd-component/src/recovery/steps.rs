//! Carries out the steps of a recovery on volume and record, while no child runs.
//! Refuses to choose one.

use cluster_record::ClusterRecord;
use etcd_membership::recovery::{
    Phase, RecordNow, RecoveryProgress, RecoverySource, RecoveryStep, Verdict, judge, next_recovery_step,
};

use super::attending::told;
use super::etcdutl::NewCluster;
use super::files::{Mark, Stand};
use crate::act::{StepError, initial_members};
use crate::beside::{Member, now};
use crate::crash_note::CrashNote;
use crate::volume::VolumeFiles;

/// What came of looking after a recovery before the child is started.
pub(crate) enum Turn {
    /// There is none that keeps the child from starting.
    Nothing,
    /// A step was taken; look again.
    Took(RecoveryStep),
    /// Nothing can be done now, for this reason.
    Wait(String),
}

impl Member {
    /// Answers a request, and takes the next step of the recovery that is marked on the volume.
    pub(crate) async fn recovery_turn(&self) -> Result<Turn, StepError> {
        Box::pin(self.answer_request()).await?;
        let Some(mark) = self.files.with(VolumeFiles::recovery_mark).await? else { return Ok(Turn::Nothing) };
        let mut progress = self.recovery_progress(&mark).await?;
        let mut step = next_recovery_step(&progress);
        if step == RecoveryStep::Judge {
            let seen = Box::pin(self.situation(&mark.asked, mark.position.map(Into::into))).await?;
            let refusals = judge(&mark.asked.request, &seen);
            progress.verdict =
                if refusals.is_empty() { Verdict::Allowed } else { Verdict::Refused(told(&refusals)) };
            step = next_recovery_step(&progress);
        }
        match step {
            RecoveryStep::Judge => return Ok(Turn::Nothing),
            RecoveryStep::Wait(why) => return Ok(Turn::Wait(why)),
            RecoveryStep::LetEtcdReplay => {
                self.note(Mark { phase: Phase::Asked, ..mark }).await?;
                self.files.with(VolumeFiles::remove_built).await?;
                return Ok(Turn::Nothing);
            }
            RecoveryStep::Build => {
                if mark.asked.request.source != RecoverySource::Nothing
                    && let Err(why) = self.build(&mark).await?
                {
                    self.abandon(mark, &why).await?;
                    return Ok(Turn::Took(RecoveryStep::Abandon(why)));
                }
                self.note(Mark { phase: Phase::Built, ..mark }).await?;
            }
            RecoveryStep::SwitchRecord => self.switch_record(&mark).await?,
            RecoveryStep::NoteSwitch => self.note(Mark { phase: Phase::Switched, ..mark }).await?,
            RecoveryStep::SetDataAside => {
                let aside = self.files.with(|files| files.set_aside("recovered", now())).await?;
                tracing::warn!(kept_at = %aside.display(), "the data of the old cluster was set aside");
            }
            RecoveryStep::PutInPlace => {
                self.files.with(VolumeFiles::put_in_place).await?;
                self.note_crashes(CrashNote::default()).await;
            }
            RecoveryStep::Abandon(ref why) => self.abandon(mark, why).await?,
            RecoveryStep::Finish => {
                let text = "the new cluster is in place".to_owned();
                self.answer(mark.asked.nonce, Stand::InPlace, text).await?;
                self.files.with(VolumeFiles::remove_recovery_snapshots).await?;
                self.files.with(VolumeFiles::remove_recovery_mark).await?;
            }
        }
        Ok(Turn::Took(step))
    }

    async fn recovery_progress(&self, mark: &Mark) -> Result<RecoveryProgress, StepError> {
        let record = match self.record_now().await {
            Ok(record) => RecordNow::Present { recovery: record.recovery },
            Err(record) => record,
        };
        let volume = self.files.with(VolumeFiles::read).await?;
        let built = self.files.with(|files| Ok(files.built().exists())).await?;
        Ok(RecoveryProgress {
            nonce: mark.asked.nonce.clone(),
            source: mark.asked.request.source,
            phase: mark.phase,
            former: mark.former.clone(),
            record,
            data: volume.data,
            built,
            replayed: self.recovery.replayed.get() || self.crashes.get().seen_at(now()).count > 0,
            verdict: Verdict::NotAsked,
        })
    }

    /// The new data directory, durably; or why there will be none.
    async fn build(&self, mark: &Mark) -> Result<Result<(), String>, StepError> {
        self.files.with(VolumeFiles::remove_built).await?;
        let sealed = mark.asked.request.source == RecoverySource::Snapshot;
        let database = match mark.asked.request.source {
            RecoverySource::Snapshot => self.files.recovery_snapshot(&mark.asked.nonce),
            RecoverySource::OwnData | RecoverySource::Nothing => self.files.database(),
        };
        let me = self.members.me();
        let cluster = NewCluster {
            name: &self.instance,
            peer_url: &me.peer_url,
            token: &mark.token,
            bump_revision: mark.asked.bump_revision,
        };
        tracing::warn!(database = %database.display(), "restoring into a new cluster");
        if let Err(error) = self.etcdutl().restore(&database, sealed, &self.files.built(), &cluster).await {
            return Ok(Err(telemetry::error_chain(&error)));
        }
        self.files.with(VolumeFiles::sync).await?;
        Ok(Ok(()))
    }

    async fn switch_record(&self, mark: &Mark) -> Result<(), StepError> {
        let mut volume = self.files.with(VolumeFiles::read).await?;
        if volume.id.is_none() {
            self.files.with(VolumeFiles::write_id).await?;
            volume = self.files.with(VolumeFiles::read).await?;
        }
        let former_cluster = volume.identity.map(|identity| identity.cluster.to_string());
        let (founders, by) = match mark.asked.request.source {
            RecoverySource::Nothing => (initial_members(&self.members.known()), None),
            _ => (
                initial_members(std::slice::from_ref(self.members.me())),
                Some((self.instance.as_str(), volume.id.as_deref())),
            ),
        };
        let change = |record: &mut ClusterRecord| {
            // Whoever wrote another recovery in between holds.
            if record.recovery == mark.former {
                let nonce = &mark.asked.nonce;
                record.begin_anew(nonce, &mark.token, founders.clone(), by, former_cluster.clone());
            }
        };
        if self.record.read().await?.is_none() {
            let mut record = ClusterRecord::for_founding(founders.clone());
            change(&mut record);
            self.record.create(&record).await?;
        } else {
            self.record.change(change).await?;
        }
        Ok(())
    }

    async fn abandon(&self, mark: Mark, why: &str) -> Result<(), StepError> {
        tracing::error!(why, "the recovery is given up; nothing was changed");
        self.tell_recovery("given up");
        // First, so that nobody is told of an end that is none.
        self.files.with(VolumeFiles::remove_recovery_mark).await?;
        let text = format!("The recovery was given up, and nothing was changed: {why}\n");
        self.answer(mark.asked.nonce, Stand::Refused, text).await?;
        self.files.with(VolumeFiles::remove_recovery_snapshots).await?;
        Ok(self.files.with(VolumeFiles::remove_built).await?)
    }
}
