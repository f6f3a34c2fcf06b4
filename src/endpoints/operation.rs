//! The services of the Lab Connector API, in one table.
//!
//! The names are Align's, methods and paths are ours. The client, the simulator, Discovery and the
//! configuration go by this one table, so that they cannot drift apart. Names of configurations must
//! not change: files hold them.

use std::fmt;

use http::Method;

use crate::key::same_spelling;

macro_rules! operations {
    ($($variant:ident = $name:literal $(or $alias:literal)*, $title:literal, $method:ident $path:literal, $meaning:literal;)*) => {
        /// A service of the Lab Connector API.
        ///
        /// The services are documented by Align by name. Methods and paths are not public:
        /// those given here are conventions of this crate, used where neither Discovery nor a
        /// configuration says otherwise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Operation {
            $(
                #[doc = concat!("*", $title, "*: ", $meaning, ". Convention: `", stringify!($method), " ", $path, "`.")]
                $variant,
            )*
        }

        impl Operation {
            /// Every operation.
            pub const ALL: &'static [Operation] = &[$(Operation::$variant),*];

            /// The name that configurations use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Operation::$variant => $name),* }
            }

            /// Align's name for the service.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Operation::$variant => $title),* }
            }

            /// The conventional method.
            #[must_use]
            pub const fn method(self) -> Method {
                match self { $(Operation::$variant => Method::$method),* }
            }

            /// The conventional path, below the base URL: a URI template of RFC 6570, level 1.
            #[must_use]
            pub const fn path(self) -> &'static str {
                match self { $(Operation::$variant => $path),* }
            }

            /// The operation that goes by this name, in whatever spelling: its own name, or
            /// Align's.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Operation> {
                // Blanks count as little as `_`: Align's names have them.
                let letters = |text: &str| -> String {
                    text.chars()
                        .filter(|c| c.is_alphanumeric())
                        .flat_map(char::to_lowercase)
                        .collect()
                };
                let wanted = letters(name);
                Operation::ALL.iter().copied().find(|operation| {
                    letters(operation.name()) == wanted
                        || operation.aliases().iter().any(|alias| *alias == wanted)
                })
            }

            fn aliases(self) -> &'static [&'static str] {
                match self { $(Operation::$variant => &[$($alias),*]),* }
            }
        }
    };
}

operations! {
    Authorization = "authorization" or "authorize", "Authorization", GET "oauth/authorize",
        "the page on which a user signs in and agrees";
    GetToken = "get_token" or "token", "Get Token", POST "oauth/token",
        "an authorization code becomes tokens";
    RefreshToken = "refresh_token" or "refresh", "Refresh Token", POST "oauth/token",
        "a refresh token becomes a new access token";
    RevokeToken = "revoke_token" or "revoke", "Revoke Token", POST "oauth/revoke",
        "the end of a token, like a log-out";
    Discovery = "discovery", "Discovery", GET "discovery",
        "the regional domain and path of all endpoints";
    GetAccounts = "get_accounts" or "accounts" or "getaccountsforpairing", "Get Accounts", GET "accounts",
        "the accounts that a login may act for";
    Pair = "pair", "Pair", POST "accounts/{account_id}/pair",
        "binds the software to one account and gives new tokens for it";
    Unpair = "unpair", "Un Pair", POST "accounts/{account_id}/unpair",
        "ends a pairing";
    GetOrders = "get_orders" or "orders", "Get Orders", GET "accounts/{account_id}/orders",
        "the cases that wait for the lab";
    GetOrderByRxId = "get_order_by_rx_id" or "getorderbyrx", "Get Order by Rx Id", GET "accounts/{account_id}/rx/{rx_id}",
        "one order, whatever its status";
    DownloadAsset = "download_asset" or "asset", "Download Asset", GET "accounts/{account_id}/orders/{order_id}/assets/{asset_id}",
        "a file of an order";
    ReturnScan = "return_scan" or "return", "Return Scan", POST "accounts/{account_id}/orders/{order_id}/return",
        "sends an order back to the doctor";
    CreateNewOrder = "create_new_order", "Create New Order", POST "scanning-tool/create-new-order",
        "development only: a scan without a scanner";
    CreateNewOrderByRx = "create_new_order_by_rx", "Create New Order by Rx", POST "scanning-tool/create-new-order-by-rx",
        "development only: a scan of a prescription that exists";
    AvailableProcedureMaps = "available_procedure_maps", "Available Procedure Maps", GET "scanning-tool/available-procedure-maps",
        "development only: the procedures that a scan can be made for";
}

impl Operation {
    /// Whether it has no effect, and may be repeated. Some services read with POST, and some write with
    /// GET: so this is the operation's own, whatever method the configuration gives it.
    pub(crate) fn only_reads(self) -> bool {
        // By the table and not by the configured endpoint, which may be any method
        // (`an_effect_is_not_repeated`).
        self.method() == Method::GET
    }

    /// Its URI template must have one of these variables: without it, no request could say what it is
    /// about, and the service would answer with some order. The account follows from the token as well.
    pub(crate) fn needs(self) -> &'static [&'static str] {
        match self {
            Operation::GetOrderByRxId => &["rx_id"],
            Operation::ReturnScan => &["order_id"],
            Operation::DownloadAsset => &["asset_id", "order_id"],
            _ => &[],
        }
    }

    /// Whether its URI template may ask for a variable: those of its conventional path.
    pub(crate) fn has_variable(self, name: &str) -> bool {
        let after = self.path().split('{').skip(1);
        after
            .filter_map(|rest| Some(rest.split_once('}')?.0))
            .any(|known| same_spelling(name, known))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.title())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_spelling_and_lead_to_one_operation() {
        for operation in Operation::ALL {
            assert_eq!(Operation::from_name(operation.name()), Some(*operation));
            assert_eq!(Operation::from_name(operation.title()), Some(*operation));
        }
        assert_eq!(
            Operation::from_name("GetOrders"),
            Some(Operation::GetOrders)
        );
        assert_eq!(Operation::from_name("Un-Pair"), Some(Operation::Unpair));
        assert_eq!(Operation::from_name("order"), None);
    }
}
