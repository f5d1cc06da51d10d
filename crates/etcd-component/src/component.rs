//! One etcd member as the supervision driver sees it.
//! Refuses to start etcd in any way that the planner did not choose.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use certificates::{Authority, Profile};
use component_flags::{EtcdVersion, etcd};
use component_runtime::{Context, RuntimeError};
use conditions::{Backoff, Progress, Silent};
use durable_files::FileLock;
use etcd_membership::quorum::decides;
use etcd_membership::recovery::RecoveryStep;
use etcd_membership::{
    Data, Departure, EtcdError, PeerAtDeparture, SelfAtDeparture, Step, can_be_spared, departure, next_step,
};
use health_endpoints::HealthClient;
use preflight::{UpstreamBinary, wait_for_port};
use supervision::{ChildCommand, ChildEnding, Health, PrepareError, Supervised};
use tokio::time::{Instant, timeout};

use crate::act::{Start, StepError};
use crate::addresses::Addresses;
use crate::beside::{Member, Seen, Tasks, now};
use crate::members::{Look, Members};
use crate::own_member::OwnMember;
use crate::peers::Peers;
use crate::recovery::{Recovery, Turn};
use crate::volume::{VolumeError, VolumeFiles};
use crate::{EtcdConfiguration, version};

/// A read that takes longer is no service; the driver gives a look 1.4 s in all.
const READ_LIMIT: Duration = Duration::from_millis(1100);
/// A healthy member answers a read within this time; only after it /livez is asked as well.
const USUAL_READ: Duration = Duration::from_millis(250);
/// A peer's supervisor answers from memory.
const PEER_HEALTH_LIMIT: Duration = Duration::from_millis(700);
/// The member's own list; it is on the same machine.
const VOTERS_LIMIT: Duration = Duration::from_millis(700);
const CONFIRM_LIMIT: Duration = Duration::from_secs(3);
/// So long a leader looks whether the others are asked to stop as well before it begins to hand leadership to them.
const OTHERS_FOLLOW: Duration = Duration::from_millis(250);
/// What a leader gains by going last is 7 s; followers without clients are gone within 1 s.
const OTHERS_FIRST_LIMIT: Duration = Duration::from_secs(5);
/// While a stop is held back; whoever scales or uninstalls is noticed so soon.
const LOOK_AT_MEMBERS_EVERY: Duration = Duration::from_secs(2);
const REPORT_EVERY: Duration = Duration::from_secs(10);
const REWRITES: &str = "it is being defragmented, and answers when that is done";

/// One member and its supervision.
pub struct EtcdMember {
    context: Context,
    addresses: Addresses,
    binary: UpstreamBinary,
    member: Rc<Member>,
    tasks: Tasks,
    volume_lock: RefCell<Option<FileLock>>,
}

impl EtcdMember {
    /// A member that is not running yet. Must be used in a `LocalSet`: it cares for the others in the background.
    pub fn new(configuration: EtcdConfiguration, context: Context) -> Result<Self, RuntimeError> {
        let members = Rc::new(Members::new(configuration.members.clone(), &context.instance)?);
        let addresses = Addresses::of(members.me(), &configuration)?;
        let files = context.paths.leaf(Profile::EtcdMemberClient, Authority::Etcd);
        let health = HealthClient::new(PEER_HEALTH_LIMIT)?;
        let member = Member {
            instance: context.instance.clone(),
            board: context.board.clone(),
            files: VolumeFiles::new(configuration.data_directory.clone()),
            record: configuration.cluster_record.clone(),
            last_record: RefCell::new(None),
            own: OwnMember::new(addresses, files.clone()),
            peers: Peers::new(Rc::clone(&members), files, health),
            members,
            rejoin_lock: RefCell::new(None),
            crashes: std::cell::Cell::default(),
            seen: Seen::default(),
            recovery: Recovery::new(context.replacement.clone(), context.child.program.clone()),
            configuration,
        };
        Ok(Self {
            binary: UpstreamBinary::new(context.child.program.clone()),
            addresses,
            member: Rc::new(member),
            tasks: Tasks::default(),
            volume_lock: RefCell::new(None),
            context,
        })
    }

