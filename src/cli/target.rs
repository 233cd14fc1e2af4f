//! The authentik server of a command, where no manifest names one.

use std::{fs, path::PathBuf, time::Duration};

use clap::Args;
use secrecy::SecretString;

use super::output::Failed;
use crate::authentik::{Budget, Client, Config, Gate, Header, Observer, Pause, agent};

/// The variable of the environment that holds the token.
const TOKEN: &str = "AUTHENTIK_TOKEN";

/// Which server a command asks, and as whom.
#[derive(Args, Clone, Debug)]
pub struct Target {
    /// The base URL of authentik, such as https://auth.example.com.
    #[arg(long, env = "AUTHENTIK_URL", hide_env_values = true)]
    pub url: Option<String>,
    /// A file that holds an API token. Omitted: the token is taken from the variable AUTHENTIK_TOKEN.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// A file of PEM certificates to trust besides the system's own.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// A file of headers for each request, as an access proxy asks for: one `Name: value` a line.
    #[arg(long, value_name = "FILE")]
    pub headers_file: Option<PathBuf>,
    /// The longest time for one request, in seconds, up to 60.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub timeout: u64,
}

impl Target {
    /// The token; nothing where none is given.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn token(&self) -> Result<Option<SecretString>, Failed> {
        let text = match &self.token_file {
            Some(path) => Some(fs::read_to_string(path).map_err(|error| {
                format!("--token-file: {} can't be read: {error}", path.display())
            })?),
            None => std::env::var(TOKEN).ok(),
        };
        let text = text.filter(|text| !text.trim().is_empty());
        Ok(text.map(SecretString::from))
    }

    /// The certificates to trust besides the system's own; nothing where none are given.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn ca_bundle(&self) -> Result<Option<String>, Failed> {
        let read = |path: &PathBuf| {
            fs::read_to_string(path)
                .map_err(|error| format!("--ca-file: {} can't be read: {error}", path.display()))
        };
        Ok(self.ca_file.as_ref().map(read).transpose()?)
    }

    /// The headers for each request.
    ///
    /// # Errors
    /// Where the file can't be read, by the number of the line.
    pub fn headers(&self) -> Result<Vec<Header>, Failed> {
        let Some(path) = &self.headers_file else {
            return Ok(Vec::new());
        };
        let text = fs::read_to_string(path).map_err(|error| {
            format!("--headers-file: {} can't be read: {error}", path.display())
        })?;
        let lines = (1..).zip(text.lines());
        let lines = lines.filter(|(_, line)| !line.trim().is_empty());
        Ok(lines.map(header).collect::<Result<_, _>>()?)
    }

    /// How to reach the server; `observer` is told of every request.
    ///
    /// # Errors
    /// Where URL or token are not given, or a file can't be read.
    pub fn config(&self, observer: Observer) -> Result<Config, Failed> {
        let url = self.url.clone().filter(|url| !url.trim().is_empty());
        let url = url.ok_or("no server is named: give --url, or set AUTHENTIK_URL")?;
        let token = self.token()?.ok_or_else(|| {
            format!("there is no token: give --token-file, or set {TOKEN} to an API token")
        })?;
        Ok(Config {
            url,
            token,
            headers: self.headers()?,
            ca_bundle: self.ca_bundle()?,
            timeout: Duration::from_secs(self.timeout),
            requests_per_second: None,
            max_concurrent_requests: None,
            budget: Budget::default(),
            pause: Pause::default(),
            observer,
            gate: Gate::default(),
            agent: agent("command line"),
        })
    }

    /// A client of the server.
    ///
    /// # Errors
    /// As [`Self::config`]; and where what is given can't work, by the name of the field.
    pub fn client(&self) -> Result<Client, Failed> {
        let config = self.config(Observer::default())?;
        Client::new(&config).map_err(|error| Failed::Because(error.to_string()))
    }
}

/// A line of the file of headers. The line itself is never repeated: it holds what gives access.
fn header((number, line): (usize, &str)) -> Result<Header, String> {
    let parts = line
        .split_once(':')
        .map(|(name, value)| (name.trim(), value.trim()));
    match parts {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok(Header {
            name: name.to_owned(),
            value: SecretString::from(value),
            is_secret: true,
        }),
        _ => Err(format!(
            "--headers-file: line {number} is no header; write one `Name: value` a line"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_header_and_its_value_may_hold_colons() {
        let read = header((1, "X-Access:  https://a:b ")).expect("a header");
        let value = secrecy::ExposeSecret::expose_secret(&read.value);
        assert_eq!((read.name.as_str(), value), ("X-Access", "https://a:b"));
        assert!(read.is_secret);
        for odd in ["X-Access", ": value", "X-Access:"] {
            let error = header((7, odd)).expect_err("it is none");
            assert!(
                error.contains("line 7") && !error.contains("X-Access"),
                "{error}"
            );
        }
    }
}
