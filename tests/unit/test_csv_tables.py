"""CSV files as items, users and interactions, good rows and bad ones."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_gateway.catalog.importers.reading import located, read_interactions, read_items, read_users
from recsys_gateway.catalog.importers.row_error import RowError
from recsys_gateway.catalog.limits import ID_BYTES
from recsys_gateway.catalog.plain_text import plain
from recsys_gateway.catalog.records import Interaction, Item, User
from recsys_gateway.catalog.source import Format, SourceError, TableSource


def table(folder: Path, text: str | bytes, **options: object) -> TableSource:
    path = folder / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return TableSource.model_validate({"uri": f"file://{path}", **options})


def test_items_have_their_fields_and_the_rest_as_attributes(tmp_path: Path) -> None:
    source = table(
        tmp_path,
        "id,title,description,categories,price,in_stock,brand,year\n"
        'A,"Jacket, light","It is\nlight.",Jackets | Hiking,12.50,yes,Nord,1999\n'
        "B,우산,,,,,,\n",
    )
    assert list(read_items(source)) == [
        Item(
            "A",
            "Jacket, light",
            "It is light.",
            ("Jackets", "Hiking"),
            12.5,
            in_stock=True,
            attributes={"brand": "Nord", "year": 1999},
        ),
        Item("B", "우산"),
    ]


def test_columns_map_our_names_to_the_files_and_nothing_else_is_read(tmp_path: Path) -> None:
    source = table(
        tmp_path,
        "sku,name,tags,maker,cost\nA,Tent,camp;sleep,Nord,7\n",
        columns={"id": "sku", "title": "name", "categories": "tags", "brand": "maker"},
        separator=";",
    )
    assert list(read_items(source)) == [Item("A", "Tent", categories=("camp", "sleep"), attributes={"brand": "Nord"})]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "2.5", "-3"], [1, 2.5, -3]),
        (["1", "M", "3"], ["1", "M", "3"]),
        (["007", "8", "9"], ["007", "8", "9"]),
        (["1e5", "8", "9"], ["1e5", "8", "9"]),
        (["true", "False", "TRUE"], [True, False, True]),
        (["true", "1", "no"], ["true", "1", "no"]),
        (["9" * 30, "1", "2"], ["9" * 30, "1", "2"]),
    ],
)
def test_a_column_of_attributes_is_of_one_kind(tmp_path: Path, cells: list[str], values: list[object]) -> None:
    rows = "".join(f"{number},Thing,{cell}\n" for number, cell in enumerate(cells))
    items = [row for row in read_items(table(tmp_path, f"id,title,extra\n{rows}")) if isinstance(row, Item)]
    found = [item.attributes["extra"] for item in items]
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


def test_a_byte_order_mark_and_carriage_returns_are_no_part_of_the_cells(tmp_path: Path) -> None:
    source = table(tmp_path, b"\xef\xbb\xbfid,title\r\nA,Tent\r\n\r\nB,Mat\r\n")
    assert list(read_items(source)) == [Item("A", "Tent"), Item("B", "Mat")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b",Tent,1,true", "id: empty"),
        (b"X,  ,1,true", "title: empty"),
        (b"X,Tent,free,true", "price: 'free' is no number"),
        (b"X,Tent,nan,true", "price: 'nan' is no number"),
        (b"X,Tent,1_000,true", "price: '1_000' is no number"),
        ("X,Tent,١٢,true".encode(), "is no number"),
        (b"X,Tent,inf,true", "price: 'inf' is no number"),
        (b"X,Tent,1e999,true", "price: '1e999' is no number"),
        (b"X,Tent,-1,true", "price: '-1' is negative"),
        (b"X,Tent,1,maybe", "in_stock: 'maybe' is none of true"),
        (b"A,Tent,1,true", "id: 'A' stands twice in the file"),
        (b"X,Tent,1", "3 cells, where the header names 4 columns"),
        (b"X,Tent,1,true,more", "5 cells, where the header names 4 columns"),
        (b"X,\xff\xfe,1,true", "not UTF-8"),
        (b'X,"Te"nt,1,true', "not CSV"),
        (b"x" * (ID_BYTES + 1) + b",Tent,1,true", f"id: {ID_BYTES + 1} bytes"),
    ],
)
def test_a_bad_row_is_told_with_file_line_and_reason_and_the_reading_goes_on(
    tmp_path: Path, row: bytes, reason: str
) -> None:
    text = b'id,title,price,in_stock\nA,"Two\nlines",1,true\n' + row + b"\nZ,Mat,2,false\n"
    first, bad, last = read_items(table(tmp_path, text))
    assert isinstance(first, Item)
    assert isinstance(bad, RowError)
    assert reason in bad.reason
    assert bad.line == 4
    assert str(bad).startswith(f"{tmp_path / 'table.csv'}:4: ")
    assert last == Item("Z", "Mat", price=2.0, in_stock=False)


def test_a_quote_that_never_closes_is_one_bad_row(tmp_path: Path) -> None:
    rows = list(read_items(table(tmp_path, 'id,title\nA,Tent\nB,"Mat\nC,Cup\n')))
    assert rows[0] == Item("A", "Tent")
    assert [type(row) for row in rows[1:]] == [RowError]


def test_users_have_every_other_column_as_a_trait(tmp_path: Path) -> None:
    source = table(tmp_path, "id,age,region\n1,34,coast\n2,,city\n")
    assert list(read_users(source)) == [User("1", {"age": 34, "region": "coast"}), User("2", {"region": "city"})]


def test_interactions_take_numbers_and_dates(tmp_path: Path) -> None:
    source = table(
        tmp_path,
        "id,user_id,item_id,type,value,timestamp\n"
        "e1,1,A,view,,1700000000\n"
        "e2,1,B,,4.5,2023-11-14T22:13:20Z\n"
        "e3,1,B,,4.5,yesterday\n",
    )
    first, second, bad = read_interactions(source)
    assert first == Interaction("e1", "1", "A", "view", None, 1_700_000_000.0)
    assert second == Interaction("e2", "1", "B", "purchase", 4.5, 1_700_000_000.0)
    assert isinstance(bad, RowError)
    assert "timestamp" in bad.reason


def test_events_without_ids_get_the_same_ones_in_every_reading(tmp_path: Path) -> None:
    source = table(tmp_path, "user_id,item_id\n1,A\n1,A\n2,A\n")
    first, second = ([event.id for event in read_interactions(source)] for _ in range(2))
    assert first == second
    assert len(set(first)) == 3


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("", {}, ["empty"]),
        ("\n", {}, ["empty"]),
        ("id,name\nA,Tent\n", {}, ["no column 'title'", "'id', 'name'", "columns"]),
        ("id,title\nA,Tent\n", {"columns": {"id": "id", "title": "name"}}, ["no column 'name'"]),
        ("id,title,id\nA,Tent,B\n", {}, ["'id' stands twice"]),
    ],
)
def test_a_file_that_cannot_be_read_says_what_is_wrong(
    tmp_path: Path, text: str, options: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(SourceError) as refused:
        list(read_items(table(tmp_path, text, **options)))
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [
        "id,title\nA,Tent\n".encode("utf-16"),
        "id,title\nA,Tent\n".encode("utf-16-le"),
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
        b"\x1f\x8b\x08\x00id,title",
        "id,größe\n".encode("latin-1"),
        bytes(range(256)),
    ],
)
def test_a_file_that_is_no_text_is_one_line_that_any_terminal_takes(tmp_path: Path, content: bytes) -> None:
    for read in (read_items, read_users, read_interactions):
        with pytest.raises(SourceError) as refused:
            list(read(table(tmp_path, content)))
        message = str(refused.value)
        assert f"{tmp_path}/table.csv" in message
        assert message.isprintable()
        message.encode()


def test_a_header_of_odd_names_is_shown_cleaned(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as refused:
        list(read_items(table(tmp_path, "\x1b[31mred\x07,name\n")))
    assert str(refused.value).isprintable()


def test_control_characters_of_texts_are_left_out(tmp_path: Path) -> None:
    source = table(
        tmp_path, 'id,title,description,categories\nA,"\x1b[31mTe\x00nt\x9b","a\r\nb\tc\x07","Camp\x00|\x01"\n'
    )
    assert list(read_items(source)) == [Item("A", "[31mTent", "a b c", ("Camp",))]


@pytest.mark.parametrize(("cell", "price"), [(" 12.50 ", 12.5), ("1e2", 100.0), (".5", 0.5), ("+7.", 7.0)])
def test_prices_are_ascii_numbers(tmp_path: Path, cell: str, price: float) -> None:
    assert list(read_items(table(tmp_path, f"id,title,price\nA,Tent,{cell}\n"))) == [Item("A", "Tent", price=price)]


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("file:///nowhere/items.csv", ["/nowhere/items.csv", "no such file"]),
        ("https://shop.example/items.csv", ["https://", "file://PATH"]),
        ("sample://shop", ["sample://"]),
        ("file://${NO_SUCH_VARIABLE}/items.csv", ["NO_SUCH_VARIABLE", "not set"]),
    ],
)
def test_an_address_that_cannot_be_read_says_what_to_do(uri: str, words: list[str]) -> None:
    with pytest.raises(SourceError) as refused:
        list(read_items(TableSource(uri=uri), {}))
    for word in words:
        assert word in str(refused.value)


def test_variables_and_plain_paths_are_addresses() -> None:
    assert located(TableSource(uri="file://${DIR}/i.csv"), {"DIR": "/data"}) == Path("/data/i.csv")
    assert located(TableSource(uri="shop/i.csv"), {}) == Path("shop/i.csv")
    assert located(TableSource(uri="${DIR}", format=Format.MOVIELENS), {"DIR": "/ml"}) == Path("/ml")


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\x00"), max_size=12)


@given(rows=st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=6))
def test_whatever_stands_in_the_cells_is_an_item_or_a_bad_row(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "items.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "title", "extra"), *rows])
    read = list(read_items(TableSource(uri=str(path))))
    assert len(read) == len(rows)
    for (item_id, title, _), record in zip(rows, read, strict=True):
        if isinstance(record, Item):
            assert (record.id, record.title) == (item_id.strip(), plain(title))
        else:
            assert not item_id.strip() or not plain(title) or "twice" in record.reason
