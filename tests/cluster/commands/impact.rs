//! `impact`: whom a change hits, before it hits them.

use authentik_stage_operator::ops::permissions;
use devkit::simulator::{DeviceKind, NewDevice};
use reqwest::Method;
use serde_json::json;

use super::{bare, command, manifest, run, stream};
use crate::harness::{Test, VALIDATE, test};

/// A stage that lets everybody in who has an app or a security key, and skips the others.
async fn stage(test: &Test) {
    let body = json!({
        "name": test.name("mfa"), "not_configured_action": "skip", "device_classes": ["totp", "webauthn"],
    });
    test.authentik
        .create("stages/authenticator/validate/", body)
        .await;
}

fn change(test: &Test, classes: &[&str], action: &str) -> String {
    let spec = json!({
        "name": test.name("mfa"), "notConfiguredAction": action, "deviceClasses": classes,
        "adoptionPolicy": "Always",
    });
    stream(&[manifest(test, VALIDATE, "mfa", spec)])
}

#[tokio::test(flavor = "multi_thread")]
async fn who_would_be_locked_out_is_counted_and_named_when_asked() {
    test(async |test| {
        // A real server has people of its own, who can't be counted on.
        let Some(simulator) = &test.simulator else {
            return;
        };
        stage(test).await;
        for (name, kind) in [("ann", DeviceKind::Totp), ("bob", DeviceKind::WebAuthn)] {
            let user = simulator.add_person(name, "internal");
            simulator.give_device(user, NewDevice::of(kind, "first"));
        }
        simulator.add_person("cy", "external");
        let to_keys = change(test, &["webauthn"], "deny");
        let args = ["impact", "-f", "-", "--output", "json", "--users"];
        let report = run(test, command(test, &args), &to_keys)
            .await
            .ends(0)
            .json();
        // The administrator has no device.
        assert_eq!(report[0]["locked_out"], 3, "{report:#}");
        let text = run(test, command(test, &["impact", "-f", "-"]), &to_keys)
            .await
            .ends(0);
        assert!(
            text.out.contains("3 of 4 people would be locked out"),
            "{text:?}"
        );
        assert!(!text.out.contains("ann"), "{text:?}");
        let named = run(
            test,
            command(test, &["impact", "-f", "-", "--users"]),
            &to_keys,
        )
        .await;
        assert!(
            named.out.contains("ann") && named.out.contains("cy"),
            "{named:?}"
        );
        for (most, code) in [("2", 2), ("3", 0)] {
            let args = ["impact", "-f", "-", "--fail-on-lockout", most];
            run(test, command(test, &args), &to_keys).await.ends(code);
        }
        let same = change(test, &["totp", "webauthn"], "skip");
        let said = run(test, command(test, &["impact", "-f", "-"]), &same)
            .await
            .ends(0);
        assert_eq!(said.out, "No validation stage would change.\n");
        assert_eq!(test.writes().len(), 0);
        let codes = test.gateway.audit();
        assert!(
            codes
                .iter()
                .all(|asked| !asked.path.contains("admin/static")),
            "{codes:?}"
        );
    })
    .await;
}

/// A stage more costs no request a person more.
#[tokio::test(flavor = "multi_thread")]
async fn people_are_asked_for_once_for_all_stages_of_a_server() {
    test(async |test| {
        let Some(simulator) = &test.simulator else {
            return;
        };
        for name in ["ann", "bob", "cy"] {
            simulator.add_person(name, "internal");
        }
        let deny = |name: &str| {
            let spec = json!({"name": test.name(name), "notConfiguredAction": "deny"});
            manifest(test, VALIDATE, name, spec)
        };
        let manifests = stream(&["one", "two", "three"].map(deny));
        let args = ["impact", "-f", "-", "--output", "json"];
        let report = run(test, command(test, &args), &manifests)
            .await
            .ends(0)
            .json();
        let locked_out = report
            .as_array()
            .expect("reports")
            .iter()
            .map(|of| &of["locked_out"]);
        // The administrator is one of them.
        assert_eq!(locked_out.collect::<Vec<_>>(), [4; 3], "{report:#}");
        let asked = test
            .gateway
            .count("GET", "/api/v3/authenticators/admin/all/");
        assert_eq!(asked, 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_listed_as_optional_is_enough_beside_what_the_operator_needs() {
    test(async |test| {
        let Some(simulator) = &test.simulator else {
            return;
        };
        stage(test).await;
        let all = permissions::all()
            .into_iter()
            .chain(permissions::optional());
        let views = all.filter(|permission| permission.method == Method::GET);
        let views: Vec<_> = views.map(|permission| permission.name).collect();
        let without = |left_out: &str| {
            let rest = views.iter().map(String::as_str);
            let rest: Vec<_> = rest.filter(|name| *name != left_out).collect();
            simulator.create_token(&rest)
        };
        let change = change(test, &["totp", "webauthn", "duo", "sms", "email"], "deny");
        let ends = async |left_out: &str, code| {
            let mut impact = bare(&["impact", "-f", "-", "--url", &test.gateway.url()]);
            impact.env("AUTHENTIK_TOKEN", without(left_out));
            run(test, impact, &change).await.ends(code)
        };
        ends("", 0).await;
        let of_impact = permissions::optional().into_iter();
        for permission in of_impact.filter(|of| of.purpose.starts_with("`impact`")) {
            ends(&permission.name, 1).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_shown_devices_is_no_proof_that_nobody_has_one() {
    test(async |test| {
        let Some(simulator) = &test.simulator else {
            return;
        };
        stage(test).await;
        let token = simulator.create_token(&[
            "authentik_stages_authenticator_validate.view_authenticatorvalidatestage",
            "authentik_core.view_user",
        ]);
        let mut blind = bare(&["impact", "-f", "-", "--url", &test.gateway.url()]);
        blind.env("AUTHENTIK_TOKEN", token);
        let said = run(test, blind, &change(test, &["webauthn"], "deny"))
            .await
            .ends(1);
        assert_eq!(said.out, "");
        assert!(said.err.contains("device"), "{said:?}");
    })
    .await;
}
