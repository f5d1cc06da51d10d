//! One DNS question, asked as a Pod's resolver would.
//! Refuses everything but the address of the `kubernetes` Service.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::layout::{CLUSTER_DOMAIN, DNS_ADDRESS};

const ANSWER_LIMIT: Duration = Duration::from_secs(1);
const QUESTION_ID: [u8; 2] = [0x70, 0x68];

/// Whether cluster DNS, asked through its Service from the network that we are in, knows the API servers' Service.
/// Blocks for a second at most.
#[must_use]
pub fn answers_for_kubernetes() -> bool {
    ask(&format!("kubernetes.default.svc.{CLUSTER_DOMAIN}")).unwrap_or(false)
}

fn ask(name: &str) -> std::io::Result<bool> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(ANSWER_LIMIT))?;
    let server: SocketAddr = format!("{DNS_ADDRESS}:53").parse().map_err(std::io::Error::other)?;
    socket.connect(server)?;
    socket.send(&question(name))?;
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer)?;
    Ok(has_answers(&buffer[..length]))
}

/// A question for an A record (RFC 1035, section 4).
fn question(name: &str) -> Vec<u8> {
    // Recursion desired, one question.
    let mut message = [QUESTION_ID.as_slice(), &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

fn has_answers(message: &[u8]) -> bool {
    let [first, second, _, flags, _, _, high, low, ..] = message else { return false };
    // The low four bits say what went wrong.
    let fine = flags % 16 == 0;
    fine && [*first, *second] == QUESTION_ID && (*high, *low) != (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_to_our_question_without_an_error() {
        let mut message = question("kubernetes.default.svc.cluster.local");
        assert_eq!(&message[12..23], b"\x0akubernetes");
        assert!(!has_answers(&message));
        message[7] = 1;
        assert!(has_answers(&message));
        message[3] = 3;
        assert!(!has_answers(&message), "no such name");
        assert!(!has_answers(&[]));
    }
}
