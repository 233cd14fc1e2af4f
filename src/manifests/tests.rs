//! Tests of what is read and of what is said to be wrong.

use std::path::Path;

use super::{File, Input, Set, files};

fn read(text: &str) -> Result<Set, Vec<String>> {
    let file = File {
        name: "mfa.yaml".to_owned(),
        text: text.to_owned(),
    };
    let read = Set::read(&[file], "default");
    read.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn stage(spec: &str) -> String {
    format!(
        "apiVersion: authentik-operator.io/v1alpha1\nkind: AuthenticatorValidateStage\nmetadata:\n  name: mfa\nspec:\n{spec}"
    )
}

#[test]
fn every_example_is_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for entry in std::fs::read_dir(folder).unwrap() {
        let files = files(&Input::Path(entry.unwrap().path())).unwrap();
        let set = Set::read(&files, "default").unwrap();
        assert!(!set.ours.is_empty());
    }
}

#[test]
fn what_is_wrong_is_said_with_its_line_and_what_to_do() {
    for (text, expected) in [
        (
            stage("  deviceClases: [totp]\n"),
            "mfa.yaml:6: spec.deviceClases: there is no such field; write deviceClasses, or remove it",
        ),
        (
            stage("  deviceClasses:\n    - totp\n    - magic\n"),
            r#"mfa.yaml:8: spec.deviceClasses[1]: "magic" is not one of "#,
        ),
        (
            stage("  deviceClasses:\n    - totp\n    - totp\n"),
            "mfa.yaml:6: spec.deviceClasses: ",
        ),
        (
            stage("  notConfiguredAction: configure\n"),
            "mfa.yaml:5: spec: ",
        ),
        (
            stage("  configurationStages:\n    - name: a\n      resource: {kind: DuoStage, name: b}\n"),
            "mfa.yaml:7: spec.configurationStages[0]",
        ),
        (
            stage("  lastAuthThreshold: 5\n"),
            r#"mfa.yaml:6: spec.lastAuthThreshold: 5 is not of type "string""#,
        ),
        (
            "apiVersion: authentik-operator.io/v1alpha1\nkind: DuoStage\nmetadata: {name: duo}\nspec:\n  clientId: a\n  clientSecret: {secretKeyRef: {name: duo, key: secret}}\n".to_owned(),
            "mfa.yaml:4: spec: apiHostname or apiHostnameFrom is needed, and not both; set one of the two",
        ),
        (
            "apiVersion: authentik-operator.io/v1beta1\nkind: DuoStage\n".to_owned(),
            "mfa.yaml:1: apiVersion: there is no authentik-operator.io/v1beta1; write authentik-operator.io/v1alpha1",
        ),
        (
            "apiVersion: authentik-operator.io/v1alpha1\n\nkind: DuoStages\n".to_owned(),
            r#"mfa.yaml:3: kind: there is no kind "DuoStages"; write one of "#,
        ),
        (
            "apiVersion: authentik-operator.io/v1alpha1\nkind: Flow\nspec: {title: a, designation: authentication}\n".to_owned(),
            "mfa.yaml:1: metadata: is missing; add it",
        ),
        (
            "apiVersion: authentik-operator.io/v1alpha1\nkind: AuthenticatorValidateStage\nmetadata:\n  name: My Stage\nspec: {}\n".to_owned(),
            r#"mfa.yaml:4: metadata.name: "My Stage" does not match "#,
        ),
        ("a: b\n".to_owned(), "mfa.yaml:1: this is no manifest: it has neither apiVersion nor kind"),
        ("a: [b\n".to_owned(), "mfa.yaml:"),
        (
            format!("{}---\n{}", stage("  {}\n"), stage("  {}\n")),
            "mfa.yaml:9: AuthenticatorValidateStage default/mfa is there twice; remove one of the two",
        ),
    ] {
        let problems = read(&text).unwrap_err();
        assert!(problems[0].starts_with(expected), "{problems:?} instead of {expected}");
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
}

#[test]
fn lists_and_what_belongs_to_them_are_taken_apart() {
    let set = read(
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: duo}\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: other}\n- apiVersion: v1\n  kind: Service\n  metadata: {name: other}\n- apiVersion: authentik-operator.io/v1alpha1\n  kind: Flow\n  metadata: {name: login, namespace: sso}\n  spec: {title: Log in, designation: authentication}\n---\n\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: sso}\n",
    )
    .unwrap();
    let places = |manifests: &[super::Manifest]| {
        let places = manifests.iter().map(|manifest| {
            format!(
                "{} {}/{}",
                manifest.place, manifest.namespace, manifest.name
            )
        });
        places.collect::<Vec<_>>()
    };
    assert_eq!(places(&set.ours), ["mfa.yaml:14 sso/login"]);
    assert_eq!(places(&set.secrets), ["mfa.yaml:5 default/duo"]);
    assert_eq!(places(&set.config_maps), ["mfa.yaml:8 default/other"]);
    assert_eq!(places(&set.namespaces), ["mfa.yaml:21 /sso"]);
    assert_eq!(set.others, 1);
}

#[test]
fn values_that_stand_too_deep_are_refused() {
    let deep = format!("a: {}{}\n", "[".repeat(100), "]".repeat(100));
    assert_eq!(read(&deep).unwrap_err().len(), 1);
}

#[test]
fn a_secret_that_stands_where_its_reference_belongs_is_not_repeated() {
    for field in [
        "clientSecret: s3cr3t",
        "clientSecret: {secretKeyRef: s3cr3t}",
        "clientSecret: [s3cr3t]",
        "adminSecretKey: s3cr3t",
    ] {
        let text = format!(
            "apiVersion: authentik-operator.io/v1alpha1\nkind: DuoStage\nmetadata: {{name: duo}}\nspec:\n  clientId: a\n  apiHostname: b\n  {field}\n"
        );
        let problems = read(&text).unwrap_err().join("\n");
        assert!(problems.contains("mfa.yaml:7: spec."), "{problems}");
        assert!(problems.contains("is no object"), "{problems}");
        assert!(!problems.contains("s3cr3t"), "{problems}");
    }
}
