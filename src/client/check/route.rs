//! Through what requests go, and who says so. Pure.
//!
//! Behind a proxy that nobody knew of, other findings mislead. So the report names it with the variable
//! or setting that it is from. Its password must not be kept, and is dropped when the client is built.

use url::Url;

use crate::endpoints::origin;
use crate::transport::proxy::{SystemProxies, SystemRoute};
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
            // The URL may hold a password. One that cannot be parsed shows as nothing: `build` refuses
            // it right after this.
            Proxy::At(url) => Route::Proxy(proxy::place(url.expose()).unwrap_or_default()),
        }
    }

    /// The route to a URL in words, and where that is from.
    pub(super) fn describe(&self, url: &Url, system: &SystemProxies) -> String {
        match self {
            Route::Own => "by the application's own transport".to_owned(),
            Route::Direct => "without a proxy, as the setting `proxy` says".to_owned(),
            Route::Proxy(proxy) => {
                format!("through the proxy {proxy}, as the setting `proxy` says")
            }
            Route::System if origin::is_loopback(url) => {
                "without a proxy: it is this machine".to_owned()
            }
            Route::System => match system.route(url) {
                SystemRoute::Direct => {
                    "without a proxy: neither a variable nor the system's settings name one"
                        .to_owned()
                }
                SystemRoute::Excepted {
                    variable,
                    exception: Some(exception),
                } => format!(
                    "without a proxy: {exception} excepts this host from the one that {variable} names"
                ),
                SystemRoute::Excepted { variable, .. } => {
                    format!("without a proxy: what {variable} names is not taken for one")
                }
                SystemRoute::Proxy(proxy) => proxy.route(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_named_with_where_it_is_from_and_without_its_password() {
        let url = Url::parse("https://a.example/").unwrap();
        let said =
            |route: &Route, set: &[(&str, &str)]| route.describe(&url, &SystemProxies::of(set));
        let proxy = Proxy::At("http://user:canary@proxy.example:3128/".into());
        assert_eq!(Route::of(true, &proxy), Route::Own);
        let route = Route::of(false, &proxy);
        assert_eq!(
            said(&route, &[]),
            "through the proxy http://proxy.example:3128, as the setting `proxy` says"
        );
        let mut set = [
            ("https_proxy", "user:canary@p.example:80"),
            ("HTTP_PROXY", "x"),
            ("NO_PROXY", "b"),
        ];
        assert_eq!(
            said(&Route::System, &set),
            "through the proxy http://p.example, as the variable https_proxy says"
        );
        set[2].1 = "example";
        assert_eq!(
            said(&Route::System, &set),
            "without a proxy: NO_PROXY excepts this host from the one that https_proxy names"
        );
        let unusable = [("HTTPS_PROXY", "ftp://user:canary@p.example")];
        assert_eq!(
            said(&Route::System, &unusable),
            "without a proxy: what HTTPS_PROXY names is not taken for one"
        );
        assert!(said(&Route::System, &[]).starts_with("without a proxy: neither"));
        assert!(said(&Route::Direct, &set).contains("setting `proxy`"));
        let here = Url::parse("http://127.0.0.1:1/").unwrap();
        let everywhere = SystemProxies::of(&[("ALL_PROXY", "x")]);
        let text = Route::System.describe(&here, &everywhere);
        assert!(text.contains("this machine"), "{text}");
    }
}
