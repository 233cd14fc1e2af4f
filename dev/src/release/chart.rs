//! The chart as it is released: with the image's registry and digest.
use std::fs;
use std::path::{Path, PathBuf};

use super::Result;
use super::archive::{Archive, below, gzip};
use crate::chart::{NAME, chart};

/// The image as `Chart.yaml` names it before it is built.
const PLACEHOLDER: &str = "registry.example.com/authentik-stage-operator:";

/// The chart with this image, and the commit that it is of, in a folder of its own below `folder`; returns the chart's.
///
/// # Errors
/// When a file can't be copied, or the chart lacks a place for the image.
pub(super) fn with_image(
    folder: &Path,
    repository: &str,
    digest: &str,
    commit: &str,
) -> Result<PathBuf> {
    let copy = folder.join(NAME);
    fs::create_dir_all(&copy)?;
    for path in below(&chart())? {
        let (from, to) = (chart().join(&path), copy.join(&path));
        if from.is_dir() {
            fs::create_dir_all(to)?;
        } else {
            fs::write(to, fs::read(from)?)?;
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    // By Helm's way of publishing charts this is an annotation of what is in the registry, too.
    let revision = format!("annotations:\n  org.opencontainers.image.revision: \"{commit}\"\n");
    let changes = [
        (
            "values.yaml",
            format!("repository: {NAME}\n"),
            format!("repository: {repository}\n"),
        ),
        (
            "values.yaml",
            "digest: \"\"\n".to_owned(),
            format!("digest: {digest}\n"),
        ),
        (
            "Chart.yaml",
            format!("{PLACEHOLDER}{version}\n"),
            format!("{repository}:{version}@{digest}\n"),
        ),
        ("Chart.yaml", "annotations:\n".to_owned(), revision),
    ];
    for (file, from, to) in changes {
        let path = copy.join(file);
        let text = replaced(&fs::read_to_string(&path)?, &from, &to);
        fs::write(&path, text.map_err(|why| format!("{file}: {why}"))?)?;
    }
    Ok(copy)
}

/// The text with `to` in place of `from`, which has to be there once.
fn replaced(text: &str, from: &str, to: &str) -> Result<String, String> {
    match text.matches(from).count() {
        1 => Ok(text.replace(from, to)),
        count => Err(format!("{from:?} is there {count} times, and not once")),
    }
}

/// The chart's package, as Helm makes one, but of one time.
///
/// # Errors
/// When a file can't be read.
pub(super) fn package(folder: &Path, epoch: u64) -> Result<Vec<u8>> {
    let mut archive = Archive::new(epoch);
    // Helm wants this file first.
    let first = PathBuf::from("Chart.yaml");
    let all = below(folder)?.into_iter().filter(|path| *path != first);
    for path in std::iter::once(first.clone()).chain(all) {
        if folder.join(&path).is_file() {
            archive.add(Path::new(NAME).join(&path), &folder.join(&path))?;
        }
    }
    Ok(gzip(&archive.bytes()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replaced_has_to_be_there_once() {
        assert_eq!(replaced("a b", "b", "c"), Ok("a c".to_owned()));
        for text in ["a", "b b"] {
            assert!(replaced(text, "b", "c").is_err(), "{text}");
        }
    }
}
