//! promtool, to judge alerts as Prometheus does.
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::go::Module;
use crate::kubernetes::Result;

const PROMETHEUS: Module = Module {
    directory: "prometheus",
    path: "github.com/prometheus/prometheus",
    go_mod: include_str!("../prometheus/go.mod"),
    link_flags: |version| {
        let number = version.trim_start_matches('v');
        format!("-X github.com/prometheus/common/version.Version={number}")
    },
    // The discovery of targets is the larger part of the program, and nothing here discovers any.
    tags: "remove_all_sd",
};

/// The path of promtool, built first where it is missing: always the version that is pinned.
///
/// # Errors
///
/// When Go is missing or the build fails.
pub fn promtool() -> Result<PathBuf> {
    PROMETHEUS.tool("promtool", "github.com/prometheus/prometheus/cmd/promtool")
}

/// promtool with these arguments, in this folder.
///
/// # Panics
///
/// When promtool is missing and cannot be built.
pub fn promtool_command(args: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(promtool().expect("promtool is built"));
    command.args(args).current_dir(directory);
    command
}