    /// Looks, plans and acts until the plan is to start.
    async fn until_start(&self, progress: &dyn Progress) -> Result<Start, PrepareError> {
        let mut waiting = Waiting::new(progress);
        loop {
            match Box::pin(self.one_step()).await {
                Ok(Outcome::Start(start)) => return Ok(start),
                Ok(Outcome::Done(step)) => {
                    tracing::info!(?step, "took a step towards the cluster");
                    waiting.went_on();
                }
                Ok(Outcome::Recovering(step)) => {
                    tracing::warn!(?step, "took a step of a recovery");
                    waiting.went_on();
                }
                Ok(Outcome::Wait { awaits, seen }) => waiting.pause(&awaits, &seen).await,
                Ok(Outcome::Refuse { what, remedy }) => {
                    return Err(PrepareError { what, remedy, source: None });
                }
                Err(error) => {
                    waiting.pause("the next step towards the cluster", &telemetry::error_chain(&error)).await;
                }
            }
        }
    }

    async fn one_step(&self) -> Result<Outcome, StepError> {
        self.take_volume().await?;
        if let Some(wait) = self.look_at_members().await? {
            return Ok(wait);
        }
        match Box::pin(self.member.recovery_turn()).await? {
            Turn::Nothing => {}
            Turn::Took(step) => return Ok(Outcome::Recovering(step)),
            Turn::Wait(seen) => {
                let awaits =
                    "a readable cluster record, which tells whether a recovery took place".to_owned();
                return Ok(Outcome::Wait { awaits, seen });
            }
        }
        let mut seen = self.member.observe().await?;
        let mut step = next_step(&seen);
        if step == Step::AskPeers {
            seen.live = Some(self.member.peers.live_view().await);
            step = next_step(&seen);
        }
        match step {
            Step::Wait { awaits, seen } => Ok(Outcome::Wait { awaits, seen }),
            Step::Refuse { what, remedy } => Ok(Outcome::Refuse { what, remedy }),
            step => {
                if let Some(start) = self.member.start(&step)? {
                    // With data and without a crash it may run for long on what it holds already.
                    if (seen.crashes.count > 0 || seen.volume.data != Data::Present)
                        && let Some(lack) = self.member.files.with(VolumeFiles::lack_of_space).await?
                    {
                        return Ok(Outcome::Wait {
                            awaits: "space on the data volume".to_owned(),
                            seen: lack,
                        });
                    }
                    if matches!(step, Step::StartJoining(_)) {
                        self.member.files.with(VolumeFiles::forget_identity).await?;
                    }
                    tokio::time::sleep(start.head_start(&self.member.instance)).await;
                    tracing::info!(?step, "starting etcd");
                    return Ok(Outcome::Start(start));
                }
                Box::pin(self.member.act(&step, &seen)).await?;
                Ok(Outcome::Done(step))
            }
        }
    }

    /// The volume is ours until this process ends: an earlier supervisor may still be going.
    async fn take_volume(&self) -> Result<(), VolumeError> {
        if self.volume_lock.borrow().is_some() {
            return Ok(());
        }
        let lock = self.member.files.with(VolumeFiles::lock).await?;
        let note = self.member.files.with(VolumeFiles::crash_note).await;
        // A note that cannot be read is worth nothing; the next one replaces it.
        self.member.crashes.set(note.unwrap_or_default());
        *self.volume_lock.borrow_mut() = Some(lock);
        Ok(())
    }

    /// Who should exist, read anew. With data, what was known of it before is good enough while nobody can say.
    async fn look_at_members(&self) -> Result<Option<Outcome>, StepError> {
        let members = &self.member.members;
        if !members.may_change() {
            return Ok(None);
        }
        let awaits = format!("{} to say which members there should be", members.source());
        let seen = match members.look().await {
            Look::Wanted => {
                let known = members.known();
                self.member.files.with(move |files| files.write_members(&known)).await?;
                if !self.member.files.with(VolumeFiles::has_data).await? {
                    members.look_beyond().await?;
                }
                return Ok(None);
            }
            Look::NotWanted(seen) => {
                let awaits = format!("{} to want {}", members.source(), self.member.instance);
                return Ok(Some(Outcome::Wait { awaits, seen }));
            }
            Look::NobodyWanted(seen) | Look::Unknown(seen) => seen,
        };
        if self.member.files.with(VolumeFiles::has_data).await?
            && let Some(known) = self.member.files.with(VolumeFiles::members).await?
        {
            tracing::info!(awaits, seen, "starting with the members that were known before");
            members.recall(known);
            return Ok(None);
        }
        Ok(Some(Outcome::Wait { awaits, seen }))
    }

