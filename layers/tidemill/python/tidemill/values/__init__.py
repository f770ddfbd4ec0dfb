"""Python values as JSON: how they are remembered, restored, shown and sent."""

from tidemill.values.encoding import NotSerializable as NotSerializable
from tidemill.values.encoding import decode as decode
from tidemill.values.encoding import encode as encode
from tidemill.values.encoding import plain as plain
