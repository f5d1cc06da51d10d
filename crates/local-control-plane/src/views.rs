//! What is known at this moment about every instance: written by its keeper and its prober, read by front and display.
//! Refuses to act on it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

use health_endpoints::StatusDocument;
use tokio::sync::watch;

use crate::plan::Instance;

/// Where a supervisor's process is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Process {
    /// Not started yet.
    Planned,
    /// Running.
    Alive {
        /// Its process id.
        pid: u32,
    },
    /// Ended, and starting again soon; the text says how it ended.
    BackingOff {
        /// How it ended, for people.
        because: String,
        /// Whether it said that its settings can never work (`EX_CONFIG`).
        refused_settings: bool,
    },
    /// Was sent SIGTERM.
    Stopping {
        /// Its process id.
        pid: u32,
    },
    /// Ended for good.
    Ended,
}

/// What is known about one instance.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct View {
    /// The supervisor's process.
    pub(crate) process: Process,
    /// How often it was started again by us.
    pub(crate) supervisor_restarts: u32,
    /// Where in its log the present life began, in bytes.
    pub(crate) log_begins_at: u64,
    /// Its last answer to /readyz.
    pub(crate) ready: bool,
    /// Its last answer to /statusz.
    pub(crate) document: Option<StatusDocument>,
}

/// All instances. Cheap to clone; single-threaded.
#[derive(Debug, Clone)]
pub(crate) struct Views {
    inner: Rc<Inner>,
}

#[derive(Debug)]
struct Inner {
    views: RefCell<BTreeMap<String, View>>,
    /// Counts changes, so that readers can wait for one.
    changes: watch::Sender<u64>,
}

impl Views {
    pub(crate) fn new(instances: &[Instance]) -> Self {
        let view = View {
            process: Process::Planned,
            supervisor_restarts: 0,
            log_begins_at: 0,
            ready: false,
            document: None,
        };
        let views = instances.iter().map(|instance| (instance.name.clone(), view.clone())).collect();
        Self { inner: Rc::new(Inner { views: RefCell::new(views), changes: watch::Sender::new(0) }) }
    }

    /// What is known about an instance.
    pub(crate) fn view(&self, name: &str) -> Option<View> {
        self.inner.views.borrow().get(name).cloned()
    }

    /// Changes what is known; wakes the readers if it really changed.
    pub(crate) fn change(&self, name: &str, change: impl FnOnce(&mut View)) {
        let mut views = self.inner.views.borrow_mut();
        let Some(view) = views.get_mut(name) else { return };
        let before = view.clone();
        change(view);
        let changed = *view != before;
        drop(views);
        if changed {
            self.inner.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Resolves at the next change that the receiver has not seen.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// Whether every instance is ready.
    pub(crate) fn all_ready(&self) -> bool {
        self.inner.views.borrow().values().all(|view| view.ready)
    }

    /// The first instance that said that its settings can never work.
    pub(crate) fn refused_settings(&self) -> Option<String> {
        let views = self.inner.views.borrow();
        views.iter().find_map(|(name, view)| {
            matches!(view.process, Process::BackingOff { refused_settings: true, .. }).then(|| name.clone())
        })
    }

    /// Which of these servers are ready, in their order.
    pub(crate) fn ready_servers(&self, servers: &[(String, SocketAddr)]) -> Vec<SocketAddr> {
        let views = self.inner.views.borrow();
        servers
            .iter()
            .filter(|(name, _)| views.get(name).is_some_and(|view| view.ready))
            .map(|(_, address)| *address)
            .collect()
    }
}
