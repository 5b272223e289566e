"""The table of options, for people."""

from __future__ import annotations

from experiments.fglab.options import OPTIONS


def option_table() -> str:
    """Returns the options as a Markdown table."""
    lines = [
        "| option | type | default | allowed | here | what it is |",
        "|---|---|---|---|---|---|",
    ]
    for option in OPTIONS:
        default = str(option.default).lower() if option.kind == "bool" else f"{option.default}"
        name = f"`{option.name}`" if option.is_original else f"`{option.name}` (new)"
        lines.append(
            f"| {name} | {option.kind} | {default} | {option.allowed} | `{option.becomes}` "
            f"| {option.meaning} |"
        )
    return "\n".join(lines)
