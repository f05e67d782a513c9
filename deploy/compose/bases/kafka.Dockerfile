# Replaces apache/kafka:4.1.0: the same jars from Maven Central (build context `libs`), the same user, and the same
# way to say a property.
# hadolint ignore=DL3006
FROM localhost/aqueduct-java
RUN useradd --create-home appuser
# hadolint ignore=DL3022
COPY --from=libs . /opt/kafka/libs
COPY kafka/run /etc/kafka/docker/run
COPY kafka/kafka-topics.sh /opt/kafka/bin/kafka-topics.sh
USER appuser
EXPOSE 9092
CMD ["/etc/kafka/docker/run"]
