//! Health and metrics, on one port.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    http::{StatusCode, header},
    routing::get,
    serve::Listener,
};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// The content type of OpenMetrics text.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long a client may take, from its connection to the last byte of the answer. Each connection is for one
/// request, so this bounds clients that send slowly, that read slowly and that do neither.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many clients are served at one time; the next one waits.
const CLIENTS: usize = 128;
/// How many bytes of a request are held.
const REQUEST: usize = 16 * 1024;

/// What there is to serve.
pub trait Served: Send + Sync + 'static {
    /// Whether the watches have shown all there is. A standby is ready too.
    fn is_ready(&self) -> bool;
    /// All metrics as OpenMetrics text.
    fn metrics(&self) -> String;
}

/// Listens at this address and logs which one it is: port 0 is any that is free.
///
/// # Errors
/// When it can't be listened at.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    let listen = async {
        let listener = TcpListener::bind(address).await?;
        tracing::info!(address = %listener.local_addr()?, "serving health and metrics");
        Ok(listener)
    };
    let listener: std::io::Result<_> = listen.await;
    listener.map_err(|error| format!("--listen {address} can't be listened at: {error}"))
}

/// Serves `/livez` (the process works), `/readyz` and `/metrics`, until `stop`.
pub async fn serve(
    mut listener: TcpListener,
    served: Arc<impl Served>,
    stop: impl Future<Output = ()>,
) {
    let app = router(served);
    let turns = Arc::new(Semaphore::new(CLIENTS));
    let mut stop = std::pin::pin!(stop);
    loop {
        // Errors are the listener's: it waits where the process has too many files open, and goes on.
        let next = async {
            let turn = turns.clone().acquire_owned().await;
            (turn, Listener::accept(&mut listener).await)
        };
        let (turn, (client, _)) = tokio::select! {
            next = next => next,
            () = &mut stop => return,
        };
        let answer = answer(client, app.clone());
        tokio::spawn(async move {
            let _turn = turn;
            // A client that breaks off, or sends nonsense, has nobody to be told.
            let _ = tokio::time::timeout(PATIENCE, answer).await;
        });
    }
}

async fn answer(client: TcpStream, app: Router) {
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(REQUEST)
        .serve_connection(TokioIo::new(client), TowerToHyperService::new(app));
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a request for health or metrics was not answered");
    }
}

fn router(served: Arc<impl Served>) -> Router {
    let (ready, measured) = (served.clone(), served);
    let readyz = move || async move {
        if ready.is_ready() {
            (StatusCode::OK, "ok\n")
        } else {
            let message = "the watches have not shown all there is yet\n";
            (StatusCode::SERVICE_UNAVAILABLE, message)
        }
    };
    let metrics =
        move || async move { ([(header::CONTENT_TYPE, OPENMETRICS)], measured.metrics()) };
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[derive(Default)]
    struct Example {
        ready: AtomicBool,
    }

    impl Served for Example {
        fn is_ready(&self) -> bool {
            self.ready.load(Ordering::Relaxed)
        }

        fn metrics(&self) -> String {
            "authentik_operator_leader 1\n# EOF\n".to_owned()
        }
    }

    async fn started() -> (SocketAddr, Arc<Example>) {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let served = Arc::new(Example::default());
        tokio::spawn(serve(listener, served.clone(), std::future::pending()));
        (address, served)
    }

    /// A client. It waits for nothing, so that no paused clock leaps meanwhile.
    fn connected(address: SocketAddr) -> TcpStream {
        let client = std::net::TcpStream::connect(address).expect("it listens");
        client.set_nonblocking(true).expect("it can be set");
        TcpStream::from_std(client).expect("a runtime takes it")
    }

    /// All that comes back until the connection is closed.
    async fn answered(client: &mut TcpStream) -> String {
        let mut answer = Vec::new();
        let read = client.read_to_end(&mut answer);
        // A connection that is cut while something sent was not read ends in an error.
        let _ = tokio::time::timeout(PATIENCE * 6, read)
            .await
            .expect("the connection is closed");
        String::from_utf8(answer).expect("the answer is text")
    }

    async fn asked(address: SocketAddr, path: &str) -> String {
        let mut client = connected(address);
        let request = format!("GET {path} HTTP/1.1\r\nhost: example\r\n\r\n");
        let sent = client.write_all(request.as_bytes()).await;
        sent.expect("it is sent");
        answered(&mut client).await
    }

    #[tokio::test]
    async fn health_and_metrics_are_served() {
        let (address, served) = started().await;
        assert!(asked(address, "/livez").await.starts_with("HTTP/1.1 200"));
        assert!(asked(address, "/readyz").await.starts_with("HTTP/1.1 503"));
        served.ready.store(true, Ordering::Relaxed);
        assert!(asked(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        let metrics = asked(address, "/metrics").await;
        assert!(metrics.contains(OPENMETRICS), "{metrics}");
        assert!(metrics.contains("authentik_operator_leader 1"), "{metrics}");
        assert!(asked(address, "/").await.starts_with("HTTP/1.1 404"));
    }

    /// The clock is the runtime's: it leaps to the next thing that is due once everybody waits.
    #[tokio::test(start_paused = true)]
    async fn clients_that_end_no_request_are_cut_off() {
        let (address, _) = started().await;
        let mut slow = connected(address);
        let sent = slow.write_all(b"GET /livez HTTP/1.1\r\nhost: ").await;
        sent.expect("it is sent");
        let mut silent = connected(address);
        assert_eq!(answered(&mut slow).await, "");
        assert_eq!(answered(&mut silent).await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_take_every_turn_keep_nobody_out_for_long() {
        let (address, _) = started().await;
        let mut silent: Vec<_> = (0..CLIENTS).map(|_| connected(address)).collect();
        assert_eq!(answered(&mut silent[0]).await, "");
        tokio::time::resume();
        assert!(asked(address, "/livez").await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn a_request_of_any_length_is_not_held() {
        let (address, _) = started().await;
        let mut client = connected(address);
        let mut request = b"GET /livez HTTP/1.1\r\nhost: example\r\nlong: ".to_vec();
        request.resize(REQUEST * 2, b'x');
        request.extend(b"\r\n\r\n");
        // The server may break off in the middle of it.
        let _ = client.write_all(&request).await;
        let answer = answered(&mut client).await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}
