//! Holds the simulator to recordings of real authentik servers.
//!
//! Each recording is sent again, request by request, to a fresh simulator of its release, and every
//! answer is compared: status, content type and body. UUIDs, keys and times are a server's own, so
//! they are compared through a mapping that must stay one to one. What may differ, and why, is in
//! `contract/exceptions.jsonl`.

mod between;
mod compare;
mod recording;
mod replay;

use devkit::simulator::Version;
use recording::{Exception, Exchange, exceptions};
use replay::Replay;

/// At most one exchange in so many may be an exception.
const EXCEPTIONS_ONE_IN: usize = 20;

async fn hold(set: &str, version: Version) {
    // Another test of this process may have chosen it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exchanges = recording::load(set, version.name());
    let exceptions = exceptions(set, version.name());
    let mut replay = Replay::start(version, exchanges.clone()).await;
    let mut complaints = Vec::new();
    let mut excepted = 0;
    for exchange in &exchanges {
        let exception = exceptions
            .iter()
            .find(|exception| exception.covers(exchange));
        excepted += usize::from(exception.is_some());
        let outcome = replay.run(exchange).await;
        complaints.extend(judge(exchange, exception, outcome));
    }
    println!(
        "{set} {version}: {} exchanges, {excepted} excepted",
        exchanges.len()
    );
    assert!(
        complaints.is_empty(),
        "{} of {} exchanges differ:\n{}",
        complaints.len(),
        exchanges.len(),
        complaints.join("\n")
    );
    assert!(
        excepted * EXCEPTIONS_ONE_IN <= exchanges.len(),
        "{excepted} exceptions are too many"
    );
    let unused: Vec<_> = exceptions
        .iter()
        .filter(|e| !exchanges.iter().any(|exchange| e.covers(exchange)))
        .collect();
    assert!(unused.is_empty(), "exceptions for nothing: {unused:?}");
}

fn judge(
    exchange: &Exchange,
    exception: Option<&Exception>,
    outcome: Result<(), compare::Difference>,
) -> Option<String> {
    let Exchange { n, name, .. } = exchange;
    match (outcome, exception) {
        (Ok(()), None) => None,
        (Ok(()), Some(_)) => Some(format!("{n} {name}: the exception is not needed any more")),
        (Err(difference), Some(_)) if difference.in_body => None,
        (Err(difference), _) => Some(format!("{n} {name}: {}", difference.what)),
    }
}

macro_rules! recordings {
    ($($test:ident: $set:literal $version:ident,)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                hold($set, Version::$version).await;
            }
        )*
    };
}

recordings! {
    authentik_2024_2: "authentik" V2024_2,
    authentik_2024_8: "authentik" V2024_8,
    authentik_2025_10: "authentik" V2025_10,
    authentik_2026_5: "authentik" V2026_5,
    bindings_2024_2: "bindings" V2024_2,
    bindings_2024_8: "bindings" V2024_8,
    bindings_2025_10: "bindings" V2025_10,
    bindings_2026_5: "bindings" V2026_5,
    kinds_2024_2: "kinds" V2024_2,
    kinds_2024_8: "kinds" V2024_8,
    kinds_2025_10: "kinds" V2025_10,
    kinds_2026_5: "kinds" V2026_5,
    people_2024_2: "people" V2024_2,
    people_2026_5: "people" V2026_5,
}
