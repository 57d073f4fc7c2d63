//! What is asked of a running warden over HTTP: metrics and health.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::error::{Error, Result};
use crate::health::Health;
use crate::metrics::Metrics;

struct Shared {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

/// Binds the listener; the answer serves until it is dropped or fails.
pub async fn serve(
    listen: SocketAddr,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
) -> Result<(SocketAddr, impl Future<Output = Result<()>> + Send)> {
    let failed = |error: std::io::Error| Error::fatal("http:listen", format!("{listen}: {error}"));
    let listener = tokio::net::TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let router = Router::new()
        .route("/metrics", get(render))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .with_state(Arc::new(Shared { metrics, health }));
    let serving = async move { axum::serve(listener, router).await.map_err(|error| Error::fatal("http:serve", error)) };
    Ok((address, serving))
}

/// OpenMetrics for whoever asks for it, as Prometheus does; the older format for all others.
async fn render(State(shared): State<Arc<Shared>>, asked: HeaderMap) -> Response {
    let accept = asked.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (kind, page) = if accept.contains("application/openmetrics-text") {
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", shared.metrics.render())
    } else {
        ("text/plain; version=0.0.4; charset=utf-8", shared.metrics.render_plain())
    };
    ([(header::CONTENT_TYPE, kind)], page).into_response()
}

async fn live(State(shared): State<Arc<Shared>>) -> Response {
    answer(shared.health.not_live())
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    answer(shared.health.not_ready())
}

/// 200 `ok`, or 503 with a reason a line.
fn answer(reasons: Vec<String>) -> Response {
    if reasons.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n").into_response()
}
