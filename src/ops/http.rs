//! Health and metrics, on one port.

use std::{future::Future, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    http::{StatusCode, header},
    routing::get,
};
use tokio::net::TcpListener;

use crate::controller::Controller;

/// The content type of OpenMetrics text.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

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

/// Serves `/livez` (the process works), `/readyz` (every watch has shown all there is; a standby is ready too)
/// and `/metrics`, until `stop`.
pub async fn serve(
    listener: TcpListener,
    controller: Arc<Controller>,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let (ready, measured) = (controller.clone(), controller);
    let app = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route(
            "/readyz",
            get(move || async move {
                if ready.is_synced() {
                    (StatusCode::OK, "ok\n")
                } else {
                    (
                        StatusCode::SERVICE_UNAVAILABLE,
                        "the watches have not shown all there is yet\n",
                    )
                }
            }),
        )
        .route(
            "/metrics",
            get(move || async move { ([(header::CONTENT_TYPE, OPENMETRICS)], measured.metrics()) }),
        );
    if let Err(error) = axum::serve(listener, app)
        .with_graceful_shutdown(stop)
        .await
    {
        tracing::error!(%error, "health and metrics are not served any more");
    }
}
