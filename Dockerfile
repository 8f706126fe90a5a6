# The image of prism: one binary on Debian, without a compiler or a package manager's leftovers, run by a user without rights.

FROM rust:1.95-bookworm AS builder
# What librdkafka's configure and make need; the base image has them, another one may not.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc make zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# Both caches stay on the machine that builds: a second build compiles only what changed.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin prism \
    && cp target/release/prism /prism

FROM debian:bookworm-slim
# Certificates of authorities: without them no HTTPS client can be made, not even for an address without TLS.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin prism \
    && install -d -o prism -g prism /data
COPY --from=builder /prism /usr/local/bin/prism
# Fails here, not at the first start, if a shared library is missing.
RUN ["prism", "--version"]
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
# prism ends in order at SIGINT.
STOPSIGNAL SIGTERM
# For `serve`, `run` and `demo`; `ingest` and `compute` have no port, docker-compose.yml has their checks.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8000 && printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]
ENTRYPOINT ["prism"]
