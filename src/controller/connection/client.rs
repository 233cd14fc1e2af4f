//! From a connection's settings to a client.

use std::sync::Arc;

use secrecy::SecretString;

use super::{health::Learned, server::Server};
use crate::{
    api::ConnectionSettings,
    authentik::{Budget, Client, Config, Gate, Observer, Pause, base_url},
    controller::{keys::ConnectionKey, shared::Shared},
    ops::metrics::Asked,
    plan::failure::{Failure, Reason},
};

/// The API client that these settings describe.
///
/// # Errors
/// `InvalidSpec`, naming the field.
pub fn client(
    settings: &ConnectionSettings,
    token: SecretString,
    observer: Observer,
    gate: Gate,
    budget: Budget,
    pause: Pause,
) -> Result<Client, Failure> {
    let config = Config {
        url: settings.url.clone(),
        token,
        ca_bundle: settings.ca_bundle.clone(),
        timeout: settings.timeout(),
        requests_per_second: settings.requests_per_second,
        max_concurrent_requests: Some(settings.max_concurrent_requests().into()),
        observer,
        gate,
        budget,
        pause,
    };
    Client::new(&config).map_err(|error| Failure::new(Reason::InvalidSpec, error.to_string()))
}

/// The rest that a connection's server has asked for. It ends with the server, not with its client.
#[derive(Debug, Default)]
pub(super) struct Rest {
    url: String,
    pause: Pause,
}

impl Rest {
    /// The rest that the server at this URL has asked for.
    pub(super) fn at(&mut self, url: &str) -> Pause {
        let url = base_url(url);
        if self.url != url {
            *self = Self {
                url,
                pause: Pause::default(),
            };
        }
        self.pause.clone()
    }
}

/// The server that these settings and this token lead to, with the rest that it may have asked for before.
///
/// # Errors
/// `InvalidSpec`, naming the field.
pub(super) fn server(
    shared: &Shared,
    key: &ConnectionKey,
    settings: &ConnectionSettings,
    token: SecretString,
    pause: Pause,
) -> Result<Arc<Server>, Failure> {
    check_allowed(&settings.url, &shared.allowed_servers)?;
    let learned = Arc::new(Learned::new());
    let (metrics, path, told) = (shared.metrics.clone(), key.path(), learned.clone());
    let observer = Observer::new(move |observed| {
        metrics.asked(&Asked {
            connection: &path,
            method: observed.method.as_str(),
            path: observed.path,
            status: observed.status,
            elapsed: observed.elapsed,
        });
        told.observe(observed);
    });
    let leadership = shared.leadership.clone();
    let gate = Gate::new(move || leadership.is_certain());
    let client = client(
        settings,
        token.clone(),
        observer,
        gate,
        shared.budget.clone(),
        pause,
    )?;
    let server = Server::new(key.clone(), settings.clone(), token, client, learned);
    Ok(Arc::new(server))
}

/// Whoever may make connections has the operator send requests; an administrator may say where to.
fn check_allowed(url: &str, allowed: &[String]) -> Result<(), Failure> {
    let url = base_url(url);
    let is_below = |prefix: &String| {
        let rest = url.strip_prefix(&base_url(prefix));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if allowed.is_empty() || allowed.iter().any(is_below) {
        return Ok(());
    }
    Err(Failure::new(
        Reason::InvalidSpec,
        "url: is under none of the servers that the operator may ask; use one that --allowed-servers names, or have an administrator add it there",
    ))
}

#[cfg(test)]
mod tests {
    use super::check_allowed;

    #[test]
    fn only_servers_below_an_allowed_prefix_are_asked() {
        let allowed = ["https://auth.example.com", "http://sso/authentik/"].map(str::to_owned);
        for (url, is_allowed) in [
            ("https://auth.example.com", true),
            ("https://AUTH.example.com:443/api/v3/", true),
            ("https://auth.example.com/tenant", true),
            ("https://auth.example.com.evil.org", false),
            ("https://auth.example.com:8443", false),
            ("http://auth.example.com", false),
            ("http://sso/authentik", true),
            ("http://sso/authentik2", false),
            ("http://sso", false),
            ("http://169.254.169.254", false),
        ] {
            assert_eq!(check_allowed(url, &allowed).is_ok(), is_allowed, "{url}");
        }
        assert!(check_allowed("http://anywhere", &[]).is_ok());
    }
}
