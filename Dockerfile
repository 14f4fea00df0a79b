# syntax=docker/dockerfile:1

# ── the browser pages ───────────────────────────────────────────────────────────────────────────────────────────────
FROM node:20-bookworm-slim AS pages
WORKDIR /build
# Dependencies first: they stay in their layer until a lock file changes. Without web/ the stage is empty.
COPY web/package.json* web/package-lock.json* web/.npmrc* web/
RUN if [ -f web/package.json ]; then npm ci --prefix web; fi
COPY web* web/
RUN mkdir -p web/dist && if [ -f web/package.json ]; then npm run build --prefix web; fi

# ── the binary ──────────────────────────────────────────────────────────────────────────────────────────────────────
FROM rust:1.95-bookworm AS binary
WORKDIR /build
COPY Cargo.toml Cargo.lock build.rs* ./
COPY migration/Cargo.toml migration/
# An empty crate with the same dependencies compiles them all into a layer of their own.
RUN mkdir -p src migration/src \
    && echo 'fn main() {}' > src/main.rs && touch src/lib.rs migration/src/lib.rs \
    && cargo build --release --locked \
    && rm -r src migration/src
COPY migration migration
COPY src src
COPY --from=pages /build/web/dist web/dist
# Cargo goes by the files' times, and a checkout's may be older than the empty crate's.
RUN find src migration -name '*.rs' -exec touch {} + && cargo build --release --locked

# ── what runs ───────────────────────────────────────────────────────────────────────────────────────────────────────
FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home duologue \
    && install -d -o duologue -g duologue -m 0700 /data
COPY --from=binary /build/target/release/duologue /usr/local/bin/duologue
USER duologue
WORKDIR /data
ENV HOST=0.0.0.0 PORT=8000 DATA_DIR=/data LOG_FORMAT=json
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["curl", "--fail", "--silent", "--show-error", "--max-time", "2", "http://127.0.0.1:8000/health/live"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["duologue"]
