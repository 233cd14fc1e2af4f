//! The page about moving in, done as it is written.

use serde_json::{Value, json};
use tokio::process::Command;

use super::{folder, run};
use crate::{
    harness::{Test, VALIDATE},
    on_every_version,
};

on_every_version!(the_page_about_moving_in_does_what_it_says);

const PAGE: &str = include_str!("../../../docs/moving-in.md");

/// The commands of the page.
fn commands() -> String {
    let blocks = PAGE.split("```sh\n").skip(1);
    let blocks: Vec<_> = blocks
        .filter_map(|rest| Some(rest.split_once("```")?.0))
        .collect();
    assert!(blocks.len() >= 4, "the page has commands");
    blocks.concat()
}

/// The programs that the commands call, as functions of the shell.
fn programs(test: &Test) -> String {
    let operator = env!("CARGO_BIN_EXE_authentik-stage-operator");
    let kubectl = test.kubectl_command();
    let kubectl = kubectl.get_program().to_str().expect("a path of text");
    let namespace = &test.namespace;
    format!(
        "operator() {{ '{operator}' \"$@\"; }}\nkubectl() {{ '{kubectl}' --namespace {namespace} \"$@\"; }}\n"
    )
}

async fn the_page_about_moving_in_does_what_it_says(test: &Test) {
    let name = test.name("mfa");
    let body = json!({"name": name, "not_configured_action": "skip", "device_classes": ["totp"]});
    test.authentik
        .create("stages/authenticator/validate/", body)
        .await;
    // A name of a function has no dash.
    let script = commands()
        .replace("authentik-stage-operator", "operator")
        .replace("https://authentik.example.com", &test.gateway.url())
        .replace("REPLACE-WITH-AN-API-TOKEN", test.token())
        // Beside what others have there.
        .replace("--all", &format!("--name {name}"));
    let mut shell = Command::new("sh");
    shell
        .args(["-e", "-c", &format!("{}{script}", programs(test))])
        .current_dir(folder(test))
        .envs(
            test.kubectl_command()
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
    let said = run(test, shell, "").await.ends(0);
    assert!(said.out.contains("1 to take over as they are"), "{said:?}");
    let change = "notConfiguredAction: \"skip\" → \"deny\"";
    assert!(said.out.contains(change), "{said:?}");
    assert!(said.out.contains("would be locked out"), "{said:?}");
    // One change was made, and it is the last line's.
    let writes: Vec<Value> = test
        .writes()
        .into_iter()
        .filter_map(|write| write.body)
        .collect();
    assert_eq!(writes, [json!({"not_configured_action": "deny"})]);
    let resource = test.get(VALIDATE, &name.to_lowercase()).await;
    assert_eq!(resource.data["status"]["stage"]["name"], json!(name));
}
