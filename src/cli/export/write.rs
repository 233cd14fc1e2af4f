//! Writes manifests: to one stream, or to a file each.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
};

use crate::cli::output::{Failed, Out};

/// Where manifests go.
pub enum To<'a> {
    /// To the output, one after the other.
    Stream,
    /// Into this folder, one file each; files that are there are replaced only where that is said.
    Folder {
        /// The folder.
        folder: &'a Path,
        /// Whether files are replaced.
        replaces: bool,
    },
}

/// The text of a manifest, and what a file of it is called.
pub struct Document {
    /// The name of the file.
    pub file: String,
    /// The text.
    pub text: String,
}

/// Writes the manifests and, after them, these commands.
///
/// # Errors
/// Where something can't be written. Nothing is, where a file is there that must not be replaced.
pub fn write(
    to: &To<'_>,
    documents: &[Document],
    commands: &[String],
    out: &mut Out,
) -> Result<(), Failed> {
    let before = match to {
        To::Stream => {
            for document in documents {
                write!(out, "---\n{}", document.text)?;
            }
            "# "
        }
        To::Folder { folder, replaces } => {
            write_files(folder, *replaces, documents)?;
            ""
        }
    };
    for command in commands {
        writeln!(out, "{before}{command}")?;
    }
    Ok(out.flush()?)
}

fn write_files(folder: &Path, replaces: bool, documents: &[Document]) -> Result<(), Failed> {
    let path = |document: &Document| folder.join(&document.file);
    let mut paths = documents.iter().map(path);
    if let Some(there) = paths.find(|path| !replaces && path.symlink_metadata().is_ok()) {
        return Err(is_there(&there));
    }
    fs::create_dir_all(folder).map_err(|error| cannot(folder, &error))?;
    for document in documents {
        let path = path(document);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let file = options.create_new(!replaces).open(&path);
        let written = file.and_then(|mut file| file.write_all(document.text.as_bytes()));
        written.map_err(|error| cannot(&path, &error))?;
    }
    Ok(())
}

fn is_there(path: &Path) -> Failed {
    Failed::Because(format!(
        "--output-dir: {} is there already, and nothing was written; give --force to replace such files",
        path.display()
    ))
}

fn cannot(path: &Path, error: &std::io::Error) -> Failed {
    Failed::Because(format!(
        "--output-dir: {} can't be written: {error}",
        path.display()
    ))
}
