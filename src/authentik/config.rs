//! How to reach one authentik server, and what can be wrong with that.

use std::{fmt, num::NonZeroU32, sync::Arc, time::Duration};

use reqwest::{
    Certificate, Method, Url,
    header::{ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, HeaderMap, HeaderValue},
    redirect::Policy,
};
use secrecy::{ExposeSecret, SecretString};

use super::{
    budget::Budget,
    collection::Collection,
    error::{ConfigError, Error},
    header::{self, Header},
    pause::Pause,
};

/// Requests under way at once when the configuration names no limit.
const DEFAULT_CONCURRENCY: usize = 4;

/// A connection that isn't there after this long won't come. Half the overall timeout if that is shorter, never all of it,
/// so that a request that was never sent can be told from one that was never answered.
///
/// A request is sent at the latest when its connection is there. A replica that lost its lease must send nothing 5 s
/// after it was last sure of it, so this is less.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// Longest time for one request, whatever the configuration says: a server that hangs is not waited for longer.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// The field of a connection with certificates to trust, as errors name it.
pub const CA_BUNDLE: &str = "caBundle";

/// Most bytes of certificates to trust.
const MAX_CA_BUNDLE: usize = 256 * 1024;

/// Where authentik's API is below its URL.
const API: &str = "/api/v3";

/// Shorter than the keep-alive of common ingresses, so that a write seldom meets a connection that is just being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A request that has ended, whether or not it was answered.
#[derive(Debug)]
pub struct Observed<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path below `/api/v3/`, with `{uuid}` or `{slug}` for what differs from object to object.
    pub path: &'a str,
    /// What was asked for, if it belongs to a collection.
    pub collection: Option<Collection>,
    /// The answer's status; nothing where there was no answer.
    pub status: Option<u16>,
    /// How long it took, without the wait for its turn.
    pub elapsed: Duration,
    /// Why it did not do what it was for.
    pub error: Option<&'a Error>,
}

