"""Records that were rejected, and that `aqueduct dead-letters redrive` publishes again when the rules are corrected."""

import time

from cases import kills
from compare import check, difference
from configurations import PAGE_CTR, Shape
from pipe import Failed, Pipe


def redriven(options, folder):
    """The processor counts beside Beam, because the command finds rejected offsets in its state. Flink is killed after a redrive
    has published what passes now."""
    began = time.monotonic()
    pipe = Pipe(options, folder, Shape(flows=PAGE_CTR))
    try:
        pipe.run("setup")
        pipe.processor()
        pipe.configure("second")
        pipe.run("setup")
        pipe.pipeline()
        pipe.connector()
        pipe.until(180, pipe.checkpoint, "the first checkpoint")
        pipe.generator(options.rate, options.rate * options.seconds)
        pipe.until(options.seconds + 120, pipe.has_ended, "the end of the traffic")
        own, corrected = pipe.config, folder / "corrected.toml"
        # Without a rule for its shape, the ID of a user may be an array.
        text = (folder / "first.toml").read_text()
        corrected.write_text(text.replace('pseudonymise = ["/user_id"]', 'remove = ["/user_id"]'))
        redrive(pipe, corrected)
        pipe.config = own
        kills(pipe, options)
        pipe.corrected = {"/user_id"}
        is_right = check(pipe, options, began, lambda of: (redrive(of, corrected), difference(of))[1])
        letters = [line for line in pipe.rows.lines("dead_letters") if '"/user_id"' in line]
        # Otherwise the case would show nothing.
        if not letters:
            raise Failed("no record was redriven")
        print(f"{folder.name}: {len(letters)} records were redriven", flush=True)
        return is_right
    finally:
        pipe.end()


def redrive(pipe, config):
    pipe.config = config
    pipe.run("dead-letters", "redrive")
