//! A release: installed, upgraded and removed with a real Helm.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use devkit::kubernetes::{self, Kubernetes, User, helm_command};
use serde_json::{Value, json};

use crate::rendering::{
    NAME, NAMESPACE, RELEASE, chart, connection, list, namespace, objects, only, run, said, succeed,
};

/// A release on a Kubernetes of its own.
pub struct Release(pub Kubernetes);

impl Release {
    pub async fn new() -> Self {
        let options = kubernetes::Options {
            controller_manager: false,
        };
        Self(Kubernetes::start(options).await.expect("Kubernetes starts"))
    }

    /// What Helm prints, run with the chart and these values.
    pub fn helm(&self, args: &[&str], values: &Value) -> String {
        self.helm_from(&chart(), args, values)
    }

    /// The same with another chart.
    pub fn helm_from(&self, chart: &Path, args: &[&str], values: &Value) -> String {
        let output = run(&mut self.command(chart, args), &values.to_string());
        // Kubernetes may serve a kind only a moment after its CRD is there. The pages say what to do then: the same again.
        if args[0] == "install" && said(&output).contains("no matches for kind") {
            let again = ["upgrade", "--install"];
            return succeed(&mut self.command(chart, &again), &values.to_string());
        }
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        String::from_utf8(output.stdout).expect("the output is text")
    }

    pub fn command(&self, chart: &Path, args: &[&str]) -> Command {
        let mut command = helm_command(args);
        command
            .args(["--namespace", NAMESPACE])
            .env("KUBECONFIG", self.0.kubeconfig(User::Admin));
        if ["install", "upgrade"].contains(&args[0]) {
            command.arg(RELEASE).arg(chart).args(["--values", "-"]);
        }
        command
    }

    /// What `kubectl get` tells of these, in the release's namespace or in none.
    pub fn get(&self, what: &[&str]) -> String {
        let mut command =
            self.0
                .kubectl_command(["get", "--ignore-not-found", "--namespace", NAMESPACE]);
        succeed(command.args(what), "")
    }

    /// A kubeconfig file of a ServiceAccount in the release's namespace.
    pub fn kubeconfig(&self, account: &str) -> PathBuf {
        let create = ["create", "token", account, "--namespace", NAMESPACE];
        let mut token = self.0.kubectl_command(create);
        let token = succeed(&mut token, "");
        let admin = self.0.kubeconfig(User::Admin);
        let text = fs::read_to_string(&admin).expect("it can be read");
        let mut config: Value = serde_saphyr::from_str(&text).expect("it is YAML");
        config["users"][0]["user"] = json!({"token": token});
        let path = admin.with_file_name(format!("{account}.kubeconfig"));
        fs::write(&path, config.to_string()).expect("it can be written");
        path
    }

    /// The program, run as the Deployment says.
    pub fn program(&self, values: &Value) -> tokio::process::Child {
        let deployment = only(&objects(values), "Deployment");
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let texts = |list: &Value| -> Vec<String> {
            serde_json::from_value(list.clone()).expect("a list of texts")
        };
        let program = env!("CARGO_BIN_EXE_authentik-stage-operator");
        let mut command = tokio::process::Command::new(program);
        command.args(texts(&container["args"])).env_clear();
        for variable in container["env"].as_array().expect("a list") {
            let name = variable["name"].as_str().expect("a name");
            // Where there is no value, Kubernetes takes it from the pod.
            let of_pod = if name == "POD_NAMESPACE" {
                NAMESPACE
            } else {
                "pod"
            };
            command.env(name, variable["value"].as_str().unwrap_or(of_pod));
        }
        command
            .env("KUBECONFIG", self.kubeconfig(NAME))
            .kill_on_drop(true);
        command
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts")
    }

