//! `status`: how the resources of a cluster stand.

use devkit::kubernetes::{self, Kubernetes, User};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{bare, run, terminal::Terminal};
use crate::harness::{DUO, FLOW, Test, VALIDATE, test};

/// `status`, as an administrator.
fn status(test: &Test, args: &[&str]) -> Command {
    let args = [&["status"], args].concat();
    let mut command = bare(&args);
    command.env("KUBECONFIG", test.admin_kubeconfig());
    command
}

/// `status` of the test's namespace.
pub fn here<'a>(test: &'a Test, args: &[&'a str]) -> Command {
    status(test, &[&["--namespace", &test.namespace], args].concat())
}

/// The resource of this kind.
#[track_caller]
fn of<'a>(report: &'a Value, kind: &str) -> &'a Value {
    let resources = report["resources"].as_array().expect("resources");
    let found = resources.iter().find(|row| row["kind"] == kind);
    found.unwrap_or_else(|| panic!("{kind}: {report:#}"))
}

/// A stage in sync, one that waits for its Secret, and one that waits for a flow.
pub async fn some(test: &Test) {
    test.connect().await;
    test.validate("mfa", json!({})).await;
    test.in_sync(VALIDATE, "mfa").await;
    test.apply(DUO, "duo", test.duo_spec_without_secret()).await;
    test.reason(DUO, "duo", "SecretNotFound").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_shows_what_is_well_and_what_waits_for_what() {
    test(async |test| {
        some(test).await;
        let waiting =
            json!({"flows": [{"flow": {"resource": {"kind": FLOW, "name": "login"}}, "order": 1}]});
        test.validate("waiting", waiting).await;
        test.reason(VALIDATE, "waiting", "ReferenceNotFound").await;
        let report = run(test, here(test, &["-o", "json"]), "")
            .await
            .ends(0)
            .json();
        let resources = report["resources"].as_array().unwrap();
        assert_eq!(resources.len(), 4, "{report:#}");
        let mfa = of(&report, VALIDATE);
        assert_eq!(
            (&mfa["ready"], &mfa["stage"]),
            (&json!("True"), &json!(test.name("mfa")))
        );
        assert_eq!(mfa["server"], test.gateway.url());
        assert!(
            mfa["lastChange"].is_string() && mfa["waitsFor"].is_null(),
            "{mfa}"
        );
        let duo = of(&report, DUO);
        assert_eq!(duo["waitsFor"], format!("Secret {}/duo", test.namespace));
        let waiting = resources
            .iter()
            .find(|row| row["name"] == "waiting")
            .unwrap();
        assert_eq!(waiting["waitsFor"], "Flow login", "{report:#}");
        assert_eq!(of(&report, "AuthentikConnection")["reason"], "Connected");

        let said = run(test, here(test, &[]), "").await.ends(0);
        let lines: Vec<_> = said.out.lines().collect();
        assert!(
            lines[0].starts_with("KIND ") && lines[0].ends_with("WAITS FOR"),
            "{said:?}"
        );
        assert_eq!(
            *lines.last().unwrap(),
            "4 resources: 2 ready, 2 not ready, 0 not known yet, 2 waiting"
        );
        assert!(
            !said.out.contains('\u{1b}') && said.err.is_empty(),
            "{said:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_namespaces_are_shown_when_asked_for_and_no_other_else() {
    test(async |test| {
        test.connect().await;
        let path = format!("{}/default", test.namespace);
        let said = run(test, status(test, &["-A"]), "").await.ends(0);
        assert!(said.out.contains(&path), "{said:?}");
        let said = run(test, status(test, &["-n", "no-such-namespace"]), "")
            .await
            .ends(0);
        assert_eq!(said.out, "no resources; -A looks in all namespaces\n");
        let said = run(test, status(test, &["-A", "-n", "a"]), "")
            .await
            .ends(1);
        assert!(said.err.contains("cannot be used with"), "{said:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cluster_it_says_what_to_do() {
    test(async |test| {
        let mut nowhere = status(test, &[]);
        nowhere.env("KUBECONFIG", "/no/such/file");
        let said = run(test, nowhere, "").await.ends(1);
        assert!(said.err.contains("set KUBECONFIG"), "{said:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_the_crds_is_told_how_to_get_them() {
    test(async |test| {
        let options = kubernetes::Options {
            controller_manager: false,
        };
        let empty = Kubernetes::start(options).await.expect("Kubernetes starts");
        for args in [&["-A"][..], &["-n", "default"], &["-A", "--watch"]] {
            let mut asked = status(test, args);
            asked.env("KUBECONFIG", empty.kubeconfig(User::Admin));
            let said = run(test, asked, "").await.ends(1);
            assert_eq!(said.out, "");
            for what in [
                "none of the operator's CRDs",
                "authentik-stage-operator crds",
            ] {
                assert!(said.err.contains(what), "{args:?}: {said:?}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_tell_well_from_ill_on_a_terminal() {
    test(async |test| {
        some(test).await;
        let kubeconfig = test.admin_kubeconfig();
        let here = ("KUBECONFIG", kubeconfig.to_str().unwrap());
        let args = ["status", "--namespace", &test.namespace];
        let (shown, code) = Terminal::start(test, &args, &[here]).ends().await;
        assert_eq!(code, 0);
        let row = |name: &str| {
            let path = format!("{}/{name} ", test.namespace);
            let mut lines = shown.lines();
            let line = lines.find(|line| line.contains(&path));
            line.unwrap_or_else(|| panic!("{name}: {shown:?}"))
        };
        assert!(row("mfa").contains("\u{1b}[32mTrue\u{1b}[0m"), "{shown:?}");
        assert!(row("duo").contains("\u{1b}[31mFalse\u{1b}[0m"), "{shown:?}");
        let plain = [here, ("NO_COLOR", "1")];
        let (shown, _) = Terminal::start(test, &args, &plain).ends().await;
        assert!(
            shown.contains("SecretNotFound") && !shown.contains('\u{1b}'),
            "{shown:?}"
        );
    })
    .await;
}
