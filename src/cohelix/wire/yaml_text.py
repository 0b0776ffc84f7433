"""YAML that people write, read strictly: no key twice, no alias, no deep nesting; every place has its line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from cohelix.core.errors import BadFile


class PlainLoader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
    """YAML 1.2's core schema: NO and yes are words, 22:10 is none of the numbers, a date is a text."""

    yaml_implicit_resolvers: Final[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


for _tag, _form, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?((\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)", "-+0123456789."),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
):
    _firsts = [sign if sign != "\0" else "" for sign in _first]
    PlainLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_form})$"), _firsts)


class YamlText(NamedTuple):
    """What a YAML text says, and where."""

    value: Any
    tree: yaml.Node | None

    def line_of(self, place: tuple[int | str, ...]) -> int:
        """The 1-based line of a path of keys and numbers; of its nearest parent where it is absent."""
        node, line = self.tree, 1
        for step in place:
            if isinstance(node, yaml.MappingNode):
                found = next(((key, value) for key, value in node.value if getattr(key, "value", None) == step), None)
                if found is None:
                    break
                line, node = found[0].start_mark.line + 1, found[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.start_mark.line + 1
            else:
                break
        return line


def read_text(path: Path, *, bytes_max: int, expected: str) -> str:
    """The text of a small file; `BadFile` where it is a pipe, too large, or not UTF-8."""
    name = str(path)
    if path.exists() and not path.is_file() and not path.is_dir():  # opening a pipe waits for its writer
        raise BadFile(name, "", "it is a pipe or a device", expected)
    try:
        if path.stat().st_size > bytes_max:
            raise BadFile(name, "", f"larger than {bytes_max} bytes", expected)
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadFile(name, "", f"cannot be read ({error.strerror})", expected) from None
    except UnicodeDecodeError as error:
        raise BadFile(name, f"byte {error.start}", "the text is not in UTF-8", "UTF-8") from None


def parse_yaml(name: str, text: str, *, depth_max: int, expected: str, loader: Any = PlainLoader) -> YamlText:
    """A YAML text.

    Parameters
    ----------
    name
        What a refusal calls the file.

    Raises
    ------
    BadFile
        With the line that is not YAML, repeats a key, uses an alias or nests too deeply.
    """
    try:
        depth = 0
        for event in yaml.parse(text, Loader=loader):
            # Deep nesting costs the parser time that grows with its square.
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > depth_max:
                raise BadFile(name, _place(event.start_mark), "nested too deeply for YAML of this kind", expected)
            if isinstance(event, yaml.AliasEvent):
                raise BadFile(name, _place(event.start_mark), "an alias", "every value spelled out")
        tree = yaml.compose(text, Loader=loader)
        _refuse_repeated_keys(name, tree)
        return YamlText(yaml.load(text, Loader=loader), tree)
    except yaml.MarkedYAMLError as error:
        place = _place(error.problem_mark or error.context_mark)
        raise BadFile(name, place, f"not YAML ({error.problem or error.context})", expected) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BadFile(name, "line 1", f"not YAML that can be read ({_first_line(error)})", expected) from None


def _refuse_repeated_keys(name: str, tree: yaml.Node | None) -> None:
    if isinstance(tree, yaml.MappingNode):
        seen = set()
        for key, value in tree.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise BadFile(name, f"line {key.start_mark.line + 1}", f"the key {key.value} comes twice", "every key once")
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
            _refuse_repeated_keys(name, value)
    elif isinstance(tree, yaml.SequenceNode):
        for value in tree.value:
            _refuse_repeated_keys(name, value)


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}" if mark else "line 1"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
