"""What the operator may do: from one table, and nothing beyond it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from recsys_operator.components.gateway_account import RULES as GATEWAY_RULES
from recsys_operator.install import Installation, document, installation
from recsys_operator.rbac import lease_rules, rules

MANIFESTS = Path(__file__).parents[2] / "manifests" / "operator"
VARIANTS = {"cluster-wide.yaml": Installation(), "namespaced.yaml": Installation(("shop",))}


def every_rule() -> list[dict[str, Any]]:
    return [*rules(), *lease_rules("recsys-operator")]


@pytest.mark.parametrize(("file", "wanted"), VARIANTS.items())
def test_the_checked_in_manifests_are_what_the_command_prints(file: str, wanted: Installation) -> None:
    path = MANIFESTS / file
    assert path.read_text(encoding="utf-8") == document(wanted), f"run: recsys operator manifests > {path}"


def test_there_is_no_word_of_secrets_and_no_wildcard() -> None:
    for rule in every_rule():
        assert "secrets" not in rule["resources"]
        assert "*" not in (*rule["resources"], *rule["verbs"], *rule["apiGroups"])


def test_rights_cannot_be_widened_by_themselves() -> None:
    verbs = {verb for rule in every_rule() for verb in rule["verbs"]}
    assert not verbs & {"escalate", "bind", "impersonate", "deletecollection"}


def test_a_claim_cannot_be_deleted() -> None:
    [rule] = [rule for rule in rules() if "persistentvolumeclaims" in rule["resources"]]
    assert "delete" not in rule["verbs"]


def test_pods_are_only_looked_at() -> None:
    [rule] = [rule for rule in rules() if "pods" in rule["resources"]]
    assert rule["verbs"] == ["get", "list", "watch"]


def test_it_holds_what_it_grants_to_the_gateway() -> None:
    for granted in GATEWAY_RULES:
        assert granted in rules()


def test_a_namespaced_installation_needs_nobody_who_may_write_cluster_wide_objects() -> None:
    kinds = {part["kind"] for part in installation(Installation(("shop", "shop-staging")))}
    assert kinds == {"ServiceAccount", "Role", "RoleBinding", "Deployment"}


def test_both_variants_are_yaml_without_anchors() -> None:
    for wanted in VARIANTS.values():
        text = document(wanted)
        assert "&id" not in text
        assert list(yaml.safe_load_all(text)) == installation(wanted)
