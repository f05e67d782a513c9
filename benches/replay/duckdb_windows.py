"""The same windows by DuckDB, in one thread: counts a minute and key, summed over ten minutes. Usage: EVENTS ROWS."""

import sys

import duckdb

WINDOWS = """
COPY (
    WITH slices AS (
        SELECT page, box, date_trunc('minute', time) AS minute,
               count(*) FILTER (type = 'view') AS views, count(*) FILTER (type = 'click') AS clicks
        FROM read_json($events, format = 'newline_delimited',
                       columns = {type: 'VARCHAR', time: 'TIMESTAMP', page: 'VARCHAR', box: 'VARCHAR'})
        WHERE type IN ('view', 'click')
        GROUP BY ALL
    )
    SELECT page, box, minute + to_minutes(later) AS window_end,
           sum(views)::BIGINT AS views, sum(clicks)::BIGINT AS clicks,
           CASE WHEN sum(views) > 0 THEN sum(clicks) / sum(views) END AS ctr
    FROM slices, range(1, 11) AS of_slice(later)
    GROUP BY ALL
) TO '{rows}' (FORMAT json)
"""


def main():
    events, rows = sys.argv[1:]
    database = duckdb.connect(config={"threads": 1})
    database.execute(WINDOWS.replace("{rows}", rows.replace("'", "''")), {"events": events})


if __name__ == "__main__":
    main()
