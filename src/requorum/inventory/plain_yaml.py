"""YAML files that people and their tools wrote: values only, no tags that make objects, no bottomless nesting."""

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError

MAX_DEPTH = 100
"""An inventory, a manifest or a config file is nested some ten deep; what is deeper takes the parser seconds."""


def load(text: str) -> Any:
    """A file's value; raises YAMLError for what is no YAML, ValueError for what is nested too deeply."""
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = MAX_DEPTH
    try:
        return yaml.load(text)
    except MaxDepthExceededError as err:
        raise ValueError("nested too deeply") from err
