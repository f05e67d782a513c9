# bqemulator with the pins of requirements.txt. Build with this folder as the context.
FROM python:3.11-slim
RUN useradd --create-home emulator
COPY requirements.txt bqemulator_serial.py /
RUN pip install --no-cache-dir --no-deps -r /requirements.txt
USER emulator
# DuckDB's extensions go into the user's home, so that the emulator starts without a network.
RUN python -c "import duckdb_extensions as d; [d.import_extension(name) for name in ('spatial', 'avro')]"
EXPOSE 9050 9060
HEALTHCHECK --interval=2s --timeout=5s --start-period=30s --retries=15 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9050/bigquery/v2/projects/health/datasets')"]
ENTRYPOINT ["python", "/bqemulator_serial.py", "start"]
CMD ["--rest-host", "0.0.0.0", "--grpc-host", "0.0.0.0"]
