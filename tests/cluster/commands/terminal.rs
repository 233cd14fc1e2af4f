//! A terminal in which a command runs.

use pty_process::{Command, Pty, Size};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Child,
};

use crate::harness::{Test, patience};

/// What empties the screen.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// A terminal, and the command in it. Nothing that it shows may be a secret.
pub struct Terminal<'a> {
    test: &'a Test,
    pty: Pty,
    child: Child,
    shown: Vec<u8>,
}

impl<'a> Terminal<'a> {
    /// Starts a command with these arguments and, beside the test's authentik, this environment.
    pub fn start(test: &'a Test, args: &[&str], env: &[(&str, &str)]) -> Self {
        let (pty, pts) = pty_process::open().expect("a terminal can be opened");
        pty.resize(Size::new(24, 200)).expect("it has a size");
        let command = Command::new(env!("CARGO_BIN_EXE_authentik-stage-operator"))
            .args(args)
            .env_clear()
            .env("TERM", "xterm-256color")
            .env("AUTHENTIK_URL", test.gateway.url())
            .env("AUTHENTIK_TOKEN", test.token())
            .envs(env.iter().copied())
            .kill_on_drop(true);
        Self {
            test,
            pty,
            child: command.spawn(pts).expect("the program starts"),
            shown: Vec::new(),
        }
    }

    /// Waits until the screen is so; returns what is on it.
    pub async fn until(&mut self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let wanted = async {
            loop {
                let screen = self.screen();
                if is(&screen) {
                    return Some(screen);
                }
                if !self.read().await {
                    return None;
                }
            }
        };
        let found = tokio::time::timeout(patience(), wanted).await;
        found
            .ok()
            .flatten()
            .unwrap_or_else(|| panic!("the screen does not show {what}: {}", self.screen()))
    }

    /// Presses Ctrl-C.
    pub async fn interrupt(&mut self) {
        let pressed = self.pty.write_all(b"\x03").await;
        pressed.expect("the terminal takes it");
    }

    /// Waits for the end; returns all that was shown, and the exit code.
    pub async fn ends(mut self) -> (String, i32) {
        let rest = async { while self.read().await {} };
        let read = tokio::time::timeout(patience(), rest).await;
        read.expect("it ends in time");
        let status = self.child.wait().await.expect("it can be awaited");
        self.test.canaries.search("a terminal", &self.shown);
        let shown = String::from_utf8(self.shown).expect("text");
        (shown, status.code().expect("it ends by itself"))
    }

    /// What was shown since the screen was emptied.
    fn screen(&self) -> String {
        let shown = String::from_utf8_lossy(&self.shown);
        let screen = shown.rsplit(CLEAR).next();
        screen.unwrap_or_default().to_owned()
    }

    /// Whether there was more. At its end a terminal answers with an error.
    async fn read(&mut self) -> bool {
        let read = self.pty.read_buf(&mut self.shown).await;
        read.is_ok_and(|read| read > 0)
    }
}
