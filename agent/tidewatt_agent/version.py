"""Which release this is. A test holds it to the wheel's own, as looking that up costs 1.6 MB resident."""

VERSION = "0.1.0"
