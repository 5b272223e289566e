"""Tables as text."""

from __future__ import annotations

from experiments.tables import csv_table, markdown_table


def test_numbers_are_aligned_to_the_right_of_text() -> None:
    table = markdown_table(("agent", "error"), [("ram", 0.5), ("mlp", "-")])
    assert table == "| agent | error |\n|---|--:|\n| ram | 0.5 |\n| mlp | - |\n"


def test_a_table_of_numbers_alone_has_no_column_of_text() -> None:
    assert markdown_table(("x", "y"), [], text_columns=0) == "| x | y |\n|--:|--:|\n"


def test_programs_can_read_a_cell_with_a_comma() -> None:
    assert csv_table(("name", "place"), [("a, b", 1)]) == 'name,place\n"a, b",1\n'
