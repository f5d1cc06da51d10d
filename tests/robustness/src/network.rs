//! A network of its own for a run, loopback alone, and what goes wrong in it: rules of the kernel's packet filter that go with
//! whoever holds them. Refuses to touch the network that it was started in.

use std::io::Write as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use end_to_end::packets_dropped;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Numbers the rules.
static RULES: AtomicU32 = AtomicU32::new(0);

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
        // Its threads are made by this one, and so are in its network.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(work())
    };
    std::thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Something that is wrong with the network; it is over when this is dropped.
pub(crate) struct Wrong {
    table: String,
}

impl Wrong {
    /// `percent` of the packets to and from these ports are lost.
    pub(crate) fn lossy(ports: &[u16], percent: u32) -> Self {
        let table = format!("wrong{}", RULES.fetch_add(1, Ordering::Relaxed));
        let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        let drop = packets_dropped(percent);
        let lost = |end: &str| format!("tcp {end} {{ {ports} }} {drop}");
        let rules = [lost("sport"), lost("dport")].join("\n");
        let chain = format!("chain input {{ type filter hook input priority 0\n{rules}\n}}");
        run(&["nft", "--file", "-"], &format!("table inet {table} {{\n{chain}\n}}\n"));
        Self { table }
    }
}

impl Drop for Wrong {
    fn drop(&mut self) {
        // It goes with its network at the latest; a second panic would end the run before anything is cleaned up.
        let _gone = ended(&["nft", "delete", "table", "inet", &self.table], "");
    }
}

pub(crate) fn run(line: &[&str], input: &str) {
    let ended = ended(line, input).expect("it can be run");
    assert!(ended.success(), "{line:?}: {ended}\n{input}");
}

fn ended(line: &[&str], input: &str) -> std::io::Result<ExitStatus> {
    let mut child = Command::new(line[0]).args(&line[1..]).stdin(Stdio::piped()).spawn()?;
    // Closed at once, so that it has all of it.
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    child.wait()
}
