"""How `documents` reads YAML: plain types, each key once, no merges without end."""

from typing import Any

import yaml

_MERGED = 100_000
"""Keys of a mapping, with those that `<<` brings: each merge of two merges has twice as many."""


class Loader(yaml.SafeLoader):
    """YAML of plain types, in whose mappings a key stands once."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        if len(set(keys)) < len(keys):
            raise _refused(node, f"key '{next(key for key in keys if keys.count(key) > 1)}' stands twice")
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > _MERGED:
            raise _refused(node, f"more than {_MERGED:,} keys")


def _refused(node: yaml.Node, why: str) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, why, node.start_mark)
