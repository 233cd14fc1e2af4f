//! What follows from what was seen.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Url;

use super::{
    finding::{Finding, Report, Verdict},
    rights,
    seen::Seen,
    token,
};
use crate::{
    authentik::{
        Certificate, Error, Version,
        versions::{NEWEST, OLDEST},
    },
    ops::permissions,
    plan::pace,
};

const REACHABLE: &str = "reachable";
const TLS: &str = "TLS";
const VERSION: &str = "version";
const LATENCY: &str = "latency";
const LOOKS: &str = "looks";

/// What errors of TLS begin with.
const TLS_ERROR: &str = "TLS:";

/// A certificate that ends sooner is about to be forgotten.
const SOON: i64 = 14 * 24 * 60 * 60;

/// A small request that takes longer makes all the others long.
const SLOW: Duration = Duration::from_secs(1);

/// Judges all that was seen. What is missing for these kinds is a failure.
pub fn report(seen: &Seen, used: &[String], now: Timestamp) -> Report {
    let permissions = rights::permitted(seen, permissions::all());
    let optional = rights::permitted(seen, permissions::optional());
    let mut findings = vec![reachable(seen), tls(seen, now), version(seen)];
    findings.push(token::whose(seen));
    findings.push(token::expiry(seen, now));
    findings.extend(rights::missing(seen, &permissions, used));
    findings.extend(rights::optional(&optional));
    findings.extend(rights::idle(seen));
    let latency = median(&seen.latencies);
    findings.push(speed(latency));
    findings.push(looks(seen, latency));
    let worst = |verdict| findings.iter().any(|finding| finding.verdict == verdict);
    let verdict = match () {
        () if worst(Verdict::Failure) => Verdict::Failure,
        () if worst(Verdict::Warning) => Verdict::Warning,
        () => Verdict::Ok,
    };
    let user = seen.user.as_ref().and_then(|user| user.as_ref().ok());
    Report {
        url: seen.url.clone(),
        verdict,
        version: seen.version.as_ref().ok().map(Version::to_string),
        user: user.map(|user| user.name.to_string()),
        latency_ms: latency.map(|latency| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)),
        findings,
        permissions,
        optional,
    }
}

fn reachable(seen: &Seen) -> Finding {
    let error = match &seen.version {
        // Who refuses a token has been reached.
        Ok(_) | Err(Error::AccessDenied { .. }) => {
            return Finding::ok(REACHABLE, format!("{} answers", seen.url));
        }
        Err(error) => error,
    };
    let text = error.to_string();
    let to_do = match error {
        Error::NotAuthentik { .. } if text.contains("redirect") => {
            "no redirect is followed, for that would hand the token on: give the URL that it leads to, if that is authentik's"
        }
        Error::NotAuthentik { .. } | Error::EndpointMissing { .. } => {
            "give the base URL of authentik, with the path that it is served under if there is one"
        }
        _ if text.starts_with(TLS_ERROR) => "see TLS below",
        _ => {
            "see whether the URL is right, authentik runs, and no firewall or network policy is in between"
        }
    };
    Finding::failure(REACHABLE, text).so(to_do)
}

fn tls(seen: &Seen, now: Timestamp) -> Finding {
    if is_plain(&seen.url) {
        return match is_loopback(&seen.url) {
            true => Finding::ok(TLS, "none, and none is needed on this machine"),
            false => {
                Finding::warning(TLS, "none: the token travels in clear").so("give an https URL")
            }
        };
    }
    let whose = seen.certificate.as_ref().map(described);
    let whose = whose.unwrap_or_else(|| "the certificate could not be looked at".to_owned());
    match &seen.version {
        Err(error) if error.to_string().starts_with(TLS_ERROR) => {
            let message = format!("{error}; {whose}");
            Finding::failure(TLS, message).so(cure(&error.to_string()))
        }
        Err(Error::Unavailable { .. }) if seen.certificate.is_none() => {
            Finding::unknown(TLS, "not seen")
        }
        _ => match &seen.certificate {
            Some(certificate) if certificate.until.as_second() - now.as_second() < SOON => {
                Finding::warning(TLS, whose).so("see that the certificate is renewed in time")
            }
            Some(_) => Finding::ok(TLS, whose),
            None => Finding::unknown(TLS, whose),
        },
    }
}

fn described(certificate: &Certificate) -> String {
    format!(
        "the certificate is signed by {} and valid until {}",
        certificate.issuer, certificate.until
    )
}

fn cure(error: &str) -> &'static str {
    if error.contains("not trusted") {
        "give the CA that has signed it with --ca-file, and in the connection as caBundle"
    } else if error.contains("another host name") {
        "give the URL with a name that the certificate is for"
    } else if error.contains("expired") || error.contains("not valid yet") {
        "renew the server's certificate, and see whether the clocks are right"
    } else {
        "see whether the server speaks TLS at this port"
    }
}

fn is_plain(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.scheme() == "http")
}

