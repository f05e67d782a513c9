"""The forms in which an id may have left: as it is, encoded, or hashed without a key. Reads a JSON list of ids, prints
each form in hexadecimal. Nothing of it is the product's code.
"""

import base64
import hashlib
import json
import sys
import urllib.parse

# Shorter ids are found by chance, but for their hashes.
LEAST = 8


def main():
    forms = {form for id in json.load(sys.stdin) for form in [*written(id), *hashed(id)]}
    for form in sorted(forms):
        print(form.hex())


def written(id):
    raw = id.encode()
    if len(raw) < LEAST:
        return
    texts = [
        id,
        json.dumps(id)[1:-1],
        "".join(f"\\u{unit:04x}" for unit in units(id)),
        urllib.parse.quote(id, safe=""),
        "".join(f"%{byte:02x}" for byte in raw),
        raw.hex(),
        " ".join(f"{byte:02x}" for byte in raw),
        ", ".join(str(byte) for byte in raw),
    ]
    yield from (text.encode() for text in texts)
    yield from (id.encode(encoding) for encoding in ("utf-16-le", "utf-16-be"))
    for before in range(3):
        # The letters that hold nothing but bits of the id, wherever it begins within three bytes.
        first, end = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(before) + raw)[first:end]
    yield base64.b32encode(raw).rstrip(b"=")[:-1]


def units(text):
    wide = text.encode("utf-16-be")
    return (int.from_bytes(wide[n : n + 2]) for n in range(0, len(wide), 2))


def hashed(id):
    for text in {id, id.lower(), id.upper()}:
        for name in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512"):
            digest = hashlib.new(name, text.encode()).digest()
            # Also where it was cut to 128 bits.
            cut = digest[:16]
            yield cut
            yield cut.hex().encode()
            yield "-".join(cut.hex()[a:b] for a, b in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))).encode()
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                yield encode(cut)[:20]


main()