    fn argv(&self, start: Start) -> Result<Vec<String>, PrepareError> {
        let operators = &self.context.child.extra_arguments;
        let flags = self.member.flags(start, self.addresses, &self.context.paths);
        etcd(&flags, operators).map_err(|error| PrepareError {
            what: error.to_string(),
            remedy: "remove it from the arguments after --".to_owned(),
            source: None,
        })
    }

    /// Its version, if the binary takes its flags; asked before anything is done for the cluster. How the member starts
    /// changes values only.
    async fn check_flags(&self) -> Result<EtcdVersion, PrepareError> {
        let argv = self.argv(self.member.start_on_data())?;
        Ok(self.binary.checked_etcd(&argv, &self.context.child.extra_arguments, &Silent).await?)
    }

    /// The member's own liveness counts only while others could do its work: killing it must help somebody. One that rewrites
    /// its database is silent for a reason.
    fn alive(&self, livez: Result<(), String>) -> Result<(), String> {
        let seen = &self.member.seen;
        let others = seen.peers_serving();
        if seen.data_is_gone.get() && decides(others, self.member.members.known().len()) {
            return Err("its data directory was deleted".to_owned());
        }
        match livez {
            Err(why) if others > 0 && !seen.is_rewriting() => {
                Err(format!("{why}, while its peers have quorum"))
            }
            _ => Ok(()),
        }
    }
}

impl EtcdMember {
    async fn at_departure(&self) -> SelfAtDeparture {
        let listed = async { self.member.own.grpc().await?.listed(VOTERS_LIMIT).await }.await;
        let voters = listed.map_or_else(
            |_silent| self.member.members.known().len(),
            |members| members.iter().filter(|member| !member.learner).count(),
        );
        let seen = &self.member.seen;
        SelfAtDeparture { serves: seen.served_lately(), leads: seen.leads.get(), voters }
    }
}

enum Outcome {
    Start(Start),
    Done(Step),
    Recovering(RecoveryStep),
    Wait { awaits: String, seen: String },
    Refuse { what: String, remedy: String },
}

impl Supervised for EtcdMember {
    async fn prepare(&self, progress: &dyn Progress) -> Result<ChildCommand, PrepareError> {
        self.tasks.end();
        self.member.seen.forget();
        let version = self.check_flags().await?;
        version::until_allowed(&self.member, &self.context.events, version.into(), progress).await;
        let start = Box::pin(self.until_start(progress)).await?;
        for address in self.addresses.all() {
            wait_for_port(address, progress).await?;
        }
        let arguments = self.argv(start)?;
        self.tasks.begin(&self.member);
        Ok(ChildCommand {
            program: self.context.child.program.clone(),
            arguments,
            environment: BTreeMap::new(),
        })
    }

    async fn health(&self) -> Health {
        let own = &self.member.own;
        let mut read = pin!(async { own.grpc().await?.read_linearizable(READ_LIMIT).await });
        let (ready, livez) = match timeout(USUAL_READ, &mut read).await {
            Ok(Ok(())) => (Ok(()), Ok(())),
            Ok(Err(error)) => (Err(error), own.livez().await),
            Err(_slow) => tokio::join!(read, own.livez()),
        };
        self.member.seen.looked(ready.is_ok());
        Health {
            alive: self.alive(if ready.is_ok() { Ok(()) } else { livez }),
            ready: ready.map_err(|why| {
                if self.member.seen.is_rewriting() { REWRITES.to_owned() } else { not_ready(&why) }
            }),
        }
    }

    async fn can_be_spared(&self) -> Result<(), String> {
        // A quorum of a cluster that was given up is the one thing that must not last.
        if self.member.seen.given_up.get() {
            return Ok(());
        }
        let (own, peers) = tokio::join!(self.at_departure(), self.member.peers.at_departure());
        can_be_spared(own, &peers)
    }

