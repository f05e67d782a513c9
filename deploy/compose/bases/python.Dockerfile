# Replaces python:3.11-slim: Debian's own Python 3.11, under the names and with the freedom of that image, and
# whom this machine trusts (build context `trust`).
FROM debian:bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3 python3-pip \
    && rm -rf /var/lib/apt/lists/* /usr/lib/python3.11/EXTERNALLY-MANAGED \
    && ln -s python3 /usr/bin/python
# hadolint ignore=DL3022
COPY --from=trust ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
CMD ["python"]
