"""`python -m tidemill_local.cli.defined PATH`: the definitions of a folder, or of one file, as data.

`{"functions": <their manifest>, "definitions": [...]}`, every field written out. The
constructs call it, because they import no engine.
"""

from __future__ import annotations

import sys

import msgspec

from tidemill import errors
from tidemill.definitions import folder as definitions
from tidemill.manifest import encode, whole


def main(path: str) -> int:
    try:
        found = definitions.read(path)
    except errors.DeclarationError as error:
        print(error, file=sys.stderr)
        return 1
    functions = msgspec.Raw(encode([one.spec for one in found]))
    print(msgspec.json.encode({"functions": functions, "definitions": [whole(one) for one in found]}).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
