# syntax=docker/dockerfile:1

# ── the browser pages ───────────────────────────────────────────────────────────────────────────────────────────────
FROM node:20-bookworm-slim AS pages
WORKDIR /build
COPY web/package.json web/package-lock.json web/.npmrc web/
RUN --mount=type=cache,target=/build/npm-cache npm ci --prefix web --cache /build/npm-cache
COPY web web
RUN npm run build --prefix web

# ── the binary ──────────────────────────────────────────────────────────────────────────────────────────────────────
FROM rust:1.95-bookworm AS binary
WORKDIR /build
COPY . .
COPY --from=pages /build/web/dist web/dist
# The caches keep compiled dependencies, so that a change of the code does not compile them again.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin duologue \
    && install -m 0755 target/release/duologue /usr/local/bin/duologue

# ── runtime image ───────────────────────────────────────────────────────────────────────────────────────────────────────
FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin duologue \
    && install -d -o duologue -g duologue -m 0700 /data
COPY --from=binary /usr/local/bin/duologue /usr/local/bin/duologue
USER duologue
WORKDIR /data
ENV HOST=0.0.0.0 PORT=8000 DATA_DIR=/data LOG_FORMAT=json
VOLUME /data
EXPOSE 8000
# Follows HOST, PORT and TLS_CERT.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["duologue", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["duologue"]
