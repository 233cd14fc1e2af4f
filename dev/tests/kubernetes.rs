//! The API server that tests and the demo run on keeps what it promises.
use std::collections::BTreeMap;
use std::env;
use std::pin::pin;
use std::time::{Duration, Instant};

use devkit::kubernetes::{Kubernetes, Options, Release, User};
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, WatchEvent};
use serde_json::json;

fn config_map(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([("key".to_owned(), "value".to_owned())])),
        ..ConfigMap::default()
    }
}

#[tokio::test]
async fn the_server_is_of_the_release_that_is_chosen() {
    let chosen = Release::chosen().unwrap();
    if chosen.is_none() && env::var_os("KUBEBUILDER_ASSETS").is_some() {
        // It is of the release that somebody else has built.
        return;
    }
    let release = chosen.unwrap_or(Release::Newest);
    let client = Kubernetes::shared().client(User::Admin);
    let server = client.apiserver_version().await.unwrap();
    assert_eq!(server.git_version, release.version());
    let (major, minor) = (server.major, server.minor);
    let named = format!("v{major}.{minor}.");
    assert!(release.version().starts_with(&named), "{named}");
}

#[tokio::test]
async fn every_write_is_audited_and_no_read() {
    let kubernetes = Kubernetes::shared();
    let namespace = kubernetes.namespace("audit").await.unwrap();
    let maps = Api::<ConfigMap>::namespaced(kubernetes.client(User::Admin), &namespace);
    maps.create(&PostParams::default(), &config_map("a"))
        .await
        .unwrap();
    maps.list(&Default::default()).await.unwrap();
    let patch = Patch::Merge(json!({"data": {"key": "other"}}));
    maps.patch("a", &PatchParams::default(), &patch)
        .await
        .unwrap();
    maps.create(&PostParams::default(), &config_map("a"))
        .await
        .unwrap_err();
    maps.delete("a", &DeleteParams::default()).await.unwrap();

    let writes = kubernetes.writes(&namespace);
    let seen: Vec<_> = writes
        .iter()
        .map(|write| (write.verb.as_str(), write.code))
        .collect();
    assert_eq!(
        seen,
        [
            ("create", 201),
            ("patch", 200),
            ("create", 409),
            ("delete", 200)
        ]
    );
    for write in &writes {
        assert_eq!(
            (write.user.as_str(), write.resource.as_str()),
            ("admin", "configmaps")
        );
        assert_eq!((write.name.as_str(), write.subresource.as_str()), ("a", ""));
    }
}

#[tokio::test]
async fn a_large_write_is_seen_as_soon_as_it_is_answered() {
    let kubernetes = Kubernetes::shared();
    let namespace = kubernetes.namespace("flush").await.unwrap();
    let maps = Api::<ConfigMap>::namespaced(kubernetes.client(User::Admin), &namespace);
    for count in 1..=20 {
        let mut map = config_map(&format!("large-{count}"));
        map.data = Some(BTreeMap::from([("key".to_owned(), "x".repeat(500_000))]));
        maps.create(&PostParams::default(), &map).await.unwrap();
        assert_eq!(kubernetes.writes(&namespace).len(), count);
    }
}

