//! Stages that authentik does not let go while people have devices enrolled through them, as from 2026.8 on.

use devkit::{
    gateway::{Fault, FaultKind},
    simulator::Simulator,
};
use serde_json::json;
use uuid::Uuid;

use crate::harness::{DUO, PROBE, Test, message, test, text, with};

/// A Duo stage in sync, through which Ada has enrolled her phone, on a server that protects it; returns its UUID.
async fn enrolled(test: &Test, simulator: &Simulator, policy: &str) -> Uuid {
    simulator.protect_devices();
    let newest = json!({"version_current": "2026.8.0"}).to_string();
    let version = FaultKind::Respond {
        status: 200,
        content_type: "application/json".into(),
        body: newest,
        forward: false,
    };
    test.gateway.inject(Fault::new(version).path(PROBE));
    test.connect_with(json!({"resyncInterval": "1s"})).await;
    let spec = with(test.duo_spec().await, json!({"deletionPolicy": policy}));
    test.apply(DUO, "duo", spec).await;
    let resource = test.in_sync(DUO, "duo").await;
    let uuid = text(&resource.data["status"]["stage"]["uuid"]);
    let uuid = uuid.parse().expect("a UUID");
    simulator.enroll_duo_device(uuid, "phone of Ada");
    uuid
}

async fn a_protected_stage_is_named_with_what_holds_it(policy: &str) {
    test(async |test| {
        let Some(simulator) = &test.simulator else {
            return; // Devices can't be enrolled through authentik's API.
        };
        enrolled(test, simulator, policy).await;
        test.delete(DUO, "duo").await;
        let blocked = test.reason(DUO, "duo", "DeletionBlocked").await;
        let says = message(&blocked);
        assert!(says.contains("phone of Ada"), "{says}");
        assert!(says.contains("Orphan"), "{says}");
        // The connection is not to blame.
        test.resyncs(3).await;
        let connection = test.get("AuthentikConnection", "default").await;
        assert_eq!(
            connection.data["status"]["conditions"][0]["reason"],
            "Connected"
        );
        assert_eq!(test.gateway.count("DELETE", ""), 0);
        test.patch(DUO, "duo", json!({"spec": {"deletionPolicy": "Orphan"}}))
            .await;
        test.gone(DUO, "duo").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_says_what_protects_a_stage() {
    a_protected_stage_is_named_with_what_holds_it("Delete").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn force_delete_says_what_protects_a_stage() {
    a_protected_stage_is_named_with_what_holds_it("ForceDelete").await;
}
