//! What a peer may cost: long bodies, silence and crowds are bounded, and others are served meanwhile.
#![allow(clippy::unwrap_used, reason = "test code: a broken expectation is a failed test")]

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use http_serving::{Limits, respond, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

const LIMITS: Limits = Limits { body_bytes: 16, read: Duration::from_millis(200), connections: 4 };

/// Runs `client` against a server that answers with the length of the body.
async fn against_a_server(client: impl AsyncFnOnce(SocketAddr)) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    LocalSet::new()
        .run_until(async {
            let handler = |request: http_serving::Request| async move {
                respond(StatusCode::OK, "text/plain", request.body.len().to_string())
            };
            let server = tokio::task::spawn_local(serve(listener, None, LIMITS, handler, stop.clone()));
            client(address).await;
            stop.cancel();
            tokio::time::timeout(Duration::from_secs(5), server).await.unwrap().unwrap();
        })
        .await;
}

async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(5), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn a_body_up_to_the_limit_is_read_and_a_longer_one_is_answered_413() {
    against_a_server(async |address| {
        let whole =
            b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 16\r\n\r\n0123456789abcdef";
        let answer = exchange(address, whole).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n16"), "{answer}");
        let long = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 17\r\n\r\n0123456789abcdefg";
        let answer = exchange(address, long).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn a_silent_peer_is_cut_and_a_slow_body_is_answered_408() {
    against_a_server(async |address| {
        let silent = exchange(address, b"GET / HTTP/1.1\r\nhost").await;
        assert!(!silent.contains(" 200 "), "{silent}");
        let slow = exchange(address, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 16\r\n\r\n0123").await;
        assert!(slow.starts_with("HTTP/1.1 408"), "{slow}");
    })
    .await;
}

#[tokio::test]
async fn a_crowd_of_silent_peers_delays_others_for_a_bounded_time_only() {
    against_a_server(async |address| {
        let mut crowd = Vec::new();
        for _ in 0..LIMITS.connections {
            crowd.push(TcpStream::connect(address).await.unwrap());
        }
        let answer = exchange(address, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    })
    .await;
}
