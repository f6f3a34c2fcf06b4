//! Why there is no connection: what the libraries below say, in words that name what to change.

use std::error::Error as StdError;
use std::io;

use url::Url;

use super::Failure;
use crate::endpoints::origin;

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
    let (failure, reason) = match tls(error) {
        Some(reason) => (Failure::Unconnectable, Some(reason)),
        None => match tunnel(error).as_deref() {
            Some(what) if what.contains("authorization required") => (
                Failure::Unconnectable,
                Some("the proxy asks for credentials, see `ClientBuilder::proxy_credentials`"),
            ),
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

/// What does not pass by itself. The rest (a handshake that broke off, an alert of a server that is
/// overloaded) may.
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
/// of its own: it gives that one's source.
fn chain<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| {
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

/// A proxy, as an error may name it, and the setting that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedProxy {
    setting: &'static str,
    place: String,
}

impl NamedProxy {
    /// Of a URL, or of a host and a port as they stand in the environment. Without user and password.
    pub(super) fn new(setting: &'static str, text: &str) -> Option<Self> {
        let whole = Url::parse(text).ok().filter(Url::has_host);
        let url = whole.or_else(|| Url::parse(&format!("http://{text}")).ok())?;
        Some(NamedProxy {
            setting,
            place: origin::display(&url),
        })
    }

    /// The one that the environment names for https.
    pub(super) fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
            .into_iter()
            .find_map(|name| {
                let text = variable(name).filter(|text| !text.is_empty())?;
                NamedProxy::new(name, &text)
            })
    }

    /// Whether it was asked is not known: `NO_PROXY` makes exceptions.
    fn detail(&self) -> String {
        format!(" (`{}` names the proxy {})", self.setting, self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_named_without_its_password() {
        let environment = |name: &'static str, value: &'static str| {
            NamedProxy::of_environment(|asked| (asked == name).then(|| value.to_owned()))
        };
        for (name, value, detail) in [
            (
                "HTTPS_PROXY",
                "http://user:canary@proxy.example:3128/canary",
                " (`HTTPS_PROXY` names the proxy http://proxy.example:3128)",
            ),
            (
                "all_proxy",
                "user:canary@proxy.example:3128",
                " (`all_proxy` names the proxy http://proxy.example:3128)",
            ),
            (
                "https_proxy",
                "proxy.example:3128",
                " (`https_proxy` names the proxy http://proxy.example:3128)",
            ),
        ] {
            assert_eq!(environment(name, value).unwrap().detail(), detail);
        }
        assert_eq!(environment("HTTPS_PROXY", ""), None);
        assert_eq!(environment("NO_PROXY", "lab.example"), None);
    }

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
