//! How each component is started.
use std::ffi::OsString;

use super::binaries::Binaries;
use super::error::Result;
use super::process::{Supervised, flag};
use super::state::{State, User};

/// What objects that are not run need: the built-in roles `view`, `edit` and `admin` are aggregated.
const CONTROLLERS: [&str; 3] = [
    "clusterrole-aggregation-controller",
    "garbage-collector-controller",
    "namespace-controller",
];

pub(super) fn etcd(binaries: &Binaries, state: &State) -> Result<Supervised> {
    let args = vec![
        flag("data-dir", state.file("etcd")),
        flag("listen-client-urls", state.etcd_url()),
        flag("advertise-client-urls", state.etcd_url()),
        // Any port will do: there are no peers.
        "--listen-peer-urls=http://127.0.0.1:0".into(),
        // Alone it need not wait for the votes of others, which by default takes a second.
        "--heartbeat-interval=10".into(),
        "--election-timeout=100".into(),
        // The data is thrown away with the machine's other temporary files.
        "--unsafe-no-fsync".into(),
    ];
    Supervised::start("etcd", &binaries.etcd, args, &[], state.file("etcd.log"))
}

pub(super) fn apiserver(binaries: &Binaries, state: &State) -> Result<Supervised> {
    let mut args = serving_args(state);
    args.extend(identity_args(state));
    args.extend(audit_args(state));
    let log = state.file("kube-apiserver.log");
    Supervised::start("kube-apiserver", &binaries.kube_apiserver, args, &[], log)
}

fn serving_args(state: &State) -> Vec<OsString> {
    vec![
        flag("etcd-servers", state.etcd_url()),
        "--bind-address=127.0.0.1".into(),
        "--advertise-address=127.0.0.1".into(),
        flag("secure-port", state.apiserver_port.to_string()),
        flag("tls-cert-file", state.file("apiserver.crt")),
        flag("tls-private-key-file", state.file("apiserver.key")),
        "--service-cluster-ip-range=10.0.0.0/24".into(),
        "--endpoint-reconciler-type=none".into(),
        // Its defaults would limit a test that measures load, not the operator.
        "--enable-priority-and-fairness=false".into(),
        "--max-requests-inflight=0".into(),
        "--max-mutating-requests-inflight=0".into(),
    ]
}

fn identity_args(state: &State) -> Vec<OsString> {
    vec![
        "--authorization-mode=RBAC".into(),
        flag("token-auth-file", state.file("tokens.csv")),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        flag(
            "service-account-key-file",
            state.file("service-accounts.pub"),
        ),
        flag(
            "service-account-signing-key-file",
            state.file("service-accounts.key"),
        ),
        // Nothing makes the default service accounts it insists on.
        "--disable-admission-plugins=ServiceAccount".into(),
    ]
}

fn audit_args(state: &State) -> Vec<OsString> {
    vec![
        flag("audit-policy-file", state.file("audit-policy.yaml")),
        flag("audit-log-path", state.audit_log()),
        // In megabytes; more than there will be, as a new file would hide the older writes.
        "--audit-log-maxsize=100000".into(),
        // A write is recorded before it is answered.
        "--audit-log-mode=blocking".into(),
    ]
}

pub(super) fn controller_manager(binaries: &Binaries, state: &State) -> Result<Supervised> {
    let args = vec![
        flag("kubeconfig", state.kubeconfig(User::ControllerManager)),
        flag("controllers", CONTROLLERS.join(",")),
        "--leader-elect=false".into(),
        // No port: nothing asks for its metrics.
        "--secure-port=0".into(),
    ];
    Supervised::start(
        "kube-controller-manager",
        &binaries.kube_controller_manager,
        args,
        &[],
        state.file("kube-controller-manager.log"),
    )
}