    async fn hold_back(&self, progress: &dyn Progress) {
        // A quorum of a cluster that was given up is the one thing that must not last.
        if self.member.seen.given_up.get() {
            return;
        }
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(500));
        let began = Instant::now();
        let (mut all_go, mut surplus) = (false, false);
        let mut next_look = began;
        loop {
            if Instant::now() >= next_look {
                next_look = Instant::now() + LOOK_AT_MEMBERS_EVERY;
                match self.member.members.look().await {
                    Look::NotWanted(why) if !surplus => {
                        tracing::info!(why, "this member leaves the cluster for good");
                        surplus = true;
                    }
                    Look::NobodyWanted(why) if !all_go => {
                        tracing::info!(why, "no member is expected back");
                        all_go = true;
                    }
                    Look::Wanted => (all_go, surplus) = (false, false),
                    Look::NotWanted(_) | Look::NobodyWanted(_) | Look::Unknown(_) => {}
                }
            }
            if surplus && !all_go {
                match Box::pin(self.member.may_leave()).await {
                    Ok(()) => return,
                    Err(awaits) => progress.waiting(&awaits, Some("nobody wants this member any more")),
                }
                tokio::time::sleep(backoff.next_delay()).await;
                continue;
            }
            let mut peers = self.member.peers.at_departure().await;
            if all_go {
                peers.iter_mut().for_each(PeerAtDeparture::goes_too);
            }
            let own = self.at_departure().await;
            match departure(&self.member.instance, own, &peers) {
                Departure::Go if own.leads && !peers.is_empty() && began.elapsed() < OTHERS_FOLLOW => {}
                Departure::Go => return,
                Departure::LetOthersGoFirst if began.elapsed() >= OTHERS_FIRST_LIMIT => return,
                Departure::LetOthersGoFirst => progress.waiting("the other members, which stop too", None),
                Departure::Hold(why) => {
                    progress.waiting("enough other members, so that etcd keeps its quorum", Some(&why));
                }
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    async fn drain_is_senseless(&self) -> String {
        std::future::pending().await
    }

    async fn ended(&self, _ending: ChildEnding, stopping: bool) {
        self.tasks.end();
        let me = self.member.seen.member.get();
        self.context.board.detail("leader", "");
        self.member.seen.serves.set(false);
        if !stopping {
            self.member.note_crashes(self.member.crashes.get().one_more(now())).await;
            return;
        }
        let confirmed = timeout(CONFIRM_LIMIT, async {
            loop {
                if !self.member.peers.at_departure().await.iter().any(|peer| peer.intent.comes_back()) {
                    return None;
                }
                if let Some(leader) = self.member.peers.leader_other_than(me).await {
                    return Some(leader);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        match confirmed.await {
            Ok(Some(leader)) => tracing::info!(%leader, "the others have a leader"),
            Ok(None) => tracing::info!("no other member stays"),
            Err(_late) => tracing::warn!(limit = ?CONFIRM_LIMIT, "the others did not name a leader"),
        }
    }
}

fn not_ready(why: &EtcdError) -> String {
    if why.is_from_learner() {
        return "it is a learner still; the member beside the leader makes a voter of it once it has caught up"
            .to_owned();
    }
    why.told()
}

/// A wait whose object changes from look to look.
struct Waiting<'a> {
    progress: &'a dyn Progress,
    backoff: Backoff,
    began: Instant,
    next_report: Instant,
    told: Option<(String, String)>,
}

impl<'a> Waiting<'a> {
    fn new(progress: &'a dyn Progress) -> Self {
        let now = Instant::now();
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        Self { progress, backoff, began: now, next_report: now + REPORT_EVERY, told: None }
    }

    fn went_on(&mut self) {
        self.backoff.reset();
        self.told = None;
        self.began = Instant::now();
        self.next_report = self.began + REPORT_EVERY;
    }

    async fn pause(&mut self, awaits: &str, seen: &str) {
        let told = (awaits.to_owned(), seen.to_owned());
        if self.told.as_ref() != Some(&told) {
            self.progress.waiting(awaits, Some(seen));
            self.told = Some(told);
        }
        if Instant::now() >= self.next_report {
            tracing::info!(awaits, last_seen = seen, waited = ?self.began.elapsed(), "still waiting");
            self.next_report = Instant::now() + REPORT_EVERY;
        }
        tokio::time::sleep(self.backoff.next_delay()).await;
    }
}
