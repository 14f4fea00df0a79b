//! The routes of the server.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{any, get};

use crate::graphql::RequestId;
use crate::graphql::error::ErrorCode;
use crate::graphql::execution::Execute;
use crate::http::answer::Refusal;
use crate::http::edge::{Edge, Shared};
use crate::http::media::Media;
use crate::http::{draining, graphql, health, host, metrics, origins, playground, request_log};

/// Builds the router of the server.
pub fn router<E: Execute>(edge: Edge<E>) -> Router {
    let shared = Shared::new(edge);
    Router::new()
        .route("/", any(home::<E>))
        .route("/graphql", any(graphql::handle::<E>))
        .route("/graphql/assets/{name}", get(asset::<E>))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready::<E>))
        .fallback(not_found::<E>)
        .method_not_allowed_fallback(method_not_allowed::<E>)
        .layer(axum::middleware::from_fn_with_state(shared.clone(), draining::refuse::<E>))
        .layer(axum::middleware::from_fn_with_state(shared.clone(), origins::allow::<E>))
        // Outside of CORS: no page of another origin may read it.
        .route("/metrics", get(metrics::scrape::<E>))
        .layer(axum::middleware::from_fn_with_state(shared.clone(), host::require::<E>))
        .layer(axum::middleware::from_fn_with_state(shared.clone(), request_log::log::<E>))
        .with_state(shared)
}

async fn home<E>(State(shared): State<Arc<Shared<E>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if shared.edge.playground && playground::is_wanted(&parts) {
        return playground::redirect();
    }
    not_found(State(shared), Request::from_parts(parts, body)).await
}

async fn asset<E>(
    State(shared): State<Arc<Shared<E>>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let name = name.ok().filter(|_| shared.edge.playground);
    let asset = name.and_then(|Path(name)| playground::asset(&name, request.headers()));
    match asset {
        Some(asset) => asset,
        None => not_found(State(shared), request).await,
    }
}

async fn not_found<E>(State(shared): State<Arc<Shared<E>>>, request: Request) -> Response {
    let refusal =
        Refusal::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, "Not found. The GraphQL endpoint is /graphql.");
    refuse(&shared, &request, refusal)
}

async fn method_not_allowed<E>(State(shared): State<Arc<Shared<E>>>, request: Request) -> Response {
    refuse(&shared, &request, Refusal::method("GET, HEAD", "Method not allowed. Use GET."))
}

fn refuse<E>(shared: &Shared<E>, request: &Request, refusal: Refusal) -> Response {
    let request_id = request.extensions().get::<RequestId>().copied().unwrap_or_else(|| shared.new_request_id());
    refusal.into_response(Media::negotiate(request.headers()), request_id)
}
