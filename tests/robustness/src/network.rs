//! A network of its own for a run, loopback alone, and what goes wrong in it: rules of the kernel's packet filter that go with
//! whoever holds them. Refuses to touch the network that it was started in.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use end_to_end::packets_dropped;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Numbers rules, marks, and tables of routes, of which the kernel has some up to 255.
static RULES: AtomicU32 = AtomicU32::new(1000);
/// After the rules of whoever wants packets to go another way, before those of the kernel.
const LOCAL: &str = "20000";

/// Does `work` in a network of its own, and with mounts that nobody else sees. Whoever is started there is there, too.
///
/// # Panics
/// Without the right to make these (root).
pub fn in_own_namespaces<T: Send>(work: impl AsyncFnOnce() -> T + Send) -> T {
    let run = || {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("namespaces need root");
        let nothing = None::<&str>;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)
            .expect("mounts can be kept private");
        run(&["ip", "link", "set", "lo", "up"], "");
        // What is local would be looked up first of all, and never go another way.
        run(&["ip", "rule", "add", "pref", LOCAL, "lookup", "local"], "");
        run(&["ip", "rule", "del", "pref", "0"], "");
        // Its threads are made by this one, and so are in its network.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(work())
    };
    std::thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Another number at each call.
pub(crate) fn number() -> u32 {
    RULES.fetch_add(1, Ordering::Relaxed)
}

/// Something that is wrong with the network; it is over when this is dropped.
pub struct Wrong {
    table: String,
    _cut: Option<Class>,
}

impl Wrong {
    /// `percent` of the packets to and from these ports are lost.
    pub(crate) fn lossy(ports: &[u16], percent: u32) -> Self {
        let ports = set(ports);
        let drop = packets_dropped(percent);
        let lost = |end: &str| format!("tcp {end} {{ {ports} }} {drop}");
        let rules = [lost("sport"), lost("dport")].join("\n");
        Self::filter(
            number(),
            &format!("chain input {{ type filter hook input priority 0\n{rules}\n}}"),
            None,
        )
    }

    /// Nothing passes in either direction between the port of its own that a member has for its peers, whoever connects there,
    /// and nothing between these processes and the ports of the others. Children that they start later are cut off, too.
    /// `directory` is made, and goes again.
    ///
    /// # Panics
    /// Where the kernel has no `net_cls`, which is of cgroup v1.
    #[must_use]
    pub fn cut(processes: &[u32], own_port: u16, others_ports: &[u16], directory: &Path) -> Self {
        let number = number();
        let class = Class::of(processes, number, directory);
        // Connections that they opened are known by their packets, and then dropped in both directions: at the receiver, since
        // a connection whose first packet is dropped before it was sent is never known.
        let rules = format!(
            "chain output {{ type filter hook output priority 0
               meta cgroup {number} tcp dport {{ {} }} ct mark set {number}
             }}
             chain input {{ type filter hook input priority 0
               ct mark {number} drop
               tcp sport {own_port} drop
               tcp dport {own_port} drop
             }}",
            set(others_ports)
        );
        Self::filter(number, &rules, Some(class))
    }

    fn filter(number: u32, chains: &str, cut: Option<Class>) -> Self {
        let table = format!("wrong{number}");
        run(&["nft", "--file", "-"], &format!("table inet {table} {{\n{chains}\n}}\n"));
        Self { table, _cut: cut }
    }
}

impl Drop for Wrong {
    fn drop(&mut self) {
        // It goes with its network at the latest; a second panic would end the run before anything is cleaned up.
        let _gone = ended(&["nft", "delete", "table", "inet", &self.table], "");
    }
}

/// Processes whose packets have a number, those of connections that they opened before among them; they are let go when it is
/// dropped.
struct Class {
    hierarchy: PathBuf,
    class: PathBuf,
}

impl Class {
    fn of(processes: &[u32], number: u32, directory: &Path) -> Self {
        let hierarchy = directory.with_extension(number.to_string());
        std::fs::create_dir_all(&hierarchy).expect("a directory to mount it on");
        mount(Some("pilothouse-test"), &hierarchy, Some("cgroup"), MsFlags::empty(), Some("net_cls"))
            .expect("net_cls of cgroup v1");
        let class = hierarchy.join(format!("pilothouse-test-{}-{number}", std::process::id()));
        std::fs::create_dir(&class).expect("a cgroup can be made");
        put(&class.join("net_cls.classid"), number).expect("a cgroup takes a number");
        for process in processes {
            // Whoever has ended meanwhile has no connections either.
            let _ended = put(&class.join(PROCESSES), *process);
        }
        Self { hierarchy, class }
    }
}

const PROCESSES: &str = "cgroup.procs";

fn put(file: &Path, number: u32) -> std::io::Result<()> {
    File::options().write(true).open(file)?.write_all(number.to_string().as_bytes())
}

impl Drop for Class {
    fn drop(&mut self) {
        for process in std::fs::read_to_string(self.class.join(PROCESSES)).unwrap_or_default().lines() {
            let _ended = process.parse().map(|process| put(&self.hierarchy.join(PROCESSES), process));
        }
        // What is left of it is empty, and lies in a mount that nobody else sees.
        let _gone = std::fs::remove_dir(&self.class);
        let _gone = nix::mount::umount2(&self.hierarchy, nix::mount::MntFlags::MNT_DETACH);
        let _gone = std::fs::remove_dir(&self.hierarchy);
    }
}

fn set(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

pub(crate) fn run(line: &[&str], input: &str) {
    let ended = ended(line, input).expect("it can be run");
    assert!(ended.success(), "{line:?}: {ended}\n{input}");
}

pub(crate) fn ended(line: &[&str], input: &str) -> std::io::Result<ExitStatus> {
    let mut child = Command::new(line[0]).args(&line[1..]).stdin(Stdio::piped()).spawn()?;
    // Closed at once, so that it has all of it.
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    child.wait()
}
