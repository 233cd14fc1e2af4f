//! The programs that releases are signed and published with.
use std::path::PathBuf;

use clap::ValueEnum;

use crate::go::Module;
use crate::kubernetes::{Result, helm};

const COSIGN: Module = Module {
    directory: "release-tools",
    path: "github.com/sigstore/cosign/v3",
    go_mod: include_str!("../release-tools/go.mod"),
    link_flags: |version| format!("-X sigs.k8s.io/release-utils/version.gitVersion={version}"),
    tags: "",
};

const CRANE: Module = Module {
    directory: "release-tools",
    path: "github.com/google/go-containerregistry",
    go_mod: include_str!("../release-tools/go.mod"),
    link_flags: |version| {
        let version_of = "github.com/google/go-containerregistry/cmd/crane/cmd.Version";
        format!("-X {version_of}={version}")
    },
    tags: "",
};

/// A program that is built from a pinned module.
#[derive(Clone, Copy, ValueEnum)]
pub enum Tool {
    /// Signs, and checks signatures.
    Cosign,
    /// Pushes images, and can be a registry.
    Crane,
    /// Pushes charts.
    Helm,
}

/// The path of a program, built first where it is missing: always the version that is pinned.
///
/// # Errors
///
/// When Go is missing or the build fails.
pub fn tool(tool: Tool) -> Result<PathBuf> {
    match tool {
        Tool::Cosign => COSIGN.tool("cosign", "github.com/sigstore/cosign/v3/cmd/cosign"),
        Tool::Crane => CRANE.tool("crane", "github.com/google/go-containerregistry/cmd/crane"),
        Tool::Helm => helm(),
    }
}
