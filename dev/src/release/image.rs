//! Images of the Open Container Initiative, made of folders without a container engine.
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use oci_spec::image::MediaType;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Result;
use super::archive::{Archive, gzip};

/// Nobody, by the number that distributions without a list of users take.
const USER: &str = "65532:65532";

/// What an image is made of, for one architecture.
pub struct Files<'a> {
    /// As images name it, such as `amd64`.
    pub architecture: &'a str,
    /// What is its root.
    pub root: &'a Path,
}

/// What an image says of itself.
pub struct About {
    /// The command that it runs.
    pub entrypoint: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it was made: seconds since 1970.
    pub epoch: u64,
}

/// An image for several architectures.
pub struct Image {
    blobs: BTreeMap<String, Vec<u8>>,
    index: Value,
}

/// The SHA-256 of some bytes, in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

impl Image {
    /// Makes it of these files.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn of(files: &[Files<'_>], about: &About) -> Result<Self> {
        let mut image = Self {
            blobs: BTreeMap::new(),
            index: Value::Null,
        };
        let manifests = files
            .iter()
            .map(|files| image.manifest(files, about))
            .collect::<Result<Vec<_>>>()?;
        let index = json!({
            "schemaVersion": 2, "mediaType": MediaType::ImageIndex.to_string(),
            "manifests": manifests, "annotations": about.labels,
        });
        image.index = image.blob(&MediaType::ImageIndex, serde_json::to_vec(&index)?);
        Ok(image)
    }

    /// The digest by which it is known, such as `sha256:...`.
    #[must_use]
    pub fn digest(&self) -> &str {
        self.index["digest"].as_str().unwrap_or_default()
    }

    /// Keeps a blob; returns what leads to it.
    fn blob(&mut self, kind: &MediaType, bytes: Vec<u8>) -> Value {
        let digest = sha256(&bytes);
        let size = bytes.len();
        self.blobs.insert(digest.clone(), bytes);
        json!({
            "mediaType": kind.to_string(), "digest": format!("sha256:{digest}"), "size": size,
        })
    }

    fn manifest(&mut self, files: &Files<'_>, about: &About) -> Result<Value> {
        let mut layer = Archive::new(about.epoch);
        layer.add_below(Path::new(""), files.root)?;
        let layer = layer.bytes()?;
        let created = created(about.epoch)?;
        let config = json!({
            "created": created, "architecture": files.architecture, "os": "linux",
            "config": {
                "User": USER, "Entrypoint": about.entrypoint, "WorkingDir": "/", "Labels": about.labels,
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer))]},
            "history": [{"created": created, "comment": "made without a base"}],
        });
        // The specification's own reader.
        let config: oci_spec::image::ImageConfiguration = serde_json::from_value(config)?;
        let config = self.blob(&MediaType::ImageConfig, sorted(&config)?);
        let layer = self.blob(&MediaType::ImageLayerGzip, gzip(&layer)?);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::ImageManifest.to_string(),
            "config": config, "layers": [layer],
        });
        let mut manifest = self.blob(&MediaType::ImageManifest, serde_json::to_vec(&manifest)?);
        manifest["platform"] = json!({"architecture": files.architecture, "os": "linux"});
        Ok(manifest)
    }

    /// An archive of it in the image layout, which container engines and the nodes of a cluster load under `name`.
    ///
    /// # Errors
    /// None that memory gives.
    pub fn archive(&self, name: &str, tag: &str, epoch: u64) -> Result<Vec<u8>> {
        let mut entry = self.index.clone();
        entry["annotations"] = json!({
            "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag,
        });
        let index = json!({
            "schemaVersion": 2, "mediaType": MediaType::ImageIndex.to_string(), "manifests": [entry],
        });
        let mut archive = Archive::new(epoch);
        archive.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        archive.file("index.json", 0o644, &serde_json::to_vec(&index)?)?;
        for (digest, bytes) in &self.blobs {
            archive.file(format!("blobs/sha256/{digest}"), 0o644, bytes)?;
        }
        Ok(archive.bytes()?)
    }
}

/// As JSON with sorted keys: the order of a map differs from run to run.
fn sorted(value: &impl Serialize) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(&serde_json::to_value(value)?)?)
}

/// A time as images write it.
pub(super) fn created(epoch: u64) -> Result<String> {
    let seconds = i64::try_from(epoch).map_err(io::Error::other)?;
    let time = k8s_openapi::jiff::Timestamp::from_second(seconds)?;
    Ok(time.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_image_leads_from_its_index_to_its_files() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("program"), "amd64 or arm64").unwrap();
        let files = ["amd64", "arm64"].map(|architecture| Files {
            architecture,
            root: root.path(),
        });
        let about = About {
            entrypoint: vec!["/program".to_owned()],
            labels: BTreeMap::from([(
                "org.opencontainers.image.version".to_owned(),
                "1.2.3".to_owned(),
            )]),
            epoch: 0,
        };
        let image = Image::of(&files, &about).unwrap();
        let again = Image::of(&files, &about).unwrap();
        assert_eq!(image.digest(), again.digest());
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap();
            let bytes = &image.blobs[digest.strip_prefix("sha256:").unwrap()];
            assert_eq!(descriptor["size"], bytes.len());
            bytes
        };
        let read = |descriptor: &Value| serde_json::from_slice::<Value>(blob(descriptor)).unwrap();
        let index = read(&image.index);
        let manifests = index["manifests"].as_array().unwrap();
        assert_eq!(manifests.len(), 2);
        for manifest in manifests {
            let manifest = read(manifest);
            let config = read(&manifest["config"]);
            assert_eq!(config["created"], "1970-01-01T00:00:00Z");
            assert_eq!(config["config"]["User"], USER);
            let layer = flate2::read::GzDecoder::new(&blob(&manifest["layers"][0])[..]);
            let mut layer = tar::Archive::new(layer);
            let mut entries = layer.entries().unwrap();
            let entry = entries.next().unwrap().unwrap();
            assert_eq!(entry.path().unwrap().to_str(), Some("program"));
            assert!(entries.next().is_none());
        }
        let archive = image.archive("a/name@sha256:1", "1.2.3", 0).unwrap();
        let mut archive = tar::Archive::new(&archive[..]);
        let entries = archive.entries().unwrap();
        // The layout, its index, and blobs: an index, two manifests, two configurations, and a layer that both have.
        assert_eq!(entries.count(), 2 + 6);
    }
}
