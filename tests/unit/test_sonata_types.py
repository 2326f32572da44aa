"""Tables of node and edge types: one blank between fields, by pandas' rules."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from v1sim.errors import NetworkFileError
from v1sim.sources.sonata.types import read_types

TABLE = "\n".join(
    (
        "edge_type_id target_query source_query syn_weight delay model_template note",
        "10 \"ei=='e' & x\" * 2.5 NONE static_synapse ",  # an empty field at the end
        '11 *  -3 1.5 static_synapse "with ""quotes"" in"',
        "12 * * NULL NA nan 7",
        "",
    )
)


def write(tmp_path, text, name="types.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8"))
    return path


def test_fields_are_those_of_pandas(tmp_path):
    path = write(tmp_path, TABLE)
    table = read_types([path], "edge_type_id")
    expected = pd.read_csv(path, sep=" ", na_values="NONE")
    assert table.ids.tolist() == expected["edge_type_id"].tolist()
    for name in expected.columns.drop("edge_type_id"):
        column = expected[name]
        found = table.texts(name)
        assert [text is None for text in found] == column.isna().tolist(), name
        if column.dtype == object:
            texts = [str(text) for text in column.dropna()]
            assert [text for text in found if text is not None] == texts
    weights = table.numbers("syn_weight")
    np.testing.assert_array_equal(weights.values, [2.5, -3.0, np.nan])
    assert not weights.is_integer


@pytest.mark.parametrize(
    ("values", "is_integer"), [("3 4", True), ("3 4.0", False), ("3 NONE", False), ("-1 2", True)]
)
def test_whole_numbers_are_told(tmp_path, values, is_integer):
    rows = "\n".join(f"{i} {value}" for i, value in enumerate(values.split()))
    table = read_types([write(tmp_path, f"edge_type_id nsyns\n{rows}\n")], "edge_type_id")
    assert table.numbers("nsyns").is_integer is is_integer


def test_rows_by_id_and_several_files(tmp_path):
    first = write(tmp_path, "node_type_id ei\n7 e\n3 i\n", "a.csv")
    second = write(tmp_path, "\ufeffnode_type_id pop_name\n5 Sst\n\n", "b.csv")
    table = read_types([first, second], "node_type_id")
    assert table.rows_of(np.array([3, 5, 7, 4])).tolist() == [1, 2, 0, -1]
    assert table.texts("ei") == ("e", "i", None)
    assert table.texts("pop_name") == (None, None, "Sst")
    assert table.texts("absent") == (None, None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("edge_type_id\tdelay\n1\t2\n", "separated by tabs"),
        ("edge_type_id,delay\n1,2\n", "separated by commas"),
        ("edge_type_id;delay\n1;2\n", "separated by semicolons"),
        ("", "is empty"),
        ("delay weight\n1 2\n", "no column edge_type_id, but delay, weight"),
        ("edge_type_id delay\n1 2 3\n", "line 2 has 3 fields under 2 names"),
        ("edge_type_id  delay\n1 2 3\n", "two blanks between names"),
        ("edge_type_id delay\n1.5 2\n", "line 2: edge_type_id is '1.5'"),
        ("edge_type_id delay\n1 2\n1 3\n", "edge_type_id 1 stands in more than one row"),
        ('edge_type_id delay\n1 "2\n', "cannot be read"),
    ],
)
def test_what_is_no_such_table(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(NetworkFileError) as caught:
        read_types([path], "edge_type_id")
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_text_among_numbers(tmp_path):
    table = read_types([write(tmp_path, "edge_type_id delay\n1 fast\n")], "edge_type_id")
    with pytest.raises(NetworkFileError, match="delay of the type 1 is 'fast'"):
        table.numbers("delay")
