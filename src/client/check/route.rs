//! Through what requests go, and who says so. Pure.

use url::Url;

use crate::endpoints::origin;
use crate::transport::{Proxy, proxy};

/// How a client reaches the service.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::client) enum Route {
    /// As a transport of the application's own does it.
    Own,
    /// By the environment and the system.
    System,
    /// Without a proxy, by the configuration.
    Direct,
    /// Through the proxy of the configuration: its origin, without user and password.
    Proxy(String),
}

impl Route {
    /// The route of a client with a transport of its `own`, or by its proxy.
    pub(in crate::client) fn of(own: bool, proxy: &Proxy) -> Self {
        match proxy {
            _ if own => Route::Own,
            Proxy::System => Route::System,
            Proxy::None => Route::Direct,
            // The URL may hold a password.
            Proxy::At(url) => Route::Proxy(proxy::place(url.expose()).unwrap_or_default()),
        }
    }

    /// The route to a URL in words, and where that is from.
    pub(super) fn describe(&self, url: &Url, variable: impl Fn(&str) -> Option<String>) -> String {
        match self {
            Route::Own => "by the application's own transport".to_owned(),
            Route::Direct => "without a proxy, as the setting `proxy` says".to_owned(),
            Route::Proxy(proxy) => {
                format!("through the proxy {proxy}, as the setting `proxy` says")
            }
            Route::System if origin::is_loopback(url) => {
                "without a proxy: it is this machine".to_owned()
            }
            Route::System => by_environment(url, variable),
        }
    }
}

fn by_environment(url: &Url, variable: impl Fn(&str) -> Option<String>) -> String {
    let Some((name, value)) = proxy::variables(url.scheme(), &variable).next() else {
        return "without a proxy, unless the system's settings name one; no variable does"
            .to_owned();
    };
    let proxy = proxy::place(&value).unwrap_or_else(|| "that is no URL".to_owned());
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.trim().is_empty());
    let except = ["NO_PROXY", "no_proxy"]
        .into_iter()
        .find(|name| is_set(name));
    let except = except.map(|name| format!("; {name} is set too, and may except this host"));
    format!(
        "through the proxy {proxy}, as the variable {name} says{}",
        except.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_named_with_where_it_is_from_and_without_its_password() {
        let url = Url::parse("https://a.example/").unwrap();
        let said = |route: &Route, set: &[(&str, &str)]| {
            route.describe(&url, |name| {
                let found = set.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let proxy = Proxy::At("http://user:canary@proxy.example:3128/".into());
        assert_eq!(Route::of(true, &proxy), Route::Own);
        let route = Route::of(false, &proxy);
        assert_eq!(
            said(&route, &[]),
            "through the proxy http://proxy.example:3128, as the setting `proxy` says"
        );
        let set = [
            ("https_proxy", "user:canary@p.example:80"),
            ("HTTP_PROXY", "x"),
            ("NO_PROXY", "b"),
        ];
        let text = said(&Route::System, &set);
        assert!(
            text.starts_with(
                "through the proxy http://p.example, as the variable https_proxy says; NO_PROXY"
            ),
            "{text}"
        );
        assert!(!text.contains("canary"), "{text}");
        assert!(said(&Route::System, &[]).starts_with("without a proxy"));
        assert!(said(&Route::Direct, &set).contains("setting `proxy`"));
        let here = Url::parse("http://127.0.0.1:1/").unwrap();
        assert!(
            Route::System
                .describe(&here, |_| Some("x".into()))
                .contains("this machine")
        );
    }
}
