//! actionlint, to judge workflows as GitHub reads them.
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::go::Module;
use crate::kubernetes::Result;

const ACTIONLINT: Module = Module {
    directory: "actionlint",
    path: "github.com/rhysd/actionlint",
    go_mod: include_str!("../actionlint/go.mod"),
    link_flags: |version| {
        let number = version.trim_start_matches('v');
        format!("-X github.com/rhysd/actionlint.version={number}")
    },
    tags: "",
};

/// The path of actionlint, built first where it is missing: always the version that is pinned.
///
/// # Errors
///
/// When Go is missing or the build fails.
pub fn actionlint() -> Result<PathBuf> {
    ACTIONLINT.tool("actionlint", "github.com/rhysd/actionlint/cmd/actionlint")
}

/// actionlint for this workflow.
///
/// # Panics
///
/// When actionlint is missing and cannot be built.
pub fn actionlint_command(workflow: &Path) -> Command {
    let mut command = Command::new(actionlint().expect("actionlint is built"));
    // What else is installed has no say.
    command.args(["-no-color", "-oneline", "-shellcheck=", "-pyflakes="]);
    command.arg(workflow);
    command
}
