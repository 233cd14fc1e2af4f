//! What is read of a Terraform state.

use std::process::Command;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::export::terraform::{Held, read};

const KINDS: [&str; 2] = ["authentik_stage_authenticator_duo", "authentik_flow"];
const STAGE: Uuid = Uuid::from_u128(1);

fn state(resources: Value) -> Result<Vec<Held>, String> {
    let state = json!({"version": 4, "terraform_version": "1.9.0", "resources": resources});
    read(state.to_string().as_bytes(), &KINDS)
}

/// A Duo stage's resource with this module and these instances.
fn duo(module: Option<&str>, instances: Value) -> Value {
    json!({
        "mode": "managed", "type": KINDS[0], "name": "main", "module": module,
        "provider": "provider[\"registry.terraform.io/goauthentik/authentik\"]", "instances": instances,
    })
}

fn instance(index: Value) -> Value {
    json!({"index_key": index, "schema_version": 0, "attributes": {"id": STAGE, "client_secret": "s3cr3t", "more": {"a": [1]}}})
}

/// The arguments that a shell makes of a command.
fn by_shell(command: &str) -> Vec<String> {
    let script = format!("terraform() {{ printf '%s\\0' \"$@\"; }}; {command}");
    let done = Command::new("sh").args(["-c", &script]).output();
    let text = String::from_utf8(done.expect("a shell").stdout).expect("text");
    text.split_terminator('\0').map(str::to_owned).collect()
}

#[test]
fn addresses_are_as_terraform_writes_them_and_survive_a_shell() {
    let plain = "authentik_stage_authenticator_duo.main";
    for (module, index, address) in [
        (None, Value::Null, plain.to_owned()),
        (
            Some("module.a.module.b[\"c d\"]"),
            json!(0),
            format!("module.a.module.b[\"c d\"].{plain}[0]"),
        ),
        (None, json!("key"), format!("{plain}[\"key\"]")),
        (
            None,
            json!("it's $HOME `id` !"),
            format!("{plain}[\"it's $HOME `id` !\"]"),
        ),
        (
            None,
            json!("a\"b\\c\n${d}%{e}$f"),
            format!("{plain}[\"a\\\"b\\\\c\\n$${{d}}%%{{e}}$f\"]"),
        ),
        (
            None,
            json!("\u{1b}[31m\u{202e}é"),
            format!("{plain}[\"\\U0000001b[31m\\U0000202eé\"]"),
        ),
    ] {
        let held = state(json!([duo(module, json!([instance(index)]))])).expect("a state");
        assert_eq!(held[0].address, address);
        let command = held[0].forget();
        assert_eq!(command.lines().count(), 1);
        assert_eq!(by_shell(&command), ["state", "rm", &address], "{command}");
    }
}

#[test]
fn only_what_is_managed_and_of_these_types_counts() {
    let of = |mode: &str, kind: &str, instances: Value| json!({"mode": mode, "type": kind, "name": "main", "instances": instances});
    let one = json!([instance(Value::Null)]);
    let mut deposed = instance(Value::Null);
    deposed["deposed"] = json!("0a1b2c3d");
    let held = state(json!([
        of("data", KINDS[0], one.clone()),
        of("managed", "authentik_user", one.clone()),
        of(
            "managed",
            "other",
            json!([{"attributes": {"id": 7, "slug": ["a"]}}, {"attributes_flat": {}}, {}])
        ),
        of("managed", KINDS[0], json!([deposed])),
        of("managed", KINDS[0], one),
    ]));
    assert_eq!(held.expect("a state").len(), 1);
    assert_eq!(read(br#"{"version": 4}"#, &KINDS), Ok(Vec::new()));
}

#[test]
fn an_object_is_known_by_its_uuid_and_a_flow_without_one_by_its_slug() {
    let flow = |attributes: Value| {
        let resource = json!({"mode": "managed", "type": KINDS[1], "name": "a", "instances": [{"attributes": attributes}]});
        state(json!([resource])).expect("a state").swap_remove(0)
    };
    let is = |held: &Held| held.is(KINDS[1], STAGE, Some("login"));
    let other = Uuid::from_u128(2);
    for (attributes, is_it) in [
        (json!({"id": STAGE}), true),
        (json!({"id": "login", "uuid": STAGE, "slug": "other"}), true),
        (json!({"id": "login"}), true),
        (json!({"id": "login", "slug": "login"}), true),
        (json!({"id": other, "slug": "login"}), false),
        (json!({"id": "other"}), false),
        (json!({}), false),
    ] {
        assert_eq!(is(&flow(attributes.clone())), is_it, "{attributes}");
    }
    let held = flow(json!({"id": "login"}));
    assert!(!held.is(KINDS[0], STAGE, Some("login")) && !held.is(KINDS[1], STAGE, None));
    assert!(held.is(KINDS[1], other, Some("login")));
}

#[test]
fn what_is_no_state_is_told_without_a_word_of_it() {
    for (text, told) in [
        ("", "it is no Terraform state of version 4"),
        ("[]", "it is no Terraform state of version 4"),
        ("{}", "it is no Terraform state of version 4"),
        (
            r#"{"version": "s3cr3t"}"#,
            "it is no Terraform state of version 4",
        ),
        (
            r#"{"version": 3, "modules": []}"#,
            "it is a Terraform state of version 3; this reads version 4",
        ),
        (
            r#"{"version": 4, "resources": "s3cr3t"}"#,
            "it is no Terraform state of version 4",
        ),
        (
            r#"{"version": 4, "resources": [{"mode": "managed", "type": "authentik_flow", "name": "a\n", "instances": []}]}"#,
            "it names a resource with control characters",
        ),
    ] {
        let why = read(text.as_bytes(), &KINDS).expect_err("no state");
        assert!(why.starts_with(told), "{text}: {why}");
        assert!(!why.contains("s3cr3t"), "{why}");
    }
}
