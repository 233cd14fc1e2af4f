//! A thousand stages.

use serde_json::{Value, json};

use super::{diff, manifest};
use crate::harness::{Test, VALIDATE, test};

const STAGES: usize = 1000;

fn manifests(test: &Test, action: &str) -> Vec<Value> {
    let spec = |index: usize| {
        json!({
            "name": test.name(&format!("stage-{index}")), "notConfiguredAction": action,
            "adoptionPolicy": "Always",
        })
    };
    (0..STAGES)
        .map(|index| manifest(test, VALIDATE, &format!("stage-{index}"), spec(index)))
        .collect()
}

/// `diff` costs lists, and not a request a stage: whether all are new, differ, or are as they should be.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_stages_are_compared_by_lists() {
    test(async |test| {
        if test.is_real() {
            return;
        }
        let skip = manifests(test, "skip");
        let few = STAGES / 100 * 2 + 20;
        let report = diff(test, &skip, &[]).await.ends(2).json();
        assert_eq!(report["summary"]["create"], STAGES);
        let asked = test.gateway.audit().len();
        assert!(asked <= few, "{asked} requests for {STAGES} new stages");
        for index in 0..STAGES {
            let name = test.name(&format!("stage-{index}"));
            let body = json!({"name": name, "not_configured_action": "skip"});
            test.authentik
                .create("stages/authenticator/validate/", body)
                .await;
        }
        for (action, code, what) in [("skip", 0, "adopt"), ("deny", 2, "update")] {
            test.gateway.clear();
            let report = diff(test, &manifests(test, action), &[])
                .await
                .ends(code)
                .json();
            assert_eq!(report["summary"][what], STAGES, "{action}");
            let asked = test.gateway.audit().len();
            assert!(asked <= few, "{asked} requests for {STAGES} stages: {what}");
        }
        assert_eq!(test.writes().len(), 0);
    })
    .await;
}
