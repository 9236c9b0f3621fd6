"""Tables stay aligned, whatever their cells contain."""

from vigia.cli.sql.output import table


def test_columns_are_as_wide_as_what_is_in_them_and_numbers_stand_at_the_right() -> None:
    rows = [["cpu", "7.5"], ["磁盘", "1234"], ["", ""]]

    assert list(table(["name", "value"], rows, [False, True])) == [
        " name | value",
        "------+-------",
        " cpu  |   7.5",
        " 磁盘 |  1234",
        "      |",
    ]


def test_a_cell_may_have_several_lines() -> None:
    assert list(table(["a", "b"], [["1\n22", "x"]], [False, False])) == [
        " a  | b",
        "----+---",
        " 1  | x",
        " 22 |",
    ]


def test_control_characters_do_nothing_to_a_terminal() -> None:
    assert list(table(["a"], [["\x1b[2Jgone\r\x07"]], [False]))[2] == "  [2Jgone"
