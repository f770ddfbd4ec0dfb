"""What a carrier charges for: the weight, or the volume where that is more (5,000 cm³ count as a kilogram)."""

import json
import math
import sys

given = json.loads(sys.argv[1])["event"]["data"]
volume = math.prod(given["cm"]) / 5
print(f"{given['number']}: {given['grams']} g, and {volume:.0f} g by its volume", file=sys.stderr)
json.dump({"grams": max(given["grams"], math.ceil(volume))}, sys.stdout)
