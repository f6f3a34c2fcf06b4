//! The endpoints of a configuration: by what Align issues, and one by one.
//!
//! Align issues a base URL, one of authorization and a sign-in page; what stands below them is
//! convention. So whoever names a single endpoint knows better than a base, and Discovery better than a
//! convention (`what_align_issues_has_its_place_and_single_endpoints_win`).

use http::Method;
use serde_json::{Value, json};

use super::json::named;
use super::{EndpointSource, Endpoints, Operation};
use crate::error::Result;
use crate::key::same_spelling;

/// The operations below the base URL of authorization. Convention.
const OAUTH: [Operation; 4] = [
    Operation::Authorization,
    Operation::GetToken,
    Operation::RefreshToken,
    Operation::RevokeToken,
];

impl Endpoints {
    /// The endpoints of a configuration; none if it has nothing to say of them.
    ///
    /// # Errors
    ///
    /// A setting is no URL, or not in the form of [`Endpoints::from_json`]. The error names it.
    pub(crate) fn configured(
        base_url: Option<&str>,
        oauth_base: Option<&str>,
        login_page: Option<&str>,
        endpoints: Option<&Value>,
        shapes: Option<&Value>,
    ) -> Result<Option<Self>> {
        let said = [base_url, oauth_base, login_page]
            .iter()
            .any(Option::is_some);
        if !said && endpoints.is_none() && shapes.is_none() {
            return Ok(None);
        }
        let mut whole = json!({ "base_url": base_url, "endpoints": endpoints, "shapes": shapes });
        // The file may have a base URL and shapes as well: those of the configuration win.
        if let Some(Value::String(path)) = endpoints {
            let mut file = Self::file_object(path)?;
            for (name, value) in [
                ("base_url", base_url.map(Value::from)),
                ("shapes", shapes.cloned()),
            ] {
                if let Some(value) = value {
                    // The file may spell it otherwise, and the first of two would be read.
                    file.retain(|key, _| !same_spelling(key, name));
                    file.insert(name.to_owned(), value);
                }
            }
            whole = Value::Object(file);
        }
        if shapes.is_none() && whole["shapes"].is_null() {
            // `null` is not a way to leave the shapes out of `from_value`.
            whole.as_object_mut().map(|whole| whole.remove("shapes"));
        }
        let mut endpoints = Self::from_value(&whole)?;
        if let Some(base) = oauth_base {
            let below = Self::from_base_url(base).map_err(|error| named("oauth_base", &error))?;
            for operation in OAUTH {
                let known = endpoints.map.get(&operation);
                // An endpoint that is named by itself wins over both bases.
                if known.is_none_or(|known| known.source == EndpointSource::Convention) {
                    endpoints
                        .map
                        // It keeps the rank of a convention, so that Discovery may override it.
                        .insert(operation, below.resolve(operation)?.clone());
                }
            }
        }
        if let Some(page) = login_page {
            let known = endpoints.map.get(&Operation::Authorization);
            if known.is_none_or(|known| known.source != EndpointSource::Configured) {
                endpoints
                    .set(Operation::Authorization, Method::GET, page)
                    .map_err(|error| named("login_page", &error))?;
            }
        }
        Ok(Some(endpoints))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(endpoints: &Endpoints, operation: Operation) -> String {
        endpoints.endpoint(operation).unwrap().1.to_owned()
    }

    #[test]
    fn what_align_issues_has_its_place_and_single_endpoints_win() {
        let single = json!({ "get_token": "token", "get_orders": "https://c.example/o" });
        let endpoints = Endpoints::configured(
            Some("https://a.example/v1"),
            Some("https://b.example/"),
            Some("https://b.example/u/login"),
            Some(&single),
            None,
        );
        let endpoints = endpoints.unwrap().unwrap();
        for (operation, expected) in [
            (Operation::Authorization, "https://b.example/u/login"),
            (Operation::GetToken, "https://a.example/v1/token"),
            (Operation::RefreshToken, "https://b.example/oauth/token"),
            (Operation::RevokeToken, "https://b.example/oauth/revoke"),
            (Operation::GetOrders, "https://c.example/o"),
            (Operation::GetAccounts, "https://a.example/v1/accounts"),
        ] {
            assert_eq!(url(&endpoints, operation), expected);
        }
        // Discovery may still say where tokens are had, and not where users type passwords.
        let answer =
            br#"{"refresh_token": "https://d.example/", "authorization": "https://d.example/"}"#;
        let found = super::super::discovery::read(answer, &endpoints).unwrap();
        let merged = endpoints.overridden_by(&found);
        assert_eq!(url(&merged, Operation::RefreshToken), "https://d.example/");
        assert_eq!(
            url(&merged, Operation::Authorization),
            "https://b.example/u/login"
        );
    }

    #[test]
    fn a_file_that_holds_no_object_is_named() {
        for text in ["[]", "7", "\"https://a.example\"", "null"] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            let path = Value::from(file.path().to_str().unwrap());
            for base in [None, Some("https://a.example")] {
                let read = Endpoints::configured(base, None, None, Some(&path), None);
                let error = read.unwrap_err();
                assert!(error.is_configuration());
                let name = file.path().display().to_string();
                assert!(error.to_string().contains(&name), "{text}: {error}");
            }
        }
    }

    #[test]
    fn a_base_wins_over_that_of_the_file_in_any_spelling() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"BaseUrl": "https://file.example"}"#).unwrap();
        let path = Value::from(file.path().to_str().unwrap());
        let base = Some("https://a.example");
        let endpoints = Endpoints::configured(base, None, None, Some(&path), None);
        let endpoints = endpoints.unwrap().unwrap();
        let orders = url(&endpoints, Operation::GetOrders);
        assert!(orders.starts_with("https://a.example/"), "{orders}");
    }

    #[test]
    fn mistakes_are_named_by_their_setting() {
        let of =
            |oauth, page| Endpoints::configured(Some("https://a.example"), oauth, page, None, None);
        for (wrong, named) in [
            (of(Some("nowhere"), None), "`oauth_base`"),
            (of(None, Some("https://a.example/#x")), "`login_page`"),
            (
                Endpoints::configured(None, Some("https://a.example"), None, None, None),
                "base_url",
            ),
        ] {
            let error = wrong.unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        assert!(
            Endpoints::configured(None, None, None, None, None)
                .unwrap()
                .is_none()
        );
    }
}
