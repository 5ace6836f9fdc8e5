//! What a live job, or a replay that runs, says over HTTP of itself: `/metrics`, `/healthz`, `/readyz`.
//!
//! Invariant: it runs on a thread of its own and only looks at numbers that workers put down, so no request waits for a
//! worker, and no worker for a request.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::error::{JobError, JobResult};
use crate::live::counters::Counters;
use crate::live::metrics::{self, Page};

struct Served {
    counters: Arc<Counters>,
    page: Page,
}

/// Takes an address, a host and a port, to answer there.
pub fn bind(address: &str) -> JobResult<TcpListener> {
    TcpListener::bind(address).map_err(|error| failed(address, &error))
}

fn failed(address: &str, error: &io::Error) -> JobError {
    let what = format!("cannot serve at {address}: {error}");
    let (failure, remedy) = match error.kind() {
        io::ErrorKind::InvalidInput => (JobError::configuration(what), "write HOST:PORT, or `none`"),
        _ => (JobError::job(what), "give this process an address of its own, as in 127.0.0.1:8081, or `none`"),
    };
    failure.at("flag --serve").remedy(remedy)
}

/// Begins to answer at `address`.
pub fn start(address: &str, counters: Arc<Counters>) -> JobResult<()> {
    let failed = |error: io::Error| failed(address, &error);
    let listener = bind(address)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().map_err(failed)?;
    let served = Arc::new(Served { page: Page::of(Arc::clone(&counters)), counters });
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(served);
    let work = move || {
        runtime.block_on(async {
            let ended = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => axum::serve(listener, router).await,
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                tracing::warn!("metrics are no longer served: {error}");
            }
        });
    };
    std::thread::Builder::new().name("serve".to_owned()).spawn(work).map_err(failed)?;
    tracing::info!("serving http://{address}/metrics");
    Ok(())
}

async fn metrics(State(served): State<Arc<Served>>) -> Response {
    match served.page.text() {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn healthz(State(served): State<Arc<Served>>) -> Response {
    answer(served.counters.numbers().not_alive())
}

async fn readyz(State(served): State<Arc<Served>>) -> Response {
    answer(served.counters.numbers().not_ready())
}

fn answer(why_not: Option<String>) -> Response {
    match why_not {
        None => "ok\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}
