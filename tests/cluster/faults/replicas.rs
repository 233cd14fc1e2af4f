//! The program as Kubernetes runs it: killed at any moment and started again, alone or beside another.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Stdio,
};

use devkit::gateway::{Fault, FaultKind, Gateway};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::process::{Child, Command};

use crate::{harness::Test, program::signal};

/// The replicas of one test, on the way to Kubernetes behind a gateway.
pub struct Replicas<'a> {
    test: &'a Test,
    /// What stands between them and the API server.
    pub kubernetes: Gateway,
    kubeconfig: PathBuf,
    /// The namespaces that they watch.
    namespaces: String,
    children: Vec<Child>,
    /// The one that gets no time to work, if there is one.
    frozen: Option<usize>,
    /// Whether the Lease has been taken away since the last thaw.
    stolen: bool,
    log: PathBuf,
}

/// Which of the two servers that the operator talks to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Server {
    Authentik,
    Kubernetes,
}

/// A moment of the operator's work: about its write of this number, from 0.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub server: Server,
    pub request: usize,
    /// Whether the request has taken effect; else it has yet to reach the server.
    pub after: bool,
}

impl<'a> Replicas<'a> {
    /// Starts so many in place of the test's own operator. They watch these namespaces.
    pub async fn start(test: &'a Test, namespaces: &[String], count: usize) -> Self {
        test.take_operator().await.stop().await;
        let (kubernetes, kubeconfig) = test.kubernetes_gateway().await;
        let mut replicas = Self {
            test,
            kubernetes,
            kubeconfig,
            namespaces: namespaces.join(","),
            children: Vec::new(),
            frozen: None,
            stolen: false,
            log: std::env::temp_dir().join(format!("{}.log", test.namespace)),
        };
        for _ in 0..count {
            let child = replicas.spawn(count > 1);
            replicas.children.push(child);
        }
        replicas
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.children.len()
    }

    /// What all of them have logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn spawn(&self, elect: bool) -> Child {
        let log = File::options().create(true).append(true).open(&self.log);
        let namespace = self.test.namespace.as_str();
        Command::new(env!("CARGO_BIN_EXE_authentik-stage-operator"))
            .args(["run", "--namespaces", &self.namespaces])
            .args(["--lease-namespace", namespace])
            .args(["--leader-election", &elect.to_string()])
            .env_clear()
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("the log can be written"))
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts")
    }

    /// Kills one with SIGKILL.
    pub async fn kill(&mut self, number: usize) {
        self.frozen.take_if(|frozen| *frozen == number);
        let child = &mut self.children[number];
        // One that has ended by itself, as after the loss of its Lease, can't be killed.
        let _ = child.start_kill();
        child.wait().await.expect("it can be awaited");
    }

    /// Gives one no time to work any more, unless there is such a one already; nor where the Lease was taken away: it
    /// could not know that, and would go on as its leader.
    pub async fn freeze(&mut self, number: usize) {
        let child = &mut self.children[number];
        let runs = child.try_wait().expect("it can be asked").is_none();
        if self.frozen.is_none() && !self.stolen && runs {
            signal(child, "STOP").await;
            self.frozen = Some(number);
        }
    }

    /// Lets the one that got no time go on where it was.
    pub async fn thaw(&mut self) {
        self.stolen = false;
        if let Some(number) = self.frozen.take() {
            signal(&self.children[number], "CONT").await;
        }
    }

    /// Whether this one has ended.
    fn has_ended(&mut self, number: usize) -> bool {
        let ended = self.children[number].try_wait();
        ended.expect("it can be asked").is_some()
    }

    /// Whether any has ended.
    pub fn any_has_ended(&mut self) -> bool {
        (0..self.count()).any(|number| self.has_ended(number))
    }

    /// Starts those that have ended again, as the kubelet does.
    pub fn start_again(&mut self) {
        let elect = self.count() > 1;
        for number in 0..self.count() {
            if self.has_ended(number) {
                self.children[number] = self.spawn(elect);
            }
        }
    }

    /// The gateway to this server.
    pub fn gateway(&self, server: Server) -> &Gateway {
        match server {
            Server::Authentik => &self.test.gateway,
            Server::Kubernetes => &self.kubernetes,
        }
    }

    /// Stops the operator's work at this moment, counted from now on.
    pub fn hold_at(&self, moment: Moment) {
        let kind = if moment.after {
            FaultKind::HangAfter
        } else {
            FaultKind::Hang
        };
        let hang = Fault::new(kind).writes().after(moment.request).times(1);
        self.gateway(moment.server).inject(hang);
    }

    /// Gives the Lease to nobody in particular, for as short a time as it can be; unless a replica is frozen.
    pub async fn take_the_lease_away(&mut self) {
        if self.frozen.is_some() {
            return;
        }
        self.stolen = true;
        let leases: Api<Lease> = Api::namespaced(self.test.kube.clone(), &self.test.namespace);
        let stolen = json!({"spec": {"holderIdentity": "nobody", "leaseDurationSeconds": 1}});
        // There is none before a replica has led.
        let _ = leases
            .patch(
                "authentik-stage-operator",
                &PatchParams::default(),
                &Patch::Merge(stolen),
            )
            .await;
    }

    /// Ends all faults.
    pub async fn calm(&self) {
        for server in [Server::Authentik, Server::Kubernetes] {
            self.gateway(server).clear_faults();
            self.gateway(server).start().await;
        }
    }
}

impl Drop for Replicas<'_> {
    fn drop(&mut self) {
        // Nothing can be done about a failure, least of all in a drop.
        let _ = fs::remove_file(&self.log);
    }
}
