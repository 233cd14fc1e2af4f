//! The cluster, and the commands that people use on it.

use std::{
    collections::BTreeSet,
    env,
    ffi::OsStr,
    io::Write as _,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use devkit::kubernetes::{Binaries, helm_command};
use futures::FutureExt;

/// What the release is called, and where it is installed, in docs/install.md.
pub const RELEASE: &str = "stages";
pub const NAMESPACE: &str = "authentik-operator";

/// The namespace of the server, and of a token in `examples/`.
pub const AUTHENTIK: &str = "authentik";

/// A namespace with stages: one that may use the cluster connection of `examples/`.
pub const TEAM: &str = "team-a";

/// Where Argo CD's settings and Applications are.
const ARGO_CD: &str = "argocd";

/// All namespaces that a test needs.
const NAMESPACES: [&str; 4] = [NAMESPACE, AUTHENTIK, TEAM, ARGO_CD];

/// The end of the names of Argo CD's CRDs.
const ARGO_CD_GROUP: &str = ".argoproj.io";

/// The label of the namespaces that a test has made and may delete.
const OURS: &str = "made-for=test-cluster";

/// How long anything may take that a test waits for.
const PATIENCE: &str = "--timeout=180s";

/// The cluster of `KUBECONFIG`.
pub struct Cluster {
    kubeconfig: String,
    kubectl: PathBuf,
}

/// Runs a test on a cluster where nothing of the operator is installed, nor is afterwards.
pub async fn test(body: impl AsyncFnOnce(&Cluster)) {
    // An error means that the process has a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let binaries = Binaries::find_or_build().expect("kubectl is built");
    let cluster = Cluster {
        kubeconfig: env::var("KUBECONFIG").expect("KUBECONFIG names the cluster to test on"),
        kubectl: binaries.kubectl,
    };
    cluster.check_that_it_is_free();
    // A run that was killed could not.
    cluster.clean_up();
    for namespace in NAMESPACES {
        cluster.kubectl(&["create", "namespace", namespace]);
        cluster.kubectl(&["label", "namespace", namespace, OURS]);
    }
    let outcome = AssertUnwindSafe(body(&cluster)).catch_unwind().await;
    if outcome.is_err() {
        cluster.report();
    }
    cluster.clean_up();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl Cluster {
    /// kubectl on this cluster.
    pub fn kubectl_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.args(args).env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// The kubeconfig file.
    pub fn kubeconfig(&self) -> &Path {
        Path::new(&self.kubeconfig)
    }

    /// Runs kubectl; returns what it prints.
    pub fn kubectl(&self, args: &[&str]) -> String {
        succeed(&mut self.kubectl_command(args))
    }

    /// Applies manifests as the documentation recommends; to this namespace unless they name theirs.
    pub fn apply(&self, namespace: Option<&str>, manifests: &str) {
        let mut command = self.kubectl_command(&["apply", "--server-side", "--filename=-"]);
        if let Some(namespace) = namespace {
            command.args(["--namespace", namespace]);
        }
        let mut child = start(command.stdin(Stdio::piped()));
        let mut stdin = child.stdin.take().expect("it is piped");
        // A command that ends early says why.
        let _ = stdin.write_all(manifests.as_bytes());
        drop(stdin);
        ended(child);
    }

    /// Helm on the release; it waits until what it did has taken effect.
    pub fn helm<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Command {
        let mut command = helm_command(args);
        command
            .args(["--namespace", NAMESPACE, "--wait", PATIENCE])
            .env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// Waits for all of these kinds, separated by commas, in [`TEAM`] or in no namespace.
    pub fn wait(&self, what: &str, kinds: &str) {
        let what = format!("--for={what}");
        let kubectl = ["wait", &what, PATIENCE, "--namespace", TEAM, "--all", kinds];
        self.kubectl(&kubectl);
    }

    /// The CRDs of the operator.
    pub fn crds(&self) -> Vec<String> {
        self.crds_of(".authentik-operator.io")
    }

    /// The kinds of the operator that are installed, as kubectl takes them.
    pub fn kinds(&self) -> String {
        let crds = self.crds();
        let named = crds.iter().filter_map(|crd| Some(crd.split_once('/')?.1));
        named.collect::<Vec<_>>().join(",")
    }

    /// The names of the operator's kinds that are installed.
    pub fn kind_names(&self) -> BTreeSet<String> {
        let crds = self.crds().into_iter().map(|crd| {
            let kind = "--output=jsonpath={.spec.names.kind}";
            self.kubectl(&["get", &crd, kind])
        });
        crds.collect()
    }

    fn crds_of(&self, group: &str) -> Vec<String> {
        let crds = self.kubectl(&["get", "crds", "--output=name"]);
        let of_group = crds.lines().filter(|name| name.ends_with(group));
        of_group.map(str::to_owned).collect()
    }

    /// Panics where a namespace that the test needs is somebody else's, or the operator is.
    fn check_that_it_is_free(&self) {
        let list = |selector: &str| {
            let selector = format!("--selector={selector}");
            self.kubectl(&["get", "namespaces", &selector, "--output=name"])
        };
        let (others, ours) = (list(&OURS.replace('=', "!=")), list(OURS));
        let among =
            |list: &str, name: &str| list.lines().any(|line| line == format!("namespace/{name}"));
        for name in NAMESPACES {
            assert!(
                !among(&others, name),
                "namespace {name} is in use: test on a cluster that is there for testing"
            );
        }
        assert!(
            among(&ours, NAMESPACE)
                || self.crds().is_empty() && self.crds_of(ARGO_CD_GROUP).is_empty(),
            "the operator or Argo CD is installed: test on a cluster that is there for testing"
        );
    }

    /// Removes whatever a test leaves, in whatever state.
    fn clean_up(&self) {
        succeed(&mut self.helm(["uninstall", RELEASE, "--ignore-not-found"]));
        // The programs that would remove the finalizers are gone.
        self.remove(ARGO_CD_GROUP, &[ARGO_CD], "applications.argoproj.io");
        // Each has finalizers.
        self.remove(".authentik-operator.io", &[TEAM, NAMESPACE], &self.kinds());
        let namespaces = format!("--selector={OURS}");
        self.kubectl(&["delete", "namespaces", &namespaces, PATIENCE]);
    }

    /// Removes the CRDs of a group, and before them the finalizers of these kinds.
    fn remove(&self, group: &str, namespaces: &[&str], kinds: &str) {
        let crds = self.crds_of(group);
        if crds.is_empty() {
            return;
        }
        for namespace in namespaces {
            let objects = self.kubectl(&["get", kinds, "--namespace", namespace, "--output=name"]);
            for object in objects.lines() {
                let patch = r#"--patch={"metadata":{"finalizers":null}}"#;
                let of = ["--namespace", namespace, "--type=merge", patch];
                self.kubectl(&[&["patch", object][..], &of].concat());
            }
        }
        let crds = crds.iter().map(String::as_str);
        let delete: Vec<_> = ["delete", PATIENCE].into_iter().chain(crds).collect();
        self.kubectl(&delete);
    }

    /// Prints what helps to understand a failure.
    fn report(&self) {
        for command in [
            "get authentik --all-namespaces",
            "get pods --all-namespaces --output=wide",
            "get events --all-namespaces",
            "logs --namespace=authentik-operator --selector=app.kubernetes.io/instance=stages --prefix --tail=50",
        ] {
            let args: Vec<_> = command.split(' ').collect();
            let output = self.kubectl_command(&args).output();
            let output = output.expect("kubectl runs");
            eprintln!("$ kubectl {command}");
            eprint!("{}", String::from_utf8_lossy(&output.stdout));
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// Starts a command whose output is kept.
pub fn start(command: &mut Command) -> Child {
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    piped.spawn().expect("it starts")
}

/// Waits until a command has ended, with success; returns what it printed.
pub fn ended(child: Child) -> String {
    let output = child.wait_with_output().expect("it can be awaited");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).expect("the output is text")
}

/// Runs a command that has to succeed; returns what it prints.
pub fn succeed(command: &mut Command) -> String {
    ended(start(command))
}
