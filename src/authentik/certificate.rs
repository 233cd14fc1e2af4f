//! The certificate that a server shows, trusted or not.
//!
//! It is read from a handshake that ends with it: nothing is ever sent over a connection that was not verified.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use parking_lot::Mutex;
use reqwest::Url;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{client::Client, shown::Shown};

/// A server that has not shown its certificate after this long won't.
const PATIENCE: Duration = Duration::from_secs(5);

/// A server's own certificate.
#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    /// Who has signed it.
    pub issuer: Shown,
    /// Until when it is valid.
    pub until: Timestamp,
}

impl Client {
    /// The certificate that the server shows; nothing without TLS, or where it shows none. No proxy is used.
    pub async fn certificate(&self) -> Option<Certificate> {
        let shown = timeout(PATIENCE, shown(&self.0.api_root)).await.ok()??;
        let (_, certificate) = X509Certificate::from_der(&shown).ok()?;
        let until = certificate.validity().not_after.timestamp();
        Some(Certificate {
            issuer: self.show_str(&certificate.issuer().to_string()),
            until: Timestamp::from_second(until).ok()?,
        })
    }
}

async fn shown(url: &Url) -> Option<CertificateDer<'static>> {
    if url.scheme() != "https" {
        return None;
    }
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default()?;
    let provider = Arc::new(ring::default_provider());
    let seen = Arc::new(Look {
        certificate: Mutex::default(),
        provider: provider.clone(),
    });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(seen.clone())
        .with_no_client_auth();
    let stream = TcpStream::connect((host.as_str(), port)).await.ok()?;
    let name = ServerName::try_from(host).ok()?;
    // It fails: the certificate is refused as soon as it was seen.
    let _ = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    seen.certificate.lock().take()
}

/// Keeps the certificate, and refuses it.
#[derive(Debug)]
struct Look {
    certificate: Mutex<Option<CertificateDer<'static>>>,
    provider: Arc<CryptoProvider>,
}

fn refused<T>() -> Result<T, rustls::Error> {
    Err(rustls::Error::General("only looked at".to_owned()))
}

impl ServerCertVerifier for Look {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.certificate.lock() = Some(certificate.clone().into_owned());
        refused()
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        refused()
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        refused()
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
