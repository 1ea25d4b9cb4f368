"""
The deployment's template: the code's table, and no more rights than the code uses.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pynamodb.attributes import Attribute

from chalicelib.store import dynamodb
from chalicelib.store.items import (
    ByName,
    ByProject,
    ByVisibilityOrOwner,
    Item,
    RecentChangeItem,
)
from infra.local import backend


@pytest.fixture
def properties() -> Any:
    """The table's properties in the template."""
    text = backend.RESOURCES.read_text("utf-8")
    return yaml.safe_load(text)["Resources"]["ImagesTable"]["Properties"]


def keys(schema: list[dict[str, str]]) -> dict[str, str]:
    """Return a key's attributes by their kind."""
    return {part["KeyType"]: part["AttributeName"] for part in schema}


def name(attribute: Attribute[Any]) -> str:
    """Return the name under which an attribute is stored."""
    return str(attribute.attr_name)


def test_the_tables_keys_are_those_of_the_code(properties: Any) -> None:
    """Of the table and of each index, all of them texts."""
    indexes = {one["IndexName"]: one for one in properties["GlobalSecondaryIndexes"]}
    wanted = {
        ByProject.Meta.index_name: {"HASH": "project_pk", "RANGE": "project_sk"},
        ByVisibilityOrOwner.Meta.index_name: {"HASH": "group_pk", "RANGE": "group_sk"},
        ByName.Meta.index_name: {"HASH": "name_pk", "RANGE": "name_sk"},
    }

    assert keys(properties["KeySchema"]) == {
        "HASH": name(Item.pk),
        "RANGE": name(Item.sk),
    }
    assert {key: keys(one["KeySchema"]) for key, one in indexes.items()} == wanted
    kinds = {
        one["AttributeName"]: one["AttributeType"]
        for one in properties["AttributeDefinitions"]
    }
    assert kinds == dict.fromkeys(
        ["pk", "sk", *(part for key in wanted.values() for part in key.values())], "S"
    )


def test_an_index_carries_what_a_name_is_looked_up_by(properties: Any) -> None:
    """And little else, so that most updates, and all answers, write few index rows."""
    indexes = properties["GlobalSecondaryIndexes"]
    carried = {
        one["IndexName"]: one["Projection"]["NonKeyAttributes"] for one in indexes
    }

    assert carried == {
        index.Meta.index_name: index.Meta.projection.non_key_attributes
        for index in (ByProject, ByVisibilityOrOwner, ByName)
    }
    assert all("status" not in names for names in carried.values())


def test_hints_expire_and_the_table_is_safe(properties: Any) -> None:
    """
    On demand, encrypted, restorable to any second, and never removed with its stack.
    """
    resource = yaml.safe_load(backend.RESOURCES.read_text("utf-8"))["Resources"]
    ttl = properties["TimeToLiveSpecification"]

    assert ttl == {"AttributeName": name(RecentChangeItem.expires_at), "Enabled": True}
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["SSESpecification"] == {"SSEEnabled": True}
    assert properties["PointInTimeRecoverySpecification"] == {
        "PointInTimeRecoveryEnabled": True
    }
    assert properties["DeletionProtectionEnabled"] is True
    policies = ("DeletionPolicy", "UpdateReplacePolicy")
    assert {"Retain"} == {resource["ImagesTable"][policy] for policy in policies}


def test_the_local_table_is_that_of_the_template(properties: Any) -> None:
    """One source of truth for AWS, tests and the local run."""
    client = dynamodb.connection.connection.client
    made = client.describe_table(TableName=dynamodb.connection.table_name)["Table"]

    assert made["KeySchema"] == properties["KeySchema"]
    assert made["AttributeDefinitions"] == properties["AttributeDefinitions"]
    assert [
        (one["IndexName"], one["KeySchema"], one["Projection"])
        for one in made["GlobalSecondaryIndexes"]
    ] == [
        (one["IndexName"], one["KeySchema"], one["Projection"])
        for one in properties["GlobalSecondaryIndexes"]
    ]


def test_a_release_changes_one_index_at_most(properties: Any) -> None:
    """CloudFormation changes one index of a table in an update, and fails otherwise."""
    file = Path(__file__).parent / "released_indexes.json"
    released = {one["IndexName"]: one for one in json.loads(file.read_text("utf-8"))}
    now = {one["IndexName"]: one for one in properties["GlobalSecondaryIndexes"]}
    added, removed = now.keys() - released.keys(), released.keys() - now.keys()
    different = {
        name for name in now.keys() & released.keys() if now[name] != released[name]
    }

    assert not different, (
        f"An index cannot be changed: {different}. Add another under a new name, and"
        " remove the old one in a later release (docs/upgrade.md)."
    )
    assert len(added | removed) <= 1, (
        f"A stack update changes one index at most, not {added | removed}. Release them"
        " one by one, and after each write its indexes into"
        " tests/infra/released_indexes.json (docs/upgrade.md)."
    )
