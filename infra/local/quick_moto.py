"""moto's DynamoDB without work that it does more than once: its parsing and copying."""

import copy
import json
import pickle
from collections import defaultdict
from contextlib import ExitStack
from functools import cache, lru_cache
from typing import Any, Final
from unittest.mock import patch
from uuid import uuid4

from moto.core import responses
from moto.core.utils import camelcase_to_underscores
from moto.dynamodb.comparisons import ConditionExpressionParser
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import Item
from moto.dynamodb.models.table import Table
from moto.dynamodb.parsing import validators
from moto.dynamodb.parsing.ast_nodes import (  # type: ignore[attr-defined] # untyped
    DepthFirstTraverser,
)
from moto.dynamodb.parsing.expressions import (  # type: ignore[attr-defined] # untyped
    UpdateExpressionParser,
)
from moto.dynamodb.parsing.validators import ActionCountValidator
from moto.sqs import models as sqs

CONDITIONS_KEPT: Final = 64
"""The number of conditions whose trees are kept; moto parses each three times."""

_parse = ConditionExpressionParser.parse
_parse_update = UpdateExpressionParser.make
_count_actions = ActionCountValidator.verify_action_counts
_update_item = DynamoDBBackend.update_item


def quick_moto() -> ExitStack:
    """Make moto's DynamoDB quicker, until what is returned is closed."""
    quick = ExitStack()
    for owner, name, mend in (
        (ConditionExpressionParser, "parse", _parse_once),
        (UpdateExpressionParser, "make", cache(_parse_update)),
        (DepthFirstTraverser, "nodes_to_be_processed", _kinds_of),
        (ActionCountValidator, "verify_action_counts", _count_at_the_root),
        (validators, "deepcopy", _copy_tree),
        (Table, "__deepcopy__", _copy_table),
        (DynamoDBBackend, "update_item", _update_a_copy),
        (responses, "gen_amzn_requestid_long", _identify),
        (sqs, "camelcase_to_underscores", cache(camelcase_to_underscores)),
    ):
        quick.enter_context(patch.object(owner, name, mend, create=True))
    return quick


def _parse_once(self: ConditionExpressionParser) -> Any:  # noqa: ANN401 - moto's own
    condition, names, values = _parsed(
        self.condition_expression,
        json.dumps(self.expression_attribute_names),
        json.dumps(self.expression_attribute_values),
    )
    self.expr_attr_names_found.extend(names)
    self.expr_attr_values_found.extend(values)
    return condition


@lru_cache(CONDITIONS_KEPT)
def _parsed(
    expression: str | None, names: str, values: str
) -> tuple[Any, list[str], list[str]]:
    parser = ConditionExpressionParser(
        expression, json.loads(names), json.loads(values)
    )
    condition = _parse(parser)
    return condition, parser.expr_attr_names_found, parser.expr_attr_values_found


def _kinds_of(self: Any) -> tuple[type, ...]:  # noqa: ANN401 - moto's own
    kinds: tuple[type, ...] | None = vars(self).get("kinds")
    if kinds is None:
        kinds = self.kinds = tuple(self._processing_map())
    return kinds


def _count_at_the_root(self: ActionCountValidator, node: Any) -> Any:  # noqa: ANN401 - moto's own
    # A check of the root of an expression's tree is one of each node below.
    return node if node.parent else _count_actions(self, node)


def _copy_tree(tree: Any) -> Any:  # noqa: ANN401 - moto's own
    return pickle.loads(pickle.dumps(tree))  # noqa: S301 - of this process


def _copy_table(self: Table, memo: dict[int, Any]) -> Any:  # noqa: ANN401 - moto's own
    # moto copies a table for each transaction. Its items need no copy: each is replaced
    # when it changes.
    table: Any = object.__new__(type(self))
    memo[id(self)] = table
    vars(table).update(vars(self))
    table.items = defaultdict(dict)
    for key, collection in self.items.items():
        table.items[key] = copy.copy(collection)
    if self.stream_shard:
        table.stream_shard = copy.copy(self.stream_shard)
        table.stream_shard.table = table
        table.stream_shard.items = self.stream_shard.items.copy()
    return table


def _update_a_copy(
    self: DynamoDBBackend,
    table_name: str,
    key: dict[str, Any],
    *rest: Any,  # noqa: ANN401 - moto's own
    **more: Any,  # noqa: ANN401
) -> Item:
    table = self.get_table(table_name)
    hash_key, range_key = self.get_keys_value(table, key)
    item = table.get_item(hash_key, range_key)
    if item and range_key:
        table.items[hash_key][range_key] = copy.deepcopy(item)
    return _update_item(self, table_name, key, *rest, **more)


def _identify(headers: dict[str, str]) -> str:
    # moto draws each letter of a request's id.
    request_id = headers["x-amzn-requestid"] = uuid4().hex
    return request_id
