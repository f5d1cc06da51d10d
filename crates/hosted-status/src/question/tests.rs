//! The exchange over a stream, against the real health endpoints and against servers that are none.

use health_endpoints::{HealthServer, StatusBoard};
use naming_contract::Component;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use super::*;

#[tokio::test]
async fn a_supervisors_document_is_read() {
    let asked = async {
        let server = HealthServer::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = server.address();
        let board = StatusBoard::new("demo-etcd-0", Component::Etcd, "0.1.0");
        tokio::task::spawn_local(server.serve(board, CancellationToken::new()));
        document(TcpStream::connect(address).await.unwrap()).await.unwrap()
    };
    let told = LocalSet::new().run_until(asked).await;
    assert_eq!((told.name.as_str(), told.component), ("demo-etcd-0", Component::Etcd));
}

/// What is told of a server that answers so.
async fn answered(answer: &str) -> String {
    let (ours, mut theirs) = tokio::io::duplex(4 * 1024 * 1024);
    let answer = answer.to_owned();
    tokio::spawn(async move {
        let mut request = [0; 1024];
        let _read = theirs.read(&mut request).await.unwrap();
        theirs.write_all(answer.as_bytes()).await.unwrap();
    });
    document(ours).await.unwrap_err()
}

#[tokio::test]
async fn what_is_no_document_is_told_as_such() {
    let with = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    assert!(answered(&with("404 Not Found", "")).await.contains("404"));
    assert!(answered(&with("200 OK", "{}")).await.contains("another version"));
    let large = " ".repeat(LARGEST_DOCUMENT + 1);
    assert!(
        answered(&with("200 OK", &large)).await.contains("length limit"),
        "a document of any size is read"
    );
    assert!(!answered("").await.is_empty());
}
