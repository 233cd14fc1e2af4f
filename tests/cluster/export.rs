//! The subcommand `export`: what it writes of a server is taken over as it is, and it leaves nothing out in silence.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use authentik_stage_operator::kinds::Compare;
use devkit::gateway::{Fault, FaultKind};
use serde_json::{Map, Value, json};
use tokio::process::Command;

use crate::{
    fields::probe::{Known, kinds, object},
    harness::{DUO, FLOW, Test, VALIDATE, collection, test, text, with},
    on_every_version,
};

on_every_version!(
    what_is_exported_is_taken_over_without_a_write,
    everything_on_a_server_is_exported_and_always_alike,
    a_kind_that_the_server_is_too_old_for_is_an_error_where_it_is_named,
);

/// Runs the export for the server at this URL.
async fn export_from(test: &Test, url: &str, args: &[&str]) -> Output {
    let done = Command::new(env!("CARGO_BIN_EXE_authentik-stage-operator"))
        .arg("export")
        .args(args)
        .env_clear()
        .env("AUTHENTIK_URL", url)
        .env("AUTHENTIK_TOKEN", test.token())
        .stdin(Stdio::null())
        .output()
        .await;
    let done = done.expect("the program starts");
    test.canaries.search("what the export prints", &done.stdout);
    test.canaries.search("the export's errors", &done.stderr);
    done
}

async fn export(test: &Test, args: &[&str]) -> Output {
    export_from(test, test.authentik.url(), args).await
}

/// What an export prints that has nothing to complain of.
async fn exported(test: &Test, args: &[&str]) -> String {
    let done = export(test, args).await;
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && errors.is_empty(), "{errors}");
    String::from_utf8(done.stdout).expect("text")
}

/// What an export complains of. It ends with 1.
async fn refused(test: &Test, args: &[&str]) -> String {
    let done = export(test, args).await;
    assert_eq!(done.status.code(), Some(1), "{args:?}");
    assert_eq!(String::from_utf8_lossy(&done.stdout), "", "{args:?}");
    String::from_utf8(done.stderr).expect("text")
}

/// The manifests of a stream.
fn manifests(stream: &str) -> Vec<Value> {
    let documents = stream.split("---\n").skip(1);
    let read = |document: &str| {
        serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{error}\n{document}"))
    };
    documents.map(read).collect()
}

/// Kind and name of each manifest.
fn names(manifests: &[Value]) -> Vec<(&str, &str)> {
    let manifests = manifests.iter();
    manifests
        .map(|manifest| (text(&manifest["kind"]), text(&manifest["metadata"]["name"])))
        .collect()
}

/// A folder of the test's own.
fn folder(test: &Test, name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("export-{}-{name}", test.namespace))
}

/// An object with a value in each field that the server has; a stage is bound to the flow.
pub async fn make(test: &Test, known: &Known, flow: &Value, order: u32) -> Value {
    let all = known.cases.iter();
    let all = object(all.map(|case| (case.api(), &case.values[0].api)));
    let path = collection(known.table.kind);
    let body = with(all, known.base_body(test));
    let made = test.authentik.create(path, body).await;
    if known.table.kind != FLOW {
        test.bind(flow, &made["pk"], order).await;
    }
    made
}

/// The Secret that the manifest asks for, with what authentik holds.
async fn fill_in(test: &Test, known: &Known, manifest: &Value) {
    let secrets = known.cases.iter().filter(|case| case.row.field.is_secret);
    let mut data: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for case in secrets {
        let source = &manifest["spec"][case.spec()]["secretKeyRef"];
        let secret = data.entry(text(&source["name"])).or_default();
        secret.insert(text(&source["key"]).to_owned(), case.values[0].api.clone());
    }
    for (name, data) in data {
        test.secret(name, Value::Object(data)).await;
    }
}

