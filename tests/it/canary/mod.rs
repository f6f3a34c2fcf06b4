//! Nothing that can be printed shows a secret or a patient: neither `Debug` nor a log.

mod watched;

use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
use std::path::Path;
use std::sync::Arc;

use lab_connector::auth::{AuthorizationRequest, TokenKey, Tokens};
use lab_connector::blocking::ClosingClient;
use lab_connector::clock::Clock;
use lab_connector::inbox::store::{Commit, Outcome, PostgresStore, Save, Settlement, SqliteStore};
use lab_connector::inbox::{CaseStore, Inbox, MemoryStore};
use lab_connector::retry::RetryPolicy;
use lab_connector::simulator::{Fault, FaultRule, Faults, Simulator};
use lab_connector::transport::{self, Body, TransportError};
use lab_connector::{
    Client, Config, Endpoints, Error, FileTokenStore, MemoryTokenStore, Notification, Operation,
    Secret, TokenStore,
};
use serde_json::{Value, json};

use crate::time::MovableTime;
use crate::watch::canary;

/// Everything that was printed, under the name of its type.
#[derive(Default)]
struct Printed(Vec<(&'static str, String)>);

impl Printed {
    fn debug(&mut self, name: &'static str, value: &impl Debug) {
        self.0.push((name, format!("{value:?} {value:#?}")));
    }

    /// What is written for other programs, too.
    fn both(&mut self, name: &'static str, value: &(impl Debug + serde::Serialize)) {
        self.debug(name, value);
        self.0.push((name, serde_json::to_string(value).unwrap()));
    }

    fn error(&mut self, error: &Error) {
        let mut text = format!("{error} {error:?} {error:#?}");
        let mut source = std::error::Error::source(error);
        while let Some(error) = source {
            text += &format!(" {error} {error:?}");
            source = error.source();
        }
        self.0.push(("Error", text));
    }
}

/// Types that hold neither a secret nor what a service sent, and types that are made of one
/// value that is no secret.
const PLAIN: &[&str] = &[
    "AccountState",
    "Call",
    "Counts",
    "DueTime",
    "ListingLimits",
    "ListingCoverage",
    "NewArrival",
    "Outcome",
    "Policy",
    "PollState",
    "ProblemKind",
    // Of settings and a handler; its inbox prints as one.
    "Poller",
    "WorkflowEvent",
    "Workload",
    "Span",
    "Action",
    "UnknownAction",
    "Behaviour",
    "SimulatorBuilder",
    "ClockMode",
    "Fault",
    "FaultRule",
    "Faults",
    "ResetAt",
    "InvalidSettings",
    "GroundTruth",
    "ShownState",
    "Day",
    "FileKind",
    "Jaw",
    "Limits",
    "PackageName",
    "Reason",
    "Page",
    // Connected to a database, it is printed where its errors are tested.
    "PostgresStore",
    "$name",
    "InvalidRequest",
    "Operation",
    "Progress",
    "Refusal",
    "RetryPolicy",
];

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

#[tokio::test]
async fn no_type_that_can_hold_a_secret_prints_it() {
    let mut printed = Printed::default();
    let mut secrets = vec!["client-secret-canary".to_owned()];
    let service = Simulator::start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryTokenStore::new());
    let time = MovableTime::default();
    let builder = || {
        Client::builder()
            .endpoints(service.endpoints())
            .credentials(service.client_id(), service.client_secret())
            .redirect_url(service.redirect_url())
            .authorization_parameter("login_hint", "canary@example.org")
            .token_store(Arc::clone(&store))
    };
    secrets.push(service.client_secret().to_owned());
    printed.debug("ClientBuilder", &builder());
    let client = builder().build().unwrap();
    let login = client.login("canary@example.org");
    let request = login.authorize().unwrap();
    let kept: Value = serde_json::from_str(&request.expose_json()).unwrap();
    for name in ["state", "code_verifier"] {
        secrets.push(kept[name].as_str().unwrap().to_owned());
    }
    let redirected = service.consent(request.url()).unwrap();
    let mut pairs = redirected.query_pairs();
    let code = pairs
        .find(|(name, _)| name == "code")
        .unwrap()
        .1
        .into_owned();
    assert!(
        canary(&code).is_some(),
        "the watch does not know a code: {code}"
    );
    secrets.push(code);
    login.finish(&request, &redirected).await.unwrap();
    let account = login.accounts().await.unwrap().remove(0);
    let pairing = login
        .pair("L-1")
        .notification_url("https://x.example/?key=canary");
    printed.debug("Pairing", &pairing);
    let lab = login.pair("L-1").await.unwrap();

    for key in [
        TokenKey::Login("canary@example.org".into()),
        TokenKey::Account("L-1".into()),
    ] {
        let tokens = store.load(&key).await.unwrap().unwrap();
        let exposed: Value = serde_json::from_str(&tokens.expose_json()).unwrap();
        for name in ["access_token", "refresh_token"] {
            let token = exposed[name].as_str().unwrap();
            assert!(
                canary(token).is_some(),
                "the watch does not know a token: {token}"
            );
            secrets.push(token.to_owned());
        }
        printed.debug("Tokens", &tokens);
        printed.debug("TokenKey", &key);
        let files = FileTokenStore::open(directory.path().join("tokens")).unwrap();
        assert!(files.swap(&key, None, &tokens).await.unwrap());
        printed.debug("FileTokenStore", &files);
        for entry in std::fs::read_dir(directory.path().join("tokens")).unwrap() {
            std::fs::write(entry.unwrap().path(), "canary").unwrap();
        }
        printed.error(&files.load(&key).await.unwrap_err());
        files.clear(&key).await.unwrap();
        std::fs::remove_dir_all(directory.path().join("tokens")).unwrap();
        printed.error(&files.probe(&key).await.unwrap_err());
        printed.error(&files.swap(&key, None, &tokens).await.unwrap_err());
        let database = SqliteStore::open(directory.path().join("cases.db")).await;
        let database = database.unwrap();
        let _ = database.swap(&key, None, &tokens).await.unwrap();
        printed.debug("SqliteStore", &database);
    }

    let order_id = service.scan("L-1").unwrap();
    let listing = lab.orders().list().await.unwrap();
    let order = &listing.orders()[0];
    let patient = serde_json::to_string(&order.extra()).unwrap();
    assert!(
        canary(&patient).is_some(),
        "the watch does not know a patient: {patient}"
    );
    let asset = &order.assets()[0];
    let cases = MemoryStore::new();
    let inbox: Inbox = lab.inbox(cases.clone());
    let round = inbox.poll().await.unwrap();
    let id = lab.id();
    let kept = cases.cases(id, None, 10).await.unwrap();
    let save = Save::new(kept[0].case.clone(), kept[0].order.clone(), Vec::new());
    let claimed = cases.claim(id, "a", 1, std::time::Duration::ZERO, time.now());
    let claimed = claimed.await.unwrap();
    assert!(!claimed.is_empty());
    printed.debug("ClaimedDelivery", &claimed);
    printed.debug("Case", &kept[0].case);
    printed.debug("StoredCase", &kept);
    printed.debug("Save", &save);
    let commit = Commit::new(vec![save]);
    printed.debug("Commit", &commit);
    printed.debug("MemoryStore", &cases);
    let settlement = Settlement::new(1, "a".into(), Outcome::Acknowledged);
    printed.debug("Settlement", &settlement);
    let deliveries = inbox.claim(10).await.unwrap();
    assert!(!deliveries.is_empty());
    printed.debug("Delivery", &deliveries);
    let files = deliveries[0].download_all(directory.path()).await.unwrap();
    printed.debug("DeliveryFiles", &files);
    printed.debug("DownloadedFile", &files.export().unwrap());
    service.send_to_modeling(&order_id).unwrap();
    // An empty listing is believed when a second one agrees.
    inbox.poll().await.unwrap();
    inbox.poll().await.unwrap();
    let changes = inbox.arrivals_after(1, 10).await.unwrap();
    assert!(!changes.is_empty());
    printed.both("LoggedArrival", &changes);
    printed.both("CaseHistory", &inbox.history(&order_id).await.unwrap());
    printed.both("Stats", &inbox.stats().await.unwrap());

    printed.debug("Secret", &Secret::new("client-secret-canary"));
    printed.debug("AuthorizationRequest", &request);
    let restored = AuthorizationRequest::from_json(&request.expose_json()).unwrap();
    printed.debug("AuthorizationRequest", &restored);
    printed.debug("MemoryTokenStore", &store);
    printed.debug(
        "Health",
        &(login.health().await.unwrap(), lab.health().await.unwrap()),
    );
    printed.debug("Client", &client);
    printed.debug("Login", &login);
    printed.debug("Lab", &lab);

    let check = client.check().login("canary@example.org").account("L-1");
    printed.debug("Check", &check);
    let report = check.zip().await;
    assert!(report.is_good(), "{report}");
    printed.debug("CheckReport", &report);
    printed
        .0
        .push(("CheckReport", format!("{report} {}", json(&report))));
    printed.debug("ClosingClient", &ClosingClient::new(client.clone()));
    let mut config = Config::default();
    config.client_secret = Some("client-secret-canary".into());
    config.proxy = Some("http://me:client-secret-canary@proxy.example".into());
    printed.debug("Config", &config);
    printed.0.push(("Config", config.to_json().to_string()));
    printed.debug("Endpoints", &client.endpoints());
    printed.debug("Account", &account);
    printed.debug("Orders", &lab.orders());
    printed.debug("Listing", &listing);
    printed.debug("Order", order);
    printed.debug("Arrival", &order.history());
    printed.debug("Asset", asset);
    printed.debug("Prescription", &order.prescription());
    printed.debug("Download", &lab.download(order, asset));
    let reason = "canary's margin is not visible";
    printed.debug(
        "ReturnScan",
        &lab.orders().return_to_doctor("1").reason(reason),
    );
    let raw = lab
        .request(http::Method::GET, "accounts/{account_id}/orders")
        .query("patient", "canary")
        .header("x-patient", "canary")
        .json(json!({ "patient": "canary" }));
    printed.debug("RawRequest", &raw);
    printed.debug("Inbox", &inbox);
    printed.both("PollReport", &round);
    let all = lab.download_all(listing.orders());
    printed.debug("DownloadAll", &all);
    let fetched = all.to_directory(directory.path()).await;
    assert!(!fetched.is_empty());
    printed.debug("FetchedFile", &fetched);
    printed.debug("Simulator", &service);
    let body = json!({ "rxId": "1", "accountNumber": "2", "patient": "canary" }).to_string();
    let notification = Notification::parse(body.as_bytes());
    printed.debug("Notification", &notification.unwrap());
    printed.debug("Body", &Body::from("canary"));

    // What a service can make an error of, by answers and by failing.
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    time.advance(0);
    for (status, body) in [
        (200, "<html>canary</html>"),
        (200, "canary"),
        (
            200,
            r#"{"orders": [{"orderId": "1", "status": {"canary": 1}, "patient": "canary"}]}"#,
        ),
        (
            200,
            r#"[{"orderId": {"canary": "canary"}, "patient": "canary"}]"#,
        ),
        (400, r#"{"error": "invalid_request", "token": "canary"}"#),
        (401, r#"{"error": {"code": 1, "patient": "canary"}}"#),
        (500, "canary"),
        (0, ""),
    ] {
        let transport = transport::from_fn(move |_| async move {
            if status == 0 {
                return Err(TransportError::broken("it broke"));
            }
            let answer = http::Response::builder().status(status);
            Ok(answer.body(Body::from(body)).unwrap())
        });
        let kept = store
            .load(&TokenKey::Account("L-1".into()))
            .await
            .unwrap()
            .unwrap();
        let own = MemoryTokenStore::new();
        assert!(
            own.swap(&TokenKey::Account("L-1".into()), None, &kept)
                .await
                .unwrap()
        );
        let client = Client::builder()
            .endpoints(Endpoints::from_base_url("https://a.example").unwrap())
            .credentials("id", "client-secret-canary")
            .redirect_url("https://software.example/")
            .retry(RetryPolicy::never())
            .on_retry({
                let told = Arc::clone(&told);
                move |event| told.lock().unwrap().push(format!("{event:?}"))
            })
            .transport(transport)
            .clock(time.clone())
            .token_store(own)
            .build()
            .unwrap();
        let lab = client.account("L-1");
        match lab.orders().list().await {
            Ok(listing) => {
                printed.debug("Listing", &listing);
                for record in listing.unreadable() {
                    printed.debug("Unreadable", record);
                }
            }
            Err(error) => printed.error(&error),
        }
        for error in [
            lab.orders().by_rx(&"1".into()).await.err(),
            lab.revoke().await.err(),
            client.discover().await.err(),
            client.login("me").finish(&request, &redirected).await.err(),
        ]
        .into_iter()
        .flatten()
        {
            printed.error(&error);
        }
    }
    let told = told.lock().unwrap().clone();
    assert!(!told.is_empty());
    printed.debug("RetryEvent", &told);
    printed.error(&Tokens::from_json("canary").unwrap_err());
    printed.error(&AuthorizationRequest::from_json("canary").unwrap_err());
    printed.error(&Endpoints::from_json("canary").unwrap_err());
    let address = "postgres://canary:canary@canary.example/canary";
    printed.debug("PostgresStoreBuilder", &PostgresStore::builder(address));
    printed.debug("TransportError", &TransportError::broken("it broke"));
    let mut faults = Faults::default();
    let refused = Fault::Status {
        code: 400,
        retry_after: None,
    };
    let rule = FaultRule::new(refused).on(Operation::GetOrderByRxId);
    faults.rules.push(rule);
    service.set_faults(faults).unwrap();
    let body = json!({ "rxId": "unknown", "accountNumber": "L-1" });
    inbox.notify(&Notification::parse(body.to_string().as_bytes()).unwrap());
    let round = inbox.poll().await.unwrap();
    assert!(!round.problems().is_empty());
    for problem in round.problems() {
        printed.debug("Problem", problem);
        printed.debug("Problem", &problem.to_string());
    }

    print_packages(&mut printed, &lab, &service, directory.path()).await;

    for (name, text) in &printed.0 {
        if let Some(found) = canary(text) {
            panic!("{name} prints {found}: {text}");
        }
        for secret in &secrets {
            assert!(!text.contains(secret), "{name} prints {secret}: {text}");
        }
    }
    // None is forgotten: a new public type is either printed above or among the plain ones.
    let known: BTreeSet<_> = printed
        .0
        .iter()
        .map(|(name, _)| *name)
        .chain(PLAIN.iter().copied())
        .collect();
    let missing: Vec<_> = public_types()
        .into_iter()
        .filter(|name| !known.contains(name.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "print these too, they may hold a secret: {missing:?}"
    );
}

/// The names of the public structures and enumerations outside of the pure part.
fn public_types() -> BTreeSet<String> {
    fn visit(path: &Path, names: &mut BTreeSet<String>) {
        if path.is_dir() {
            for entry in std::fs::read_dir(path).unwrap() {
                visit(&entry.unwrap().path(), names);
            }
            return;
        }
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let line = line.trim_start();
            let rest = line
                .strip_prefix("pub struct ")
                .or(line.strip_prefix("pub enum "));
            if let Some(rest) = rest {
                let end = |c: char| !c.is_alphanumeric() && c != '_' && c != '$';
                names.extend(rest.split(end).next().map(str::to_owned));
            }
        }
    }
    let mut names = BTreeSet::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    for entry in std::fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        // Statuses and flow know neither secrets nor patients.
        if !path.ends_with("flow") && !path.ends_with("status.rs") {
            visit(&path, &mut names);
        }
    }
    assert!(
        names.contains("Secret") && names.contains("$name"),
        "{names:?}"
    );
    names
}

/// Whether a type has a trait: an inherent constant wins over that of a trait.
struct Has<T>(std::marker::PhantomData<T>);

trait Lacks {
    const DISPLAY: bool = false;
    const SERIALIZE: bool = false;
}

impl<T> Lacks for Has<T> {}

impl<T: Display> Has<T> {
    const DISPLAY: bool = true;
}

impl<T: serde::Serialize> Has<T> {
    const SERIALIZE: bool = true;
}

#[test]
fn secrets_are_neither_displayed_nor_serialized() {
    macro_rules! lacks_both {
        ($($name:ty),* $(,)?) => {
            $(assert!(!Has::<$name>::DISPLAY && !Has::<$name>::SERIALIZE, stringify!($name));)*
        };
    }
    lacks_both!(
        Secret,
        Tokens,
        AuthorizationRequest,
        MemoryTokenStore,
        FileTokenStore,
        PostgresStore,
        SqliteStore,
        Client
    );
    // The question can be answered with yes.
    const { assert!(Has::<String>::DISPLAY && Has::<Endpoints>::SERIALIZE) };
}

/// What the feature `export` has that may hold a patient's data.
async fn print_packages(
    printed: &mut Printed,
    lab: &lab_connector::Lab,
    service: &Simulator,
    directory: &std::path::Path,
) {
    use lab_connector::export::{Contents, Manifest, Package};

    printed.debug("Sensitive", &lab_connector::Sensitive::new("canary"));
    let xml =
        br#"<iTeroExport Version="5.0" Other="canary"><RxInfo OrderID="1" Patient="canary, canary"
        ChartNumber="canary" Doctor="canary" DoctorLicense="canary" Notes="canary">
        <Teeth><Tooth AdaId="14">canary</Tooth></Teeth>
        <Bridges><Bridge Id="1">canary</Bridge></Bridges>
        <Remark>canary</Remark></RxInfo>
        <ExportedObjects><Object ObjectType="1" JawId="1" FileName="canary.stl"/></ExportedObjects>
        </iTeroExport>"#;
    let manifest = Manifest::parse(xml).unwrap();
    printed.debug("Manifest", &manifest);
    printed.debug("Prescription", manifest.prescription());
    printed.debug("Tooth", &manifest.prescription().teeth());

    service.scan("L-1").unwrap();
    let listing = lab.orders().list().await.unwrap();
    let order = &listing.orders()[0];
    let asset = order.assets().iter().find(|asset| asset.is_export());
    let path = directory.join("case.zip");
    let download = lab.download(order, asset.unwrap());
    download.to_file(&path).await.unwrap();
    let package = Package::open(&path).unwrap();
    printed.debug("Package", &package);
    printed.debug("PackedFile", &package.files());
    let files = package.files().to_vec();
    let contents = Contents::of(&files, Some(&manifest));
    printed.debug("Contents", &contents);
    printed.debug("Surface", &contents.surfaces);
}
