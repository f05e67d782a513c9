"""The same windows by Flink's SQL client, which runs a job in a little cluster in its own process.

A job reads files and writes files, in streaming mode: rows come when the watermark passes their window's end. Flink
reads one file in one task, whatever the parallelism: for two tasks the events are dealt out line by line into two
files, as they would lie in the partitions of a topic.
"""

import pathlib
import shutil

VERSION = "2.3.0"
CLIENT = "org.apache.flink.table.client.SqlClient"

SETTINGS = """\
SET 'execution.target' = 'local';
SET 'execution.runtime-mode' = 'streaming';
SET 'parallelism.default' = '{parallelism}';
SET 'table.local-time-zone' = 'UTC';
SET 'table.dml-sync' = 'true';
"""

JOB = """
CREATE TABLE events_{number} (
    `type` STRING, `page` STRING, `box` STRING, `time` TIMESTAMP_LTZ(3),
    WATERMARK FOR `time` AS `time`
) WITH (
    'connector' = 'filesystem', 'path' = 'file://{events}',
    'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601'
);
CREATE TABLE rows_{number} (
    `page` STRING, `box` STRING, `window_end` TIMESTAMP_LTZ(3), `views` BIGINT, `clicks` BIGINT, `ctr` DOUBLE
) WITH (
    'connector' = 'filesystem', 'path' = 'file://{rows}',
    'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601'
);
INSERT INTO rows_{number}
SELECT `page`, `box`, CAST(`window_end` AS TIMESTAMP_LTZ(3)), `views`, `clicks`,
       CAST(`clicks` AS DOUBLE) / NULLIF(`views`, 0)
FROM (
    SELECT `page`, `box`, `window_end`,
           COUNT(*) FILTER (WHERE `type` = 'view') AS `views`, COUNT(*) FILTER (WHERE `type` = 'click') AS `clicks`
    FROM HOP(TABLE events_{number}, DESCRIPTOR(`time`), INTERVAL '1' MINUTE, INTERVAL '10' MINUTES)
    WHERE `type` IN ('view', 'click')
    GROUP BY `page`, `box`, `window_start`, `window_end`
);
"""


def command(folder: pathlib.Path, libs: pathlib.Path, parallelism: int, inputs: list):
    """What runs a job for each input (a file or a folder of files), one after the other in one process, and where the
    rows of each will lie. Everything is written into `folder`, which is emptied."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    outputs = [folder / f"rows-{number}" for number in range(len(inputs))]
    script = SETTINGS.format(parallelism=parallelism)
    for number, (events, rows) in enumerate(zip(inputs, outputs)):
        script += JOB.format(number=number, events=events, rows=rows)
    (folder / "job.sql").write_text(script)
    # The client wants a configuration to be there; its values are in the job.
    (folder / "config.yaml").write_text("")
    java = ["env", f"FLINK_CONF_DIR={folder}", "java", "-cp", f"{libs}/*"]
    return [*java, CLIENT, "-f", folder / "job.sql", "-hist", folder / "history"], outputs


def deal(events: pathlib.Path, folder: pathlib.Path, hands: int) -> pathlib.Path:
    """Distributes the lines of a file over this many files of a directory."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = [open(folder / f"{hand}.ndjson", "wb") for hand in range(hands)]
    with open(events, "rb") as lines:
        for number, line in enumerate(lines):
            files[number % hands].write(line)
    for file in files:
        file.close()
    return folder
