//! What is known of the CRDs.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde_json::{Value, json};

use crate::{
    export::schema::Schema,
    kinds::{
        AuthenticatorValidateStage, AuthenticatorWebAuthnStage, DuoStage, Flow, ForEachKind, Kind,
        crd, for_each_kind,
    },
};

fn spec_of<K: Kind>() -> JSONSchemaProps {
    let version = crd::<K>().spec.versions.swap_remove(0);
    let root = version.schema.and_then(|schema| schema.open_api_v3_schema);
    let mut properties = root.and_then(|root| root.properties).expect("properties");
    properties.remove("spec").expect("a spec")
}

/// Rules of whole specs are the kinds' own: `Kind::contradiction` says the same.
#[test]
fn every_rule_of_a_whole_spec_is_one_of_these() {
    struct Each(BTreeSet<String>);
    impl ForEachKind for Each {
        fn kind<K: Kind>(&mut self) {
            let rules = spec_of::<K>().x_kubernetes_validations;
            self.0
                .extend(rules.into_iter().flatten().map(|rule| rule.rule));
        }
    }
    let mut each = Each(BTreeSet::new());
    for_each_kind(&mut each);
    let configure = "!has(self.notConfiguredAction) || self.notConfiguredAction != 'configure' || \
         (has(self.configurationStages) && size(self.configurationStages) > 0)";
    let one_of =
        ["clientId", "apiHostname"].map(|name| format!("has(self.{name}) != has(self.{name}From)"));
    let rules = one_of.into_iter().chain([configure.to_owned()]);
    assert_eq!(each.0, rules.collect());
}

#[test]
fn what_is_accepted_and_what_is_not() {
    let (validate, duo) = (
        Schema::of::<AuthenticatorValidateStage>(),
        Schema::of::<DuoStage>(),
    );
    let (webauthn, flow) = (
        Schema::of::<AuthenticatorWebAuthnStage>(),
        Schema::of::<Flow>(),
    );
    let uuid = json!({"uuid": "00000000-0000-0000-0000-000000000001"});
    let place = |order: i32| json!({"flow": {"slug": "login"}, "order": order});
    for (schema, field, good, bad) in [
        (&validate, "name", json!("m f a"), json!("m\tfa")),
        (
            &validate,
            "name",
            json!("x".repeat(512)),
            json!("é".repeat(513)),
        ),
        (&validate, "name", json!("a"), json!(" \u{a0}")),
        (&validate, "name", json!("a"), json!(7)),
        (&validate, "deviceClasses", json!(["totp"]), json!([])),
        (
            &validate,
            "deviceClasses",
            json!(["totp"]),
            json!(["totp", "totp"]),
        ),
        (
            &validate,
            "deviceClasses",
            json!(["totp"]),
            json!(["telepathy"]),
        ),
        (&validate, "deviceClasses", json!(["totp"]), Value::Null),
        (&validate, "configurationStages", Value::Null, json!([{}])),
        (
            &validate,
            "configurationStages",
            json!([uuid]),
            json!([{"uuid": "1"}]),
        ),
        (
            &validate,
            "configurationStages",
            json!([uuid, {"name": "a"}]),
            json!([{"uuid": uuid["uuid"], "name": "a"}]),
        ),
        (
            &validate,
            "lastAuthThreshold",
            json!("Hours=1.5; DAYS=-2"),
            json!("hours=1;"),
        ),
        (&validate, "smsOtpThrottlingFactor", json!(0), json!(-0.1)),
        (
            &validate,
            "flows",
            json!([place(1), place(2)]),
            json!([place(1), place(1)]),
        ),
        (
            &validate,
            "flows",
            json!([{"flow": {"slug": "a"}, "order": 1, "evaluateOnPlan": true, "reEvaluatePolicies": false}]),
            json!([{"flow": {"slug": "a"}, "order": 1, "reEvaluatePolicies": false}]),
        ),
        (&validate, "flows", json!([place(1)]), json!([{"order": 1}])),
        (
            &duo,
            "apiHostname",
            json!("api.duo"),
            json!("https://api.duo"),
        ),
        (
            &webauthn,
            "authenticatorAttachment",
            json!("cross-platform"),
            json!(""),
        ),
        (&webauthn, "authenticatorAttachment", Value::Null, json!(1)),
        (&webauthn, "maxAttempts", json!(3), json!(1.5)),
        (&flow, "slug", json!("a_-B"), json!("a b")),
        (&flow, "slug", json!("a"), json!("")),
        (&flow, "compatibilityMode", json!(true), json!("true")),
        (&flow, "title", json!("a"), json!("")),
        (&flow, "title", json!("a"), Value::Null),
        (&flow, "title", json!("a\nb"), json!("\n")),
    ] {
        assert_eq!(schema.refusal(field, &good), None, "{field}: {good}");
        assert!(schema.refusal(field, &bad).is_some(), "{field}: {bad}");
    }
    assert!(flow.refusal("from_the_future", &json!(1)).is_some());
}
