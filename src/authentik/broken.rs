//! How a connection without a whole answer becomes an error.

use std::{error, io, iter, time::Duration};

use reqwest::Url;

use super::{
    error::Error,
    receive::Broken,
    shown::{Redactor, Shown},
};

/// What [`broken`] has to know of the request.
pub(super) struct Sent<'a> {
    pub write: bool,
    pub url: &'a Url,
    pub timeout: Duration,
    /// Most bytes of the answer.
    pub most: usize,
    pub redactor: &'a Redactor,
}

/// The error that a connection without a whole answer stands for.
///
/// Nothing of reqwest's own text is kept: it holds the URL and, in places, ports of this side.
pub(super) fn broken(sent: &Sent<'_>, broken: Broken<reqwest::Error>) -> Error {
    let show = |text: String| sent.redactor.clean(&text);
    let cause = match broken {
        Broken::Connection(error) => {
            // Without a connection nothing was sent; in all other cases nobody knows.
            let outcome_unknown = sent.write && !error.is_connect();
            return Error::unavailable(show(phrase(&error, sent.url)), outcome_unknown);
        }
        Broken::TooLarge => {
            let what = show(format!("an answer of more than {} bytes", sent.most));
            match sent.write {
                true => what,
                false => return Error::TooMuch { what },
            }
        }
        Broken::TooSlow => Shown::fixed("the answer came too slowly"),
        Broken::TimedOut => show(format!("no answer within {:?}", sent.timeout)),
    };
    Error::unavailable(cause, sent.write)
}

/// The words for it. What never became a connection names the address.
fn phrase(error: &reqwest::Error, url: &Url) -> String {
    const CUT: &str = "connection closed before the answer was complete";
    let to = address(url);
    match causes(error).find_map(known_cause) {
        Some(Cause::Refused) => format!("connection refused by {to}"),
        Some(Cause::Unreachable) => format!("{to} can't be reached"),
        Some(Cause::Unresolved) => format!("the host's name does not resolve: {to}"),
        Some(Cause::Closed) => CUT.to_owned(),
        Some(Cause::Tls(text)) => text.to_owned(),
        None if error.is_connect() && error.is_timeout() => {
            format!("no connection to {to} in time")
        }
        None if error.is_connect() => format!("no connection to {to}"),
        None => CUT.to_owned(),
    }
}

/// Host and port, and nothing else of the URL.
fn address(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{host}:{port}")
}

/// An error and all that it comes from. `io::Error::source` skips what it wraps, which is where TLS errors are.
fn causes<'a>(
    error: &'a (dyn error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn error::Error + 'static)> {
    iter::successors(Some(error), |error| {
        match error.downcast_ref::<io::Error>() {
            Some(wrapper) => wrapper.get_ref().map(|inner| inner as _),
            None => error.source(),
        }
    })
}

enum Cause {
    Refused,
    Unreachable,
    Unresolved,
    Closed,
    Tls(&'static str),
}

fn known_cause(error: &(dyn error::Error + 'static)) -> Option<Cause> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(Cause::Tls(tls_cause(tls)));
    }
    if let Some(io) = error.downcast_ref::<io::Error>() {
        return io_cause(io.kind());
    }
    // The connector's type is private; its text begins like this.
    error
        .to_string()
        .starts_with("dns error")
        .then_some(Cause::Unresolved)
}

fn io_cause(kind: io::ErrorKind) -> Option<Cause> {
    match kind {
        io::ErrorKind::ConnectionRefused => Some(Cause::Refused),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Some(Cause::Unreachable)
        }
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => Some(Cause::Closed),
        _ => None,
    }
}

fn tls_cause(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Bad;
    let rustls::Error::InvalidCertificate(problem) = error else {
        return "TLS: no handshake (does the server speak TLS at this port?)";
    };
    match problem {
        // A bad signature is what a renewed CA of the same name looks like.
        Bad::UnknownIssuer | Bad::BadSignature => {
            "TLS: the certificate is not trusted (set caBundle or caBundleFrom)"
        }
        Bad::Expired | Bad::ExpiredContext { .. } => "TLS: the certificate has expired",
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            "TLS: the certificate is not valid yet"
        }
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
            "TLS: the certificate is for another host name"
        }
        _ => "TLS: the certificate is not valid",
    }
}
