//! The operator's program. See the library for everything it does.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    authentik_stage_operator::cli::main().await
}
