//! Others who keep making and deleting rows while something is tested.

use serde_json::Value;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Makes and deletes rows until it is dropped. A row that is there then stays; [`Churn::end`] leaves none.
pub struct Churn {
    made: watch::Receiver<usize>,
    goes_on: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Churn {
    /// Makes a row of a collection such as `stages/authenticator/totp/` every so often, and deletes it half that time
    /// later. `body` is what each is made with.
    pub fn begin(url: &str, token: &str, collection: &str, body: Value, every: Duration) -> Self {
        let others = Others {
            http: reqwest::Client::new(),
            collection: format!("{}/api/v3/{collection}", url.trim_end_matches('/')),
            token: token.to_owned(),
            body,
        };
        let (sender, made) = watch::channel(0);
        let (goes_on, still) = watch::channel(true);
        let task = tokio::spawn(async move {
            while *still.borrow() {
                let row = others.make().await;
                sender.send_modify(|made| *made += 1);
                tokio::time::sleep(every / 2).await;
                others.delete(&row).await;
                tokio::time::sleep(every / 2).await;
            }
        });
        Self {
            made,
            goes_on,
            task,
        }
    }

    /// Ends once the present row is deleted.
    ///
    /// # Panics
    /// If a row could not be made or deleted.
    pub async fn end(mut self) {
        self.goes_on.send_replace(false);
        (&mut self.task).await.expect("all rows come and go");
    }

    /// How many rows were made so far.
    pub fn made(&self) -> usize {
        *self.made.borrow()
    }

    /// Waits until this many more were made. False when the time is over first.
    pub async fn more(&self, rows: usize, timeout: Duration) -> bool {
        let enough = self.made() + rows;
        let mut made = self.made.clone();
        let more = made.wait_for(|made| *made >= enough);
        tokio::time::timeout(timeout, more)
            .await
            .is_ok_and(|outcome| outcome.is_ok())
    }
}

impl Drop for Churn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Others {
    http: reqwest::Client,
    collection: String,
    token: String,
    body: Value,
}

impl Others {
    /// Makes a row; returns its key.
    async fn make(&self) -> String {
        let request = self.http.post(&self.collection).json(&self.body);
        let answer = request.bearer_auth(&self.token).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        let row: Value = answer
            .expect("the row is made")
            .json()
            .await
            .expect("a row is JSON");
        // A flow's path has its slug in it.
        let key = row["slug"].as_str().or_else(|| row["pk"].as_str());
        key.expect("a row has a key").to_owned()
    }

    async fn delete(&self, row: &str) {
        let request = self.http.delete(format!("{}{row}/", self.collection));
        let answer = request.bearer_auth(&self.token).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        answer.expect("the row is deleted");
    }
}

#[cfg(test)]
mod tests {
    use super::Churn;
    use crate::simulator::{Simulator, Version};
    use serde_json::json;
    use std::time::Duration;

    #[tokio::test]
    async fn rows_come_and_go() {
        // Another test of this process may have chosen it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let simulator = Simulator::start(Version::V2026_5).await;
        let (url, token) = (simulator.url(), simulator.token());
        let (body, every) = (json!({ "name": "churn" }), Duration::from_millis(2));
        let churn = Churn::begin(&url, token, "stages/dummy/", body, every);
        assert!(churn.more(5, Duration::from_secs(5)).await);
        let row = "/api/v3/stages/dummy/{uuid}/".to_owned();
        let deleted = simulator.answered()[&("DELETE".to_owned(), row)];
        assert!(deleted >= 4, "{deleted}");
        churn.end().await;
        let answered = simulator.answered();
        let of = |method: &str, path: &str| answered[&(method.to_owned(), path.to_owned())];
        let made = of("POST", "/api/v3/stages/dummy/");
        assert_eq!(of("DELETE", "/api/v3/stages/dummy/{uuid}/"), made);
    }
}
