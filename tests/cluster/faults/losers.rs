//! A resource that has lost its stage to another takes nothing of it along.

use serde_json::json;

use crate::harness::{VALIDATE, test};

#[tokio::test(flavor = "multi_thread")]
async fn the_deletion_of_a_resource_in_conflict_leaves_the_stage_to_its_holder() {
    test(async |test| {
        test.connect_with(json!({"resyncInterval": "1s"})).await;
        let stage = json!({"name": test.name("mfa"), "deletionPolicy": "Delete", "adoptionPolicy": "Always"});
        test.validate("holder", stage.clone()).await;
        test.in_sync(VALIDATE, "holder").await;
        let suspend = |suspend: bool| json!({"spec": {"suspend": suspend}});
        test.patch(VALIDATE, "holder", suspend(true)).await;
        test.until(VALIDATE, "holder", "suspended", |object| {
            object.is_some_and(|object| crate::harness::is_true(object, "Suspended"))
        })
        .await;
        test.validate("loser", stage).await;
        let loser = test.in_sync(VALIDATE, "loser").await;
        test.patch(VALIDATE, "holder", suspend(false)).await;
        test.in_sync(VALIDATE, "holder").await;
        test.reason(VALIDATE, "loser", "NameConflict").await;
        test.delete(VALIDATE, "loser").await;
        test.gone(VALIDATE, "loser").await;
        let there = test.authentik.stage("validate", &test.name("mfa")).await;
        let there = there.expect("the stage is there");
        assert_eq!(there["pk"], loser.data["status"]["stage"]["uuid"]);
        test.resyncs(2).await;
        let deletes = test.writes().into_iter().filter(|write| write.method == "DELETE");
        assert_eq!(deletes.count(), 0);
    })
    .await;
}
