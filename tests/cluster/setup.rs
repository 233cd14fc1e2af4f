//! A whole set-up of second factors that refers to itself by resources: a flow, the stages through which people enrol, and
//! the stage that asks for what they have.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::DeleteParams, runtime::wait::await_condition};
use serde_json::{Value, json};

use crate::{
    harness::{DUO, FLOW, Test, VALIDATE, condition, message, test, text, with},
    harness_more::{Elsewhere, warnings},
    on_every_version,
};

on_every_version!(it_arrives_and_goes_in_any_order);

const TOTP: &str = "AuthenticatorTOTPStage";
const STATIC: &str = "AuthenticatorStaticStage";
const WEBAUTHN: &str = "AuthenticatorWebAuthnStage";
const SMS: &str = "AuthenticatorSMSStage";
const EMAIL: &str = "AuthenticatorEmailStage";

/// How long a deletion may take of which each part waits for a few others: far less than a single look that comes by time.
const SOON: Duration = Duration::from_secs(20);

fn resource(kind: &str, name: &str) -> Value {
    json!({"resource": {"kind": kind, "name": name}})
}

fn secret(key: &str) -> Value {
    json!({"secretKeyRef": {"name": "setup", "key": key}})
}

/// The parts of a set-up: kind, name and spec.
struct Setup(Vec<(&'static str, String, Value)>);

impl Setup {
    /// One of this number; the mapping has this name in authentik.
    async fn new(test: &Test, n: usize, mapping: &str) -> Self {
        let named = |what: &str| format!("{what}-{n}");
        let flow = named("flow");
        let in_flow = |order: usize| json!([{"flow": resource(FLOW, &flow), "order": order}]);
        let common = |what: &str| {
            json!({
                "name": test.name(&named(what)), "deletionPolicy": "Delete",
                "configureFlow": resource(FLOW, &flow),
            })
        };
        let mut parts = vec![
            (
                TOTP,
                "totp",
                json!({"digits": "6", "flows": in_flow(1), "friendlyName": "App"}),
            ),
            (
                STATIC,
                "static",
                json!({"tokenCount": 8, "tokenLength": 12}),
            ),
            (
                WEBAUTHN,
                "webauthn",
                json!({"userVerification": "required"}),
            ),
            (
                SMS,
                "sms",
                json!({
                    "provider": "generic", "fromNumber": "+1555", "accountSid": "https://sms.example.com",
                    "auth": secret("auth"), "authType": "bearer", "mapping": {"name": mapping},
                }),
            ),
            (
                DUO,
                "duo",
                json!({"clientId": "DI", "apiHostname": "api-1.duosecurity.com", "clientSecret": secret("duo")}),
            ),
        ];
        if test.release().await >= (2025, 2) {
            let email = json!({"host": "mail.example.com", "password": secret("mail"), "tokenExpiry": "minutes=20"});
            parts.push((EMAIL, "email", email));
        }
        let stages: Vec<_> = parts
            .iter()
            .map(|(kind, what, _)| resource(kind, &named(what)))
            .collect();
        let stage = |(kind, what, fields): (&'static str, &str, Value)| {
            (kind, named(what), with(common(what), fields))
        };
        let mut all: Vec<_> = parts.into_iter().map(stage).collect();
        let slug = json!({
            "slug": test.name(&flow), "title": "Set up", "designation": "stage_configuration", "deletionPolicy": "Delete",
        });
        all.push((FLOW, flow.clone(), slug));
        let validate = json!({
            "name": test.name(&named("mfa")), "deletionPolicy": "Delete", "notConfiguredAction": "configure",
            "configurationStages": stages, "flows": in_flow(2),
        });
        all.push((VALIDATE, named("mfa"), validate));
        Self(all)
    }

    fn shuffle(&mut self) {
        fastrand::shuffle(&mut self.0);
    }

    fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(_, name, _)| name.as_str()).collect()
    }
}

async fn secrets(test: &Test) {
    let data = ["auth", "duo", "mail"].map(|key| (key.to_owned(), json!(test.canary(key))));
    let data = Value::Object(data.into_iter().collect());
    test.secret("setup", data).await;
}

/// A mapping made by hand; returns its name and its path.
async fn mapping(test: &Test) -> (String, String) {
    let name = test.name("mapping");
    let body = json!({"name": name, "expression": "return {}"});
    let made = test
        .authentik
        .create("propertymappings/notification/", body);
    let pk = made.await["pk"].clone();
    (
        name,
        format!("propertymappings/notification/{}/", text(&pk)),
    )
}

