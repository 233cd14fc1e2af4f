//! A Git repository on disk.
use std::fs;
use std::process::Command;

use super::Result;
use crate::kubernetes::Directory;

/// A repository with one branch, removed when this is dropped or the process ends.
pub struct Repository {
    directory: Directory,
}

impl Repository {
    /// Makes an empty one.
    ///
    /// # Errors
    /// When Git is missing or refuses.
    pub fn init() -> Result<Self> {
        let directory = Directory::create("devkit-git-")?;
        let repository = Self { directory };
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        Ok(repository)
    }

    /// Where it can be cloned from.
    pub fn url(&self) -> String {
        format!("file://{}", self.directory.path().display())
    }

    /// Commits these files, by name and text, in place of all that were there; returns the revision.
    ///
    /// # Errors
    /// When a file can't be written or Git refuses, for example a commit that changes nothing.
    pub fn commit(&self, files: &[(&str, &str)]) -> Result<String> {
        self.git(&["rm", "-r", "--quiet", "--force", "--ignore-unmatch", "."])?;
        for (name, text) in files {
            fs::write(self.directory.path().join(name), text)?;
        }
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message=Change the manifests"])?;
        Ok(self.git(&["rev-parse", "HEAD"])?.trim_end().to_owned())
    }

    /// Runs Git with none of the settings of whoever runs this; returns what it prints.
    fn git(&self, args: &[&str]) -> Result<String> {
        let output = Command::new("git")
            .current_dir(self.directory.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .args([
                "-c",
                "user.name=devkit",
                "-c",
                "user.email=devkit@localhost",
            ])
            .args(args)
            .output()
            .map_err(|error| format!("Git is needed: {error}"))?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(format!("git {}: {}", args.join(" "), errors.trim_end()).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}
