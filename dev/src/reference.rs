//! The field reference, `docs/reference.md`, made from the files of `crds/`.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

const HEAD: &str = "\
# Field reference

Made from `crds/` by `make generate`. `kubectl explain` tells the same: `kubectl explain duo.spec.configureFlow`.
A path with `[]` is a field of each entry of a list. **Required** is meant within what holds the field.
A field of a stage that is not set is not managed: it is neither sent to authentik nor compared.
`conditions` are Kubernetes' own: each has `type`, `status`, `reason`, `message`, `observedGeneration` and
`lastTransitionTime`.
";

/// Renders all kinds, in the order of their files.
///
/// # Errors
/// When a file of `crds/` can't be read.
pub fn render() -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut text = HEAD.to_owned();
    for crd in crds()? {
        render_kind(&mut text, &crd)?;
    }
    Ok(text)
}

/// The CRDs, in the order of their files.
pub(crate) fn crds() -> Result<Vec<Value>, Box<dyn Error + Send + Sync>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds");
    let mut paths = fs::read_dir(&directory)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    let read = |path: &PathBuf| {
        serde_saphyr::from_str(&fs::read_to_string(path)?)
            .map_err(|error| format!("{}: {error}", path.display()).into())
    };
    paths.iter().map(read).collect()
}

fn render_kind(text: &mut String, crd: &Value) -> std::fmt::Result {
    let spec = &crd["spec"];
    let names = &spec["names"];
    let version = &spec["versions"][0];
    let schema = &version["schema"]["openAPIV3Schema"];
    writeln!(
        text,
        "\n## {}\n\n{}\n",
        plain(&names["kind"]),
        description(schema)
    )?;
    writeln!(
        text,
        "`apiVersion: {}/{}`, {}; `kubectl get {}`.",
        plain(&spec["group"]),
        plain(&version["name"]),
        match plain(&spec["scope"]) {
            "Cluster" => "in no namespace",
            _ => "in a namespace",
        },
        plain(&names["shortNames"][0]),
    )?;
    for part in ["spec", "status"] {
        writeln!(text, "\n| `{part}` | type | meaning |\n|---|---|---|")?;
        render_fields(text, "", &schema["properties"][part])?;
    }
    Ok(())
}

fn render_fields(text: &mut String, parent: &str, schema: &Value) -> std::fmt::Result {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let required = schema["required"]
            .as_array()
            .is_some_and(|required| required.iter().any(|it| it == name));
        let required = if required { "**Required.** " } else { "" };
        let path = format!("{parent}{name}");
        writeln!(
            text,
            "| `{path}` | {} | {required}{} |",
            type_of(field),
            description(field)
        )?;
        if name == "conditions" {
            continue;
        }
        render_fields(text, &format!("{path}."), field)?;
        render_fields(text, &format!("{path}[]."), &field["items"])?;
    }
    Ok(())
}

/// The type of a field: its values where they can be counted.
fn type_of(field: &Value) -> String {
    let mut text = match (values(field), plain(&field["type"])) {
        (Some(values), _) => {
            let values: Vec<_> = values
                .iter()
                .map(|value| format!("`{}`", plain(value)))
                .collect();
            values.join(", ")
        }
        (None, "array") => format!("list of {}", type_of(&field["items"])),
        (None, "object") if field["additionalProperties"].is_object() => {
            format!("map to {}", type_of(&field["additionalProperties"]))
        }
        (None, other) => other.to_owned(),
    };
    // What a number of its size can't be beyond is left out.
    let bound = |key: &str, last: i32| {
        let bound = field[key].as_f64();
        bound.filter(|bound| *bound != f64::from(last))
    };
    match (bound("minimum", i32::MIN), bound("maximum", i32::MAX)) {
        (None, None) => {}
        (Some(minimum), None) => text += &format!(", {minimum} or more"),
        (None, Some(maximum)) => text += &format!(", {maximum} or less"),
        (Some(minimum), Some(maximum)) => text += &format!(", {minimum} to {maximum}"),
    }
    if field["nullable"] == true {
        text += ", or null";
    }
    text
}

/// The values of a field that has only some: of an enum or, where null is one more, of a rule.
fn values(field: &Value) -> Option<Vec<Value>> {
    let rules = field["x-kubernetes-validations"].as_array();
    let mut rules = rules.into_iter().flatten();
    let by_rule = rules.find_map(|rule| {
        let list = plain(&rule["rule"]).strip_prefix("self in ")?;
        serde_json::from_str(list).ok()
    });
    field["enum"].as_array().cloned().or(by_rule)
}

fn description(schema: &Value) -> String {
    let lines = plain(&schema["description"]).lines();
    lines.collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// A number as people write it: 1 rather than 1.0.
pub(crate) fn plain(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
