//! From a connection's settings to a client.

use std::sync::Arc;

use super::{health::Learned, server::Server, sources::Given};
use crate::{
    api::ConnectionSettings,
    authentik::{CA_BUNDLE, Client, Config, ConfigError, Gate, Observer, Pause, base_url},
    controller::{keys::ConnectionKey, shared::Shared},
    ops::metrics::Asked,
    plan::failure::{Failure, Reason},
};

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

/// The server that these settings lead to with what was given, and with the rest that it may have asked for before. `known`
/// is the same one through another client: all that was found out of it stays.
///
/// # Errors
/// `InvalidSpec`, naming the field.
pub(super) fn server(
    shared: &Shared,
    key: &ConnectionKey,
    settings: &ConnectionSettings,
    given: Given,
    pause: Pause,
    known: Option<&Server>,
) -> Result<Arc<Server>, Failure> {
    check_allowed(&settings.url, &shared.allowed_servers)?;
    shared.metrics.begins_to_count_for(&key.path());
    let learned = known.map_or_else(Learned::new, |known| known.learned.renewed());
    let learned = Arc::new(learned);
    let leadership = shared.leadership.clone();
    let config = Config {
        url: settings.url.clone(),
        token: given.token.clone(),
        headers: given.headers.clone(),
        ca_bundle: given
            .pem()
            .map(str::to_owned)
            .or(settings.ca_bundle.clone()),
        timeout: settings.timeout(),
        requests_per_second: settings.requests_per_second,
        max_concurrent_requests: Some(settings.max_concurrent_requests().into()),
        budget: shared.budget.clone(),
        pause,
        observer: observer(shared, key, learned.clone()),
        gate: Gate::new(move || leadership.is_certain()),
        agent: shared.agent.clone(),
    };
    let client = Client::new(&config).map_err(|error| refused(&error, &given))?;
    let server = match known {
        Some(known) => known.through(client, given, learned),
        None => {
            let agent = shared.agent.clone();
            Server::new(key.clone(), settings.clone(), given, client, learned, agent)
        }
    };
    Ok(Arc::new(server))
}

fn observer(shared: &Shared, key: &ConnectionKey, learned: Arc<Learned>) -> Observer {
    let (metrics, path) = (shared.metrics.clone(), key.path());
    Observer::new(move |observed| {
        metrics.asked(&Asked {
            connection: &path,
            method: observed.method.as_str(),
            path: observed.path,
            status: observed.status,
            elapsed: observed.elapsed,
        });
        learned.observe(observed);
    })
}

/// Where certificates come from elsewhere, it is said from where.
fn refused(error: &ConfigError, given: &Given) -> Failure {
    let text = match &given.ca_bundle {
        Some((place, _)) if error.field == CA_BUNDLE => {
            format!("{CA_BUNDLE}From: {place}: {}", error.problem)
        }
        _ => error.to_string(),
    };
    Failure::new(Reason::InvalidSpec, text)
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