async fn what_is_exported_is_taken_over_without_a_write(test: &Test) {
    let (known, _) = kinds(test).await;
    let flow = test.flow("login").await;
    let mut args = vec!["--flows".to_owned()];
    for (known, order) in known.iter().zip(7..) {
        make(test, known, &flow, order).await;
        let label = test.name(&known.table.resource());
        args.extend([
            "--kind".to_owned(),
            known.table.kind.to_owned(),
            "--name".to_owned(),
            label,
        ]);
    }
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let stream = exported(test, &args).await;
    let manifests = manifests(&stream);
    let labels: Vec<_> = known
        .iter()
        .map(|known| test.name(&known.table.resource()))
        .collect();
    let of_kind = known.iter().map(|known| known.table.kind);
    let expected: Vec<_> = of_kind.zip(labels.iter().map(String::as_str)).collect();
    assert_eq!(names(&manifests), expected);

    for (known, manifest) in known.iter().zip(&manifests) {
        fill_in(test, known, manifest).await;
        for case in &known.cases {
            let said = manifest["spec"].get(case.spec());
            assert!(said.is_some(), "{} of {manifest}", case.spec());
        }
    }
    test.connect().await;
    let applied = test
        .kubectl(&["apply", "--server-side", "-f", "-"], &stream)
        .await;
    assert!(applied.status.success(), "{applied:?}");
    for (kind, name) in names(&manifests) {
        test.in_sync(kind, name).await;
        test.event(name, "Adopted").await;
    }
    let cases = known.iter().flat_map(|known| &known.cases);
    let hidden = cases.filter(|case| case.row.field.compare == Compare::WriteOnly);
    let hidden: Vec<_> = hidden.map(|case| case.api()).collect();
    for (method, path, body) in test.written() {
        let fields = body.as_object().expect("fields").keys();
        let mut others = fields.filter(|field| !hidden.contains(&field.as_str()));
        assert_eq!(others.next(), None, "{method} {path}");
    }
}

/// How many objects of our kinds the server has.
async fn total(test: &Test) -> usize {
    let mut total = 0;
    for kind in crate::harness::kinds()
        .into_iter()
        .filter(|kind| !kind.contains("Connection"))
    {
        let path = collection(kind);
        let (status, answer) = test.authentik.send(reqwest::Method::GET, path, None).await;
        if status == 200 {
            total += answer["pagination"]["count"].as_u64().expect("a count") as usize;
        }
    }
    total
}

async fn everything_on_a_server_is_exported_and_always_alike(test: &Test) {
    if test.is_real() {
        // Others have objects there too, which come and go.
        return;
    }
    let (known, _) = kinds(test).await;
    let flow = test.flow("login").await;
    for (known, order) in known.iter().zip(7..) {
        make(test, known, &flow, order).await;
    }
    let all = ["--all", "--flows", "--namespace", &test.namespace];
    let stream = exported(test, &all).await;
    assert_eq!(exported(test, &all).await, stream);
    let manifests = manifests(&stream);
    assert_eq!(manifests.len(), total(test).await);
    let taken = test
        .kubectl(&["apply", "--dry-run=server", "-f", "-"], &stream)
        .await;
    assert!(taken.status.success(), "{taken:?}");

    let folder = folder(test, "all");
    let to = ["--output-dir", folder.to_str().expect("text")];
    assert_eq!(exported(test, &[&all[..], &to].concat()).await, "");
    let files = fs::read_dir(&folder).expect("the folder is there");
    assert_eq!(files.count(), manifests.len());
    for ((kind, name), document) in names(&manifests)
        .into_iter()
        .zip(stream.split("---\n").skip(1))
    {
        let file = folder.join(format!("{}-{name}.yaml", kind.to_lowercase()));
        assert_eq!(fs::read_to_string(file).expect("a file"), document);
    }
    let without = exported(test, &["--all"]).await;
    assert!(
        !without.contains("  flows:") && !without.contains("kind: Flow\n"),
        "{without}"
    );
}

