//! Secret values that a test gives away, and the search for them in everything that the operator says.

use std::{
    cell::RefCell,
    fmt::Write as _,
    io,
    panic::{set_hook, take_hook},
    sync::{Arc, Mutex, MutexGuard, Once, PoisonError},
};

use aho_corasick::AhoCorasick;
use authentik_stage_operator::ops::logs;
use base64::{
    Engine,
    alphabet::{Alphabet, STANDARD, URL_SAFE},
    engine::{GeneralPurpose, general_purpose::NO_PAD},
};
use sha2::{Digest, Sha256};
use tracing::{Dispatch, Event, Subscriber, dispatcher};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    fmt::{self, MakeWriter},
    layer::{Context, SubscriberExt},
};

/// Shorter texts would be found where nobody has put them.
const SHORTEST: usize = 12;

/// Most findings that are kept; the first says enough.
const MOST: usize = 5;

thread_local! {
    /// What is searched for in what this thread says.
    static OF_THREAD: RefCell<Option<Canaries>> = const { RefCell::new(None) };
}

/// The secrets of one test, and where they were found. Clones share them.
#[derive(Clone, Default)]
pub struct Canaries(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    secrets: Vec<String>,
    /// How each pattern of the search shows which secret.
    shapes: Vec<(&'static str, String)>,
    search: Option<AhoCorasick>,
    found: Vec<String>,
    /// What the operator is to panic with when it next has asked authentik something.
    bomb: Option<String>,
    panics: Vec<String>,
}

impl Canaries {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Searches for this secret from now on.
    ///
    /// # Panics
    /// If it is too short to be searched for.
    pub fn add(&self, secret: &str) {
        let secret = secret.trim();
        let mut state = self.state();
        if secret.is_empty() || state.secrets.iter().any(|known| known == secret) {
            return;
        }
        assert!(
            secret.len() >= SHORTEST,
            "the secret {secret:?} can't be searched for; make one with Test::canary"
        );
        state.secrets.push(secret.to_owned());
        let secrets = state.secrets.iter();
        let shapes = secrets.flat_map(|secret| shapes(secret));
        state.shapes = shapes.collect();
        let patterns = state.shapes.iter().map(|(_, pattern)| pattern);
        state.search = Some(AhoCorasick::new(patterns).expect("few and short patterns"));
    }

    /// Notes whether a secret is in this text, which the operator has shown in `place`.
    pub fn search(&self, place: &str, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        let mut state = self.state();
        let Some(hit) = state.search.as_ref().and_then(|search| search.find(text)) else {
            return;
        };
        let (shape, _) = state.shapes[hit.pattern()];
        if state.found.len() < MOST {
            let text = String::from_utf8_lossy(text);
            state.found.push(format!("{shape} in {place}: {text}"));
        }
    }

    /// Where secrets were found.
    pub fn found(&self) -> Vec<String> {
        self.state().found.clone()
    }

    /// Lets the operator panic with this message when it next has asked authentik something.
    pub fn panic_with(&self, message: &str) {
        self.state().bomb = Some(message.to_owned());
    }

    /// The panics of the operator since this was last asked for.
    pub fn take_panics(&self) -> Vec<String> {
        std::mem::take(&mut self.state().panics)
    }

    /// Searches all that the present thread logs, at every level and of every crate, and the messages of its panics.
    pub fn watch_thread(&self) {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // What uses the crate `log` is heard too.
            tracing_log::LogTracer::init().expect("nobody else logs");
            let others = take_hook();
            set_hook(Box::new(move |panic| {
                match OF_THREAD.with_borrow(Clone::clone) {
                    Some(canaries) => {
                        canaries.state().panics.push(panic.to_string());
                        logs::panicked(panic);
                    }
                    None => others(panic),
                }
            }));
        });
        let filter = std::env::var("LOG").unwrap_or_else(|_| "off".to_owned());
        let filter: Targets = filter.parse().expect("LOG is a level or target=level,...");
        let shown = fmt::layer().with_test_writer();
        let subscriber = tracing_subscriber::registry()
            .with(fmt::layer().with_ansi(false).with_writer(self.clone()))
            .with(shown.with_filter(filter))
            .with(Bomb(self.clone()));
        // For as long as the thread lives.
        std::mem::forget(dispatcher::set_default(&Dispatch::new(subscriber)));
        OF_THREAD.set(Some(self.clone()));
    }
}

