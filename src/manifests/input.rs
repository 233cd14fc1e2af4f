//! Which files there are.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::Command,
};

/// The most bytes of one file.
const LARGEST: u64 = 16 * 1024 * 1024;

/// The most files of one folder.
const MOST_FILES: usize = 10_000;

/// How deep folders are looked into.
const DEEPEST: usize = 32;

/// Where manifests are read from.
#[derive(Clone, Debug)]
pub enum Input {
    /// The standard input.
    Stdin,
    /// A file, or all files of a folder and of those in it that end in .yaml, .yml or .json.
    Path(PathBuf),
    /// What kustomize makes of a folder.
    Kustomization(PathBuf),
}

/// A file that was read.
#[derive(Debug)]
pub struct File {
    /// Its name, as errors name it.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// Reads the files of an input, in the order of their names.
///
/// # Errors
/// The name of what can't be read, and why.
pub fn files(input: &Input) -> Result<Vec<File>, String> {
    match input {
        Input::Stdin => {
            let text = bounded("the standard input", std::io::stdin())?;
            Ok(vec![File {
                name: "-".to_owned(),
                text,
            }])
        }
        Input::Path(path) if path.is_dir() => {
            let mut paths = Vec::new();
            find(path, 0, &mut paths)?;
            paths.sort_unstable();
            if paths.is_empty() {
                return Err(format!(
                    "{}: the folder has no file that ends in .yaml, .yml or .json",
                    path.display()
                ));
            }
            paths.iter().map(|path| read(path)).collect()
        }
        Input::Path(path) => Ok(vec![read(path)?]),
        Input::Kustomization(folder) => Ok(vec![kustomize(folder)?]),
    }
}

fn find(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> Result<(), String> {
    let unreadable = |error| format!("{} can't be read: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if is_hidden {
            continue;
        }
        if path.is_dir() {
            if depth == DEEPEST {
                return Err(format!("{}: the folder is too deep", path.display()));
            }
            find(&path, depth + 1, paths)?;
        } else if is_manifest(&path) {
            paths.push(path);
        }
        if paths.len() > MOST_FILES {
            return Err(format!(
                "{}: the folder has more than {MOST_FILES} files; name a folder with fewer",
                folder.display()
            ));
        }
    }
    Ok(())
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| ["yaml", "yml", "json"].contains(&extension))
}

fn read(path: &Path) -> Result<File, String> {
    let name = path.display().to_string();
    let file = fs::File::open(path).map_err(|error| format!("{name} can't be read: {error}"))?;
    let text = bounded(&name, file)?;
    Ok(File { name, text })
}

fn bounded(name: &str, from: impl Read) -> Result<String, String> {
    let mut text = String::new();
    let read = from.take(LARGEST + 1).read_to_string(&mut text);
    read.map_err(|error| format!("{name} can't be read: {error}"))?;
    if text.len() as u64 > LARGEST {
        return Err(format!(
            "{name} is larger than {} MiB; split it",
            LARGEST / 1024 / 1024
        ));
    }
    Ok(text)
}

/// What kustomize makes of this folder: by its own program or, without it, by kubectl's.
fn kustomize(folder: &Path) -> Result<File, String> {
    let name = format!("{} (kustomize)", folder.display());
    for (program, command) in [("kustomize", "build"), ("kubectl", "kustomize")] {
        let output = match Command::new(program).arg(command).arg(folder).output() {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(format!("{program} can't be run: {error}")),
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said: String = said.trim().chars().take(2000).collect();
            return Err(format!("{program} {command} {}: {said}", folder.display()));
        }
        let text = bounded(&name, output.stdout.as_slice())?;
        return Ok(File { name, text });
    }
    Err(format!(
        "{}: neither kustomize nor kubectl is installed, and -k needs one of them",
        folder.display()
    ))
}
