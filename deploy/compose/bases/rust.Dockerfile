# Replaces rust:1.95-bookworm: this machine's toolchain (build context `toolchain`), what a C library is built
# with, and whom this machine trusts (build context `trust`).
FROM debian:bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates g++ gcc libc6-dev libssl-dev make perl pkg-config zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
# hadolint ignore=DL3022
COPY --from=toolchain . /usr/local/
# hadolint ignore=DL3022
COPY --from=trust ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV CARGO_HOME=/usr/local/cargo
CMD ["bash"]