fn is_loopback(url: &str) -> bool {
    let url = Url::parse(url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let host = host.trim_matches(['[', ']']);
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn version(seen: &Seen) -> Finding {
    let Ok(version) = &seen.version else {
        return Finding::unknown(VERSION, "not known");
    };
    let named = |(year, minor): (u16, u16)| format!("{year}.{minor}");
    match version.release() {
        None => Finding::warning(VERSION, format!("{version}, which names no release"))
            .so("the operator takes it for the newest; use a release"),
        Some(release) if release < OLDEST => {
            let message = format!("authentik {version}, which is too old");
            Finding::failure(VERSION, message).so(format!("upgrade to {} or later", named(OLDEST)))
        }
        Some(release) if release > NEWEST => {
            let message = format!(
                "authentik {version}, which is newer than {}, the last that was tested",
                named(NEWEST)
            );
            Finding::warning(VERSION, message).so("see whether there is a newer operator")
        }
        Some(_) => Finding::ok(VERSION, format!("authentik {version}, which is supported")),
    }
}

fn median(latencies: &[Duration]) -> Option<Duration> {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

fn speed(median: Option<Duration>) -> Finding {
    let Some(median) = median else {
        return Finding::unknown(LATENCY, "not measured");
    };
    let message = format!("a small request takes {} ms", median.as_millis());
    match median > SLOW {
        true => Finding::warning(LATENCY, message)
            .so("see what slows authentik down: its workers, its database, the way there"),
        false => Finding::ok(LATENCY, message),
    }
}

/// How often the operator looks where a connection does not say.
fn looks(seen: &Seen, latency: Option<Duration>) -> Finding {
    if seen.kinds.is_empty() {
        return Finding::unknown(LOOKS, "nothing that the operator looks at is seen");
    }
    let rows: u64 = seen.kinds.iter().map(|kind| kind.rows).sum();
    let lists: Duration = seen.kinds.iter().map(|kind| kind.takes).sum();
    let look = lists + latency.unwrap_or_default();
    let message = format!(
        "a look at all {rows} stages and flows takes about {} ms: where resyncInterval is not set, the operator looks every {} s",
        look.as_millis(),
        pace::interval(look, 0.0).as_secs()
    );
    Finding::ok(LOOKS, message)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::authentik::{Glance, Shown};

    fn seen(url: &str, version: Result<Version, Error>) -> Seen {
        Seen {
            url: url.to_owned(),
            certificate: None,
            version,
            latencies: [9, 1, 5].map(Duration::from_millis).to_vec(),
            user: None,
            tokens: None,
            kinds: Vec::new(),
            rights: HashMap::new(),
        }
    }

    fn of(url: &str, text: &str) -> Seen {
        seen(url, Ok(Version::parse(text)))
    }

    #[test]
    fn versions_are_told_apart() {
        let verdict = |text| version(&of("https://a", text)).verdict;
        assert_eq!(verdict("2023.10.7"), Verdict::Failure);
        assert_eq!(verdict("2024.2.0"), Verdict::Ok);
        assert_eq!(verdict("2026.5.0-rc1"), Verdict::Ok);
        assert_eq!(verdict("2031.2.0"), Verdict::Warning);
        assert_eq!(verdict("main"), Verdict::Warning);
    }

    #[test]
    fn plain_http_is_a_warning_except_on_this_machine() {
        let verdict = |url| tls(&of(url, "2026.5.0"), Timestamp::UNIX_EPOCH).verdict;
        assert_eq!(verdict("http://auth.example.com"), Verdict::Warning);
        assert_eq!(verdict("http://localhost.example.com"), Verdict::Warning);
        for here in [
            "http://localhost:9000",
            "http://127.0.0.2",
            "http://[::1]:9000",
        ] {
            assert_eq!(verdict(here), Verdict::Ok, "{here}");
        }
    }

    #[test]
    fn a_certificate_that_ends_soon_is_a_warning() {
        let until = |days: i64| Seen {
            certificate: Some(Certificate {
                issuer: Shown::fixed("CN=a CA"),
                until: Timestamp::from_second(days * 86_400).unwrap(),
            }),
            ..of("https://a", "2026.5.0")
        };
        let verdict = |days| tls(&until(days), Timestamp::UNIX_EPOCH).verdict;
        assert_eq!(verdict(13), Verdict::Warning);
        assert_eq!(verdict(15), Verdict::Ok);
    }

    #[test]
    fn the_middle_of_the_latencies_counts() {
        let middle = median(&of("https://a", "2026.5.0").latencies);
        assert_eq!(middle, Some(Duration::from_millis(5)));
        assert_eq!(
            speed(Some(Duration::from_secs(2))).verdict,
            Verdict::Warning
        );
        assert_eq!(speed(None).verdict, Verdict::Unknown);
    }

    #[test]
    fn the_interval_follows_what_a_look_takes() {
        let mut seen = of("https://a", "2026.5.0");
        assert_eq!(looks(&seen, None).verdict, Verdict::Unknown);
        let kind = |rows, takes| Glance {
            rows,
            takes: Duration::from_millis(takes),
        };
        seen.kinds = vec![kind(100, 400), kind(20, 95)];
        let told = looks(&seen, Some(Duration::from_millis(5))).message;
        let expected = "a look at all 120 stages and flows takes about 500 ms: where resyncInterval is not set, the operator looks every 25 s";
        assert_eq!(told, expected);
    }

    #[test]
    fn the_worst_finding_is_the_verdict_and_what_is_unknown_does_not_count() {
        let at = Timestamp::UNIX_EPOCH;
        let good = report(&of("http://localhost", "2026.5.0"), &[], at);
        assert_eq!(good.verdict, Verdict::Ok, "{good:#?}");
        let old = report(&of("http://localhost", "2023.10.0"), &[], at);
        assert_eq!(old.verdict, Verdict::Failure);
    }
}
