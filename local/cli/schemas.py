"""The schemas of a folder as JSON, for the constructs, which import no engine: `python -m …cli.schemas DIR`."""

from __future__ import annotations

import sys
from pathlib import Path


def main(folder: str) -> int:
    import msgspec

    from tidemill.declare.schemas import of_folder, one_of_each
    from tidemill.errors import DeclarationError

    try:
        found = one_of_each(of_folder(Path(folder)))
    except DeclarationError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 1
    events = [{"name": one.name, "v": one.v, "schema": msgspec.Raw(one.schema.encode())} for one in found]
    print(msgspec.json.encode(events).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
