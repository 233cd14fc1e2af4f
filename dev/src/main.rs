//! The developer kit's command line.
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use devkit::actionlint::actionlint;
use devkit::kubernetes::{Binaries, Kubernetes, Options, User, helm};
use devkit::prometheus::promtool;
use devkit::recording;
use devkit::reference;
use devkit::release;
use devkit::simulator::{self, Version};
use devkit::tools::{Tool, tool};
use devkit::{bench, changelog, chart, demo, gitops};
use tokio::signal::unix::{SignalKind, signal};

/// Tools to develop and try out the operator with.
#[derive(Parser)]
#[command(name = "dev")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure what the operator needs for many stages, beside what the bare requests need.
    Bench(bench::Settings),
    /// Show the operator at work, with a simulated authentik, until interrupted.
    Demo {
        /// End after the last step: with success only where every step was seen.
        #[arg(long)]
        once: bool,
        /// The release of authentik to simulate.
        #[arg(long, default_value = "2026.5")]
        authentik_version: Version,
        /// The operator's program; the one beside this program when left out.
        #[arg(long)]
        operator: Option<PathBuf>,
    },
    /// Print a recording of the demo, as an animated SVG.
    Record,
    /// Files and programs that have to do with GitOps tools.
    Gitops {
        #[command(subcommand)]
        action: GitopsAction,
    },
    /// Run a Kubernetes API until interrupted.
    Kubernetes {
        #[command(subcommand)]
        action: Option<KubernetesAction>,
    },
    /// Print what is made of the chart.
    Chart {
        #[command(subcommand)]
        part: ChartPart,
    },
    /// Print what the changelog says of the release of this tag, as Markdown.
    ReleaseNotes {
        /// The tag, such as v0.1.0: it has to be of this version.
        tag: String,
    },
    /// Print the path of a program that releases are published with, built first where it is missing.
    Tool {
        /// Which.
        tool: Tool,
    },
    /// Make all that a release consists of from what `dev/image/build` has made.
    Release(release::Settings),
    /// Make an image of a folder, for the nodes of a cluster to load.
    Image(release::ImageSettings),
    /// Print the public CAs of the image, as PEM.
    Certificates,
    /// Print the field reference that the CRDs make, as Markdown.
    Reference,
    /// Run a simulated authentik until interrupted.
    Simulator {
        /// The release to behave like.
        #[arg(long, default_value = "2026.5")]
        version: Version,
        /// The address to listen on.
        #[arg(long, default_value = "127.0.0.1:9000")]
        listen: SocketAddr,
        /// The token that requests have to carry; made up and printed when left out.
        #[arg(long)]
        token: Option<String>,
        /// Be as slow as a real server, with stages and flows of others, some of which come and go.
        #[arg(long)]
        busy: bool,
    },
}

#[derive(Subcommand)]
enum ChartPart {
    /// Its README, with the values that its `values.yaml` explains, as Markdown.
    Readme,
    /// What it installs by default, as YAML.
    Manifests,
    /// Its `Chart.yaml`, with what catalogues of charts show; it is written, not printed.
    Metadata,
}

#[derive(Subcommand)]
enum GitopsAction {
    /// Build the program that judges as Flux does, where it is missing.
    Build,
    /// Write what the tools need into docs/gitops and the chart.
    Write,
}

#[derive(Subcommand)]
enum KubernetesAction {
    /// Only build the binaries that are missing, and Helm, promtool and actionlint; print the versions of the servers.
    Build,
}

type Result = std::result::Result<(), Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result {
    match command {
        Command::Bench(settings) => bench::run(settings).await,
        Command::Demo {
            once,
            authentik_version: authentik,
            operator,
        } => {
            demo::run(demo::Settings {
                once,
                authentik,
                operator,
            })
            .await
        }
        Command::Gitops {
            action: GitopsAction::Build,
        } => gitops::build_flux().map(drop),
        Command::Gitops {
            action: GitopsAction::Write,
        } => {
            for (path, text) in gitops::files()? {
                std::fs::write(path, text)?;
            }
            Ok(())
        }
        Command::Kubernetes { action: None } => run_kubernetes().await,
        Command::Kubernetes {
            action: Some(KubernetesAction::Build),
        } => {
            let binaries = Binaries::find_or_build()?;
            helm()?;
            promtool()?;
            actionlint()?;
            println!("{}", binaries.versions()?);
            Ok(())
        }
        Command::Chart { part } => {
            let text = match part {
                ChartPart::Readme => chart::readme()?,
                ChartPart::Manifests => chart::manifests()?,
                ChartPart::Metadata => return chart::write_metadata(),
            };
            print!("{text}");
            Ok(())
        }
        Command::Record => {
            print!("{}", recording::picture(&recording::lines().await?));
            Ok(())
        }
        Command::ReleaseNotes { tag } => {
            println!(
                "{}",
                changelog::notes(include_str!("../../CHANGELOG.md"), &tag)?
            );
            Ok(())
        }
        Command::Tool { tool: name } => {
            println!("{}", tool(name)?.display());
            Ok(())
        }
        Command::Release(settings) => release::run(&settings),
        Command::Image(settings) => release::write_image(&settings),
        Command::Certificates => {
            print!("{}", release::certificates());
            Ok(())
        }
        Command::Reference => {
            print!("{}", reference::render()?);
            Ok(())
        }
        Command::Simulator {
            version,
            listen,
            token,
            busy,
        } => Ok(simulator::serve(version, listen, token, busy).await?),
    }
}

async fn run_kubernetes() -> Result {
    let kubernetes = Kubernetes::start(Options::default()).await?;
    // Only now: a signal that comes earlier has to end a build that takes minutes.
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    println!(
        "export KUBECONFIG={}",
        kubernetes.kubeconfig(User::Admin).display()
    );
    eprintln!(
        "Kubernetes runs until Ctrl-C; kubectl is {}",
        kubernetes.kubectl().display()
    );
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    Ok(())
}