    fn connection_url(&self) -> String {
        self.get(&[
            "clusterauthentikconnections",
            "company",
            "--output=jsonpath={.spec.url}",
        ])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_that_ends_in_the_middle_is_done_again() {
    let release = Release::new().await;
    // The chart takes it, and Kubernetes refuses the connection, which is made last.
    let mut values = json!({"connection": connection()});
    values["connection"]["caBundle"] = json!("no certificate");
    let install = ["install", "--create-namespace"];
    let output = run(
        &mut release.command(&chart(), &install),
        &values.to_string(),
    );
    assert!(
        said(&output).contains("failed post-install"),
        "{}",
        said(&output)
    );

    let values = json!({"connection": connection()});
    release.helm(&["upgrade", "--install"], &values);
    assert_eq!(
        release.connection_url(),
        "https://authentik.example.com/sso"
    );
}

#[tokio::test]
async fn a_release_is_installed_upgraded_removed_and_installed_again() {
    let release = Release::new().await;
    let mut values = json!({"connection": connection()});
    let notes = release.helm(&["install", "--create-namespace"], &values);
    assert!(
        notes.contains("kubectl get clusterauthentikconnection company"),
        "{notes}"
    );
    assert_eq!(
        release.connection_url(),
        "https://authentik.example.com/sso"
    );
    let uid = [
        "clusterauthentikconnections",
        "company",
        "--output=jsonpath={.metadata.uid}",
    ];
    let made = release.get(&uid);

    for url in ["https://new.example.com", "https://newer.example.com"] {
        values["connection"]["url"] = json!(url);
        release.helm(&["upgrade"], &values);
        assert_eq!(release.connection_url(), url);
    }
    assert_eq!(
        release.get(&uid),
        made,
        "the connection is changed, not made anew"
    );

    release.helm(&["uninstall", RELEASE], &values);
    assert_eq!(
        release.get(&[
            "deployments,services,roles,serviceaccounts",
            "--selector=app.kubernetes.io/instance"
        ]),
        ""
    );
    assert_eq!(
        release.get(&[
            "clusterroles,clusterrolebindings",
            "--selector=app.kubernetes.io/instance"
        ]),
        ""
    );
    assert_eq!(
        release.get(&uid),
        made,
        "connections stay, and the CRDs with them"
    );

    release.helm(&["install"], &values);
    assert_eq!(release.get(&uid), made);
    assert!(release.get(&["deployment", NAME]).contains(NAME));
}

/// Settings for a program that listens on a port of this machine that is free.
pub fn listening(values: &mut Value) -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = free.local_addr().expect("it has an address");
    values["listenAddress"] = json!("127.0.0.1");
    values["metrics"]["port"] = json!(address.port());
    address
}

/// The kinds of the first chart.
const FIRST_KINDS: [&str; 4] = [
    "authenticatorvalidatestages",
    "duostages",
    "authentikconnections",
    "clusterauthentikconnections",
];

/// The chart as it was when there were these kinds only, in a folder of this name.
pub fn first_chart(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    // What an earlier run has left may be of another chart.
    let _ = fs::remove_dir_all(&folder);
    succeed(Command::new("cp").arg("-R").arg(chart()).arg(&folder), "");
    for crd in fs::read_dir(folder.join("files/crds")).expect("it can be read") {
        let crd = crd.expect("an entry").path();
        let kind = crd.file_stem().expect("a name").to_string_lossy();
        if !FIRST_KINDS.contains(&&*kind) {
            fs::remove_file(&crd).expect("it can be removed");
        }
    }
    let rules = folder.join("files/rbac/namespaced.yaml");
    let text = fs::read_to_string(&rules).expect("it can be read");
    let is_first = |line: &&str| match line.strip_prefix("  - ") {
        Some(resource) if resource.ends_with('s') || resource.ends_with("/status") => {
            FIRST_KINDS.contains(&resource.trim_end_matches("/status"))
        }
        _ => true,
    };
    let lines: Vec<_> = text.lines().filter(is_first).collect();
    fs::write(&rules, lines.join("\n") + "\n").expect("it can be written");
    folder
}

#[tokio::test]
async fn an_upgrade_brings_new_kinds_and_touches_no_stage() {
    let release = Release::new().await;
    let kinds = authentik_stage_operator::kinds::crds().into_iter();
    let kinds: Vec<_> = kinds.map(|crd| crd.spec.names.plural).collect();
    let installed = |release: &Release| {
        let crds = release.get(&["crds", "--output=name"]);
        let has = |kind: &&String| crds.contains(&format!("/{kind}.authentik-operator.io"));
        kinds.iter().filter(has).cloned().collect::<Vec<_>>()
    };
    let allowed = |release: &Release| {
        let roles = release.get(&["clusterroles", "--output=yaml"]);
        let has = |kind: &&String| roles.contains(&format!("- {kind}/status"));
        kinds.iter().filter(has).cloned().collect::<Vec<_>>()
    };
    release.helm_from(
        &first_chart("upgrade-from"),
        &["install", "--create-namespace"],
        &json!({}),
    );
    assert_eq!(installed(&release).len(), FIRST_KINDS.len());
    assert_eq!(allowed(&release).len(), FIRST_KINDS.len());

    let mut stage = json!({
        "apiVersion": "authentik-operator.io/v1alpha1", "kind": "AuthenticatorValidateStage",
        "metadata": {"name": "mfa", "namespace": "default", "finalizers": ["authentik-operator.io/stage"]},
        "spec": {"deviceClasses": ["totp"]},
    });
    let apply = ["apply", "--server-side", "--filename=-"];
    succeed(&mut release.0.kubectl_command(apply), &stage.to_string());
    let version = ["--namespace=default", "avs", "mfa"];
    let version = [
        &version[..],
        &["--output=jsonpath={.metadata.uid}/{.metadata.resourceVersion}"],
    ];
    let version = version.concat();
    let before = release.get(&version);

    release.helm(&["upgrade"], &json!({}));
    assert_eq!(installed(&release), kinds);
    assert_eq!(allowed(&release), kinds);
    assert_eq!(release.get(&version), before);
    // Kubernetes takes the new kinds.
    stage["kind"] = json!("AuthenticatorTOTPStage");
    stage["spec"] = json!({"digits": "6"});
    let established = [
        "wait",
        "--for=condition=Established",
        "crd",
        "--all",
        "--timeout=60s",
    ];
    succeed(&mut release.0.kubectl_command(established), "");
    succeed(&mut release.0.kubectl_command(apply), &stage.to_string());
}

#[tokio::test]
async fn the_program_works_with_the_settings_and_rights_of_the_chart() {
    let release = Release::new().await;
    let namespaces = ["authentik", "team-a"].map(|name| namespace(name, &json!({})));
    let mut create = release.0.kubectl_command(["create", "-f", "-"]);
    succeed(&mut create, &list(&namespaces));
    let mut values = json!({
        "connection": connection(), "watchNamespaces": ["team-a"], "secrets": {"watch": false},
    });
    let address = listening(&mut values);
    release.helm(&["install", "--create-namespace"], &values);
    let _program = release.program(&values);
    // It was elected, has seen all there is, may look for the Secret and may write the status.
    let said = "--for=jsonpath={.status.conditions[?(@.type==\"Ready\")].reason}=SecretNotFound";
    let wait = [
        "wait",
        said,
        "--timeout=60s",
        "clusterauthentikconnection",
        "company",
    ];
    succeed(&mut release.0.kubectl_command(wait), "");
    let event = [
        "wait",
        "--for=create",
        "--timeout=60s",
        "--namespace=default",
        "events",
    ];
    let of_it = "--field-selector=involvedObject.kind=ClusterAuthentikConnection";
    succeed(release.0.kubectl_command(event).arg(of_it), "");
    let path = format!("http://{address}/readyz");
    let ready = reqwest::get(path).await.expect("health is served");
    assert_eq!(ready.status(), 200);
    assert!(release.get(&["lease", NAME]).contains(NAME));
}
