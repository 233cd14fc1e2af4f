//! What a command writes, and how it ends.

use std::{
    io::{self, ErrorKind, IsTerminal, Write},
    process::ExitCode,
};

use anstream::AutoStream;
use clap::ValueEnum;

/// Why a command has not done what it was for.
#[derive(Debug)]
pub enum Failed {
    /// For this reason, which says what to do.
    Because(String),
    /// Nobody reads on, as when the output goes to `head`. That is no error.
    NobodyReads,
}

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Self::Because(why)
    }
}

impl From<&str> for Failed {
    fn from(why: &str) -> Self {
        Self::Because(why.to_owned())
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::NobodyReads,
            _ => Self::Because(format!("the output can't be written: {error}")),
        }
    }
}

/// How a command writes what it has found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// For a person.
    #[default]
    Text,
    /// For a program.
    Json,
}

/// How a command ends: with the process's exit code.
pub type Ended = Result<ExitCode, Failed>;

/// Where a command writes its result. Colours are left out where it is no terminal, or `NO_COLOR` is set.
pub type Out = AutoStream<Box<dyn Write>>;

/// The standard output.
pub fn stdout() -> Out {
    let choice = AutoStream::choice(&io::stdout());
    AutoStream::new(Box::new(io::stdout()) as Box<dyn Write>, choice)
}

/// Whether a person sees what is written about the progress, which goes to the standard error.
pub fn shows_progress() -> bool {
    io::stderr().is_terminal()
}

/// What the process ends with.
pub fn exit_code(ended: Ended) -> ExitCode {
    match ended {
        Ok(code) => code,
        Err(Failed::NobodyReads) => ExitCode::SUCCESS,
        Err(Failed::Because(why)) => {
            // Where this can't be written either, the code says enough.
            let _ = writeln!(io::stderr(), "error: {why}");
            ExitCode::FAILURE
        }
    }
}
