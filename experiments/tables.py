"""Tables as text: Markdown for people, CSV for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence


def markdown_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, text_columns: int = 1
) -> str:
    """Returns a Markdown table.

    Args:
        columns: Their names.
        rows: The cells of each row, as many as there are columns.
        text_columns: How many columns, from the left, are of text; all others are of numbers, and
            aligned to the right.
    """
    alignments = ["---"] * text_columns + ["--:"] * (len(columns) - text_columns)
    head = [_line(columns), f"|{'|'.join(alignments)}|"]
    return "\n".join([*head, *map(_line, rows)]) + "\n"


def csv_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Returns a CSV table with the columns' names in its first line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
