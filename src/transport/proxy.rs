//! The proxy that a client goes through, as it may be named: without user and password.

use url::Url;

use crate::endpoints::origin;

/// The variables that name a proxy for URLs of a scheme, in the order in which they count, with their
/// values. One that is blank is not set.
pub(crate) fn variables(
    scheme: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> impl Iterator<Item = (&'static str, String)> {
    let names: [&str; 4] = match scheme {
        "https" => ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
        _ => ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"],
    };
    names.into_iter().filter_map(move |name| {
        let value = variable(name)?;
        (!value.trim().is_empty()).then_some((name, value))
    })
}

/// The origin of a proxy: of a URL, or of a host and a port as they stand in the environment. None
/// if it is neither.
pub(crate) fn place(text: &str) -> Option<String> {
    let url = match text.contains("://") {
        true => Url::parse(text),
        false => Url::parse(&format!("http://{text}")),
    };
    Some(origin::display(&url.ok()?))
}

/// A proxy, as an error may name it, and the setting that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedProxy {
    setting: &'static str,
    place: String,
}

impl NamedProxy {
    pub(super) fn new(setting: &'static str, text: &str) -> Option<Self> {
        let place = place(text)?;
        Some(NamedProxy { setting, place })
    }

    /// The one that the environment names for https.
    pub(super) fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        variables("https", variable).find_map(|(name, value)| NamedProxy::new(name, &value))
    }

    /// Whether it was asked is not known: `NO_PROXY` makes exceptions.
    pub(super) fn detail(&self) -> String {
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
}
