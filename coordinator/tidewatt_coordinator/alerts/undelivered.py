"""Why something could not be told."""


class Undelivered(Exception):
    """One sentence that says what came instead. It is tried again later."""

    def __init__(self, sentence: str, *, unreachable: bool) -> None:
        """`unreachable`: the target can't be had at all, so there is no use in trying anything else now."""
        super().__init__(sentence)
        self.unreachable = unreachable
