//! How a connection is encrypted, and whom it trusts.
//!
//! *Problem.* PostgreSQL's `sslmode` has steps of trust that rustls does not know: encrypted
//! without a look at the certificate, and a certificate of the right issuer for any name.
//!
//! *Approach.* A verifier that asks the real one and passes over the one objection that the mode
//! allows, see <https://www.postgresql.org/docs/current/libpq-ssl.html>. `verify-full` must go
//! through no verifier of ours.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Error, Result};

/// What of the server's certificate is verified, as PostgreSQL's `sslmode` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verification {
    Nothing,
    /// `verify-ca`
    Issuer,
    /// `verify-full`
    Everything,
}

/// Files of a URL.
#[derive(Default)]
pub(super) struct Files {
    pub(super) root: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
}

#[derive(Clone)]
pub(super) enum Tls {
    Off,
    On(MakeRustlsConnect),
}

impl Tls {
    /// Reads files.
    pub(super) fn new(verification: Verification, files: &Files) -> Result<Self> {
        let provider = provider()?;
        let verifier: Arc<dyn ServerCertVerifier> = match (verification, &files.root) {
            (Verification::Nothing, _) => Arc::new(LenientVerifier {
                issuer: None,
                provider: Arc::clone(&provider),
            }),
            (_, Some(root)) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(root, "sslrootcert")? {
                    // Each certificate of the file must do: to pass over one would surprise
                    // somebody later.
                    let added = roots.add(certificate);
                    added.map_err(|_| unreadable(root, "sslrootcert"))?;
                }
                WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
                    .build()
                    .map_err(|_| unreadable(root, "sslrootcert"))?
            }
            (_, None) => {
                let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(&provider));
                Arc::new(verifier.map_err(tls_failed)?)
            }
        };
        let verifier = match verification {
            Verification::Issuer => Arc::new(LenientVerifier {
                issuer: Some(verifier),
                provider: Arc::clone(&provider),
            }),
            Verification::Nothing | Verification::Everything => verifier,
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(tls_failed)?
            // Needed for any verifier that is handed in, also for the platform's.
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match (&files.certificate, &files.key) {
            (None, None) => config.with_no_client_auth(),
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate, "sslcert")?;
                let private = PrivateKeyDer::from_pem_file(key);
                let private = private.map_err(|_| unreadable(key, "sslkey"))?;
                let config = config.with_client_auth_cert(chain, private);
                config.map_err(|_| unreadable(key, "sslkey"))?
            }
            _ => {
                return Err(Error::configuration(
                    "the URL of the database has one of `sslcert` and `sslkey` without the other",
                ));
            }
        };
        Ok(Tls::On(MakeRustlsConnect::new(config)))
    }

    /// Connects, and drives the connection in a task of its own, which ends with the client.
    pub(super) async fn connect(&self, config: &Config) -> Result<Client, tokio_postgres::Error> {
        // A connection that fails also fails the statement under way, which reports it.
        match self {
            Tls::Off => {
                let (client, connection) = config.connect(NoTls).await?;
                tokio::spawn(async move { drop(connection.await) });
                Ok(client)
            }
            Tls::On(tls) => {
                let (client, connection) = config.connect(tls.clone()).await?;
                tokio::spawn(async move { drop(connection.await) });
                Ok(client)
            }
        }
    }
}

fn provider() -> Result<Arc<CryptoProvider>> {
    // The one that the program has installed comes first: it may have to be a certified one.
    if let Some(provider) = CryptoProvider::get_default() {
        return Ok(Arc::clone(provider));
    }
    #[cfg(feature = "rustls")]
    return Ok(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    #[cfg(not(feature = "rustls"))]
    Err(Error::configuration(
        "encrypted connections to PostgreSQL need the feature `rustls`, or a provider that is \
         installed by `rustls::crypto::CryptoProvider::install_default`",
    ))
}

fn certificates(path: &str, parameter: &str) -> Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(Path::new(path))?.collect();
    let found: Result<Vec<_>, rustls::pki_types::pem::Error> = read();
    let found = found.ok().filter(|found| !found.is_empty());
    found.ok_or_else(|| unreadable(path, parameter))
}

fn unreadable(path: &str, parameter: &str) -> Error {
    Error::configuration(format!("cannot use the file of `{parameter}`, {path}"))
}

fn tls_failed(error: rustls::Error) -> Error {
    Error::configuration("encryption cannot be set up").with_source(error)
}

/// Asks for a certificate of that issuer, but for no name; or for none at all.
#[derive(Debug)]
struct LenientVerifier {
    issuer: Option<Arc<dyn ServerCertVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for LenientVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(issuer) = &self.issuer else {
            return Ok(ServerCertVerified::assertion());
        };
        match issuer.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // WebPKI checks the name last: the chain and the dates are good by then.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    // Signatures are verified whatever is trusted: the server must have the key of the certificate
    // that it shows.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = &self.provider.signature_verification_algorithms;
        known.supported_schemes()
    }
}
