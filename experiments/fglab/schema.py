"""The schemas that are uploaded to FGLab, made of the table of options.

`python -m experiments.fglab.schema` writes them anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from experiments.fglab.options import OPTIONS, Option

FOLDER = Path(__file__).parent
ORIGINAL = FOLDER / "recurrent-attention-model.json"
EXTENDED = FOLDER / "recurrent-attention-model-extended.json"


def original_schema() -> dict[str, Any]:
    """Returns the schema of FGLab's example, defaults and all."""
    return {
        option.name: _field(option, option.default)
        if option.schema_default is None
        else _field(option, option.schema_default)
        for option in OPTIONS
        if option.is_original
    }


def extended_schema() -> dict[str, Any]:
    """Returns a schema of all options, whose defaults are the program's."""
    return {option.name: _field(option, option.default) for option in OPTIONS}


def to_text(schema: dict[str, Any]) -> str:
    """Returns a schema as the file that is uploaded."""
    return json.dumps(schema, indent=2) + "\n"


def _field(option: Option, default: Any) -> dict[str, Any]:
    choices = {"values": list(option.values)} if option.kind == "enum" else {}
    return {"type": option.kind, "default": default, **choices}


def main() -> None:
    """Writes both files."""
    ORIGINAL.write_text(to_text(original_schema()))
    EXTENDED.write_text(to_text(extended_schema()))


if __name__ == "__main__":
    main()
