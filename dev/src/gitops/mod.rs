//! What GitOps tools need to judge the operator's resources, and how they do: with their own code.
mod argocd;
mod repository;

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::go::{self, Module};
use crate::reference::{crds, plain};

pub use argocd::{ArgoCd, Managed, Operation, Status, SyncStatus};
pub use repository::Repository;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const FLUX: Program = Program {
    name: "flux-health",
    module: Module {
        directory: "gitops/flux",
        path: "github.com/fluxcd/kustomize-controller/api",
        go_mod: include_str!("../../gitops/flux/go.mod"),
        link_flags: |_| String::new(),
        tags: "",
    },
    source: include_str!("../../gitops/flux/main.go"),
};

const ARGOCD: Program = Program {
    name: "argocd-health",
    module: argocd::MODULE,
    source: include_str!("../../gitops/argocd/main.go"),
};

const ARGOCD_HEAD: &str = "\
# Made from health.lua and crds/ by `make generate`.
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
  labels:
    app.kubernetes.io/name: argocd-cm
    app.kubernetes.io/part-of: argocd
data:
";

const ARGOCD_VALUES_HEAD: &str = "\
# Values for the Helm chart of Argo CD, made from health.lua and crds/ by `make generate`.
configs:
  cm:
";

const FLUX_HEAD: &str = "\
# Made by `make generate`. The part from `healthCheckExprs` on is for the Kustomization that holds your resources.
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata:
  name: authentik-stages
  namespace: flux-system
spec:
  sourceRef:
    kind: GitRepository
    name: flux-system
  path: ./authentik
  interval: 10m
  retryInterval: 1m
  timeout: 2m
  prune: true
  wait: true
  healthCheckExprs:
";

/// The expressions of one kind. Flux asks them in this order, and before them whether `observedGeneration` is
/// that of the spec.
const FLUX_EXPRESSIONS: &str = "
    inProgress: >-
      has(metadata.deletionTimestamp) ||
      has(status.conditions) &&
      status.conditions.exists(c, c.type == 'Reconciling' && c.status == 'True')
    failed: >-
      has(status.conditions) &&
      !status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')
    current: >-
      has(status.conditions) &&
      status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')
";

/// A file of `docs/gitops/`.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/gitops")
        .join(path)
}

/// A file of the chart for those who use Argo CD.
fn chart_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../charts/authentik-stage-operator/files/gitops")
        .join(name)
}

/// The generated files of `docs/gitops/` and of the chart, with what belongs into them.
///
/// # Errors
/// When a file of `crds/` or the health script can't be read.
pub fn files() -> Result<[(PathBuf, String); 4]> {
    let argocd_cm = format!("{ARGOCD_HEAD}{}", customizations("  ")?);
    let argocd_values = format!("{ARGOCD_VALUES_HEAD}{}", customizations("    ")?);
    Ok([
        (file("argocd/argocd-cm.yaml"), argocd_cm.clone()),
        (file("flux/kustomization.yaml"), kustomization()?),
        (chart_file("argocd-cm.yaml"), argocd_cm),
        (chart_file("argocd-values.yaml"), argocd_values),
    ])
}

/// The keys of an `argocd-cm` with the health of every kind, indented.
fn customizations(indent: &str) -> Result<String> {
    let script = fs::read_to_string(file("argocd/health.lua"))?;
    let mut text = String::new();
    for crd in crds()? {
        let (group, kind) = (&crd["spec"]["group"], &crd["spec"]["names"]["kind"]);
        writeln!(
            text,
            "{indent}resource.customizations.health.{}_{}: |",
            plain(group),
            plain(kind)
        )?;
        for line in script.lines() {
            writeln!(text, "{}", format!("{indent}  {line}").trim_end())?;
        }
    }
    Ok(text)
}

/// A Flux Kustomization with the health of every kind.
fn kustomization() -> Result<String> {
    let mut text = FLUX_HEAD.to_owned();
    for crd in crds()? {
        let spec = &crd["spec"];
        write!(
            text,
            "  - apiVersion: {}/{}\n    kind: {}{FLUX_EXPRESSIONS}",
            plain(&spec["group"]),
            plain(&spec["versions"][0]["name"]),
            plain(&spec["names"]["kind"]),
        )?;
    }
    Ok(text)
}

/// A program of ours around a tool's code.
struct Program {
    name: &'static str,
    module: Module,
    source: &'static str,
}

impl Program {
    /// Its path; it is built first where it is missing as it is now.
    fn path(&self) -> Result<PathBuf> {
        let mut hasher = DefaultHasher::new();
        (self.module.go_mod, self.source).hash(&mut hasher);
        let file = format!("{}-{:016x}", self.name, hasher.finish());
        let built = go::target().join("tools").join(file);
        if !built.is_file() {
            self.module.build_once(self.name, ".", &built)?;
        }
        Ok(built)
    }
}

/// What a tool says of a resource.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
pub struct Verdict {
    /// The tool's name for the state.
    pub status: String,
    /// What it shows with it.
    #[serde(default)]
    pub message: String,
}

/// What Flux says of a resource.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct FluxVerdict {
    /// By the rules that hold for every kind, where there are no expressions.
    pub kstatus: Verdict,
    /// By our expressions.
    pub flux: Verdict,
}

/// What Flux, with the expressions of `docs/gitops/`, says of these resources.
///
/// # Errors
/// When Flux's code can't be built or refuses the expressions or a resource.
pub fn flux(resources: &[Value]) -> Result<Vec<FluxVerdict>> {
    judge(&build_flux()?, &file("flux/kustomization.yaml"), resources)
}

/// The program that [`flux`] asks, built where it is missing.
///
/// # Errors
/// When it can't be built.
pub fn build_flux() -> Result<PathBuf> {
    FLUX.path()
}

/// What Argo CD, with the customizations of `docs/gitops/`, says of these resources.
///
/// # Errors
/// When Argo CD's code can't be built or refuses the customizations or a resource.
pub fn argocd(resources: &[Value]) -> Result<Vec<Verdict>> {
    judge(&ARGOCD.path()?, &file("argocd/argocd-cm.yaml"), resources)
}

fn judge<T: DeserializeOwned>(tool: &Path, settings: &Path, resources: &[Value]) -> Result<Vec<T>> {
    let mut child = Command::new(tool)
        .arg(settings)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().ok_or("no standard input")?;
    stdin.write_all(&serde_json::to_vec(resources)?)?;
    drop(stdin);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {}", tool.display(), errors.trim_end()).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
