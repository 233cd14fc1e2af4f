//! Whatever the schema accepts, the operator answers: with `Ready` and a reason that is documented, without a panic
//! and without end.

use std::collections::HashSet;

use authentik_stage_operator::{
    api::{conditions, schema},
    kinds,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::{ResourceExt, core::DynamicObject};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::{Map, Value, json};

use crate::harness::{self, Test, VALIDATE, alone, condition, is_true, text};

/// How many resources there are at least.
const CASES: usize = 160;

/// Most requests to authentik for one of them, lists aside.
const REQUESTS: usize = 12;

/// Names of what is there: a connection, a flow, Secrets and their keys, a resource.
const NAMES: [&str; 6] = ["default", "authentik", "token", "duo", "secret", "case-0"];

/// Texts that mean something to someone, besides arbitrary ones. `gateway` is the address of an authentik.
fn words(gateway: &str) -> Vec<String> {
    let words = [
        "",
        " ",
        "  padded\t",
        "AuthenticatorValidateStage",
        "DuoStage",
        "6f9619ff-8b86-d011-b42d-00cf4fc964ff",
        "6F9619FF8B86D011B42D00CF4FC964FF",
        "null",
        "{}",
        "{{ name }}",
        "%s%n",
        "../../x/secrets/y",
        "a/b?c=d&e#f",
        "'\"\\",
        "Zweiter Faktor: Büro / 二要素",
        "\u{202e}olleh",
        "e\u{301}",
        "\u{feff}",
        "👩‍👩‍👧",
        "hours=12",
        "minutes=-0;Weeks=99999999.999999999",
        "milliseconds=0.000000001",
        "days=1; hours=6",
        "1s",
        "24h",
        "0.5h1ms1800s",
        "5m",
        "http://127.0.0.1:1",
        "https://127.0.0.1:1/auth",
        "http://[::1]:1/",
        "-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n",
    ];
    let words = words.into_iter().map(str::to_owned);
    words.chain([gateway.to_owned()]).collect()
}

fn string(schema: &JSONSchemaProps, words: &[String]) -> BoxedStrategy<Value> {
    let longest = usize::try_from(schema.max_length.unwrap_or(64)).unwrap_or(64);
    let filled = select(vec!["x", "ß", "二", "="]);
    let filled = filled.prop_map(move |fill| fill.repeat(longest));
    prop_oneof![
        6 => select(NAMES.to_vec()).prop_map(str::to_owned),
        6 => select(words.to_vec()),
        2 => "[a-z][a-z0-9-]{0,12}[a-z0-9]",
        1 => "\\PC{0,40}",
        1 => filled,
    ]
    .prop_map(Value::from)
    .boxed()
}

fn number(schema: &JSONSchemaProps, whole: bool) -> BoxedStrategy<Value> {
    let (least, most) = (
        schema.minimum.unwrap_or(-1e3),
        schema.maximum.unwrap_or(1e15),
    );
    let value = prop_oneof![Just(least), Just(most), Just(0.0), least..=most];
    let value = value.prop_map(move |value: f64| match whole {
        #[allow(clippy::cast_possible_truncation)] // the bounds are far smaller
        true => Value::from(value as i64),
        false => Value::from(value),
    });
    value.boxed()
}

fn list(schema: &JSONSchemaProps, words: &[String]) -> BoxedStrategy<Value> {
    let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items else {
        return Just(json!([])).boxed();
    };
    vec(value(item, words), 0..4).prop_map(Value::from).boxed()
}

/// Some of the properties, and most often those that are required.
fn object(schema: &JSONSchemaProps, words: &[String]) -> BoxedStrategy<Value> {
    let required: HashSet<_> = schema.required.iter().flatten().cloned().collect();
    let properties = schema.properties.iter().flatten();
    let properties: Vec<_> = properties
        .map(|(name, property)| {
            let often = if required.contains(name) { 0.99 } else { 0.25 };
            let value = proptest::option::weighted(often, value(property, words));
            let name = name.clone();
            value.prop_map(move |value| Some((name.clone(), value?)))
        })
        .collect();
    let some = properties.prop_map(|pairs| Value::Object(pairs.into_iter().flatten().collect()));
    let rules = schema.x_kubernetes_validations.iter().flatten();
    let asks_for_one = rules
        .into_iter()
        .any(|rule| rule.rule.contains("exists_one(set"));
    if !asks_for_one {
        return some.boxed();
    }
    let one = schema.properties.iter().flatten().map(|(name, property)| {
        let name = name.clone();
        value(property, words)
            .prop_map(move |value| json!({ name.clone(): value }))
            .boxed()
    });
    prop_oneof![1 => some, 4 => proptest::strategy::Union::new(one)].boxed()
}

/// A value that this schema may accept: its rules are left to the API server.
fn value(schema: &JSONSchemaProps, words: &[String]) -> BoxedStrategy<Value> {
    let value = match (schema::words(schema), schema.type_.as_deref()) {
        (Some(values), _) => select(values).boxed(),
        (_, Some("string")) => string(schema, words),
        (_, Some("integer")) => number(schema, true),
        (_, Some("number")) => number(schema, false),
        (_, Some("boolean")) => any::<bool>().prop_map(Value::from).boxed(),
        (_, Some("array")) => list(schema, words),
        _ => object(schema, words),
    };
    let null = if schema.nullable == Some(true) { 1 } else { 0 };
    prop_oneof![5 => value, null => Just(Value::Null)].boxed()
}

/// A kind, and specs that its schema may accept.
fn kinds(words: &[String]) -> Vec<(String, BoxedStrategy<Value>)> {
    let specs = kinds::crds().into_iter().map(|crd| {
        let version = crd.spec.versions.into_iter().next().expect("a version");
        let schema = version.schema.and_then(|schema| schema.open_api_v3_schema);
        let mut properties = schema
            .and_then(|schema| schema.properties)
            .expect("properties");
        let spec = properties.remove("spec").expect("a spec");
        (crd.spec.names.kind, value(&spec, words))
    });
    specs.collect()
}

/// The reasons that `docs/troubleshooting.md` explains in this section.
fn documented(section: &str) -> HashSet<&'static str> {
    let text = include_str!("../../docs/troubleshooting.md");
    let sections = text.split("\n## ");
    let lines = sections
        .filter(|text| text.starts_with(section))
        .flat_map(str::lines);
    lines.filter_map(|line| line.strip_prefix("### ")).collect()
}

