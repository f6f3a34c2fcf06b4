use super::*;

fn read(json: &str) -> Result<Config, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

fn variables<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(OsString, OsString)> {
    let pairs = pairs.into_iter();
    pairs
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// The example of the page.
const EXAMPLE: &str = include_str!("../../docs/lab-connector.json");

#[test]
fn the_example_sets_everything_but_what_has_two_forms() {
    let example: Map<String, Value> = serde_json::from_str(EXAMPLE).unwrap();
    let config = read(EXAMPLE).unwrap();
    for key in KEYS {
        let given = EXCLUSIVE.iter().any(|(text, _)| text == key) || example.contains_key(*key);
        assert!(given, "`{key}` is not in the example");
    }
    // What is written is what was read, but for values of headers.
    let mut written = config.to_json();
    assert_eq!(written["connect_timeout"], 10.0);
    let again = serde_json::from_value::<Config>(written.clone()).unwrap();
    assert_eq!(again.to_json(), written);
    assert!(written.as_object_mut().unwrap().remove("headers").is_none());
    assert_eq!(written.as_object().unwrap().len(), example.len() - 1);
    assert!(config.place().unwrap().is_some());
}

#[test]
fn a_mistake_is_named_and_no_value_is_shown() {
    for (json, named) in [
        ("[]", "a configuration is a JSON object"),
        (
            r#"{"client_secert": "canary"}"#,
            "`client_secert` is no setting; `client_secret` is probably meant",
        ),
        (r#"{"get_orders": "canary"}"#, "`endpoints.get_orders`"),
        (
            r#"{"client_id": 4711}"#,
            "`client_id` must be text that is not empty",
        ),
        (
            r#"{"client_id": " "}"#,
            "`client_id` must be text that is not empty",
        ),
        (r#"{"client_secret": 4711}"#, "`client_secret` must be text"),
        (
            r#"{"client_secret": ""}"#,
            "`client_secret` must be text that is not empty",
        ),
        (
            r#"{"token_directory": ""}"#,
            "`token_directory` must be a path",
        ),
        (
            r#"{"scopes": ["a", ""]}"#,
            "`scopes` must be a list of texts",
        ),
        (
            r#"{"headers": {"x": 4711}}"#,
            "`headers` must be an object of names and texts",
        ),
        (r#"{"pkce": "canary"}"#, "`pkce` must be true or false"),
        (
            r#"{"poll_interval": 0}"#,
            "`poll_interval` must be a number of seconds above 0",
        ),
        (r#"{"poll_interval": -4711}"#, "`poll_interval` must be"),
        (
            r#"{"concurrency": 0}"#,
            "`concurrency` must be a whole number",
        ),
        (r#"{"concurrency": 47.11}"#, "`concurrency` must be"),
        (
            r#"{"endpoints": 4711}"#,
            "`endpoints` must be an object, or the path of a file",
        ),
        (
            r#"{"client_id": "a", "clientId": "b"}"#,
            "`client_id` is given twice",
        ),
        (
            r#"{"client_secret": "canary", "client_secret_file": "x"}"#,
            "`client_secret` and `client_secret_file` are both given",
        ),
    ] {
        let error = read(json).unwrap_err();
        assert!(error.contains(named), "{json}: {error}");
        assert!(
            !error.contains("canary") && !error.contains("4711"),
            "{error}"
        );
    }
    assert!(read(r#"{"client_id": null}"#).unwrap().client_id.is_none());
}

#[test]
fn a_file_is_named_and_its_mark_is_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    let wrong = || Config::from_file(&path).unwrap_err();
    assert!(
        wrong().to_string().contains("config.json cannot be read"),
        "{}",
        wrong()
    );
    for (text, said) in [
        ("{", "it is not valid JSON"),
        (r#"{"pkce": 1}"#, "`pkce` must be"),
        // In one spelling, where the parser would take the last one without a word.
        (r#"{"pkce": true, "pkce": false}"#, "`pkce` is given twice"),
        ("[]", "a configuration is a JSON object"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = wrong();
        let text = error.to_string();
        assert!(error.is_configuration(), "{error:?}");
        assert!(
            text.contains("config.json") && text.contains(said),
            "{error}"
        );
    }
    std::fs::write(
        &path,
        "\u{FEFF}{\"ClientID\": \"a\", \"tokenDirectory\": \"t\"}",
    )
    .unwrap();
    let config = Config::from_file(&path).unwrap();
    assert_eq!(config.client_id.as_deref(), Some("a"));
    assert_eq!(config.token_directory, Some(directory.path().join("t")));
}

#[test]
fn the_environment_wins_over_the_file() {
    let config = read(r#"{"client_id": "a", "client_secret_file": "x", "scopes": ["s"]}"#).unwrap();
    let config = config
        .with_variables(variables([
            ("LAB_CONNECTOR_CLIENT_ID", "b"),
            ("LAB_CONNECTOR_CLIENT_SECRET", "canary"),
            ("LAB_CONNECTOR_SCOPES", "one, two"),
            ("LAB_CONNECTOR_HEADERS", r#"{"x-key": "canary"}"#),
            ("LAB_CONNECTOR_PKCE", "false"),
            ("LAB_CONNECTOR_POLL_INTERVAL", "60"),
            ("LAB_CONNECTOR_CLIENT_SECRET_IN_BODY", "true"),
            ("LAB_CONNECTOR_BASE_URL", ""),
            ("LAB_CONNECTOR_POSTGRES_URL", "somebody else's"),
            ("HOME", "/"),
        ]))
        .unwrap();
    assert_eq!(config.client_id.as_deref(), Some("b"));
    // In place of the file's other way to say it.
    assert!(config.client_secret_file.is_none());
    assert_eq!(config.secret().unwrap().unwrap().expose(), "canary");
    assert_eq!(config.scopes.as_deref().unwrap(), ["one", "two"]);
    assert_eq!(config.header_values().unwrap()[0].1.expose(), "canary");
    assert_eq!((config.pkce, config.base_url.as_ref()), (Some(false), None));
    assert_eq!(config.poll_interval, Some(Duration::from_secs(60)));
    assert_eq!(config.client_secret_in_body, Some(true));
    let shown = format!("{config:?} {}", config.to_json());
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn a_wrong_variable_is_named() {
    for (name, value, said) in [
        (
            "LAB_CONNECTOR_CLIENT_SECERT",
            "canary",
            "LAB_CONNECTOR_CLIENT_SECRET is probably meant",
        ),
        ("LAB_CONNECTOR_PKCE", "canary", "must be true or false"),
        (
            "LAB_CONNECTOR_HEADERS",
            "canary",
            "must be an object of names and texts",
        ),
        (
            "LAB_CONNECTOR_CONCURRENCY",
            "4711.0",
            "must be a whole number",
        ),
    ] {
        let set = Config::default().with_variables(variables([(name, value)]));
        let error = set.unwrap_err();
        let text = error.to_string();
        assert!(
            error.is_configuration() && text.contains(name) && text.contains(said),
            "{text}"
        );
        assert!(!text.contains("canary") && !text.contains("4711"), "{text}");
    }
    let both = variables([
        ("LAB_CONNECTOR_CLIENT_SECRET", "canary"),
        ("LAB_CONNECTOR_CLIENT_SECRET_FILE", "x"),
    ]);
    let text = Config::default()
        .with_variables(both)
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("both set") && !text.contains("canary"),
        "{text}"
    );
}

#[test]
fn secrets_come_from_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let config = Config {
        client_secret_file: Some(path.clone()),
        ..Config::default()
    };
    let wrong = |said: &str| {
        let error = config.secret().unwrap_err();
        let text = error.to_string();
        assert!(
            error.is_configuration() && text.contains("`client_secret_file`"),
            "{text}"
        );
        assert!(text.contains(said), "{text}");
    };
    wrong("cannot be read");
    for (bytes, said) in [(&b" \n"[..], "is empty"), (b"\xFF", "UTF-8")] {
        std::fs::write(&path, bytes).unwrap();
        wrong(said);
    }
    std::fs::write(&path, "\u{FEFF}s p\r\n").unwrap();
    assert_eq!(config.secret().unwrap().unwrap().expose(), "s p");
}