#[tokio::test]
async fn the_operator_may_do_nothing_that_rbac_does_not_grant() {
    let kubernetes = Kubernetes::shared();
    let namespace = kubernetes.namespace("rbac").await.unwrap();
    let maps = Api::<ConfigMap>::namespaced(kubernetes.client(User::Operator), &namespace);
    let error = maps.list(&Default::default()).await.unwrap_err();
    assert!(
        matches!(&error, kube::Error::Api(status) if status.code == 403),
        "{error}"
    );

    let created = kubernetes
        .kubectl_command([
            "create",
            "rolebinding",
            "operator",
            "--clusterrole=view",
            "--user=operator",
        ])
        .args(["--namespace", &namespace])
        .output()
        .unwrap();
    assert!(
        created.status.success(),
        "{}",
        String::from_utf8_lossy(&created.stderr)
    );
    // The API server learns of the binding by a watch, a moment later.
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(error) = maps.list(&Default::default()).await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_object_whose_owner_is_gone_is_collected() {
    let kubernetes = Kubernetes::shared();
    let namespace = kubernetes.namespace("garbage").await.unwrap();
    let maps = Api::<ConfigMap>::namespaced(kubernetes.client(User::Admin), &namespace);
    let owner = maps
        .create(&PostParams::default(), &config_map("owner"))
        .await
        .unwrap();
    let mut owned = config_map("owned");
    owned.metadata.owner_references = Some(vec![kube::Resource::owner_ref(&owner, &()).unwrap()]);
    maps.create(&PostParams::default(), &owned).await.unwrap();
    maps.delete("owner", &DeleteParams::default())
        .await
        .unwrap();
    let gone = kube::runtime::wait::await_condition(maps, "owned", |map: Option<&ConfigMap>| {
        map.is_none()
    });
    tokio::time::timeout(Duration::from_secs(60), gone)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_restart_keeps_address_and_data() {
    let options = Options {
        controller_manager: false,
    };
    let kubernetes = Kubernetes::start(options).await.unwrap();
    let maps = Api::<ConfigMap>::namespaced(kubernetes.client(User::Admin), "default");
    maps.create(&PostParams::default(), &config_map("kept"))
        .await
        .unwrap();

    kubernetes.stop_apiserver();
    maps.get("kept").await.unwrap_err();
    kubernetes.start_apiserver().await.unwrap();
    maps.get("kept").await.unwrap();
    kubernetes.restart_apiserver().await.unwrap();
    maps.get("kept").await.unwrap();
    assert_eq!(
        kubernetes
            .writes("default")
            .iter()
            .filter(|write| write.user == "admin")
            .count(),
        1
    );

    let directory = kubernetes
        .kubeconfig(User::Admin)
        .parent()
        .unwrap()
        .to_owned();
    drop(kubernetes);
    assert!(!directory.exists());
    #[cfg(target_os = "linux")]
    assert_eq!(linux::processes_that_use(&directory), Vec::<String>::new());
}

/// Where the processes of a system can be read from files.
#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::io::{BufRead, BufReader};
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    #[test]
    fn nothing_is_left_when_the_process_is_killed() {
        let mut process = Command::new(env!("CARGO_BIN_EXE_dev"))
            .arg("kubernetes")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let kubeconfig = PathBuf::from(line.trim().trim_start_matches("export KUBECONFIG="));
        let directory = kubeconfig.parent().unwrap();
        assert!(directory.is_dir());
        assert!(
            processes_that_use(directory).len() >= 3,
            "{:?}",
            processes_that_use(directory)
        );

        process.kill().unwrap();
        process.wait().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while directory.exists() || !processes_that_use(directory).is_empty() {
            assert!(
                Instant::now() < deadline,
                "left: {:?}",
                processes_that_use(directory)
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The command lines of the running processes that mention `directory`.
    pub fn processes_that_use(directory: &Path) -> Vec<String> {
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| fs::read(entry.unwrap().path().join("cmdline")).ok())
            .map(|command_line| String::from_utf8_lossy(&command_line).replace('\0', " "))
            .filter(|command_line| command_line.contains(&*directory.to_string_lossy()))
            .collect()
    }
}

#[tokio::test]
async fn a_watch_goes_through_a_gateway_until_it_is_cut() {
    let kubernetes = Kubernetes::shared();
    let namespace = kubernetes.namespace("gateway").await.unwrap();
    let (gateway, kubeconfig) = kubernetes.gateway(User::Admin).await.unwrap();
    let config = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &Default::default()).await;
    let client = kube::Client::try_from(config.unwrap()).unwrap();
    let maps = Api::<ConfigMap>::namespaced(client, &namespace);
    let version = maps.list(&Default::default()).await.unwrap();
    let version = version.metadata.resource_version.unwrap();
    let mut shown = pin!(maps.watch(&Default::default(), &version).await.unwrap());
    maps.create(&PostParams::default(), &config_map("a"))
        .await
        .unwrap();
    let first = shown.next().await.unwrap().unwrap();
    assert!(matches!(first, WatchEvent::Added(map) if map.name_any() == "a"));
    gateway.stop().await;
    assert!(!matches!(shown.next().await, Some(Ok(_))));
    maps.list(&Default::default()).await.unwrap_err();
    gateway.start().await;
    maps.list(&Default::default()).await.unwrap();
}