async fn it_arrives_and_goes_in_any_order(test: &Test) {
    test.connect().await;
    secrets(test).await;
    let (mapping, path) = mapping(test).await;
    for n in 0..3 {
        let mut setup = Setup::new(test, n, &mapping).await;
        setup.shuffle();
        for (kind, name, spec) in &setup.0 {
            test.apply(kind, name, spec.clone()).await;
        }
        for (kind, name, _) in &setup.0 {
            test.in_sync(kind, name).await;
        }
        // Those of the round before are of its deletion.
        let of_this = |warning: &String| warning.contains(&format!("-{n}: "));
        let warned: Vec<_> = warnings(test).await.into_iter().filter(of_this).collect();
        assert_eq!(warned, Vec::<String>::new(), "{:?}", setup.names());

        setup.shuffle();
        let began = Instant::now();
        for (kind, name, _) in &setup.0 {
            test.delete(kind, name).await;
        }
        for (kind, name, _) in &setup.0 {
            test.gone(kind, name).await;
        }
        let took = began.elapsed();
        let order = setup.names();
        assert!(took < SOON || test.is_real(), "{took:?}: {order:?}");
        nothing_is_left(test).await;
    }
    test.authentik.delete(&path).await;
}

/// Neither a stage nor a flow of this test is in authentik.
async fn nothing_is_left(test: &Test) {
    for list in ["stages/all/", "flows/instances/"] {
        let search = format!("{list}?search={}", test.namespace);
        assert_eq!(test.authentik.list(&search).await, Vec::<Value>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_with_its_namespace() {
    test(async |test| {
        let elsewhere = Elsewhere::new(test).await;
        let options = authentik_stage_operator::controller::Options {
            namespaces: vec![test.namespace.clone(), elsewhere.namespace.clone()],
            ..test.options()
        };
        test.restart_with(options).await;
        elsewhere.token(test.token()).await;
        elsewhere.connection("default", &test.gateway.url()).await;
        let (mapping, path) = mapping(test).await;
        let setup = Setup::new(test, 0, &mapping).await;
        for (kind, name, spec) in &setup.0 {
            // The one Secret that is there.
            let spec = spec
                .to_string()
                .replace(r#""name":"setup""#, r#""name":"authentik""#);
            let spec = ["auth", "duo", "mail"].iter().fold(spec, |spec, key| {
                spec.replace(&format!(r#""key":"{key}""#), r#""key":"token""#)
            });
            let spec = serde_json::from_str(&spec).expect("a spec");
            elsewhere.apply(kind, name, spec).await;
        }
        for (kind, name, _) in &setup.0 {
            elsewhere.reason(kind, name, "InSync").await;
        }
        let namespaces: Api<Namespace> = Api::all(test.kube.clone());
        let name = &elsewhere.namespace;
        let deleted = namespaces.delete(name, &DeleteParams::default()).await;
        deleted.expect("the namespace is to be deleted");
        let is_gone = |namespace: Option<&Namespace>| namespace.is_none();
        let gone = await_condition(namespaces.clone(), name, is_gone);
        let gone = tokio::time::timeout(Duration::from_secs(180), gone).await;
        gone.expect("in time").expect("the watch goes on");
        nothing_is_left(test).await;
        test.authentik.delete(&path).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_of_a_wrong_kind_is_named_with_those_that_can_stand_there() {
    test(async |test| {
        test.connect().await;
        let flow = test.flow_spec("flow", json!({}));
        test.apply(FLOW, "flow", flow).await;
        let named = |more: Value| with(json!({"name": test.name("wrong")}), more);
        let totp = json!({"digits": "6"});
        for (n, (kind, spec, field, can)) in [
            (
                VALIDATE,
                json!({"notConfiguredAction": "configure", "configurationStages": [resource(FLOW, "flow")]}),
                "configurationStages",
                TOTP,
            ),
            (
                VALIDATE,
                json!({"flows": [{"flow": resource(TOTP, "totp"), "order": 1}]}),
                "flows",
                "write Flow",
            ),
            (
                TOTP,
                with(totp, json!({"configureFlow": resource(STATIC, "static")})),
                "configureFlow",
                "write Flow",
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("wrong-{n}");
            test.apply(kind, &name, named(spec)).await;
            let invalid = test.reason(kind, &name, "InvalidSpec").await;
            assert!(condition(&invalid, "Stalled").is_some());
            let says = message(&invalid);
            assert!(says.starts_with(field) && says.contains(can), "{says}");
        }
    })
    .await;
}
