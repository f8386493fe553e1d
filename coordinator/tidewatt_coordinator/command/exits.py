"""How `tidewatt`, `tidewatt-agent` and `tidewatt-router` end. docs/cli.md is written from this."""

from collections.abc import Mapping

DONE, FAILED, WRONG, NOTHING, UNKNOWN, INTERRUPTED = 0, 1, 2, 3, 4, 130

MEANINGS: Mapping[int, str] = {
    DONE: "done; a check said yes",
    FAILED: "it failed while working, was refused, or a check said no",
    WRONG: "the command line, the configuration or a file is wrong",
    NOTHING: "there was nothing to do",
    UNKNOWN: "a check could not say: too little was measured, and unknown is not yes",
    INTERRUPTED: "interrupted",
}
