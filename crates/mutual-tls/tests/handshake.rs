//! A client trusts the bundle it is given and nothing else, and files are read anew for each client.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "test code: a broken expectation is a failed test"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mutual_tls::{TlsError, TlsFiles, http_client, install_provider, server_configuration};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn leaf(authority: &Authority) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

/// Serves one answer to each connection with a leaf of `authority`; gives the URL.
async fn server(authority: &Authority) -> String {
    let (certificate, key) = leaf(authority);
    let configuration = server_configuration(certificate.as_bytes(), key.as_bytes()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(configuration));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that does not trust us ends the handshake, as it should.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 1024];
            let _length = stream.read(&mut request).await;
            let _sent = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
                .await;
            let _closed = stream.shutdown().await;
        }
    });
    url
}

async fn ask(url: &str, bundle: &Path) -> Result<String, reqwest::Error> {
    let client = http_client(bundle, None, Duration::from_secs(5)).unwrap();
    client.get(url).send().await?.text().await
}

#[tokio::test]
async fn the_given_bundle_and_nothing_else_is_trusted() {
    install_provider();
    let (ours, foreign) = (authority(), authority());
    let url = server(&ours).await;
    let directory = tempfile::tempdir().unwrap();
    let bundle = directory.path().join("bundle.crt");

    std::fs::write(&bundle, foreign.pem()).unwrap();
    assert!(ask(&url, &bundle).await.unwrap_err().is_connect());
    // Read anew for each client, and old and new CA may stand in it together.
    std::fs::write(&bundle, foreign.pem() + &ours.pem()).unwrap();
    assert_eq!(ask(&url, &bundle).await.unwrap(), "ok");
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_name_and_no_key_is_shown() {
    install_provider();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let files = TlsFiles { authority: path("ca.crt"), certificate: path("tls.crt"), key: path("tls.key") };
    assert!(matches!(files.read().unwrap_err(), TlsError::Read { path, .. } if path == files.authority));

    std::fs::write(&files.authority, "no certificate").unwrap();
    let error = http_client(&files.authority, None, Duration::from_secs(1)).unwrap_err();
    assert!(error.to_string().contains("ca.crt"), "{error}");

    let (certificate, key) = leaf(&authority());
    std::fs::write(&files.certificate, certificate).unwrap();
    std::fs::write(&files.key, &key).unwrap();
    assert!(!format!("{:?}", files.read().unwrap()).contains("key_pem"));
}
