"""
The template: the files of `infra` as one, and what is added once Chalice has its part.
"""

from functools import reduce
from pathlib import Path
from typing import Any, Final

import yaml
from chalice.package import TemplateDeepMerger, YAMLTemplateSerializer

Template = dict[str, Any]

INFRA: Final = Path(__file__).parents[1]
PARTS: Final = (
    *("resources", "functions", "settings", "api", "network", "limits", "watch"),
)
"""The files that every stage has; that of the stage goes over them."""

_TAGS_AS_MAP: Final = {"AWS::Serverless::Api", "AWS::Serverless::Function"}
_TAGS_AS_LIST: Final = {
    "AWS::ApiGateway::DomainName",
    "AWS::CloudWatch::Alarm",
    "AWS::DynamoDB::Table",
    "AWS::Events::EventBus",
    "AWS::IAM::Role",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SNS::Topic",
    "AWS::SQS::Queue",
    "AWS::WAFv2::WebACL",
}


def read(path: Path) -> Template:
    """Read a template, its short forms (`!Ref`) included."""
    template: Template = YAMLTemplateSerializer().load_template(
        path.read_text("utf-8"), str(path)
    )
    return template


def write(template: Template, path: Path) -> None:
    """Write a template; the same bytes for the same template."""
    text = yaml.dump(template, Dumper=_Plain, allow_unicode=True, width=100)
    path.write_text(text, "utf-8")


def merged(stage: str) -> Template:
    """Return the files of `infra` for a stage as one."""
    paths = [INFRA / f"{part}.yaml" for part in PARTS]
    paths.append(INFRA / "stages" / f"{stage}.yaml")
    whole: Template = reduce(
        lambda base, more: TemplateDeepMerger().merge(more, base), map(read, paths)
    )
    return whole


def finished(template: Template, stage: str) -> Template:
    """Tag everything that can be tagged, and bound the indexes as their table."""
    table = template["Resources"]["ImagesTable"]["Properties"]
    for index in table["GlobalSecondaryIndexes"]:
        index["OnDemandThroughput"] = table["OnDemandThroughput"]
    tags = {"service": "cloud-images", "stage": stage}
    for resource in template["Resources"].values():
        properties = resource.setdefault("Properties", {})
        if resource["Type"] in _TAGS_AS_MAP:
            properties["Tags"] = tags
        elif resource["Type"] in _TAGS_AS_LIST:
            pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
            properties["Tags"] = pairs
    return template


class _Plain(yaml.SafeDumper):
    """Writes YAML without aliases, which CloudFormation does not know."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002 - PyYAML's own
        """Write everything out."""
        return True
