//! Is the port free that the component will listen on. A taken one is waited for and said, not crashed into.
//! Refuses to name who holds it: that needs rights that a supervisor does not have.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use conditions::{Condition, Pace, Progress, Sighting, wait_for};
use supervision::PrepareError;

/// Waits until `address` can be listened on; an address that never can be is an error.
pub async fn wait_for_port(address: SocketAddr, progress: &dyn Progress) -> Result<(), PrepareError> {
    // The usual case says nothing: a wait that is over at once would only blink on the board.
    match try_listen(address) {
        Ok(()) => Ok(()),
        Err(error) if is_permanent(&error) => Err(refused(address, error)),
        Err(_) => wait_for(&mut PortIsFree(address), Pace::default(), progress).await,
    }
}

/// Where a component that listens on `bind_address` is reached from its own host: loopback, unless it listens on one
/// address only, which its serving certificate must then hold.
#[must_use]
pub fn reached_at(bind_address: IpAddr, port: u16) -> SocketAddr {
    let address = match bind_address {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(address, port)
}

struct PortIsFree(SocketAddr);

impl Condition for PortIsFree {
    type Output = Result<(), PrepareError>;

    fn awaits(&self) -> String {
        format!("{} to be free", self.0)
    }

    async fn look(&mut self) -> Sighting<Self::Output> {
        match try_listen(self.0) {
            Ok(()) => Sighting::Holds(Ok(())),
            Err(error) if is_permanent(&error) => Sighting::Holds(Err(refused(self.0, error))),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Sighting::NotYet("another process listens on it".to_owned())
            }
            Err(error) => Sighting::NotYet(error.to_string()),
        }
    }
}

/// Listens for an instant. std sets `SO_REUSEADDR`, as Go does: connections of an earlier child do not count.
fn try_listen(address: SocketAddr) -> io::Result<()> {
    TcpListener::bind(address).map(drop)
}

fn is_permanent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
    )
}

fn refused(address: SocketAddr, error: io::Error) -> PrepareError {
    PrepareError {
        what: format!("cannot listen on {address}"),
        remedy: "choose another address or port with --bind-address and --secure-port".to_owned(),
        source: Some(Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[derive(Default)]
    struct Recorder(RefCell<Vec<String>>);

    impl Progress for Recorder {
        fn waiting(&self, awaits: &str, last_seen: Option<&str>) {
            self.0.borrow_mut().push(format!("{awaits}: {}", last_seen.unwrap_or("-")));
        }
    }

    #[test]
    fn a_component_on_every_address_is_reached_on_loopback() {
        let reached = |bind: &str| reached_at(bind.parse().unwrap(), 1).to_string();
        assert_eq!(["0.0.0.0", "::", "192.0.2.1"].map(reached), ["127.0.0.1:1", "[::1]:1", "192.0.2.1:1"]);
    }

    #[tokio::test]
    async fn a_taken_port_is_waited_for_and_said() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap();
        let recorder = Recorder::default();
        let release = async {
            tokio::task::yield_now().await;
            drop(holder);
        };
        let (outcome, ()) = tokio::join!(wait_for_port(address, &recorder), release);
        outcome.unwrap();
        assert_eq!(
            recorder.0.into_inner(),
            [
                format!("{address} to be free: -"),
                format!("{address} to be free: another process listens on it")
            ]
        );
    }
}
