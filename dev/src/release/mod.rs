//! What a release consists of: programs, an image, the chart's package, manifests, lists of what is in them, and checksums.
//! Made of the same files it is the same to the byte.

mod archive;
mod certificates;
mod chart;
mod image;
mod sbom;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use serde_json::{Value, json};

use self::archive::{Archive, below, gzip};
use self::image::{About, Files, Image, created, sha256};
use crate::chart::{NAME, chart as chart_folder, manifests_of};
use crate::kubernetes::helm_command;

pub use certificates::certificates;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What `dev release` makes, and of what.
#[derive(Args)]
pub struct Settings {
    /// The registry that image and chart are published in, such as ghcr.io/owner.
    #[arg(long)]
    registry: String,
    /// An architecture that is released, as images name it; can be repeated.
    #[arg(long = "architecture", required = true)]
    architectures: Vec<String>,
    /// The folder with a folder for each architecture, in which `files` is what the image holds.
    #[arg(long)]
    files: PathBuf,
    /// The time of all files: seconds since 1970.
    #[arg(long)]
    epoch: u64,
    /// The commit that is released.
    #[arg(long)]
    commit: String,
    /// The folder to write to. What it held is removed.
    #[arg(long)]
    output: PathBuf,
}

/// What `dev image` makes, and of what.
#[derive(Args)]
pub struct ImageSettings {
    /// What the image holds.
    #[arg(long)]
    files: PathBuf,
    /// The architecture, as images name it.
    #[arg(long)]
    architecture: String,
    /// A word of the command that it runs; can be repeated.
    #[arg(long, required = true)]
    entrypoint: Vec<String>,
    /// The image's name, with a tag.
    #[arg(long)]
    name: String,
    /// The archive to write.
    #[arg(long)]
    output: PathBuf,
}

impl Settings {
    fn root(&self, architecture: &str) -> PathBuf {
        self.files.join(architecture).join("files")
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
        let path = self.output.join(name);
        fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()).into())
    }

    /// A program with its manual pages, completions and licence.
    fn program(&self, architecture: &str) -> Result<Vec<u8>> {
        let folder = PathBuf::from(format!("{NAME}-{VERSION}-linux-{architecture}"));
        let root = self.root(architecture);
        let mut archive = Archive::new(self.epoch);
        for program in [NAME, "kubectl-authentik"] {
            archive.add(folder.join(program), &root.join(program))?;
        }
        archive.add(folder.join("LICENSE"), &repository().join("LICENSE"))?;
        archive.add_below(&folder.join("share"), &root.join("usr/share"))?;
        Ok(gzip(&archive.bytes()?)?)
    }

    fn image(&self) -> Result<Image> {
        let roots = self.architectures.iter().map(|name| self.root(name));
        let roots: Vec<_> = roots.collect();
        let files = self.architectures.iter().zip(&roots);
        let files = files.map(|(architecture, root)| Files { architecture, root });
        let files: Vec<_> = files.collect();
        let of = |name: &str| format!("org.opencontainers.image.{name}");
        let labels = [
            ("title", NAME),
            (
                "description",
                "Kubernetes operator for authentik's stages and flows",
            ),
            ("version", VERSION),
            ("revision", self.commit.as_str()),
            ("licenses", "Apache-2.0"),
            ("created", &created(self.epoch)?),
        ];
        let labels = labels.map(|(name, value)| (of(name), value.to_owned()));
        let about = About {
            entrypoint: vec![format!("/{NAME}")],
            labels: labels.into_iter().collect(),
            epoch: self.epoch,
        };
        Image::of(&files, &about)
    }

    /// What was built from what, as the SLSA provenance of version 1 has it. Who built it is told by who signs it.
    fn provenance(&self) -> Result<Value> {
        let lock = include_bytes!("../../../Cargo.lock");
        Ok(json!({
            "buildDefinition": {
                "buildType": "urn:authentik-stage-operator:make-release",
                "externalParameters": {
                    "version": VERSION, "registry": self.registry, "architectures": self.architectures,
                },
                "internalParameters": {"SOURCE_DATE_EPOCH": self.epoch, "rustc": rustc()?},
                "resolvedDependencies": [
                    {"name": "source", "digest": {"gitCommit": self.commit}},
                    {"name": "Cargo.lock", "digest": {"sha256": sha256(lock)}},
                ],
            },
            "runDetails": {"builder": {"id": "urn:authentik-stage-operator:make-release"}},
        }))
    }
}

