//! What becomes of the stages through which people enrol when their resources are deleted.

use serde_json::{Value, json};

use crate::{
    harness::{DUO, Test, VALIDATE, collection, message, text, with},
    on_every_version,
};

on_every_version!(
    a_device_keeps_the_stage_through_which_it_was_enrolled,
    force_delete_does_not_ask_for_devices,
    device_types_do_not_keep_a_stage,
);

pub const SMS: &str = "AuthenticatorSMSStage";
pub const EMAIL: &str = "AuthenticatorEmailStage";
const WEBAUTHN: &str = "AuthenticatorWebAuthnStage";

/// The least spec of a stage of one of the kinds whose devices authentik ties to it.
pub async fn spec(test: &Test, kind: &str) -> Value {
    let spec = match kind {
        DUO => test.duo_spec().await,
        SMS => {
            test.secret("sms", json!({"auth": test.canary("auth")}))
                .await;
            let auth = json!({"secretKeyRef": {"name": "sms", "key": "auth"}});
            json!({"provider": "twilio", "fromNumber": "+1555", "accountSid": "AC1", "auth": auth})
        }
        _ => json!({}),
    };
    with(spec, json!({"name": test.name("used")}))
}

/// The kinds whose devices authentik ties to their stage, as far as it has them.
async fn kinds(test: &Test) -> Vec<&'static str> {
    match test.release().await >= (2025, 2) {
        true => vec![DUO, SMS, EMAIL],
        false => vec![DUO, SMS],
    }
}

/// A stage in sync through which Ada has enrolled a device, as its resource is deleted; nothing where no device can be
/// enrolled.
async fn deleted(test: &Test, kind: &str, policy: &str) -> Option<()> {
    let simulator = test.simulator.as_ref()?;
    let spec = with(spec(test, kind).await, json!({"deletionPolicy": policy}));
    test.apply(kind, "used", spec).await;
    let resource = test.in_sync(kind, "used").await;
    let uuid = text(&resource.data["status"]["stage"]["uuid"]);
    simulator.enroll_device(uuid.parse().expect("a UUID"), "phone of Ada");
    test.gateway.clear();
    test.delete(kind, "used").await;
    Some(())
}

async fn rows(test: &Test, kind: &str) -> usize {
    let list = format!("{}?name={}", collection(kind), test.name("used"));
    test.authentik.list(&list).await.len()
}

async fn a_device_keeps_the_stage_through_which_it_was_enrolled(test: &Test) {
    test.connect().await;
    for kind in kinds(test).await {
        if deleted(test, kind, "Delete").await.is_none() {
            return; // Devices can't be enrolled through authentik's API.
        }
        let blocked = test.reason(kind, "used", "DeletionBlocked").await;
        let says = message(&blocked);
        let noun = match kind {
            DUO => "Duo device",
            SMS => "SMS device",
            _ => "e-mail device",
        };
        for part in [noun, "phone of Ada", "deletionPolicy: Orphan"] {
            assert!(says.contains(part), "{part}: {says}");
        }
        assert_eq!((test.written(), rows(test, kind).await), (vec![], 1));
        let force = json!({"spec": {"deletionPolicy": "ForceDelete"}});
        test.patch(kind, "used", force).await;
        test.gone(kind, "used").await;
        assert_eq!(rows(test, kind).await, 0);
    }
}

async fn force_delete_does_not_ask_for_devices(test: &Test) {
    test.connect().await;
    for kind in kinds(test).await {
        if deleted(test, kind, "ForceDelete").await.is_none() {
            return; // Devices can't be enrolled through authentik's API.
        }
        test.gone(kind, "used").await;
        assert_eq!(rows(test, kind).await, 0);
    }
}

/// `used_by/` lists the device types that a stage allows, the wrong way round.
async fn device_types_do_not_keep_a_stage(test: &Test) {
    if test.release().await < (2024, 6) {
        return;
    }
    test.connect().await;
    let types = test
        .authentik
        .list("stages/authenticator/webauthn_device_types/")
        .await;
    let aaguid = json!([{"aaguid": types[0]["aaguid"]}]);
    for (kind, field) in [
        (WEBAUTHN, "deviceTypeRestrictions"),
        (VALIDATE, "webauthnAllowedDeviceTypes"),
    ] {
        let name = test.name("used");
        let spec = json!({"name": name, "deletionPolicy": "Delete", field: aaguid});
        test.apply(kind, "used", spec).await;
        let resource = test.in_sync(kind, "used").await;
        let uuid = text(&resource.data["status"]["stage"]["uuid"]);
        let used_by = format!("{}{uuid}/used_by/", collection(kind));
        let (_, used_by) = test
            .authentik
            .send(reqwest::Method::GET, &used_by, None)
            .await;
        let used_by = used_by.to_string();
        assert!(used_by.contains("webauthndevicetype"), "{used_by}");
        test.delete(kind, "used").await;
        test.gone(kind, "used").await;
        assert_eq!(rows(test, kind).await, 0);
    }
}
