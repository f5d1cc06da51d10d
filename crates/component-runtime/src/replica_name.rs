//! A name and a port behind which are all replicas of something, one address each, looked up at each question.
//! Refuses to remember addresses: Pods come and go.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

/// A resolver that does not answer in this time is asked again later.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(2);

/// `HOST:PORT`, where the host has one address for each replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaName {
    host: String,
    port: u16,
}

impl FromStr for ReplicaName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        let parts = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match parts {
            Some((host, port)) if port > 0 && !host.contains('/') => Ok(Self { host: host.to_owned(), port }),
            _ => Err("write it as HOST:PORT".to_owned()),
        }
    }
}

impl fmt::Display for ReplicaName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

impl ReplicaName {
    /// Their addresses now, each once and in order; the error is for people.
    pub async fn look_up(&self) -> Result<Vec<SocketAddr>, String> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let found = tokio::time::timeout(LOOK_UP_LIMIT, tokio::net::lookup_host((host, self.port))).await;
        let mut addresses: Vec<SocketAddr> = match found {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(error)) => return Err(format!("{host} has no address: nobody is there yet ({error})")),
            Err(_late) => return Err(format!("no DNS answer about {host} within {LOOK_UP_LIMIT:?}")),
        };
        addresses.sort();
        addresses.dedup();
        if addresses.is_empty() {
            Err(format!("{host} has no address: nobody is there yet"))
        } else {
            Ok(addresses)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_port_are_read_and_nothing_else_is() {
        let name: ReplicaName = "replicas.n.svc:6443".parse().unwrap();
        assert_eq!(name, ReplicaName { host: "replicas.n.svc".into(), port: 6443 });
        assert_eq!(name.to_string(), "replicas.n.svc:6443");
        for wrong in ["replicas.n.svc", ":6443", "a:0", "a:b", "https://a:x", "https://a:1"] {
            assert!(wrong.parse::<ReplicaName>().is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn addresses_of_both_families_are_found_and_nobody_is_said_to_be_there() {
        for address in ["127.0.0.7:6443", "[::1]:8686"] {
            let name: ReplicaName = address.parse().unwrap();
            assert_eq!(name.look_up().await.unwrap(), [address.parse().unwrap()]);
        }
        // A label of 64 characters is refused before any name server is asked.
        let nobody: ReplicaName = format!("{}.invalid:1", "n".repeat(64)).parse().unwrap();
        let why = nobody.look_up().await.unwrap_err();
        assert!(why.contains("nobody is there yet"), "{why}");
    }
}
