//! A server that others use too: slow, with rows of theirs, some of which come and go.

use super::server::Latency;
use crate::churn::Churn;
use serde_json::{Value, json};
use std::time::Duration;

/// Between a stage's row and its sets.
pub(super) const GAP: Duration = Duration::from_millis(50);

/// As [`Latency::MEASURED`], but with workers enough for all who ask.
pub(super) const LATENCY: Latency = Latency {
    serial: false,
    ..Latency::MEASURED
};

/// What others have there: the collection, how many rows of it, and how often one more comes and goes.
const OTHERS: [(&str, usize, Duration); 8] = [
    (
        "stages/authenticator/validate",
        230,
        Duration::from_millis(700),
    ),
    ("stages/authenticator/duo", 110, Duration::from_millis(900)),
    ("stages/authenticator/totp", 40, Duration::from_millis(200)),
    (
        "stages/authenticator/static",
        20,
        Duration::from_millis(600),
    ),
    (
        "stages/authenticator/webauthn",
        20,
        Duration::from_millis(800),
    ),
    ("stages/authenticator/sms", 20, Duration::from_millis(1100)),
    ("stages/dummy", 40, Duration::from_millis(500)),
    ("flows/instances", 60, Duration::from_secs(1)),
];

/// Makes the rows, and begins to make and delete more of them, until what it returns is dropped.
pub(super) async fn begin(url: &str, token: &str) -> reqwest::Result<Vec<Churn>> {
    // The program may have chosen it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::new();
    for (collection, count, _) in OTHERS {
        for n in 0..count {
            let row = http.post(format!("{url}/api/v3/{collection}/"));
            let row = row.json(&body(collection, &n.to_string()));
            let answer = row.bearer_auth(token).send().await?;
            answer.error_for_status()?;
        }
    }
    let churn = |(collection, _, every): (&str, usize, Duration)| {
        let body = body(collection, "guest");
        Churn::begin(url, token, &format!("{collection}/"), body, every)
    };
    Ok(OTHERS.map(churn).into())
}

/// What a row of this collection is made with. Some fields are of other kinds, which ignore them.
fn body(collection: &str, name: &str) -> Value {
    let name = format!("others-{}-{name}", collection.replace('/', "-"));
    json!({
        "name": name, "slug": name, "title": name, "designation": "stage_configuration",
        "digits": "6", "provider": "twilio", "from_number": "+15550100", "account_sid": "AC0", "auth": "of others",
        "client_id": "DIXXXXXXXXXXXXXXXXXX", "client_secret": "of others", "api_hostname": "api-1.duosecurity.com",
    })
}

#[cfg(test)]
mod tests {
    use super::begin;
    use crate::simulator::{Simulator, Version};

    #[tokio::test]
    async fn others_find_room_on_every_release() {
        for version in Version::ALL {
            let simulator = Simulator::start(version).await;
            let others = begin(&simulator.url(), simulator.token()).await;
            assert!(others.is_ok(), "{version}: {:?}", others.err());
        }
    }
}
