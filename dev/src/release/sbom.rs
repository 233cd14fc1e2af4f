//! Software bills of materials, in CycloneDX: what a program is compiled from, and what is in the image.
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::certificates::{CRATE, locked};
use super::image::created;
use super::{NAME, Result, VERSION, repository};

/// What cargo-cyclonedx writes into the sources: one for each program of the workspace.
const WRITTEN: [&str; 2] = [
    "authentik-stage-operator_bin.cdx.json",
    "dev/dev_bin.cdx.json",
];

/// Rust's name of an architecture that images name.
fn target(architecture: &str) -> Result<&'static str> {
    match architecture {
        "amd64" => Ok("x86_64-unknown-linux-musl"),
        "arm64" => Ok("aarch64-unknown-linux-musl"),
        _ => Err(format!("{architecture}: releases are for amd64 and arm64").into()),
    }
}

/// What the program for this architecture is compiled from.
///
/// # Errors
/// When cargo-cyclonedx is missing or fails.
pub(super) fn program(architecture: &str, epoch: u64) -> Result<Value> {
    let root = repository().canonicalize()?;
    let mut command = Command::new("cargo");
    command
        .args(["cyclonedx", "--format", "json", "--spec-version", "1.5"])
        .args(["--describe", "binaries", "--no-build-deps", "--quiet"])
        .args(["--target", target(architecture)?])
        .env("SOURCE_DATE_EPOCH", epoch.to_string())
        .current_dir(&root);
    let done = command.output()?;
    let text = fs::read_to_string(root.join(WRITTEN[0]));
    for file in WRITTEN {
        // One that is not there has not been written.
        let _ = fs::remove_file(root.join(file));
    }
    if !done.status.success() {
        return Err(format!(
            "cargo cyclonedx: {}; `cargo install --locked cargo-cyclonedx` installs it",
            String::from_utf8_lossy(&done.stderr)
        )
        .into());
    }
    Ok(serde_json::from_str(&without_folder(&text?, &root))?)
}

/// The text without the folder that the sources are in.
fn without_folder(text: &str, root: &Path) -> String {
    text.replace(&format!("path+file://{}", root.display()), "path+file://.")
}

/// What is in the image, of what is in its programs.
///
/// # Errors
/// When the time can't be written.
pub(super) fn image(programs: &[Value], name: &str, epoch: u64) -> Result<Value> {
    let of = |key: &'static str| {
        programs
            .iter()
            .flat_map(move |bom| bom[key].as_array().into_iter().flatten())
    };
    let own = programs.iter().map(|bom| &bom["metadata"]["component"]);
    let components = by("bom-ref", own.chain(of("components")));
    let dependencies = by("ref", of("dependencies"));
    let (repository, digest) = name.split_once('@').unwrap_or((name, ""));
    let mut components: Vec<_> = components.into_values().collect();
    let certificates = certificates()?;
    components.push(&certificates);
    Ok(json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {
            "timestamp": created(epoch)?,
            "component": {
                "type": "container", "bom-ref": name, "name": NAME, "version": VERSION,
                "purl": format!("pkg:oci/{NAME}@{digest}?repository_url={repository}"),
            },
        },
        "components": components, "dependencies": dependencies.into_values().collect::<Vec<_>>(),
    }))
}

/// The public CAs.
fn certificates() -> Result<Value> {
    let lock = include_str!("../../../Cargo.lock");
    let version = locked(lock, CRATE).ok_or("Cargo.lock lacks the public CAs")?;
    let reference = format!("pkg:cargo/{CRATE}@{version}");
    Ok(json!({
        "type": "data", "bom-ref": reference, "purl": reference, "name": CRATE, "version": version,
        "description": "the public CAs of Mozilla's root program",
        "licenses": [{"license": {"id": "CDLA-Permissive-2.0"}}],
    }))
}

/// Each once, by what its field of this name says.
fn by<'a>(field: &str, values: impl Iterator<Item = &'a Value>) -> BTreeMap<&'a str, &'a Value> {
    values
        .filter_map(|value| Some((value[field].as_str()?, value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_has_what_its_programs_have_once() {
        let bom = |own: &str, other: &str| {
            json!({
                "metadata": {"component": {"bom-ref": own}},
                "components": [{"bom-ref": "both"}, {"bom-ref": other}],
                "dependencies": [{"ref": own, "dependsOn": ["both", other]}],
            })
        };
        let boms = [bom("program", "a"), bom("program", "b")];
        let image = image(&boms, "registry/name@sha256:1", 0).unwrap();
        let components = image["components"].as_array().unwrap();
        let refs: Vec<_> = components
            .iter()
            .map(|component| component["bom-ref"].as_str().unwrap())
            .collect();
        assert_eq!(refs[..4], ["a", "b", "both", "program"]);
        assert!(
            refs[4].starts_with("pkg:cargo/webpki-root-certs@1."),
            "{refs:?}"
        );
        assert_eq!(
            image["metadata"]["component"]["purl"],
            format!("pkg:oci/{NAME}@sha256:1?repository_url=registry/name")
        );
    }

    #[test]
    fn no_folder_of_the_builder_is_left() {
        let text = r#"{"bom-ref": "path+file:///some/where#name@1.0.0"}"#;
        let expected = r#"{"bom-ref": "path+file://.#name@1.0.0"}"#;
        assert_eq!(without_folder(text, Path::new("/some/where")), expected);
    }
}
