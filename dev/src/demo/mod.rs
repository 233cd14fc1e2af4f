//! The demo: the operator at work on the manifests of `examples/`, told in steps.
//!
//! Everything in it is real but authentik, which is simulated. What it shows it has seen: a step that
//! does not come about ends the demo with what was missing.

mod authentik;
mod kubectl;
mod manifests;

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, WatchParams};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::kubernetes::{Kubernetes, Options, Supervised, User};
use crate::simulator::{Simulator, Version};
use authentik::Authentik;
use kubectl::Kubectl;
use manifests::{Manifest, Server};

/// The name of the operator's program, of its `ClusterRole` and of its log.
const OPERATOR: &str = "authentik-stage-operator";

/// How long any one thing may take.
const PATIENCE_SECONDS: u32 = 60;

/// How often the demo's connections look for drift; five minutes are too long to watch.
const RESYNC: &str = "2s";

/// Where validation stages are in authentik's API.
const VALIDATE: &str = "stages/authenticator/validate";
/// Where Duo stages are.
const DUO: &str = "stages/authenticator/duo";

/// The flows of `examples/complete.yaml`, and the stage that stands in each.
const FLOWS: [(&str, &str); 4] = [
    ("confirm", "avs/confirm"),
    ("set-up-totp", "totp/totp"),
    ("set-up-security-key", "webauthn/security-key"),
    ("set-up-recovery-codes", "static/recovery-codes"),
];

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How the demo is run.
#[derive(Debug)]
pub struct Settings {
    /// End after the last step, rather than on a signal.
    pub once: bool,
    /// The release of authentik.
    pub authentik: Version,
    /// The operator's program; none: the one beside this program.
    pub operator: Option<PathBuf>,
}

/// Runs the demo, until its end or a signal. Then nothing is left of it.
///
/// # Errors
/// What did not come about, with the end of the operator's log.
pub async fn run(settings: Settings) -> Result<()> {
    let operator = match settings.operator {
        Some(path) => path,
        None => env::current_exe()?.with_file_name(OPERATOR),
    };
    if !operator.is_file() {
        let path = operator.display();
        return Err(
            format!("the operator is not at {path}; build it, or name it by --operator").into(),
        );
    }
    title("1. Kubernetes and authentik");
    println!("etcd, kube-apiserver and kube-controller-manager: real ones, without nodes");
    let kubernetes = Kubernetes::start(Options::default()).await?;
    // Only now: a signal that comes earlier has to end a build that takes minutes.
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let simulator = Simulator::start(settings.authentik).await;
    println!(
        "authentik {}: simulated, at {}",
        settings.authentik,
        simulator.url()
    );
    let demo = Demo {
        kubectl: Kubectl::new(&kubernetes),
        authentik: Authentik::new(&simulator).await?,
        kubernetes: &kubernetes,
        simulator: &simulator,
    };
    let story = async {
        let operator = demo.show(&operator).await?;
        if settings.once {
            println!("\nAll of it was seen. The demo ends and removes what it started.");
            return Ok(());
        }
        demo.tell_how_to_go_on(&operator);
        std::future::pending().await
    };
    tokio::select! {
        told = story => told,
        _ = interrupted.recv() => Ok(()),
        _ = terminated.recv() => Ok(()),
    }
}

struct Demo<'a> {
    kubectl: Kubectl<'a>,
    authentik: Authentik<'a>,
    kubernetes: &'a Kubernetes,
    simulator: &'a Simulator,
}

