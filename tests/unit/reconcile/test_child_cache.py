"""The cache of children: newest wins, what is gone stays gone."""

from __future__ import annotations

from typing import Any

from recsys_operator.reconcile.child_cache import ChildCache, gone
from recsys_operator.reconcile.observe import autoscaled
from recsys_operator.reconcile.references import References
from recsys_operator.reconcile.work_queue import Key

Manifest = dict[str, Any]
SHOP = Key("default", "shop")


def body(version: int, *, name: str = "a", uid: str = "1", system: str | None = "shop", **fields: Any) -> Manifest:
    labels = {"recsys.io/system": system} if system else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": uid,
            "labels": labels,
            "resourceVersion": str(version),
        },
        **fields,
    }


def versions(cache: ChildCache) -> list[str]:
    return [found["metadata"]["resourceVersion"] for found in cache.objects(SHOP)]


def test_the_newest_version_wins_in_whatever_order_they_come() -> None:
    """The answer to a write of ours may come before or after the watch's event of it."""
    cache = ChildCache()
    for version in (3, 2, 10):
        cache.store(body(version))

    assert versions(cache) == ["10"]


def test_an_answer_that_was_under_way_does_not_bring_back_what_was_deleted() -> None:
    cache = ChildCache()
    cache.store(body(3))
    cache.remove(body(5))
    cache.store(body(4))

    assert versions(cache) == []


def test_a_new_object_of_the_name_is_another_one() -> None:
    cache = ChildCache()
    cache.store(body(3))
    cache.remove(body(5))
    cache.store(body(6, uid="2"))
    cache.remove(body(5))

    assert versions(cache) == ["6"]


def test_an_object_that_lost_its_label_comes_back_with_it() -> None:
    """A watch with a selector calls both a deletion and a creation: of the same object, in newer versions."""
    cache = ChildCache()
    cache.store(body(3))
    cache.remove(body(4))
    cache.store(body(5))

    assert versions(cache) == ["5"]


def test_an_owner_outweighs_a_label_that_somebody_changed() -> None:
    cache = ChildCache()
    owned = body(3)
    owned["metadata"]["ownerReferences"] = [{"kind": "RecommenderSystem", "name": "shop", "controller": True}]
    cache.store(owned)
    moved = body(4, system="another")
    moved["metadata"]["ownerReferences"] = owned["metadata"]["ownerReferences"]
    cache.store(moved)

    assert versions(cache) == ["4"]
    assert cache.objects(Key("default", "another")) == []


def test_an_object_without_an_owner_moves_with_its_label() -> None:
    cache = ChildCache()
    cache.store(body(3))
    cache.store(body(4, system="another"))

    assert versions(cache) == []
    assert len(cache.objects(Key("default", "another"))) == 1


def test_objects_of_no_system_are_not_kept() -> None:
    cache = ChildCache()
    cache.store(body(3, system=None))

    assert list(cache.all_objects()) == []


def test_a_sweep_finds_what_is_gone_but_not_what_came_after_its_list() -> None:
    listed = {"1": "3"}
    cached = [body(3), body(4, name="b", uid="2"), body(9, name="c", uid="3")]

    assert [one["metadata"]["name"] for one in gone(cached, listed, listed_at=5)] == ["b"]


def test_a_scale_that_somebody_else_holds_is_remembered_of_all_the_bookkeeping() -> None:
    cache = ChildCache()
    entries = [
        {"manager": "recsys-operator", "operation": "Apply", "fieldsV1": {"f:spec": {}}},
        {"manager": "hpa", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
    ]
    scaled = body(3)
    scaled["metadata"]["managedFields"] = entries
    cache.store(scaled)
    cache.store(body(3, name="b", uid="2"))

    assert autoscaled(cache.objects(SHOP)) == {"a"}
    assert "fieldsV1" not in str(cache.objects(SHOP))


def test_readers_of_a_config_map_are_found_in_its_own_namespace() -> None:
    references = References()
    references.remember(SHOP, {"items"})
    references.remember(Key("other", "shop"), {"items"})

    assert references.readers("default", "items") == [SHOP]
    references.forget(SHOP)
    assert references.readers("default", "items") == []
