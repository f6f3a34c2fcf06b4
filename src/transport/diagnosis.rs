//! Why there is no connection: what the libraries below say, in words that name what to change.
//!
//! *Problem.* *error sending request* says nothing to a lab. Whether a failure passes by itself
//! decides if it is tried again, and only the innermost error knows.
//!
//! *Approach.* The chain of causes is searched by type, and by text where a type has no public
//! name. The texts here must not hold a URL or anything of a certificate.

use std::error::Error as StdError;
use std::io;

use super::Failure;
use super::proxy::NamedProxy;

/// A failure in our terms, with what is known of it beyond that.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Diagnosis {
    pub(super) failure: Failure,
    /// Behind the name of the host.
    pub(super) detail: String,
}

/// What failed while a connection was made, `proxy` being the one that is configured.
pub(super) fn of_connection(
    error: &(dyn StdError + 'static),
    proxy: Option<&NamedProxy>,
) -> Diagnosis {
    // TLS first: a certificate is refused inside of a tunnel as well.
    let (failure, reason) = match tls(error) {
        Some(reason) => (Failure::Unconnectable, Some(reason)),
        // The texts are hyper-util's. If a release changes them, it is a failure like any other.
        None => match tunnel(error).as_deref() {
            Some(what) if what.contains("authorization required") => (
                Failure::Unconnectable,
                Some("the proxy asks for credentials, see `ClientBuilder::proxy_credentials`"),
            ),
            // Not for good: a proxy answers 502 or 503 where the host behind it is away
            // (`a_proxy_that_may_come_back_is_named_and_tried_again`).
            Some(what) if what.ends_with("unsuccessful") => {
                (Failure::Connect, Some("the proxy does not connect to it"))
            }
            _ => (Failure::Connect, None),
        },
    };
    let mut detail = proxy.map(NamedProxy::detail).unwrap_or_default();
    if let Some(reason) = reason {
        detail += ": ";
        detail += reason;
    }
    Diagnosis { failure, detail }
}

/// The failures that do not pass by themselves. Others may: a handshake that broke off, an alert of
/// a server that is overloaded.
#[cfg(any(feature = "rustls", feature = "rustls-no-provider"))]
fn tls(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    use rustls::AlertDescription::{HandshakeFailure, ProtocolVersion};
    use rustls::CertificateError as Certificate;
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage, PeerIncompatible};

    Some(match find(error)? {
        InvalidCertificate(
            Certificate::Expired
            | Certificate::ExpiredContext { .. }
            | Certificate::NotValidYet
            | Certificate::NotValidYetContext { .. },
        ) => "its certificate is not valid today: check the clock of this machine",
        InvalidCertificate(
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. },
        ) => "its certificate is for another host: check the host of the endpoint",
        InvalidCertificate(_) => {
            "its certificate is not trusted: where a proxy opens TLS to inspect it, give the proxy's \
             certificate to `ClientBuilder::root_certificate`"
        }
        // What came is no TLS record: most often plain HTTP on that port
        // (`a_port_without_tls_is_named_and_not_tried_again`).
        InvalidMessage(_) => "it speaks no TLS: check the scheme and the port of the endpoint",
        PeerIncompatible(_) | AlertReceived(HandshakeFailure | ProtocolVersion) => {
            "it has no version or cipher of TLS in common with this machine"
        }
        _ => return None,
    })
}

#[cfg(not(any(feature = "rustls", feature = "rustls-no-provider")))]
fn tls(_: &(dyn StdError + 'static)) -> Option<&'static str> {
    None
}

/// What hyper-util says of a tunnel through a proxy. Its type has no public name.
fn tunnel(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut texts = chain(error).map(ToString::to_string);
    texts.find(|text| text.starts_with("tunnel error: "))
}

/// The first of a type among an error and what led to it.
pub(super) fn find<'e, E: StdError + 'static>(
    error: &'e (dyn StdError + 'static),
) -> Option<&'e E> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// An error and what led to it. An [`io::Error`] leaves out what it is made of, where that is an error
/// of its own: it returns that one's source.
fn chain<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| {
        // Into an `io::Error` first: its `source` would skip the error that it wraps.
        let error: &'e (dyn StdError + 'static) = *error;
        match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(any(feature = "rustls", feature = "rustls-no-provider"))]
    #[test]
    fn what_cannot_heal_is_told_from_what_may() {
        use rustls::{AlertDescription, CertificateError, InvalidMessage};
        for (error, says) in [
            (
                CertificateError::UnknownIssuer.into(),
                Some("root_certificate"),
            ),
            (CertificateError::Expired.into(), Some("clock")),
            (
                CertificateError::NotValidForName.into(),
                Some("another host"),
            ),
            (InvalidMessage::InvalidContentType.into(), Some("no TLS")),
            (
                rustls::Error::AlertReceived(AlertDescription::ProtocolVersion),
                Some("version"),
            ),
            (
                rustls::Error::AlertReceived(AlertDescription::InternalError),
                None,
            ),
        ] {
            let error: rustls::Error = error;
            // As hyper-rustls and tokio-rustls wrap it.
            let wrapped = io::Error::new(io::ErrorKind::InvalidData, error);
            let Diagnosis { failure, detail } = of_connection(&io::Error::other(wrapped), None);
            assert_eq!(
                failure == Failure::Unconnectable,
                says.is_some(),
                "{detail}"
            );
            assert!(says.is_none_or(|says| detail.contains(says)), "{detail}");
        }
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let proxy = NamedProxy::new("ClientBuilder::proxy", "http://proxy.example");
        let Diagnosis { failure, detail } = of_connection(&refused, proxy.as_ref());
        assert_eq!(failure, Failure::Connect);
        assert_eq!(
            detail,
            " (`ClientBuilder::proxy` names the proxy http://proxy.example)"
        );
    }
}
