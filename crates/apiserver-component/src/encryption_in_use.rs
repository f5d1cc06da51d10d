//! Which generation of the encryption keys kube-apiserver has in use: that of the file it was started with, and after a
//! change that of which it tells the hash in its metrics. Refuses to conclude it from the time that has passed.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use certificates::sha256_hex;
use health_endpoints::StatusBoard;
use mutual_tls::{TlsFiles, http_client};
use telemetry::error_chain;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Alpha, and the same in 1.35, 1.36 and 1.37 (k8s.io/apiserver `pkg/server/options/encryptionconfig/metrics`).
const METRIC: &str = "apiserver_encryption_config_controller_last_config_info{";
/// kube-apiserver looks at the file once a minute. All its metrics are some MiB, so they are not asked for all the time.
const ASK_EVERY: Duration = Duration::from_secs(3);
const ASK_LIMIT: Duration = Duration::from_secs(5);
/// The name of the keys on the board, and of what is in the way of knowing.
const BOARD_KEY: &str = "encryption";
const DETAIL: &str = "encryptionKeys";

/// What is known of one kube-apiserver.
#[derive(Debug)]
pub(crate) struct EncryptionInUse {
    metrics: String,
    authority: PathBuf,
    identity: TlsFiles,
    board: StatusBoard,
    known: Rc<Known>,
    next_ask: Cell<Instant>,
    under_way: RefCell<Option<AbortHandle>>,
}

#[derive(Debug, Default)]
struct Known {
    generation: Cell<u64>,
    content: RefCell<Vec<u8>>,
}

impl EncryptionInUse {
    /// Of the API server at `base`, asked with the identity in `identity`.
    pub(crate) fn new(base: &str, authority: PathBuf, identity: TlsFiles, board: StatusBoard) -> Self {
        Self {
            metrics: format!("{base}/metrics"),
            authority,
            identity,
            board,
            known: Rc::default(),
            next_ask: Cell::new(Instant::now()),
            under_way: RefCell::new(None),
        }
    }

    /// A child is started next with this file, and none runs.
    pub(crate) fn child_starts(&self, (generation, content): (u64, Vec<u8>)) {
        self.forget();
        self.known.took(generation, content, &self.board);
    }

    /// Asks the child from time to time, in the background, as long as it is not known to use the present file.
    pub(crate) fn look(&self, (generation, content): (u64, Vec<u8>)) {
        if self.known.generation.get() == generation {
            return;
        }
        if *self.known.content.borrow() == content {
            return self.known.took(generation, content, &self.board);
        }
        if Instant::now() < self.next_ask.get() {
            return;
        }
        self.next_ask.set(Instant::now() + ASK_EVERY);
        // Made anew: its certificate may have been renewed, and it is needed for a minute in a year.
        let client = match http_client(&self.authority, Some(&self.identity), ASK_LIMIT) {
            Ok(client) => client,
            Err(error) => return self.board.detail(DETAIL, &error_chain(&error)),
        };
        let (url, known, board) = (self.metrics.clone(), Rc::clone(&self.known), self.board.clone());
        let asking = tokio::task::spawn_local(async move {
            match ask(&client, &url).await {
                Ok(metrics) if tells(&metrics, &content) => known.took(generation, content, &board),
                Ok(_) => board.detail(
                    DETAIL,
                    &format!(
                        "generation {generation} is in the file, which kube-apiserver reads once a minute"
                    ),
                ),
                Err(why) => board.detail(
                    DETAIL,
                    &format!("kube-apiserver does not tell which encryption keys it uses: {why}"),
                ),
            }
        });
        if let Some(earlier) = self.under_way.borrow_mut().replace(asking.abort_handle()) {
            earlier.abort();
        }
    }

    fn forget(&self) {
        if let Some(asking) = self.under_way.borrow_mut().take() {
            asking.abort();
        }
    }
}

impl Drop for EncryptionInUse {
    fn drop(&mut self) {
        self.forget();
    }
}

impl Known {
    fn took(&self, generation: u64, content: Vec<u8>, board: &StatusBoard) {
        self.generation.set(generation);
        *self.content.borrow_mut() = content;
        board.key_generation(BOARD_KEY, generation);
        board.detail(DETAIL, "");
    }
}

async fn ask(client: &reqwest::Client, url: &str) -> Result<String, String> {
    let answer = client.get(url).send().await.map_err(|error| kubernetes_health::why_no_answer(&error))?;
    if !answer.status().is_success() {
        return Err(format!(
            "{url} answers {}; cluster-bootstrap binds the role system:monitoring to it",
            answer.status().as_u16()
        ));
    }
    answer.text().await.map_err(|error| kubernetes_health::why_no_answer(&error))
}

/// Whether the metrics say that `file` is the last one that was loaded.
fn tells(metrics: &str, file: &[u8]) -> bool {
    let wanted = format!(",hash=\"sha256:{}\"", sha256_hex(file));
    metrics.lines().any(|line| line.starts_with(METRIC) && line.contains(&wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_the_file_is_found_among_the_metrics_and_the_servers_own_is_not_taken_for_it() {
        // printf 'x' | sha256sum
        let hash = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        let line = |id: &str, hash: &str| {
            format!("# HELP x\n{METRIC}apiserver_id_hash=\"sha256:{id}\",hash=\"sha256:{hash}\"}} 1\n")
        };
        assert!(tells(&line("0", hash), b"x"));
        assert!(!tells(&line(hash, "0"), b"x"));
        assert!(!tells(&line("0", hash), b"y"));
    }
}
