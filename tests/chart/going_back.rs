//! What becomes of resources when a release goes back to an older chart: as docs/versions.md says.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use devkit::kubernetes::User;
use serde_json::{Value, json};

use crate::{
    release::{Release, first_chart},
    rendering::{RELEASE, run, said, succeed},
};

/// The field that the older chart's CRD does not have.
const NEW_FIELD: &str = "webauthnHints";

/// The device class that it does not allow.
const NEW_VALUE: &str = "email";

/// An older chart, whose CRD of validation stages lacks a field and a value.
fn older_chart() -> PathBuf {
    let folder = first_chart("back-to");
    let path = folder.join("files/crds/authenticatorvalidatestages.yaml");
    let text = fs::read_to_string(&path).expect("it can be read");
    let mut crd: Value = serde_saphyr::from_str(&text).expect("it is YAML");
    let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let fields = &mut schema["properties"]["spec"]["properties"];
    let known = fields.as_object_mut().expect("there are fields");
    assert!(known.remove(NEW_FIELD).is_some());
    let classes = &mut fields["deviceClasses"]["items"]["enum"];
    let classes = classes.as_array_mut().expect("there are classes");
    let before = classes.len();
    classes.retain(|class| class != NEW_VALUE);
    assert_eq!(classes.len(), before - 1);
    fs::write(&path, crd.to_string()).expect("it can be written");
    folder
}

fn stage(kind: &str, name: &str, spec: &Value) -> String {
    let stage = json!({
        "apiVersion": "authentik-operator.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "default", "finalizers": ["authentik-operator.io/stage"]},
        "spec": spec,
    });
    stage.to_string()
}

impl Release {
    fn apply(&self, manifest: &str) {
        let apply = ["apply", "--server-side", "--filename=-"];
        succeed(&mut self.0.kubectl_command(apply), manifest);
    }

    fn spec(&self, stage: &str) -> Value {
        let spec = self.get(&["--namespace=default", stage, "--output=jsonpath={.spec}"]);
        serde_json::from_str(&spec).expect("the spec is JSON")
    }

    /// Waits until a stage is shown with this spec: a changed CRD counts a moment later.
    async fn shows(&self, stage: &str, spec: &Value) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.spec(stage) != *spec {
            assert!(Instant::now() < deadline, "{}", self.spec(stage));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until Kubernetes would take a manifest.
    async fn takes(&self, manifest: &str) {
        let create = ["create", "--dry-run=server", "--filename=-"];
        let try_it = || run(&mut self.0.kubectl_command(create), manifest);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !try_it().status.success() {
            assert!(Instant::now() < deadline, "{}", said(&try_it()));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Merges this into a stage, or into its status as the operator does; says whether Kubernetes takes it.
    fn merge(&self, stage: &str, part: &[&str], merged: &Value) -> bool {
        let merged = merged.to_string();
        let patch = ["patch", "--namespace=default", "--type=merge", "--patch"];
        let mut command = self.0.kubectl_command(patch);
        run(command.arg(merged).arg(stage).args(part), "")
            .status
            .success()
    }

    /// Whether Kubernetes lets a value pass that the rules refuse where a write does not change it.
    async fn lets_old_values_pass(&self) -> bool {
        let version = self.0.client(User::Admin).apiserver_version().await;
        let version = version.expect("it tells its version");
        let minor: u32 = version.minor.parse().expect("a number");
        minor >= 30
    }
}

const HINTED: &str = "authenticatorvalidatestages/hinted";
const MAILED: &str = "authenticatorvalidatestages/mailed";

#[tokio::test]
async fn going_back_keeps_what_the_older_release_knows() {
    let release = Release::new().await;
    release.helm_from(
        &older_chart(),
        &["install", "--create-namespace"],
        &json!({}),
    );
    release.helm(&["upgrade"], &json!({}));
    let established = ["wait", "--for=condition=Established", "crd", "--all"];
    succeed(&mut release.0.kubectl_command(established), "");
    let known = json!({"deviceClasses": ["totp"]});
    let all = json!({"deviceClasses": ["totp"], "webauthnHints": ["hybrid"]});
    release.apply(&stage("AuthenticatorValidateStage", "hinted", &all));
    let mailed = json!({"deviceClasses": ["totp", "email"]});
    release.apply(&stage("AuthenticatorValidateStage", "mailed", &mailed));
    release.apply(&stage(
        "AuthenticatorTOTPStage",
        "new",
        &json!({"digits": "6"}),
    ));

    release.helm(&["rollback", RELEASE], &json!({}));
    // Hidden, and not lost yet.
    release.shows(HINTED, &known).await;
    assert_eq!(
        release.spec("authenticatortotpstages/new"),
        json!({"digits": "6"})
    );
    release.helm(&["upgrade"], &json!({}));
    release.shows(HINTED, &all).await;

    release.helm(&["rollback", RELEASE], &json!({}));
    release.shows(HINTED, &known).await;
    let status = ["--subresource=status"];
    for stage in [HINTED, MAILED] {
        let written = json!({"status": {"observedGeneration": 1}});
        assert!(release.merge(stage, &status, &written), "{stage}");
    }
    assert_eq!(release.spec(MAILED), mailed);
    let delete = ["delete", "--namespace=default", "--wait=false", MAILED];
    succeed(&mut release.0.kubectl_command(delete), "");
    let done = json!({"metadata": {"finalizers": null}});
    let let_go = release.merge(MAILED, &[], &done);
    assert_eq!(let_go, release.lets_old_values_pass().await);
    assert!(release.merge(HINTED, &[], &done));

    release.helm(&["upgrade"], &json!({}));
    release
        .takes(&stage("AuthenticatorValidateStage", "probe", &mailed))
        .await;
    assert_eq!(release.spec(HINTED), known);
}
