"""YAML 1.2 with line numbers: plain values only, no tags, no objects, no merge keys.

1.2, because in 1.1 `start: 13:00` is the number 780 and `site: no` is false.
"""

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tidewatt_wire.documents import DocumentError

Path = tuple[str | int, ...]

#: An alias may repeat a part, and repeats within repeats multiply; what people write has far fewer.
MOST_NODES = 100_000
DEEPEST = 32
_TAG = "tag:yaml.org,2002:"


def read_yaml(text: str, name: str) -> tuple[dict[str, Any], dict[Path, int]]:
    """The document and the line of every path in it. Raises DocumentError naming the line."""
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = DEEPEST + 1  # the scanner's effort rises with the square of it
    yaml.composer.warn_double_anchors = False  # a name may be given anew
    try:
        node = yaml.compose(text)
    except MaxDepthExceededError as error:
        line = error.problem_mark.line + 1
        raise DocumentError(f"{name}:{line}: too much nesting or too many aliases") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise DocumentError(f"{name}{line}: not YAML: {error.problem or error.context}") from error
    except (YAMLError, ValueError, RecursionError, IndexError) as error:
        raise DocumentError(f"{name}: not YAML: {str(error).partition(chr(10))[0]}") from error
    reading = _Reading(name)
    document = {} if node is None else reading.value(node, ())
    if not isinstance(document, dict):
        raise DocumentError(f"{name}:{node.start_mark.line + 1}: a policy document is a table of keys")
    return document, reading.found


class _Reading:
    """One walk over the nodes."""

    def __init__(self, name: str) -> None:
        self._name, self._nodes = name, 0
        self.found: dict[Path, int] = {(): 1}

    def value(self, node: Node, path: Path) -> Any:
        """The plain value of a node, which stands at `path`."""
        self._nodes += 1
        line = node.start_mark.line + 1
        if self._nodes > MOST_NODES or len(path) > DEEPEST:
            raise DocumentError(f"{self._name}:{line}: too much nesting or too many aliases")
        self.found.setdefault(path, line)
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)  # noqa: S101 - YAML has no fourth kind
        return self._scalar(node, line)

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        table: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                raise DocumentError(f"{self._name}:{line}: a key is a word")
            key = str(key_node.value)
            here = (*path, key)
            if key in table:
                before = self.found[here]
                raise DocumentError(
                    f"{self._name}:{line}: the key {key!r} stands here twice; see line {before}"
                )
            self.found.setdefault(here, line)
            table[key] = self.value(value_node, here)
        return table

    def _scalar(self, node: ScalarNode, line: int) -> Any:
        text = str(node.value)
        kind = str(node.tag).removeprefix(_TAG)
        try:
            match kind:
                case "str" | "timestamp":
                    return text
                case "null":
                    return None
                case "bool":
                    return text.lower() == "true"
                case "int":
                    return int(text.replace("_", ""), 0) if text[:2] in ("0x", "0o") else int(text)
                case "float":
                    return float(text.replace(".inf", "inf").replace(".nan", "nan").replace(".NaN", "nan"))
        except ValueError as error:
            raise DocumentError(f"{self._name}:{line}: {text!r} is not a number") from error
        raise DocumentError(
            f"{self._name}:{line}: the tag {str(node.tag)[:60]!r} isn't read here; plain values are"
        )
