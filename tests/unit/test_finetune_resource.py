"""What ``recsys finetune`` reads of a resource, and how it says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from recsys_finetune.ranking.resource import ResourceError, output_folder, read_dataset, read_resource
from recsys_gateway.catalog.source import CatalogSource, SourceError

RESOURCE = """
apiVersion: recsys.io/v1alpha1
kind: RecommenderSystem
metadata: {name: films}
spec:
  catalog:
    items: {uri: "file://${DATA}/items.csv"}
    interactions: {uri: "file://${DATA}/events.csv"}
  models: {tuned: {model: {uri: "file:///m/model.gguf"}}}
  fineTuning: {enabled: true, method: Full, output: "file:///m"}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "recsys.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_only_what_is_needed_is_read(tmp_path: Path) -> None:
    resource = read_resource(written(tmp_path, RESOURCE))
    assert resource.metadata.name == "films"
    assert resource.spec.fine_tuning.output == "file:///m"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('output: "file:///m"', "schedule: daily", "spec.fineTuning.output: Field required"),
        ("enabled: true", "enabled: false", "spec.fineTuning.enabled is false"),
        ('    interactions: {uri: "file://${DATA}/events.csv"}\n', "", "spec.catalog.interactions: absent"),
        ("metadata: {name: films}", "metadata: [", "not YAML"),
        ('uri: "file://${DATA}/items.csv"', "path: x", "spec.catalog.items.uri: Field required"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in RESOURCE
    with pytest.raises(ResourceError, match=said):
        read_resource(written(tmp_path, RESOURCE.replace(old, new)))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"none\.yaml: No such file"):
        read_resource(tmp_path / "none.yaml")


def test_the_output_is_a_folder_with_variables_filled_in() -> None:
    assert output_folder("file://${OUT}/films", {"OUT": "/models"}) == Path("/models/films")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("file://${OUT}/films", "the environment variable OUT is not set"),
        ("s3://bucket/films", "must be file://"),
        ("file://films", "an absolute path"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused(uri: str, said: str) -> None:
    with pytest.raises(ResourceError, match=said):
        output_folder(uri, {})


def catalog(items: str, interactions: str) -> CatalogSource:
    return CatalogSource.model_validate({"items": {"uri": items}, "interactions": {"uri": interactions}})


def test_a_dataset_comes_from_its_tables(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("id,title\nA,Tent\nB,Pan\n", encoding="utf-8")
    (tmp_path / "events.csv").write_text("user_id,item_id\nu,A\nu,B\nu,X\n", encoding="utf-8")
    data = read_dataset(catalog(f"file://{tmp_path}/items.csv", f"file://{tmp_path}/events.csv"), None)
    assert list(data.items) == ["A", "B"]
    assert data.histories == {"u": ["A", "B"]}


def test_a_wrong_row_is_named_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("id,title\nA,Tent\n,Pan\n", encoding="utf-8")
    (tmp_path / "events.csv").write_text("user_id,item_id\nu,A\n", encoding="utf-8")
    with pytest.raises(SourceError, match=r"items\.csv:3"):
        read_dataset(catalog(f"file://{tmp_path}/items.csv", f"file://{tmp_path}/events.csv"), None)


def test_a_sample_needs_the_package_that_holds_it() -> None:
    with pytest.raises(SourceError, match="recsys-operator, which is not installed"):
        read_dataset(catalog("sample://shop", "sample://shop"), None)
    with pytest.raises(SourceError, match="there is sample://shop"):
        read_dataset(catalog("sample://zoo", "sample://zoo"), Path("/samples"))
