//! What is said of a stage's places in flows.

use serde_json::{Value, json};
use uuid::Uuid;

use super::support::{Named, parsed, read};
use crate::{
    authentik::{Collection, Version},
    export::{Frame, Manifest, Object, Schema, manifest},
    kinds::AuthenticatorTOTPStage,
    plan::bindings::Binding,
};

const STAGE: Uuid = Uuid::from_u128(1);
const LOGIN: Uuid = Uuid::from_u128(11);
const OTHER: Uuid = Uuid::from_u128(12);

fn binding(pk: u128, flow: Uuid, order: i32, settings: Value) -> Binding {
    let mut row =
        json!({"pk": Uuid::from_u128(pk), "target": flow, "stage": STAGE, "order": order});
    let fields = row.as_object_mut().expect("an object");
    fields.extend(settings.as_object().expect("settings").clone());
    serde_json::from_str(&row.to_string()).expect("a binding")
}

/// The manifest of a stage that is shown to be in these flows and has these bindings.
fn made(flows: &[Uuid], bindings: &[Binding]) -> Manifest {
    let flow_set: Value = flows
        .iter()
        .map(|pk| json!({"pk": pk, "slug": "a"}))
        .collect();
    let row = json!({"name": "totp", "digits": "6", "flow_set": flow_set});
    let named = Named(vec![((Collection::FLOWS, LOGIN), "login".to_owned())]);
    let frame = Frame {
        schema: &Schema::of::<AuthenticatorTOTPStage>(),
        version: &Version::parse(""),
        labels: &named.labels(),
        namespace: None,
    };
    let object = Object {
        live: &read::<AuthenticatorTOTPStage>(STAGE, row),
        resource: "totp",
        bindings: Some(bindings),
    };
    manifest::<AuthenticatorTOTPStage>(&frame, &object).expect("a manifest")
}

fn text(made: &Manifest) -> String {
    made.yaml().expect("a text")
}

#[test]
fn places_are_said_in_their_order_with_all_settings() {
    let all = json!({
        "evaluate_on_plan": true, "re_evaluate_policies": false,
        "invalid_response_action": "restart_with_context", "policy_engine_mode": "all",
    });
    let bindings = [
        binding(7, OTHER, 20, json!({})),
        binding(8, LOGIN, -5, all),
        binding(9, LOGIN, 20, json!({})),
    ];
    let made = made(&[OTHER, LOGIN], &bindings);
    let text = text(&made);
    let (_, flows) = text.split_once("  flows:\n").expect("flows");
    let expected = "  - flow:
      slug: login
    order: -5
    evaluateOnPlan: true
    reEvaluatePolicies: false
    invalidResponseAction: restart_with_context
    policyEngineMode: all
  - flow:
      slug: login
    order: 20
  - flow:
      uuid: 00000000-0000-0000-0000-00000000000c
    order: 20
";
    assert_eq!(flows, expected);
    assert_eq!(made.bindings.len(), 3);
}

#[test]
fn a_stage_in_no_flow_says_so() {
    let made = made(&[], &[]);
    assert_eq!(parsed(&text(&made))["spec"]["flows"], json!([]));
}

#[test]
fn a_setting_that_nobody_knows_is_left_out_and_told() {
    let made = made(
        &[LOGIN],
        &[binding(
            7,
            LOGIN,
            1,
            json!({"invalid_response_action": "telepathy"}),
        )],
    );
    let text = text(&made);
    let flows = json!([{"flow": {"slug": "login"}, "order": 1}]);
    assert_eq!(parsed(&text)["spec"]["flows"], flows);
    let comment = "# flows: invalidResponseAction: authentik holds a value that this version";
    assert!(text.contains(comment), "{text}");
}

#[test]
fn places_that_are_not_all_known_or_can_not_be_said_are_left_out() {
    let one = binding(7, LOGIN, 1, json!({}));
    let twice = [one.clone(), binding(8, LOGIN, 1, json!({}))];
    let nowhere = json!({"evaluate_on_plan": false, "re_evaluate_policies": false});
    let many: Vec<_> = (0..65)
        .map(|n| binding(100 + n as u128, LOGIN, n, json!({})))
        .collect();
    for (flows, bindings) in [
        (&[LOGIN, OTHER][..], &[one.clone()][..]),
        (&[], std::slice::from_ref(&one)),
        (&[LOGIN], &[]),
        (&[LOGIN], &twice),
        (&[LOGIN], &[binding(7, LOGIN, 1, nowhere)]),
        (&[LOGIN], &many),
    ] {
        let made = made(flows, bindings);
        let text = text(&made);
        assert!(text.contains("  # flows: "), "{text}");
        assert_eq!(parsed(&text)["spec"].get("flows"), None, "{text}");
        assert_eq!(made.bindings, [] as [Uuid; 0]);
    }
}
