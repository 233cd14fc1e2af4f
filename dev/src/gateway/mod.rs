//! A gateway in front of an authentik, simulated or real, or of a kube-apiserver, through which tests send the
//! operator.
//!
//! It writes down every request, breaks answers on demand, and can refuse connections, speak TLS
//! with a private CA and stand under a path. What it does to a request is decided here, never by
//! the server behind it.

mod answer;
mod audit;
mod fault;
mod listener;
mod proxy;
#[cfg(test)]
mod tests;
mod tls;

pub use audit::Exchange;
pub use fault::{Fault, FaultId, FaultKind};

use audit::Audit;
use fault::Faults;
use listener::Listener;
use proxy::Proxy;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How a gateway is set up.
pub struct Builder {
    upstream: String,
    prefix: String,
    tls: bool,
    record_bodies: bool,
    streams: bool,
    upstream_ca: Option<reqwest::Certificate>,
}

impl Builder {
    /// Serves the upstream under a path such as `/auth`.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = format!("/{}", prefix.trim_matches('/'));
        self
    }

    /// Speaks TLS, with a certificate of a CA made for this gateway alone.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Keeps no bodies, for measurements in which they would weigh.
    #[must_use]
    pub fn without_bodies(mut self) -> Self {
        self.record_bodies = false;
        self
    }

    /// Passes answers on as they come, for servers that send some without end.
    #[must_use]
    pub fn streaming(mut self) -> Self {
        self.streams = true;
        self
    }

    /// Trusts this CA alone, in PEM, for the server behind.
    ///
    /// # Panics
    /// If that is no certificate.
    #[must_use]
    pub fn trusting(mut self, ca_pem: &[u8]) -> Self {
        let ca = reqwest::Certificate::from_pem(ca_pem);
        self.upstream_ca = Some(ca.expect("a certificate in PEM"));
        self
    }

    /// Starts listening on a free port of the loopback interface.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn launch(self) -> Gateway {
        // Another part of this process may have chosen it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tls = self.tls.then(tls::identity);
        let (acceptor, ca) = tls.map_or((None, None), |tls| (Some(tls.acceptor), Some(tls.ca_pem)));
        let prefix = self.prefix.clone();
        let proxy = Arc::new(Proxy::new(self));
        let listener = Listener::bind(proxy.clone(), acceptor).await;
        Gateway {
            listener,
            proxy,
            prefix,
            ca,
        }
    }
}

/// A running gateway. It stops when it is dropped.
pub struct Gateway {
    listener: Listener,
    proxy: Arc<Proxy>,
    prefix: String,
    ca: Option<String>,
}

impl Gateway {
    /// Sets up a gateway in front of the server at this URL.
    pub fn in_front_of(upstream: &str) -> Builder {
        Builder {
            upstream: upstream.trim_end_matches('/').to_owned(),
            prefix: String::new(),
            tls: false,
            record_bodies: true,
            streams: false,
            upstream_ca: None,
        }
    }

    /// Where clients reach the server behind the gateway.
    pub fn url(&self) -> String {
        let scheme = if self.ca.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{}", self.address(), self.prefix)
    }

    /// The address it listens on, also while it is stopped.
    pub fn address(&self) -> SocketAddr {
        self.listener.address
    }

    /// The CA that signed its certificate, in PEM; `None` without TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca.as_deref()
    }

    /// Takes a certificate of a new CA, in place of the one before. Every connection is closed.
    ///
    /// # Panics
    /// If something else takes the port meanwhile.
    pub async fn renew_certificate(&mut self) {
        let renewed = tls::identity();
        self.stop().await;
        self.listener.tls = Some(renewed.acceptor);
        self.ca = Some(renewed.ca_pem);
        self.start().await;
    }

    /// Closes every connection and refuses new ones.
    pub async fn stop(&self) {
        self.listener.stop().await;
    }

    /// Listens again on the same port. Does nothing while it is listening.
    ///
    /// # Panics
    /// If something else has taken the port.
    pub async fn start(&self) {
        self.listener.start().await;
    }

    /// Breaks matching requests from now on.
    pub fn inject(&self, fault: Fault) -> FaultId {
        self.faults().add(fault)
    }

    /// Ends a fault; requests that hang in it are cut off, those that it holds go on.
    pub fn remove(&self, id: FaultId) {
        self.faults().remove(id);
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.faults().clear();
    }

    /// Waits until a request hangs or is held, in [`FaultKind::HangAfter`] once it has taken effect. False when the
    /// time is over first.
    pub async fn hangs(&self, timeout: Duration) -> bool {
        self.hang(1, timeout).await
    }

    /// As [`Self::hangs`], until there are at least so many.
    pub async fn hang(&self, least: usize, timeout: Duration) -> bool {
        let mut hanging = self.proxy.hanging.subscribe();
        let hangs = hanging.wait_for(|hung| hung.now >= least);
        tokio::time::timeout(timeout, hangs)
            .await
            .is_ok_and(|outcome| outcome.is_ok())
    }

    /// How many requests hang or are held, of clients that still wait for them.
    pub fn hanging(&self) -> usize {
        self.proxy.hanging.borrow().now
    }

    /// How many requests hung or were held until their clients would wait no longer.
    pub fn given_up(&self) -> usize {
        self.proxy.hanging.borrow().given_up
    }

    /// All requests since the last [`Self::clear`], in the order of their arrival.
    pub fn audit(&self) -> Vec<Exchange> {
        self.log().all()
    }

    /// The requests that were not reads.
    pub fn writes(&self) -> Vec<Exchange> {
        self.audit()
            .into_iter()
            .filter(Exchange::is_write)
            .collect()
    }

    /// How many requests had this method and path, in which `{uuid}` stands for any UUID.
    pub fn count(&self, method: &str, template: &str) -> usize {
        let is =
            |exchange: &&Exchange| exchange.method == method && exchange.template() == template;
        self.audit().iter().filter(is).count()
    }

    /// All requests ever, also those before [`Self::clear`].
    pub fn history(&self) -> Vec<Exchange> {
        self.log().history()
    }

    /// Begins a new audit, and forgets the greatest number of them in flight.
    pub fn clear(&self) {
        self.log().clear();
        self.proxy.in_flight.reset();
    }

    /// Waits until the requests so far satisfy the predicate. False when the time is over first.
    ///
    /// The predicate is called while the audit is locked, so it must not ask the gateway.
    pub async fn wait_for(
        &self,
        predicate: impl Fn(&[Exchange]) -> bool,
        timeout: Duration,
    ) -> bool {
        self.log().wait_for(predicate, timeout).await
    }

    /// The greatest number of requests that were in flight at once.
    pub fn greatest_in_flight(&self) -> usize {
        self.proxy.in_flight.greatest()
    }

    fn faults(&self) -> &Faults {
        &self.proxy.faults
    }

    fn log(&self) -> &Audit {
        &self.proxy.audit
    }
}
