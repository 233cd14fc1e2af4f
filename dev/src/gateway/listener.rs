//! The port of a gateway: it can be closed with all its connections, and opened again.

use super::proxy::Proxy;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// A port and, while it is open, the task that serves it.
pub(super) struct Listener {
    pub(super) address: SocketAddr,
    proxy: Arc<Proxy>,
    pub(super) tls: Option<TlsAcceptor>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Listener {
    /// Opens a free port of the loopback interface.
    pub(super) async fn bind(proxy: Arc<Proxy>, tls: Option<TlsAcceptor>) -> Self {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        let task = tokio::spawn(accept(socket, proxy.clone(), tls.clone()));
        Self {
            address,
            proxy,
            tls,
            task: Mutex::new(Some(task)),
        }
    }

    fn task(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the port and all connections, and returns when that is done.
    pub(super) async fn stop(&self) {
        let task = self.task().take();
        if let Some(task) = task {
            task.abort();
            // It ends with the news that it was aborted.
            let _ = task.await;
        }
    }

    /// Opens the same port again.
    pub(super) async fn start(&self) {
        if self.task().is_some() {
            return;
        }
        let socket = TcpListener::bind(self.address)
            .await
            .expect("the port is still free");
        let task = tokio::spawn(accept(socket, self.proxy.clone(), self.tls.clone()));
        *self.task() = Some(task);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(task) = self.task().take() {
            task.abort();
        }
    }
}

/// Serves connections until the task is aborted, which aborts them too.
async fn accept(socket: TcpListener, proxy: Arc<Proxy>, tls: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = socket.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(connection(stream, proxy.clone(), tls.clone()));
            },
        }
    }
}

async fn connection(stream: TcpStream, proxy: Arc<Proxy>, tls: Option<TlsAcceptor>) {
    match tls {
        None => serve(stream, proxy).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                serve(stream, proxy).await;
            }
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, proxy: Arc<Proxy>) {
    let service = service_fn(move |request| proxy.clone().handle(request));
    // A cut connection ends with an error: that is its purpose.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