/// The compiler's release: with another one programs differ.
fn rustc() -> Result<String> {
    let said = Command::new("rustc").arg("--version").output()?;
    Ok(String::from_utf8(said.stdout)?.trim().to_owned())
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All CRDs, for `kubectl apply`.
fn crds() -> Result<String> {
    let folder = chart_folder().join("files/crds");
    let mut all = String::new();
    for path in below(&folder)? {
        let text = fs::read_to_string(folder.join(path))?;
        all.push_str("---\n");
        all.push_str(text.trim_start_matches("---\n"));
    }
    Ok(all)
}

/// Refuses a chart that Helm finds anything at.
fn lint(chart: &Path) -> Result<()> {
    let mut command = helm_command(["lint", "--strict"]);
    let linted = command.arg(chart).output()?;
    match linted.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&linted.stdout).into()),
    }
}

/// Makes the release.
///
/// # Errors
/// When something that it is made of is missing, or a tool fails.
///
/// # Panics
/// When Helm is missing and can't be built.
pub fn run(settings: &Settings) -> Result<()> {
    if settings.output.exists() {
        fs::remove_dir_all(&settings.output)?;
    }
    fs::create_dir_all(&settings.output)?;
    let image = settings.image()?;
    // Names of owners may have capitals, names of images may not.
    let repository = format!("{}/{NAME}", settings.registry.to_lowercase());
    let by_digest = format!("{repository}@{}", image.digest());
    let archive = image.archive(&by_digest, VERSION, settings.epoch)?;
    settings.write(&format!("{NAME}-{VERSION}-image.tar"), archive)?;
    settings.write("image-digest.txt", format!("{}\n", image.digest()))?;

    let staging = tempfile::tempdir()?;
    let chart = chart::with_image(
        staging.path(),
        &repository,
        image.digest(),
        &settings.commit,
    )?;
    lint(&chart)?;
    let package = chart::package(&chart, settings.epoch)?;
    settings.write(&format!("{NAME}-{VERSION}.tgz"), package)?;
    let about = format!("{NAME} {VERSION}: the chart with its default values, and its CRDs.");
    settings.write("install.yaml", manifests_of(&chart, &about)?)?;
    settings.write("crds.yaml", crds()?)?;

    let mut boms = Vec::new();
    for architecture in &settings.architectures {
        let name = format!("{NAME}-{VERSION}-linux-{architecture}");
        settings.write(&format!("{name}.tar.gz"), settings.program(architecture)?)?;
        let bom = sbom::program(architecture, settings.epoch)?;
        settings.write(&format!("{name}.cdx.json"), pretty(&bom)?)?;
        boms.push(bom);
    }
    let bom = sbom::image(&boms, &by_digest, settings.epoch)?;
    settings.write(&format!("{NAME}-{VERSION}-image.cdx.json"), pretty(&bom)?)?;
    settings.write("provenance.json", pretty(&settings.provenance()?)?)?;
    settings.write("SHA256SUMS", checksums(&settings.output)?)
}

fn pretty(value: &Value) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// As `sha256sum` writes them.
fn checksums(folder: &Path) -> Result<String> {
    let lines = below(folder)?.into_iter().map(|path| {
        let bytes = fs::read(folder.join(&path))?;
        Ok(format!("{}  {}\n", sha256(&bytes), path.display()))
    });
    lines.collect()
}

/// Makes an image of one folder.
///
/// # Errors
/// When a file can't be read or the archive can't be written.
pub fn write_image(settings: &ImageSettings) -> Result<()> {
    let files = [Files {
        architecture: &settings.architecture,
        root: &settings.files,
    }];
    let about = About {
        entrypoint: settings.entrypoint.clone(),
        labels: BTreeMap::new(),
        epoch: 0,
    };
    let archive = Image::of(&files, &about)?.archive(&settings.name, &settings.name, 0)?;
    Ok(fs::write(&settings.output, archive)?)
}