/// Whether the operator has said all there is to say of this generation.
fn is_answered(object: Option<&DynamicObject>) -> bool {
    object.is_some_and(|object| {
        let seen = object.data["status"]["observedGeneration"].as_i64();
        let ready = condition(object, conditions::READY).is_some();
        seen == object.metadata.generation && (ready || is_true(object, conditions::SUSPENDED))
    })
}

/// Applies what the API server accepts of what the schemas may accept; returns kind and name of each.
async fn apply_anything(test: &Test) -> Vec<(String, String)> {
    let words = words(&test.gateway.url());
    let mut runner =
        TestRunner::new_with_rng(Config::default(), TestRunner::deterministic().new_rng());
    let kinds = kinds(&words);
    let mut accepted = Vec::new();
    let mut refused = 0;
    while accepted.len() < CASES {
        for (kind, specs) in &kinds {
            let spec = specs.new_tree(&mut runner).expect("a spec").current();
            let name = format!("case-{}", accepted.len());
            match test.try_apply(kind, &name, spec).await {
                Ok(_) => accepted.push((kind.clone(), name)),
                Err(kube::Error::Api(status)) if status.code == 422 || status.code == 400 => {
                    refused += 1
                }
                Err(error) => panic!("Kubernetes does not answer: {error}"),
            }
        }
        assert!(refused < CASES * 40, "hardly anything is accepted");
    }
    accepted
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_accepted_is_answered() {
    alone(async |test| {
        if test.is_real() {
            return;
        }
        test.connect().await;
        test.duo_spec().await;
        let flow = json!({"name": "x", "slug": "default", "title": "x", "designation": "stage_configuration"});
        test.authentik.create("flows/instances/", flow).await;
        let cases = apply_anything(test).await;
        let mut reasons = Map::new();
        for (kind, name) in &cases {
            let answered = test.until(kind, name, "answered", is_answered).await;
            let answered = answered.expect("it is there");
            let Some(ready) = condition(&answered, conditions::READY) else {
                continue;
            };
            let of_stage = harness::kinds().contains(&kind.as_str());
            let known = documented(if of_stage { "Stages" } else { "Connections" });
            let (reason, spec) = (text(&ready["reason"]), &answered.data["spec"]);
            assert!(known.contains(reason), "{kind} {name}: {ready} of {spec}");
            assert_ne!(reason, "Progressing", "{kind} {name}: {ready} of {spec}");
            let count = reasons.entry(reason).or_insert(json!(0));
            *count = json!(count.as_u64().unwrap_or_default() + 1);
        }
        eprintln!("{reasons:?}");
        assert!(
            reasons.len() > 5,
            "the cases are too much alike: {reasons:?}"
        );

        let writes = test.writes().len();
        assert!(writes < cases.len() * REQUESTS, "{writes} writes");
        // Whoever loops has written again by the time that another resource is done.
        test.validate("last", json!({})).await;
        test.in_sync(VALIDATE, "last").await;
        test.looked_at_anew(VALIDATE, "last").await;
        let late: Vec<_> = test.written().split_off(writes);
        assert!(late.len() <= 1, "{late:?}");
        for (kind, name) in &cases {
            let now = test.get(kind, name).await;
            assert!(is_answered(Some(&now)), "{kind} {}", now.name_any());
        }
        test.take_operator().await.stop().await;
    })
    .await;
}
