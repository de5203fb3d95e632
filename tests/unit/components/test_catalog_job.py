"""The Job that loads the catalogue: what it reads, and when it runs again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from example_systems import example
from recsys_gateway.catalog.load_config import LoadConfig, OnError, load_load_config
from recsys_operator.components.catalog_job import catalog_config_maps, catalog_manifests
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.observed import Observed

NOTHING = Observed()


def job(name: str = "minimal", observed: Observed = NOTHING, **spec: Any) -> Manifest:
    return catalog_manifests(example(name, **spec), observed)[1]


def pod(name: str = "minimal", **spec: Any) -> Manifest:
    found: Manifest = job(name, **spec)["spec"]["template"]["spec"]
    return found


def load_config(folder: Path, name: str = "minimal", **spec: Any) -> LoadConfig:
    (text,) = catalog_manifests(example(name, **spec), NOTHING)[0]["data"].values()
    file = folder / "load.yaml"
    file.write_text(text, encoding="utf-8")
    return load_load_config(file)


def test_the_program_reads_what_the_operator_wrote(tmp_path: Path) -> None:
    config = load_config(tmp_path, "full")
    assert config.on_error is OnError.SKIP
    assert str(config.vector_store.uri) == "http://full-milvus.shop.svc:19530/"
    assert config.catalog.items.columns == {"id": "sku"}


def test_tables_in_volumes_become_files_and_others_stay_addresses(tmp_path: Path) -> None:
    catalog = load_config(tmp_path, "full").catalog
    assert catalog.items.uri == "file:///mnt/catalog/items/2026/items.parquet"
    assert catalog.users is not None
    assert catalog.users.uri == "file:///mnt/catalog/users/users.csv"
    assert catalog.interactions is not None
    assert catalog.interactions.uri == "s3://shop/events.jsonl"


def test_each_volume_is_mounted_where_its_file_is_looked_for() -> None:
    volumes = {volume["name"]: volume for volume in pod("full")["volumes"]}
    assert volumes["table-items"]["persistentVolumeClaim"] == {"claimName": "catalogue", "readOnly": True}
    assert volumes["table-users"]["configMap"] == {"name": "shop-users"}
    mounts = {mount["name"]: mount["mountPath"] for mount in pod("full")["containers"][0]["volumeMounts"]}
    assert mounts["table-items"] == "/mnt/catalog/items"
    assert mounts["table-users"] == "/mnt/catalog/users"


def test_one_claim_may_hold_all_tables(tmp_path: Path) -> None:
    tables = {"items": {"uri": "pvc://shop/items.csv"}, "users": {"uri": "pvc://shop/users.csv"}}
    names = [volume["name"] for volume in pod(catalog=tables)["volumes"]]
    assert len(names) == len(set(names))
    assert load_config(tmp_path, catalog=tables).catalog.items.uri == "file:///mnt/catalog/items/items.csv"


def test_the_buckets_secret_becomes_variables_of_the_loading_alone() -> None:
    assert pod("full")["containers"][0]["envFrom"] == [{"secretRef": {"name": "bucket"}}]
    assert all("envFrom" not in container for container in pod("full")["initContainers"])


def test_a_job_stays_when_it_is_done_and_is_tried_again_when_it_fails() -> None:
    spec = job()["spec"]
    assert "ttlSecondsAfterFinished" not in spec
    assert spec["backoffLimit"] == 6
    assert spec["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [2]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_the_same_catalogue_is_loaded_once() -> None:
    assert job() == job(gateway={"replicas": 3}, recommendation={"size": 5})


@pytest.mark.parametrize(
    "spec",
    [
        {"catalog": {"items": {"uri": "https://shop.example.org/new.csv"}}},
        {"catalog": {"items": {"columns": {"title": "name"}}}},
        {"catalog": {"onError": "skip"}},
        {"embedder": {"model": {"revision": "v2"}}},
        {"vectorStore": {"managed": None, "external": {"uri": "http://milvus.data.svc:19530"}}},
    ],
)
def test_another_catalogue_encoder_or_store_is_another_job(spec: dict[str, Any]) -> None:
    assert job(**spec)["metadata"]["name"] != job()["metadata"]["name"]


def test_another_content_of_a_config_map_is_another_job() -> None:
    assert catalog_config_maps(example("full")) == ["shop-users"]
    first, second = (
        job("full", Observed(digests={"ConfigMap/shop-users": digest}))["metadata"]["name"] for digest in ("1", "2")
    )
    assert first != second


def test_job_and_configuration_share_a_name_that_says_what_they_do() -> None:
    config, made = catalog_manifests(example("full"), NOTHING)
    assert config["metadata"]["name"] == made["metadata"]["name"]
    assert {"name": "config", "configMap": {"name": made["metadata"]["name"]}} in pod("full")["volumes"]
