//! Resources that belong together: in whatever order they arrive, nobody is warned; and those that wait for one another
//! are told so.

use authentik_stage_operator::api::conditions;
use serde_json::{Value, json};

use crate::{
    gitops,
    harness::{DUO, Test, VALIDATE, condition, message, test, with},
    harness_more::{CONNECTION, warnings},
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Secret,
    Connection,
    Duo,
    Validate,
}

/// All orders of these.
fn orders(parts: &[Part]) -> Vec<Vec<Part>> {
    if parts.is_empty() {
        return vec![Vec::new()];
    }
    let first = |first: &Part| {
        let rest: Vec<_> = parts.iter().copied().filter(|part| part != first).collect();
        let with_first = |order: Vec<Part>| [vec![*first], order].concat();
        orders(&rest)
            .into_iter()
            .map(with_first)
            .collect::<Vec<_>>()
    };
    parts.iter().flat_map(first).collect()
}

async fn apply(test: &Test, part: Part, n: usize) {
    let (secret, connection) = (format!("secret-{n}"), format!("connection-{n}"));
    let duo = format!("duo-{n}");
    let reference = json!({"connectionRef": {"name": connection}});
    match part {
        Part::Secret => {
            let data = json!({"token": test.token(), "client": test.canary("client")});
            test.secret(&secret, data).await;
        }
        Part::Connection => {
            let token = json!({"name": secret, "key": "token"});
            let spec = json!({"url": test.gateway.url(), "tokenSecretRef": token});
            test.apply(CONNECTION, &connection, spec).await;
        }
        Part::Duo => {
            let client = json!({"secretKeyRef": {"name": secret, "key": "client"}});
            let fields = json!({
                "name": test.name(&duo), "clientSecret": client,
                "configureFlow": {"slug": test.name("enrol")},
            });
            let spec = with(test.duo_spec_without_secret(), fields);
            test.apply(DUO, &duo, with(spec, reference)).await;
        }
        Part::Validate => {
            let name = format!("mfa-{n}");
            let fields = json!({
                "notConfiguredAction": "configure",
                "configurationStages": [{"resource": {"kind": DUO, "name": duo}}],
                "flows": [{"flow": {"slug": test.name("login")}, "order": n}],
            });
            test.validate(&name, with(fields, reference)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_in_which_a_bundle_arrives_warns_nobody() {
    test(async |test| {
        test.flow("login").await;
        test.flow("enrol").await;
        let parts = [Part::Secret, Part::Connection, Part::Duo, Part::Validate];
        for (n, order) in orders(&parts).into_iter().enumerate() {
            for part in &order {
                apply(test, *part, n).await;
            }
            test.in_sync(DUO, &format!("duo-{n}")).await;
            test.in_sync(VALIDATE, &format!("mfa-{n}")).await;
            let connection = format!("connection-{n}");
            test.reason(CONNECTION, &connection, "Connected").await;
            let warnings = warnings(test).await;
            assert_eq!(warnings, Vec::<String>::new(), "{order:?}");
        }
    })
    .await;
}

/// The kinds of `examples/complete.yaml`, and its resources of each.
const COMPLETE: [(&str, &[&str]); 5] = [
    (
        "Flow",
        &[
            "confirm",
            "set-up-totp",
            "set-up-security-key",
            "set-up-recovery-codes",
        ],
    ),
    (VALIDATE, &["confirm"]),
    ("AuthenticatorTOTPStage", &["totp"]),
    ("AuthenticatorWebAuthnStage", &["security-key"]),
    ("AuthenticatorStaticStage", &["recovery-codes"]),
];

/// Applies the complete example in this order, and checks what becomes of it.
async fn complete_example(test: &Test, arrange: impl FnOnce(&mut Vec<&str>)) {
    let text = gitops::example(test, "complete.yaml");
    let mut parts: Vec<_> = text.split("\n---\n").collect();
    arrange(&mut parts);
    test.connect().await;
    for part in &parts {
        gitops::apply(test, part).await;
    }
    let mut resources = 0;
    for (kind, names) in COMPLETE {
        for name in names {
            test.in_sync(kind, name).await;
            resources += 1;
        }
    }
    assert_eq!(resources, parts.len(), "all of the example is looked at");
    assert_eq!(warnings(test).await, Vec::<String>::new());
    let confirm = test.get(VALIDATE, "confirm").await;
    let stage = &confirm.data["status"]["stage"];
    let slug = format!("{}-company-confirm", test.namespace);
    assert_eq!(stage["flows"], json!([slug]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_complete_example_needs_nothing_that_is_there() {
    test(async |test| complete_example(test, |_| ()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_complete_example_is_applied_in_any_order() {
    test(async |test| complete_example(test, |parts| parts.reverse()).await).await;
}

/// A validation stage through whose own kind people enrol.
fn refers_to(test: &Test, name: &str, to: &str) -> Value {
    json!({
        "name": test.name(name), "notConfiguredAction": "configure",
        "configurationStages": [{"resource": {"kind": VALIDATE, "name": to}}],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_that_wait_for_one_another_are_told_of_the_circle() {
    test(async |test| {
        test.connect().await;
        let circles: [&[&str]; 3] = [
            &["alone"],
            &["pair-one", "pair-two"],
            &["ring-one", "ring-two", "ring-three"],
        ];
        for circle in circles {
            let nexts = circle.iter().cycle().skip(1);
            for (name, next) in circle.iter().zip(nexts) {
                let spec = refers_to(test, name, next);
                test.apply(VALIDATE, name, spec).await;
            }
        }
        for circle in circles {
            for name in circle {
                let told = |object: Option<&kube::api::DynamicObject>| {
                    object.is_some_and(|object| {
                        condition(object, conditions::READY).is_some()
                            && message(object).contains("circle")
                    })
                };
                let resource = test.until(VALIDATE, name, "told", told).await;
                let resource = resource.expect("it is there");
                let reason = crate::harness_more::reason_of(&resource).unwrap_or_default();
                assert!(
                    matches!(reason, "ReferenceNotFound" | "InvalidSpec"),
                    "{reason}"
                );
                let says = message(&resource);
                for member in circle {
                    assert!(says.contains(member), "{member}: {says}");
                }
            }
        }
        assert_eq!(test.written(), []);
        // It ends at whichever place it is broken.
        let totp = test.totp_stage("totp").await;
        for circle in circles {
            let broken = json!({
                "name": test.name(circle[0]), "notConfiguredAction": "configure",
                "configurationStages": [{"uuid": totp}],
            });
            test.apply(VALIDATE, circle[0], broken).await;
            for name in circle {
                test.in_sync(VALIDATE, name).await;
            }
        }
    })
    .await;
}