async fn a_kind_that_the_server_is_too_old_for_is_an_error_where_it_is_named(test: &Test) {
    let (_, lacking) = kinds(test).await;
    for table in lacking {
        let error = refused(test, &["--kind", table.kind]).await;
        let told = format!(
            "--kind {}: there are such objects since authentik ",
            table.kind
        );
        assert!(error.contains(&told), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_or_not_chosen_is_told() {
    test(async |test| {
        let totp = test.name("totp");
        test.totp_stage("totp").await;
        test.flow("login").await;
        let none = test.name("none");
        let cases: [(&[&str], &str); 7] = [
            (
                &[],
                "nothing is chosen: give --all, --kind, --name or --terraform-state",
            ),
            (&["--flows"], "nothing is chosen"),
            (
                &["--kind", "TotpStage"],
                "--kind: there is no kind \"TotpStage\"; choose of Auth",
            ),
            (
                &["--name", &totp, "--name", &none],
                &format!("is named \"{none}\""),
            ),
            (
                &["--kind", DUO, "--name", &totp],
                &format!("is named \"{totp}\""),
            ),
            // Of flows only what is asked for.
            (&["--name", &test.name("login")], "--kind Flow for a flow"),
            (&["--all", "--name", &totp], "cannot be used with"),
        ];
        for (args, told) in cases {
            let error = refused(test, args).await;
            assert!(error.contains(told), "{args:?}: {error}");
        }
        let found = exported(test, &["--name", &totp]).await;
        assert_eq!(
            names(&manifests(&found)),
            [("AuthenticatorTOTPStage", totp.as_str())]
        );
        let flow = exported(test, &["--kind", FLOW, "--name", &test.name("login")]).await;
        assert_eq!(
            names(&manifests(&flow)),
            [(FLOW, test.name("login").as_str())]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_there_are_kept_unless_they_are_to_be_replaced() {
    test(async |test| {
        let (one, other) = (test.name("a"), test.name("b"));
        test.totp_stage("a").await;
        test.totp_stage("b").await;
        let folder = folder(test, "kept");
        let into = ["--output-dir", folder.to_str().expect("text")];
        let file = |name: &str| folder.join(format!("authenticatortotpstage-{name}.yaml"));
        exported(test, &[&["--name", &other][..], &into].concat()).await;
        fs::write(file(&other), "mine").expect("it is written");
        let both = [&["--name", &one, "--name", &other][..], &into].concat();
        let error = refused(test, &both).await;
        assert!(
            error.contains("is there already") && error.contains("--force"),
            "{error}"
        );
        assert!(!file(&one).exists(), "something was written");
        assert_eq!(fs::read_to_string(file(&other)).expect("a file"), "mine");
        exported(test, &[&both[..], &["--force"]].concat()).await;
        for name in [&one, &other] {
            let text = fs::read_to_string(file(name)).expect("a file");
            assert!(text.contains("kind: AuthenticatorTOTPStage"), "{text}");
        }
    })
    .await;
}

/// A resource of a Terraform state.
fn held(kind: &str, name: &str, key: Option<&str>, id: &Value, secret: &str) -> Value {
    json!({
        "mode": "managed", "type": kind, "name": name, "module": "module.login",
        "instances": [{"index_key": key, "attributes": {"id": id, "client_secret": secret, "order": 7}}],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_terraform_holds_is_exported_with_the_commands_that_let_it_forget() {
    test(async |test| {
        let secret = test.canary("in-the-state");
        test.canaries.add(&secret);
        let (stage, flow) = (test.totp_stage("totp").await, test.flow("login").await);
        test.totp_stage("not-held").await;
        let binding = test.bind(&flow, &stage, 7).await;
        let binding = json!(binding.split('/').nth_back(1));
        let gone = json!("00000000-0000-0000-0000-000000000007");
        let resources = |more: Value| {
            let mut resources = json!([
                held("authentik_stage_authenticator_totp", "it", Some("the 'key'"), &stage, &secret),
                held("authentik_flow", "flow", None, &json!(test.name("login")), &secret),
                held("authentik_flow_stage_binding", "bound", None, &binding, &secret),
                held("authentik_user", "somebody", None, &json!(7), &secret),
            ]);
            let all = resources.as_array_mut().expect("a list");
            all.extend(more.as_array().expect("a list").clone());
            json!({"version": 4, "serial": 1, "resources": resources}).to_string()
        };
        let folder = folder(test, "state");
        fs::create_dir_all(&folder).expect("it is made");
        let file = folder.join("terraform.tfstate");
        fs::write(&file, resources(json!([]))).expect("it is written");
        let of_state = ["--terraform-state", file.to_str().expect("text")];

        let stream = exported(test, &of_state).await;
        let (totp, login) = (test.name("totp"), test.name("login"));
        let expected = [("AuthenticatorTOTPStage", totp.as_str()), (FLOW, &login)];
        assert_eq!(names(&manifests(&stream)), expected);
        let totp_line = r#"terraform state rm 'module.login.authentik_stage_authenticator_totp.it["the '\''key'\''"]'"#;
        let flow_line = "terraform state rm 'module.login.authentik_flow.flow'";
        let bound_line = "terraform state rm 'module.login.authentik_flow_stage_binding.bound'";
        assert!(stream.ends_with(&format!("# {totp_line}\n# {flow_line}\n")), "{stream}");

        let into = folder.join("manifests");
        let into = ["--flows", "--output-dir", into.to_str().expect("text")];
        let lines = exported(test, &[&of_state[..], &into].concat()).await;
        assert_eq!(lines, format!("{totp_line}\n{bound_line}\n{flow_line}\n"));

        // What is chosen otherwise is exported whether Terraform holds it or not.
        let named = ["--name", &test.name("not-held")];
        let stream = exported(test, &[&of_state[..], &named].concat()).await;
        assert!(!stream.contains("terraform"), "{stream}");

        let more = json!([held("authentik_stage_authenticator_duo", "gone", None, &gone, &secret)]);
        fs::write(&file, resources(more)).expect("it is written");
        let done = export(test, &of_state).await;
        let error = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{error}");
        assert!(error.contains("module.login.authentik_stage_authenticator_duo.gone"), "{error}");
        assert_eq!(manifests(&String::from_utf8_lossy(&done.stdout)).len(), 2);

        for (text, told) in [
            (json!({"version": 3, "secret": secret}).to_string(), "version 3"),
            (json!({"version": 4, "resources": secret}).to_string(), "it is no Terraform state"),
        ] {
            fs::write(&file, text).expect("it is written");
            let error = refused(test, &of_state).await;
            assert!(error.contains("--terraform-state: ") && error.contains(told), "{error}");
        }
        let error = refused(test, &["--terraform-state", "/nowhere"]).await;
        assert!(error.contains("--terraform-state: /nowhere: it can't be read"), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_told_and_the_rest_is_exported() {
    test(async |test| {
        let (good, bad) = (test.name("good"), test.name("bad"));
        let path = collection(VALIDATE);
        let body = json!({"name": good, "device_classes": ["static"]});
        test.authentik.create(path, body).await;
        let bad = test.authentik.create(path, json!({"name": bad})).await;
        let replace = |this: String, by: &str| {
            let by = by.to_owned();
            test.gateway
                .inject(Fault::new(FaultKind::Replace { this, by }))
        };
        let named = format!("\"name\":\"{}\"", test.name("bad"));
        let nameless = replace(named, "\"name\":null");
        let done = export_from(test, &test.gateway.url(), &["--kind", VALIDATE]).await;
        let error = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{error}");
        let told = format!("the validation stage {} is left out", text(&bad["pk"]));
        assert!(error.contains(&told), "{error}");
        let stream = String::from_utf8_lossy(&done.stdout);
        assert!(names(&manifests(&stream)).contains(&(VALIDATE, good.as_str())));

        // Nobody asked for the other one.
        let one = ["--name", good.as_str()];
        let done = export_from(test, &test.gateway.url(), &one).await;
        assert!(done.status.success(), "{done:?}");
        test.gateway.remove(nameless);
        replace("[\"static\"]".to_owned(), "[\"telepathy\"]");
        let done = export_from(test, &test.gateway.url(), &one).await;
        assert!(done.status.success(), "{done:?}");
        let stream = String::from_utf8_lossy(&done.stdout);
        let comment = "  # deviceClasses: authentik holds a value that this version";
        assert!(stream.contains(comment), "{stream}");
    })
    .await;
}

/// Who commits manifests must not commit the token with them.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_repeats_the_token_has_it_in_no_manifest() {
    test(async |test| {
        test.totp_stage("totp").await;
        test.gateway.inject(Fault::new(FaultKind::Replace {
            this: "\"friendly_name\":\"\"".to_owned(),
            by: format!("\"friendly_name\":\"my {} yours\"", test.token()),
        }));
        let url = test.gateway.url();
        let done = export_from(test, &url, &["--name", &test.name("totp")]).await;
        let error = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{error}");
        assert!(
            error.contains("answer about it repeats the token"),
            "{error}"
        );
        assert!(done.stdout.is_empty());
    })
    .await;
}

/// Names and texts that YAML could take for something else.
#[tokio::test(flavor = "multi_thread")]
async fn odd_texts_reach_the_api_server_as_they_are() {
    test(async |test| {
        let odd = [
            "yes",
            "~",
            "1e3",
            "0o7",
            "0x1F",
            "1_000",
            "1:30",
            "2026-01-01",
            "a: b",
            "a #b",
            "# a",
            "- a",
            "{a}",
            "'",
            "\"",
            "\\",
            "&a",
            "*a",
            "!a",
            "%a",
            "@a",
            "`a",
            "---",
            "a\nb",
            "a\tb",
            "é\u{202e}\u{feff}b",
            "null",
            "<<",
            "=",
            "?",
        ];
        for (odd, number) in odd.iter().zip(1..) {
            let name = test.name(&format!("Odd {number}"));
            let body = json!({"name": name, "digits": "6", "friendly_name": odd});
            test.authentik
                .create("stages/authenticator/totp/", body)
                .await;
        }
        for number in 1..=odd.len() {
            let label = test.name(&format!("Odd {number}"));
            let stream = exported(test, &["--name", &label]).await;
            let args = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
            let taken = test.kubectl(&args, &stream).await;
            assert!(taken.status.success(), "{taken:?} of {stream}");
            let taken: Value = serde_json::from_slice(&taken.stdout).expect("a resource");
            assert_eq!(taken["spec"]["friendlyName"], odd[number - 1], "{stream}");
            assert_eq!(taken["spec"]["name"], label);
            let name = label.to_lowercase().replace(' ', "-");
            assert_eq!(taken["metadata"]["name"], name);
        }
    })
    .await;
}
