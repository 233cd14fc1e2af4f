//! What is made of the chart: its README, from the comments of its `values.yaml`, what catalogues show of it, and manifests
//! for those who don't use Helm.

mod metadata;

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::kubernetes::helm_command;

pub use metadata::{metadata, write_metadata};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The name and the namespace of the operator that the manifests install.
pub(crate) const NAME: &str = "authentik-stage-operator";
const NAMESPACE: &str = "authentik-operator";

const MANIFESTS_NAMESPACE: &str = "\
apiVersion: v1
kind: Namespace
metadata:
  name: authentik-operator
";

/// Labels that say that Helm installed something.
const HELM_LABELS: [&str; 2] = ["app.kubernetes.io/managed-by", "helm.sh/chart"];

const HEAD: &str = "\
# authentik-stage-operator

A Helm chart for the operator of authentik's authenticator stages and flows.
[docs/install.md](../../docs/install.md) shows how to install, upgrade and remove it.

What there is to know beforehand:

- The CRDs are upgraded with the release and left when it is uninstalled, and so is the connection of `connection.url`.
- The operator is allowed what it needs and no more; the rules are made from the code. With `watchNamespaces` it gets a
  Role in each of them, and in the whole cluster it reads no more than cluster connections and the labels of namespaces.
- For Argo CD, `files/gitops/` has the health of the operator's kinds, to be added to the `argocd-cm` that is there:
  `argocd-cm.yaml` for `kubectl patch`, `argocd-values.yaml` for Argo CD's own chart. See
  [docs/gitops](../../docs/gitops/README.md).
- `metrics.serviceMonitor` and `metrics.prometheusRule` need the CRDs of the Prometheus operator.
- A value that there is not, such as one with a typing error, is refused with its name.

## Files of values

`examples/` has values that are ready to be used or changed:

| file | what for |
|---|---|
| [high-availability.yaml](examples/high-availability.yaml) | three pods, spread evenly over nodes and zones; one works, and another takes over within seconds |
| [single-namespace.yaml](examples/single-namespace.yaml) | one namespace, without any right in the cluster; an administrator of the cluster applies the CRDs |

## Values

Made from `values.yaml` by `make generate`.

| value | default | meaning |
|---|---|---|
";

pub(crate) fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/authentik-stage-operator")
}

/// Renders the chart with its default values, for `kubectl apply` and kustomize.
///
/// # Errors
/// When Helm refuses the chart.
///
/// # Panics
/// When Helm is missing and can't be built.
pub fn manifests() -> Result<String> {
    manifests_of(
        &chart(),
        "The chart with its default values, rendered by `make generate`.",
    )
}

/// The same for a chart in another folder, with this as the first line.
pub(crate) fn manifests_of(chart: &Path, about: &str) -> Result<String> {
    let mut command = helm_command(["template", NAME, "--namespace", NAMESPACE]);
    // What Helm is to leave, nobody else takes away.
    command.args(["--set", "crds.keep=false"]).arg(chart);
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let mut manifests = format!("# {about}\n{MANIFESTS_NAMESPACE}");
    let rendered = String::from_utf8(output.stdout)?;
    for document in rendered
        .split("\n---\n")
        .filter(|text| text.contains("kind:"))
    {
        let mut object: Value = serde_saphyr::from_str(document)?;
        without_helm(&mut object);
        write!(manifests, "---\n{}", serde_saphyr::to_string(&object)?)?;
    }
    Ok(manifests)
}

/// Removes Helm's labels from an object and from the template in it.
fn without_helm(object: &mut Value) {
    if let Some(labels) = object["metadata"]["labels"].as_object_mut() {
        labels.retain(|label, _| !HELM_LABELS.contains(&label.as_str()));
    }
    if let Some(template) = object.pointer_mut("/spec/template") {
        without_helm(template);
    }
}

/// Renders the README.
///
/// # Errors
/// When `values.yaml` can't be read, or a value in it has no comment.
pub fn readme() -> Result<String> {
    let text = fs::read_to_string(chart().join("values.yaml"))?;
    let values = serde_saphyr::from_str(&text)?;
    let mut readme = HEAD.to_owned();
    for (path, meaning) in explained(&text) {
        let value = path
            .split('.')
            .fold(&values, |value: &Value, key| &value[key]);
        writeln!(readme, "| `{path}` | `{value}` | {meaning} |")?;
    }
    match unexplained(&values, "", &readme) {
        Some(path) => Err(format!("values.yaml has no comment at {path}").into()),
        None => Ok(readme),
    }
}

/// The paths of the keys that have a comment right above them, and that comment.
fn explained(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut parents: Vec<(usize, &str)> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in text.lines() {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if let Some(words) = content.strip_prefix("# ") {
            comment.push(words);
            continue;
        }
        if let Some((key, _)) = content.split_once(':') {
            parents.retain(|(of, _)| *of < indent);
            parents.push((indent, key));
            if !comment.is_empty() {
                let path: Vec<_> = parents.iter().map(|(_, key)| *key).collect();
                found.push((path.join("."), comment.join(" ").replace('|', "\\|")));
            }
        }
        comment.clear();
    }
    found
}

/// The first value that neither has a comment nor is part of one that has.
fn unexplained(value: &Value, path: &str, readme: &str) -> Option<String> {
    if readme.contains(&format!("| `{path}` |")) {
        return None;
    }
    let Some(fields) = value.as_object().filter(|fields| !fields.is_empty()) else {
        return Some(path.to_owned());
    };
    fields.iter().find_map(|(key, value)| {
        let separator = if path.is_empty() { "" } else { "." };
        unexplained(value, &format!("{path}{separator}{key}"), readme)
    })
}