impl Demo<'_> {
    /// All steps. Returns the operator, still running.
    async fn show(&self, program: &Path) -> Result<Supervised> {
        let operator = self.start_operator(program).await?;
        let shown = self.show_stages().await;
        shown.map(|()| &operator).map_err(|error| {
            format!(
                "{error}\n\nThe end of the operator's log:\n{}",
                operator.log_tail()
            )
        })?;
        Ok(operator)
    }

    async fn start_operator(&self, program: &Path) -> Result<Supervised> {
        title("2. The operator");
        for subcommand in ["crds", "rbac"] {
            let printed = tokio::process::Command::new(program)
                .arg(subcommand)
                .output()
                .await?;
            if !printed.status.success() {
                let errors = String::from_utf8_lossy(&printed.stderr);
                return Err(format!("{OPERATOR} {subcommand} failed: {errors}").into());
            }
            self.kubectl
                .feed(
                    &format!("{OPERATOR} {subcommand} | "),
                    "apply --server-side -f -",
                    &printed.stdout,
                )
                .await?;
        }
        self.kubectl
            .show(&format!(
                "create clusterrolebinding {OPERATOR} --clusterrole={OPERATOR} --user={}",
                User::Operator.name()
            ))
            .await?;
        self.kubectl
            .show(&format!(
                "wait --for=condition=Established crd --all --timeout={PATIENCE_SECONDS}s"
            ))
            .await?;
        println!("$ {OPERATOR} run &");
        let args = ["run".into()];
        Ok(self
            .kubernetes
            .start_program(OPERATOR, program, args, User::Operator)?)
    }

    async fn show_stages(&self) -> Result<()> {
        self.apply_examples().await?;
        let mfa = self.show_in_authentik().await?;
        self.change_by_hand(&mfa).await?;
        self.show_repair(&mfa).await
    }

    async fn apply_examples(&self) -> Result<()> {
        title("3. The manifests in examples/");
        let server = Server {
            url: self.simulator.url(),
            token: self.simulator.token().to_owned(),
            resync_interval: RESYNC.to_owned(),
        };
        println!("with the simulator's url and token, and a resyncInterval of {RESYNC}");
        for Manifest { name, documents } in manifests::examples()? {
            let documents = manifests::aimed_at(&server, documents);
            let list = json!({"apiVersion": "v1", "kind": "List", "items": documents});
            self.kubectl
                .feed(
                    "",
                    &format!("apply --server-side -f examples/{name}"),
                    list.to_string().as_bytes(),
                )
                .await?;
        }
        self.kubectl
            .show(&format!(
                "wait --for=condition=Ready authentik --all --timeout={PATIENCE_SECONDS}s"
            ))
            .await?;
        self.kubectl.show("get authentik -A").await
    }

    /// Shows what `examples/complete.yaml` has come to, and the stages of the other examples, as authentik holds them. Returns
    /// the path of the validation stage.
    async fn show_in_authentik(&self) -> Result<String> {
        title("4. In authentik: what examples/complete.yaml made from nothing");
        for (flow, stage) in FLOWS {
            let resource = format!("akflow/{flow}");
            println!("{}:", self.status(&resource, "flow.slug").await?);
            let flow = self.status(&resource, "flow.uuid").await?;
            let stage = self.status(stage, "stage.name").await?;
            let found = self.authentik.show_flow(&flow).await?;
            if found != [stage.as_str()] {
                return Err(format!("{stage} is not the stage of its flow: {found:?}").into());
            }
        }
        title("5. In authentik: the stages of examples/duo.yaml and examples/mfa.yaml");
        for (resource, path) in [("duo/duo", DUO), ("avs/mfa", VALIDATE)] {
            let uuid = self.status(resource, "stage.uuid").await?;
            self.authentik.show(&format!("{path}/{uuid}/")).await?;
        }
        let uuid = self.status("avs/mfa", "stage.uuid").await?;
        Ok(format!("{VALIDATE}/{uuid}/"))
    }

    async fn change_by_hand(&self, stage: &str) -> Result<()> {
        title("6. Somebody turns the second factor off by hand");
        let off = json!({"not_configured_action": "skip"});
        let answer = self.authentik.patch(stage, &off).await?;
        expect(&answer, "skip")
    }

    async fn show_repair(&self, stage: &str) -> Result<()> {
        title("7. The operator turns it on again");
        let reason = "DriftCorrected";
        self.kubectl
            .show(&format!(
                "wait --for=jsonpath={{.status.lastChange.reason}}={reason} avs/mfa --timeout={PATIENCE_SECONDS}s"
            ))
            .await?;
        expect(&self.authentik.show(stage).await?, "configure")?;
        self.await_event("mfa", reason).await?;
        self.kubectl
            .show("get events --field-selector=involvedObject.name=mfa")
            .await
    }

    /// Waits until there is an event about a resource: it is written a moment after what it tells of.
    async fn await_event(&self, about: &str, reason: &str) -> Result<()> {
        let events: Api<Event> = Api::default_namespaced(self.kubernetes.client(User::Admin));
        let selector = format!("involvedObject.name={about},reason={reason}");
        let params = WatchParams::default()
            .fields(&selector)
            .timeout(PATIENCE_SECONDS);
        // From version 0 on the watch begins with what is there already.
        let mut seen = events.watch(&params, "0").await?.boxed();
        match seen.try_next().await? {
            Some(_) => Ok(()),
            None => Err(format!("there was no event {reason} about {about}").into()),
        }
    }

    async fn status(&self, resource: &str, field: &str) -> Result<String> {
        let value = self
            .kubectl
            .ask(&format!(
                "get {resource} --output=jsonpath={{.status.{field}}}"
            ))
            .await?;
        match value.as_str() {
            "" => Err(format!("{resource} has no status.{field}").into()),
            _ => Ok(value),
        }
    }

    fn tell_how_to_go_on(&self, operator: &Supervised) {
        title("8. Now you");
        let kubectl = self.kubernetes.kubectl();
        let directory = kubectl.parent().unwrap_or(Path::new("."));
        println!("In another terminal:\n");
        println!(
            "export KUBECONFIG={}",
            self.kubernetes.kubeconfig(User::Admin).display()
        );
        println!("export PATH={}:$PATH", directory.display());
        println!("kubectl get authentik -A");
        println!("kubectl describe avs mfa");
        println!(
            "curl -H 'Authorization: Bearer {}' '{}/api/v3/{VALIDATE}/?name=company-mfa'",
            self.simulator.token(),
            self.simulator.url()
        );
        println!("tail {}", operator.log().display());
        println!("\nCtrl-C ends the demo and removes what it started.");
    }
}

/// Checks what authentik does with people who have no second factor.
fn expect(stage: &Value, action: &str) -> Result<()> {
    let found = &stage["not_configured_action"];
    if found == action {
        return Ok(());
    }
    Err(format!("not_configured_action of the stage is {found}, not {action:?}").into())
}

fn title(text: &str) {
    println!("\n== {text}");
}
