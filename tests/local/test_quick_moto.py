"""What moto keeps when it is made quicker: transactions that fail change nothing."""

import pytest
from botocore.exceptions import ClientError

from chalicelib.store import dynamodb

CLIENT = dynamodb.connection.connection.client
KEY = {"pk": {"S": "IMAGE#1"}, "sk": {"S": "IMAGE"}}
ITEM = KEY | {"name": {"S": "a"}, "tags": {"SS": ["x"]}, "more": {"M": {}}}


def test_a_transaction_that_fails_leaves_each_item_as_it_was(table: str) -> None:
    """Neither a changed attribute nor one changed in place outlives its transaction."""
    CLIENT.put_item(TableName=table, Item=ITEM)
    change = {
        "TableName": table,
        "Key": KEY,
        "UpdateExpression": "SET #n = :n, more.deep = :n ADD tags :t",
        "ExpressionAttributeNames": {"#n": "name"},
        "ExpressionAttributeValues": {":n": {"S": "b"}, ":t": {"SS": ["y"]}},
    }
    added = {"TableName": table, "Item": KEY | {"sk": {"S": "MEMBER#1"}}}
    absent = KEY | {"sk": {"S": "none"}}
    check = {
        "TableName": table,
        "Key": absent,
        "ConditionExpression": "attribute_exists(pk)",
    }

    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        CLIENT.transact_write_items(
            TransactItems=[
                {"Update": change},
                {"Put": added},
                {"ConditionCheck": check},
            ]
        )

    assert CLIENT.scan(TableName=table)["Items"] == [ITEM]


def test_a_condition_is_read_with_its_own_values(table: str) -> None:
    """The same words with another value are another condition."""
    CLIENT.put_item(TableName=table, Item=ITEM)

    def rename(old: str, new: str) -> None:
        CLIENT.update_item(
            TableName=table,
            Key=KEY,
            UpdateExpression="SET #n = :new",
            ConditionExpression="#n = :old",
            ExpressionAttributeNames={"#n": "name"},
            ExpressionAttributeValues={":old": {"S": old}, ":new": {"S": new}},
        )

    rename("a", "b")
    rename("b", "c")
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        rename("b", "d")