type Observe = dyn Fn(&Observed<'_>) + Send + Sync;

/// Told of every request that has ended; by default nobody is.
#[derive(Clone, Default)]
pub struct Observer(Option<Arc<Observe>>);

impl Observer {
    /// Calls `observe` for every request that has ended.
    pub fn new(observe: impl Fn(&Observed<'_>) + Send + Sync + 'static) -> Observer {
        Observer(Some(Arc::new(observe)))
    }

    pub(super) fn tell(&self, observed: &Observed<'_>) {
        if let Some(observe) = &self.0 {
            observe(observed);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

type Ask = dyn Fn() -> bool + Send + Sync;

/// Asked just before each request whether it may still be sent; by default each may.
#[derive(Clone, Default)]
pub struct Gate(Option<Arc<Ask>>);

impl Gate {
    /// A request that is about to be sent ends in [`Error::Closed`](super::Error::Closed) where `is_open` says no.
    pub fn new(is_open: impl Fn() -> bool + Send + Sync + 'static) -> Gate {
        Gate(Some(Arc::new(is_open)))
    }

    pub(super) fn is_open(&self) -> bool {
        self.0.as_ref().is_none_or(|is_open| is_open())
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

/// One authentik server: where it is, who we are there, and how fast we may ask.
#[derive(Clone, Debug)]
pub struct Config {
    /// `http` or `https` URL of authentik, with the path it is served under if there is one (`https://host/auth`), with or without `/api/v3`.
    pub url: String,
    /// API token. Whitespace around it is dropped: a Secret made from a file ends in a newline.
    pub token: SecretString,
    /// Headers of each request beside the client's own.
    pub headers: Vec<Header>,
    /// PEM certificates to trust besides the system's own.
    pub ca_bundle: Option<String>,
    /// Limit for one request, from connecting to the last byte of the answer. Waiting for its turn doesn't count. A minute at most.
    pub timeout: Duration,
    /// Most requests started within a second; no limit when `None`.
    pub requests_per_second: Option<u32>,
    /// Most requests under way at once; 4 when `None`.
    pub max_concurrent_requests: Option<usize>,
    /// The bytes of answers in flight; shared by all clients that get a clone of it.
    pub budget: Budget,
    /// The rest that the server has asked for; shared by all clients that get a clone of it.
    pub pause: Pause,
    /// Told of every request that has ended.
    pub observer: Observer,
    /// Asked before every request.
    pub gate: Gate,
    /// What the program calls itself: authentik's audit log shows it.
    pub agent: String,
}

/// What this program calls itself. `instance` tells it from others of its version that use the same account.
#[must_use]
pub fn agent(instance: &str) -> String {
    const PROGRAM: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    format!("{PROGRAM} ({instance})")
}

fn refuse<T>(field: &'static str, problem: &'static str) -> Result<T, ConfigError> {
    Err(ConfigError {
        field: field.into(),
        problem,
    })
}

/// The URL as an identity: scheme and host in lower case, no default port, no slash and no `/api/v3` at the end.
/// A user name and a password, which no connection may have, are left out.
pub fn base_url(url: &str) -> String {
    let url = url.trim();
    let Ok(mut parsed) = Url::parse(url) else {
        return url.to_owned();
    };
    // Only URLs without a host refuse, and those have neither.
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    without_api(parsed.as_str()).to_owned()
}

/// The text without slashes and one `/api/v3` at its end.
fn without_api(text: &str) -> &str {
    let text = text.trim_end_matches('/');
    text.strip_suffix(API).unwrap_or(text).trim_end_matches('/')
}

impl Config {
    /// Root of the API: `<url>/api/v3`.
    pub(super) fn api_root(&self) -> Result<Url, ConfigError> {
        let Ok(mut url) = Url::parse(self.url.trim()) else {
            return refuse("url", "not an absolute http or https URL");
        };
        if !matches!(url.scheme(), "http" | "https") {
            return refuse("url", "must start with http:// or https://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("url", "must not hold a user name or password");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refuse("url", "must have neither a query nor a fragment");
        }
        let path = format!("{}{API}", without_api(url.path()));
        url.set_path(&path);
        Ok(url)
    }

    /// The limit for one request.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout.min(MAX_TIMEOUT)
    }

    /// The token as it is sent.
    pub(super) fn token(&self) -> &str {
        self.token.expose_secret().trim()
    }

    fn headers(&self) -> Result<HeaderMap, ConfigError> {
        if self.token().is_empty() {
            return refuse("token", "is empty");
        }
        let Ok(mut bearer) = HeaderValue::from_str(&format!("Bearer {}", self.token())) else {
            return refuse("token", "holds characters that a header can't carry");
        };
        bearer.set_sensitive(true);
        let mut headers = HeaderMap::from_iter([
            (AUTHORIZATION, bearer),
            (ACCEPT, HeaderValue::from_static("application/json")),
            // From 2025.10 on error texts follow this header; conditions must not change with a server's default.
            (ACCEPT_LANGUAGE, HeaderValue::from_static("en")),
        ]);
        header::add(&mut headers, &self.headers)?;
        Ok(headers)
    }

    fn extra_roots(&self) -> Result<Vec<Certificate>, ConfigError> {
        let Some(pem) = &self.ca_bundle else {
            return Ok(Vec::new());
        };
        if pem.len() > MAX_CA_BUNDLE {
            return refuse(
                CA_BUNDLE,
                "is larger than 256 KiB; leave the public CAs out",
            );
        }
        match Certificate::from_pem_bundle(pem.as_bytes()) {
            Ok(roots) if !roots.is_empty() => Ok(roots),
            _ => refuse(CA_BUNDLE, "holds no PEM certificate"),
        }
    }

    /// The HTTP client: no redirects, since following one would hand the token on. Its requests end by themselves only
    /// where there is no connection; whoever sends one sees to the rest.
    pub(super) fn http(&self, api_root: &Url) -> Result<reqwest::Client, ConfigError> {
        if self.timeout.is_zero() {
            return refuse("timeout", "must be longer than zero");
        }
        // Two providers may be compiled in, and rustls panics unless one is chosen. An error says that one was chosen before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder()
            .default_headers(self.headers()?)
            .user_agent(self.agent.as_str())
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT.min(self.timeout / 2))
            .pool_idle_timeout(IDLE_TIMEOUT);
        let roots = self.extra_roots()?;
        let bundled = !roots.is_empty();
        let builder = match api_root.scheme() {
            // Loading the system's roots fails where there are none, which plain HTTP has no reason to care about.
            "http" => builder.tls_certs_only(roots),
            _ => builder.tls_certs_merge(roots),
        };
        builder.build().or_else(|_| match bundled {
            true => refuse(CA_BUNDLE, "holds a certificate that can't be read"),
            false => refuse("url", "https, but this system has no CA certificates"),
        })
    }

    pub(super) fn rate(&self) -> Result<Option<NonZeroU32>, ConfigError> {
        match self.requests_per_second.map(NonZeroU32::new) {
            None => Ok(None),
            Some(Some(rate)) => Ok(Some(rate)),
            Some(None) => refuse("requestsPerSecond", "must be at least 1"),
        }
    }

    pub(super) fn concurrency(&self) -> Result<usize, ConfigError> {
        match self.max_concurrent_requests.unwrap_or(DEFAULT_CONCURRENCY) {
            0 => refuse("maxConcurrentRequests", "must be at least 1"),
            limit => Ok(limit),
        }
    }
}
