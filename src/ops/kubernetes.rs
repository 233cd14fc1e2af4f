//! The client of Kubernetes, and the proxy that leads to it.

use axum::http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

/// A client of the cluster that `KUBECONFIG` or `~/.kube/config` leads to; without these, of the one whose pod this runs in.
///
/// In a pod the API server is reached directly, whatever the environment says. Elsewhere a proxy counts as it does for kubectl:
/// the kubeconfig's own `proxy-url`, else `HTTPS_PROXY` unless `NO_PROXY` names the server.
///
/// # Errors
/// Where neither can be read, or the proxy can't be used.
pub async fn client() -> Result<Client, String> {
    let mut config = match of_kubeconfig().await {
        Ok(config) => with_proxy(config)?,
        Err(no_kubeconfig) => Config::incluster()
            .map_err(|no_pod| format!("kubeconfig: {no_kubeconfig}; in a pod: {no_pod}"))?,
    };
    config.apply_debug_overrides();
    Client::try_from(config).map_err(|error| error.to_string())
}

/// What a kubeconfig says, and its own proxy.
async fn of_kubeconfig() -> Result<(Config, Option<String>), kube::config::KubeconfigError> {
    let kubeconfig = Kubeconfig::read()?;
    let own = proxy_of(&kubeconfig);
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok((config, own))
}

/// The proxy that the kubeconfig names for the cluster of its context.
fn proxy_of(kubeconfig: &Kubeconfig) -> Option<String> {
    let current = kubeconfig.current_context.as_deref()?;
    let contexts = &mut kubeconfig.contexts.iter();
    let context = contexts.find(|context| context.name == current)?;
    let name = &context.context.as_ref()?.cluster;
    let clusters = &mut kubeconfig.clusters.iter();
    let cluster = clusters.find(|cluster| cluster.name == *name)?;
    let proxy = cluster.cluster.as_ref()?.proxy_url.clone();
    proxy.filter(|proxy| !proxy.is_empty())
}

/// kube takes `HTTPS_PROXY` for a server of any kind, and holds `NO_PROXY` against the proxy's name in place of the server's.
fn with_proxy((mut config, own): (Config, Option<String>)) -> Result<Config, String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let proxy = match own {
        Some(own) => Some(("proxy-url of the kubeconfig", own)),
        None => of_environment(&config.cluster_url, variable),
    };
    config.proxy_url = proxy
        .map(|(from, proxy)| usable(from, &proxy))
        .transpose()?;
    Ok(config)
}

/// The proxy that the environment names for this server, and the variable that does.
fn of_environment(
    server: &Uri,
    variable: impl Fn(&str) -> Option<String>,
) -> Option<(&'static str, String)> {
    let [upper, lower] = match server.scheme_str() {
        Some("http") => ["HTTP_PROXY", "http_proxy"],
        _ => ["HTTPS_PROXY", "https_proxy"],
    };
    let proxy = variable(upper).or_else(|| variable(lower))?;
    let no = variable("NO_PROXY").or_else(|| variable("no_proxy"));
    let no = no.unwrap_or_default();
    let rules = Matcher::builder().all(proxy.as_str()).no(no.as_str());
    // The rules take `*` for all names, and for no address.
    let is_used = no.trim() != "*" && rules.build().intercept(server).is_some();
    is_used.then_some((upper, proxy))
}

/// The proxy's URL, which may hold a password: no error repeats it.
fn usable(from: &str, proxy: &str) -> Result<Uri, String> {
    let whole = match proxy.contains("://") {
        true => proxy.to_owned(),
        false => format!("http://{proxy}"),
    };
    let uri = whole.parse::<Uri>().ok();
    uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
        .ok_or_else(|| {
            format!(
                "{from} is no proxy that can be used; write http:// or https://, a host and a port"
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(server: &str, variables: &[(&str, &str)]) -> Option<String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(of, _)| *of == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let server = server.parse().expect("a URL");
        of_environment(&server, variable).map(|(_, proxy)| proxy)
    }

    #[test]
    fn a_proxy_of_the_environment_is_for_servers_that_no_proxy_does_not_name() {
        let server = "https://10.96.0.1:6443";
        let named = "https://api.k8s.example.com";
        for (server, no, is_used) in [
            (server, "", true),
            (server, "10.96.0.0/12", false),
            (server, "192.168.0.0/16, 10.96.0.1", false),
            (server, "10.97.0.0/16", true),
            (server, "*", false),
            (named, ".example.com", false),
            (named, "example.com", false),
            (named, "ample.com", true),
            (named, "api.k8s.example.com,", false),
            (named, "proxy", true),
            ("https://[fd00::1]:6443", "fd00::/8", false),
        ] {
            for [of, no_of] in [["HTTPS_PROXY", "NO_PROXY"], ["https_proxy", "no_proxy"]] {
                let proxy = found(server, &[(of, "http://proxy:3128"), (no_of, no)]);
                assert_eq!(proxy.is_some(), is_used, "{server} {no}");
            }
        }
        let both = [("HTTPS_PROXY", "s"), ("HTTP_PROXY", "p")];
        assert_eq!(found(server, &both).as_deref(), Some("s"));
        assert_eq!(found("http://10.96.0.1", &both).as_deref(), Some("p"));
        assert_eq!(found(server, &[]), None);
    }

    #[test]
    fn a_proxy_that_can_not_be_used_is_refused_without_its_password() {
        let uri = |proxy| usable("HTTPS_PROXY", proxy).map(|uri| uri.to_string());
        assert_eq!(uri("proxy:3128").as_deref(), Ok("http://proxy:3128/"));
        assert_eq!(
            uri("https://u:p@proxy:1").as_deref(),
            Ok("https://u:p@proxy:1/")
        );
        for wrong in [
            "socks5://u:s3cr3t@proxy",
            "http://u:s3cr3t@pro xy",
            "http://",
        ] {
            let error = uri(wrong).unwrap_err();
            assert!(error.starts_with("HTTPS_PROXY is no proxy"), "{error}");
            assert!(!error.contains("s3cr3t"), "{error}");
        }
    }

    #[test]
    fn a_kubeconfig_names_the_proxy_of_its_context() {
        let kubeconfig = |proxy: &str| {
            let text = format!(
                "{{current-context: b, contexts: [{{name: a, context: {{cluster: x, user: u}}}}, {{name: b, context: {{cluster: y, user: u}}}}], clusters: [{{name: x, cluster: {{server: 'https://x', proxy-url: 'http://x'}}}}, {{name: y, cluster: {{server: 'https://y', proxy-url: '{proxy}'}}}}]}}"
            );
            Kubeconfig::from_yaml(&text).expect("a kubeconfig")
        };
        let named = proxy_of(&kubeconfig("http://y"));
        assert_eq!(named.as_deref(), Some("http://y"));
        assert_eq!(proxy_of(&kubeconfig("")), None);
    }
}
