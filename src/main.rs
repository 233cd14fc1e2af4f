//! The operator's program. See the library for everything it does.

use std::process::ExitCode;

// The operator waits for others nearly all the time. A thread for each core of a large node would cost memory only.
#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    authentik_stage_operator::cli::main().await
}
