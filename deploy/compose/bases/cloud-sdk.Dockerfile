# Replaces google/cloud-sdk:528.0.0-emulators: Google's own jar (build context `emulator`) and the one gcloud
# command that docker-compose.yml says.
# hadolint ignore=DL3006
FROM localhost/aqueduct-java
# hadolint ignore=DL3022
COPY --from=emulator cloud-pubsub-emulator-*-all.jar /opt/
COPY cloud-sdk/gcloud /usr/local/bin/gcloud
CMD ["gcloud"]
