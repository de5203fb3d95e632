"""What is put right before Milvus Lite starts."""

from pathlib import Path

from recsys_operator.local.milvus_files import discard_index_files


def test_index_files_go_and_everything_else_stays(tmp_path: Path) -> None:
    partition = tmp_path / "collections" / "items" / "partitions" / "_default"
    kept = [
        tmp_path / "LOCK",
        partition / "data" / "data_1.parquet",
        tmp_path / "collections" / "items" / "manifest.json",
    ]
    gone = [partition / "indexes" / "data_1.text.autoindex.idx", partition / "indexes" / "data_1.id.inverted.sidx"]
    for path in (*kept, *gone):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    discard_index_files(tmp_path)
    assert [path.exists() for path in kept] == [True, True, True]
    assert [path.exists() for path in gone] == [False, False]


def test_a_folder_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    discard_index_files(tmp_path / "absent")
