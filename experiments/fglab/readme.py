"""The table of options, for people."""

from __future__ import annotations

from experiments.fglab.options import OPTIONS
from experiments.tables import markdown_table


def option_table() -> str:
    """Returns the options as a Markdown table."""
    columns = ("option", "type", "default", "allowed", "here", "what it is")
    rows = []
    for option in OPTIONS:
        default = str(option.default).lower() if option.kind == "bool" else f"{option.default}"
        name = f"`{option.name}`" if option.is_original else f"`{option.name}` (new)"
        here = f"`{option.becomes}`"
        rows.append((name, option.kind, default, option.allowed, here, option.meaning))
    return markdown_table(columns, rows, text_columns=len(columns))