/// Panics where it is told to.
struct Bomb(Canaries);

impl<S: Subscriber> Layer<S> for Bomb {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != "authentik_stage_operator::authentik::transport" {
            return;
        }
        let message = self.0.state().bomb.take();
        if let Some(message) = message {
            panic!("{message}");
        }
    }
}

impl<'a> MakeWriter<'a> for Canaries {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Takes one event at a time, as `tracing_subscriber` writes them; nothing is kept of it.
impl io::Write for Canaries {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.search("the log", event);
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// All the ways in which a secret may show, by name.
fn shapes(secret: &str) -> Vec<(&'static str, String)> {
    let hash = Sha256::digest(secret);
    let mut shapes = vec![
        ("a secret", secret.to_owned()),
        ("a secret's bytes", decimal(secret.as_bytes())),
        ("a secret in hex", hex(secret.as_bytes())),
        ("a secret in hex", hex(secret.as_bytes()).to_uppercase()),
        ("a secret's hash", hex(&hash)),
        ("a secret's hash", hex(&hash).to_uppercase()),
        ("a secret's hash in base64", base64(&STANDARD, &hash, 0)),
        ("a secret's hash in base64", base64(&URL_SAFE, &hash, 0)),
    ];
    for offset in 0..3 {
        for alphabet in [&STANDARD, &URL_SAFE] {
            let text = base64(alphabet, secret.as_bytes(), offset);
            shapes.push(("a secret in base64", text));
        }
    }
    shapes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// As `{:?}` shows bytes.
fn decimal(bytes: &[u8]) -> String {
    let text = format!("{bytes:?}");
    text.trim_matches(['[', ']']).to_owned()
}

/// The base64 of these bytes after `offset` others, without the digits that other bytes have a part in.
fn base64(alphabet: &Alphabet, bytes: &[u8], offset: usize) -> String {
    let padded = [vec![0; offset], bytes.to_vec()].concat();
    let text = GeneralPurpose::new(alphabet, NO_PAD).encode(&padded);
    let (first, end) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
    text[first..end].to_owned()
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};

    use super::*;

    const SECRET: &str = "s3cr3t-of-a-t3st~~??";

    /// What is found when the operator logs this.
    fn found_in(logged: &str) -> Vec<String> {
        let canaries = Canaries::default();
        canaries.add("another-secret");
        canaries.add(SECRET);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                canaries.watch_thread();
                tracing::trace!("before");
                tracing::trace!(field = logged, "an event");
            });
        });
        canaries.found()
    }

    #[test]
    fn a_secret_is_found_in_every_shape() {
        let bytes = SECRET.as_bytes();
        let mut shapes = vec![
            format!("Bearer {SECRET}."),
            hex(bytes),
            hex(bytes).to_uppercase(),
            format!("{bytes:?}"),
            hex(&Sha256::digest(SECRET)),
            BASE64_STANDARD.encode(Sha256::digest(SECRET)),
        ];
        for before in ["", "a", "ab", "abc", "admin:"] {
            for after in ["", "z", "yz", "\n"] {
                let text = format!("{before}{SECRET}{after}");
                shapes.push(BASE64_STANDARD.encode(&text));
                shapes.push(BASE64_URL_SAFE_NO_PAD.encode(&text));
            }
        }
        for shape in shapes {
            let found = found_in(&shape);
            assert_eq!(found.len(), 1, "{shape}: {found:?}");
            assert!(found[0].contains("in the log"), "{found:?}");
        }
    }

    #[test]
    fn nothing_else_is_found() {
        for text in [
            "",
            "s3cr3t-of-a-t3st",
            &BASE64_STANDARD.encode("s3cr3t-of-a-"),
        ] {
            assert_eq!(found_in(text), Vec::<String>::new());
        }
    }

    #[test]
    fn other_crates_are_heard_and_panics_too() {
        let canaries = Canaries::default();
        canaries.add(SECRET);
        let of_thread = canaries.clone();
        let panicked = std::thread::spawn(move || {
            of_thread.watch_thread();
            log::trace!("{SECRET}");
            panic!("withheld: {SECRET}");
        });
        assert!(panicked.join().is_err());
        assert_eq!(canaries.take_panics().len(), 1);
        let found = canaries.found();
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    #[should_panic(expected = "make one with Test::canary")]
    fn a_short_secret_is_no_canary() {
        Canaries::default().add("secret");
    }
}
