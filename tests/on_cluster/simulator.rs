//! A simulated authentik in a pod, behind a Service.

use std::{collections::BTreeMap, process::Stdio};

use authentik_stage_operator::{authentik::Collection, kinds};
use devkit::simulator::Version;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::cluster::{AUTHENTIK, Cluster};

/// A superuser's token.
pub const TOKEN: &str = "simulated";

/// The lists that hold all that the operator may write: what stages have in common, what each kind has, and bindings.
fn lists() -> Vec<String> {
    let kinds = kinds::kind_names().iter().map(|kind| kind.collection);
    let all = [Collection::ALL_STAGES, Collection::BINDINGS];
    let lists = all.into_iter().chain(kinds);
    lists
        .map(|collection| format!("{}/", collection.path()))
        .collect()
}

/// The server, reached through a forwarded port.
pub struct Simulator {
    _forward: Child,
    url: String,
    http: reqwest::Client,
}

impl Simulator {
    /// Starts it as Service `simulator` of namespace [`AUTHENTIK`].
    pub async fn start(cluster: &Cluster) -> Self {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "simulator", "labels": {"app": "simulator"}},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [{
                "name": "simulator",
                "image": "localhost/authentik-simulator:test",
                "imagePullPolicy": "Never",
                "args": [
                    "--version", Version::V2026_5.to_string(), "--listen=0.0.0.0:9000", "--token", TOKEN,
                ],
                "readinessProbe": {"tcpSocket": {"port": 9000}, "periodSeconds": 1},
            }]},
        });
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "simulator"},
            "spec": {"selector": {"app": "simulator"}, "ports": [{"port": 80, "targetPort": 9000}]},
        });
        cluster.apply(Some(AUTHENTIK), &format!("{pod}\n---\n{service}"));
        let ready = ["wait", "--for=condition=Ready", "--timeout=180s"];
        cluster.kubectl(&[&ready[..], &["--namespace", AUTHENTIK, "pod/simulator"]].concat());

        let mut forward = cluster.kubectl_command(&["port-forward", "service/simulator", ":80"]);
        forward
            .args(["--namespace", AUTHENTIK])
            .stdout(Stdio::piped());
        let mut forward = Command::from(forward)
            .kill_on_drop(true)
            .spawn()
            .expect("kubectl starts");
        let mut line = String::new();
        let output = forward.stdout.as_mut().expect("it is piped");
        let read = BufReader::new(output).read_line(&mut line).await;
        read.expect("its output is text");
        let address = line.split(' ').nth(2).expect("it says where it listens");
        Self {
            url: format!("http://{address}/api/v3"),
            _forward: forward,
            http: reqwest::Client::new(),
        }
    }

    /// All that it holds of what the operator may write, by list and primary key.
    pub async fn holdings(&self) -> BTreeMap<String, Value> {
        let mut holdings = BTreeMap::new();
        for list in lists() {
            let page = format!("{}/{list}?page_size=100", self.url);
            let answer = self.http.get(page).bearer_auth(TOKEN).send().await;
            let answer: Value = answer.expect("it answers").json().await.expect("with JSON");
            assert_eq!(answer["pagination"]["total_pages"], 1, "{list}");
            for row in answer["results"].as_array().expect("rows") {
                let key = row["pk"].as_str().expect("a key");
                holdings.insert(format!("{list}{key}"), row.clone());
            }
        }
        holdings
    }
}
