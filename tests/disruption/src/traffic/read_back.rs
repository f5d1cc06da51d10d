//! Before and after the load: the namespace, the last revision that every watch must reach, and the read-back of what is
//! there. These requests are no load: they are repeated until a deadline, and not counted.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::numbered_object::{Collection, Read, ReadList};
use super::server::Server;
use super::trouble::Trouble;

const PAUSE: Duration = Duration::from_millis(200);
const LIMIT: Duration = Duration::from_secs(10);

pub(crate) struct Checker {
    server: Server,
    collection: Collection,
    deadline: Instant,
    turn: usize,
}

impl Checker {
    /// Tries until `patience` from now is over.
    pub(crate) fn new(server: Server, collection: Collection, patience: Duration) -> Self {
        Self { server, collection, deadline: Instant::now() + patience, turn: 0 }
    }

    /// Makes the namespace; a name that is taken is trouble.
    pub(crate) async fn create_namespace(&mut self, name: &str) -> Result<(), Trouble> {
        let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        let body = Bytes::from(body.to_string());
        // An attempt whose answer was lost may have made it.
        let done = |trouble: &Trouble| trouble.status == Some(409);
        self.ask(Method::POST, "/api/v1/namespaces", Some(body), done).await.map(drop)
    }

    /// The revision of the collection now; a watch from it on sees all that comes.
    pub(crate) async fn revision(&mut self) -> Result<u64, Trouble> {
        Ok(self.list().await?.metadata.revision())
    }

    /// Writes one more object, which every watch must come to see, and gives its revision.
    pub(crate) async fn last_revision(&mut self) -> Result<u64, Trouble> {
        let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "the-end" } });
        let path = self.collection.path();
        self.ask(Method::POST, &path, Some(Bytes::from(body.to_string())), |it| it.status == Some(409))
            .await?;
        let body = self.ask(Method::GET, &format!("{path}/the-end"), None, |_| false).await?;
        let read: Read = serde_json::from_slice(&body).unwrap_or_default();
        Ok(read.metadata.revision())
    }

    /// All numbered objects that are there, by a read that asks etcd's quorum.
    pub(crate) async fn found(&mut self) -> Result<BTreeMap<u64, u32>, Trouble> {
        Ok(self.list().await?.numbered())
    }

    /// Asks for the end of the namespace; its content goes in the background.
    pub(crate) async fn delete_namespace(&mut self) -> Result<(), Trouble> {
        let path = self.collection.namespace_path();
        self.ask(Method::DELETE, &path, None, |it| matches!(it.status, Some(404 | 409))).await.map(drop)
    }

    async fn list(&mut self) -> Result<ReadList, Trouble> {
        let path = self.collection.path();
        let body = self.ask(Method::GET, &path, None, |_| false).await?;
        serde_json::from_slice(&body).map_err(|error| {
            Trouble::new("an answer that is no list", error.to_string(), super::trouble::Meaning::Unclear)
        })
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        is_done: impl Fn(&Trouble) -> bool,
    ) -> Result<Bytes, Trouble> {
        loop {
            self.turn += 1;
            let attempt = async {
                let mut connection = self.server.connect(self.turn).await?;
                connection.ask(method.clone(), path, body.clone(), LIMIT).await
            };
            match attempt.await {
                Err(trouble) if is_done(&trouble) => return Ok(Bytes::new()),
                Err(trouble) => {
                    let again = timeout_at(self.deadline, tokio::time::sleep(PAUSE)).await;
                    if again.is_err() {
                        return Err(trouble);
                    }
                }
                done => return done,
            }
        }
    }
}
