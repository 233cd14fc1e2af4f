//! Stages that authentik does not let go while people have devices enrolled through them, as from 2026.8 on.

use devkit::{
    gateway::{Fault, FaultKind},
    simulator::Simulator,
};
use serde_json::json;

use crate::{
    harness::{DUO, PROBE, Test, message, test, text, with},
    setup_deletion::{EMAIL, SMS, spec},
};

/// A stage in sync, through which Ada has enrolled her phone, on a server that protects it.
async fn enrolled(test: &Test, simulator: &Simulator, kind: &str, policy: &str) {
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
    let spec = with(spec(test, kind).await, json!({"deletionPolicy": policy}));
    test.apply(kind, "used", spec).await;
    let resource = test.in_sync(kind, "used").await;
    let uuid = text(&resource.data["status"]["stage"]["uuid"]);
    simulator.enroll_device(uuid.parse().expect("a UUID"), "phone of Ada");
}

async fn a_protected_stage_is_named_with_what_holds_it(kind: &str, policy: &str) {
    test(async |test| {
        let Some(simulator) = &test.simulator else {
            return; // Devices can't be enrolled through authentik's API.
        };
        enrolled(test, simulator, kind, policy).await;
        test.delete(kind, "used").await;
        let blocked = test.reason(kind, "used", "DeletionBlocked").await;
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
        assert_eq!(test.writes().len(), 1, "{:?}", test.written());
        test.patch(kind, "used", json!({"spec": {"deletionPolicy": "Orphan"}}))
            .await;
        test.gone(kind, "used").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_says_what_protects_a_stage() {
    for kind in [DUO, SMS, EMAIL] {
        a_protected_stage_is_named_with_what_holds_it(kind, "Delete").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn force_delete_says_what_protects_a_stage() {
    for kind in [DUO, SMS, EMAIL] {
        a_protected_stage_is_named_with_what_holds_it(kind, "ForceDelete").await;
    }
}
