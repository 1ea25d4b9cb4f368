"""The packaged template: what protects data, what limits, what wakes somebody."""

import json
import re
from typing import Any

import pytest

from chalicelib.store.queue import KEPT
from infra.package.template import read
from tests.infra.rights import granted
from tests.package.packaged import ROOT, Package

STATEFUL = ("DataBucket", "ImagesTable")
TAGGED = re.compile(
    r"AWS::(Serverless::|SQS|SNS::Topic|S3::Bucket$|DynamoDB|Logs|IAM::Role$|Events"
    r"|CloudWatch::Alarm|ApiGateway::DomainName|WAFv2::WebACL$)"
)


@pytest.fixture(params=["dev", "prod"])
def package(request: pytest.FixtureRequest) -> Package:
    """The package of each stage."""
    made: Package = request.getfixturevalue(request.param)
    return made


def test_what_holds_data_outlives_its_stack(package: Package) -> None:
    """And can be restored; in `prod` the table cannot be deleted at all."""
    resources = package.resources
    for name in STATEFUL:
        policies = ("DeletionPolicy", "UpdateReplacePolicy")
        assert {"Retain"} == {resources[name][policy] for policy in policies}
    table = resources["ImagesTable"]["Properties"]
    assert table["PointInTimeRecoverySpecification"] == {
        "PointInTimeRecoveryEnabled": True
    }
    assert table["DeletionProtectionEnabled"] is (package.folder.name[:4] == "prod")


def test_stages_differ_in_what_they_protect_and_allow_alone(
    dev: Package, prod: Package
) -> None:
    """In nothing that is not written in `infra/stages`."""

    def differing(one: Any, other: Any, where: str = "") -> set[str]:
        if isinstance(one, dict) and isinstance(other, dict):
            return {
                found
                for key in one.keys() | other.keys()
                for found in differing(
                    one.get(key), other.get(key), f"{where}.{key}".strip(".")
                )
            }
        return set() if one == other else {where}

    written = {
        f"Resources.{name}.Properties.{key}"
        for name, resource in read(ROOT / "infra/stages/prod.yaml")["Resources"].items()
        for key in resource["Properties"]
    }
    written |= {
        f"Parameters.Stage.{key}"
        for key in ("AllowedPattern", "ConstraintDescription", "Default")
    }
    always = re.compile(r"Resources\.\w+\.Properties\.(Tags|Architectures)(\.stage)?$")

    found = differing(dev.template, prod.template)
    assert {where for where in found if not always.match(where)} == written


def test_a_template_is_refused_for_a_stack_of_the_other_stage(
    dev: Package, prod: Package
) -> None:
    """The stack keeps the stage that it was made with; no other value is allowed."""
    for package, stage, other in ((dev, "dev", "prod"), (prod, "prod", "dev")):
        parameter = package.template["Parameters"]["Stage"]

        assert parameter["Default"] == stage
        assert re.fullmatch(parameter["AllowedPattern"], stage)
        assert not re.fullmatch(parameter["AllowedPattern"], other)
        assert stage in parameter["ConstraintDescription"]


def test_everything_is_tagged_that_can_be(package: Package) -> None:
    """With service and stage."""
    stage = package.folder.name.partition("-")[0]
    tags = {"service": "cloud-images", "stage": stage}
    for name, resource in package.resources.items():
        if not TAGGED.match(resource["Type"]):
            continue
        found = resource["Properties"]["Tags"]
        if isinstance(found, list):
            found = {one["Key"]: one["Value"] for one in found}
        assert found == tags, name


def test_every_log_is_kept_for_a_while(package: Package) -> None:
    """Each function and the API write to a log group of the stack's own."""
    groups = package.of_type("AWS::Logs::LogGroup")
    days = {"dev": 14, "prod": 365}[package.folder.name.partition("-")[0]]

    assert {one["RetentionInDays"] for one in groups.values()} == {days}
    written = {
        one["LoggingConfig"]["LogGroup"]["Ref"]
        for one in package.of_type("AWS::Serverless::Function").values()
    }
    api = package.resources["RestAPI"]["Properties"]
    access = api["AccessLogSetting"]["DestinationArn"]["Fn::GetAtt"][0]
    assert written | {access} == set(groups)
    fields = set(json.loads(api["AccessLogSetting"]["Format"]))
    assert {"request_id", "status", "route"} <= fields


def test_the_api_is_limited_and_traced(package: Package) -> None:
    """
    And its function ends before API Gateway does, with memory for a slice of a list.
    """
    api = package.resources["RestAPI"]["Properties"]
    function = package.resources["APIHandler"]["Properties"]

    (limits,) = api["MethodSettings"]
    assert (limits["HttpMethod"], limits["ResourcePath"]) == ("*", "/*")
    assert limits["ThrottlingBurstLimit"] >= limits["ThrottlingRateLimit"] > 0
    assert api["TracingEnabled"] == {"Fn::If": ["IsTraced", True, False]}
    assert function["Timeout"] <= 29
    assert function["MemorySize"] >= 1024
    functions = package.of_type("AWS::Serverless::Function")
    assert {one["Tracing"]["Ref"] for one in functions.values()} == {"Tracing"}


@pytest.mark.parametrize(
    ("function", "queue_name"), [("Importer", "ImportQueue"), ("Worker", "UploadQueue")]
)
def test_a_message_stays_hidden_while_a_function_runs(
    package: Package, function: str, queue_name: str
) -> None:
    """What no run could do goes to a queue of its own, which keeps it for two weeks."""
    worker = package.resources[function]["Properties"]
    queue = package.resources[queue_name]["Properties"]
    dead = queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]

    assert worker["Timeout"] == 900
    assert worker["MemorySize"] >= 1024
    assert queue["VisibilityTimeout"] > worker["Timeout"]
    assert queue["MessageRetentionPeriod"] == KEPT.total_seconds()
    (source,) = worker["Events"].values()
    assert source["Properties"]["Queue"] == {"Fn::GetAtt": [queue_name, "Arn"]}
    assert source["Properties"]["BatchSize"] == 1
    for name in (dead, "RecordDeadLetterQueue"):
        kept = package.resources[name]["Properties"]["MessageRetentionPeriod"]
        assert kept == 14 * 24 * 3600


def test_an_items_records_keep_their_order_and_what_fails_is_set_aside(
    package: Package,
) -> None:
    """Alone, after tries that end long before the stream forgets it, in 24 hours."""
    (source,) = package.resources["Stream"]["Properties"]["Events"].values()

    assert source["Type"] == "DynamoDB"
    how = source["Properties"]
    assert how["Stream"] == {"Fn::GetAtt": ["ImagesTable", "StreamArn"]}
    assert how["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert how["BisectBatchOnFunctionError"] is True
    assert 0 < how["MaximumRetryAttempts"] <= 100
    assert 0 < how["MaximumRecordAgeInSeconds"] <= 12 * 3600
    aside = how["DestinationConfig"]["OnFailure"]
    assert aside == {
        "Type": "SQS",
        "Destination": {"Fn::GetAtt": ["RecordDeadLetterQueue", "Arn"]},
    }
    assert how["ParallelizationFactor"] == 10


def test_the_bucket_is_private_and_forgets_abandoned_parts(package: Package) -> None:
    """Encrypted, owned by the bucket's owner, reached by TLS alone."""
    bucket = package.resources["DataBucket"]["Properties"]
    policy = package.resources["DataBucketPolicy"]["Properties"]["PolicyDocument"]

    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    # Later than the sweep ends an upload that its client left alone.
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 30}
    (statement,) = policy["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_every_alarm_tells_somebody_and_watches_what_is_there(
    package: Package,
) -> None:
    """And says where its runbook is."""
    alarms = package.of_type("AWS::CloudWatch::Alarm")
    known = {*package.resources, "AWS::StackName"}

    assert alarms
    for name, alarm in alarms.items():
        assert alarm["AlarmActions"] == [{"Ref": "Alarms"}]
        assert f"See {name} in docs/operations.md." in alarm["AlarmDescription"]
        for one in alarm["Dimensions"]:
            value = one["Value"]
            if isinstance(value, dict):
                target = value.get("Ref") or value["Fn::GetAtt"][0]
                assert target in known
    watched = json.dumps(alarms)
    for name in ("APIHandler", "Importer", "Worker", "Stream", "Sweep"):
        assert name in watched
    for name in ("UploadDeadLetterQueue", "RecordDeadLetterQueue", "IteratorAge"):
        assert name in watched


def test_the_dashboard_is_json(package: Package) -> None:
    """Once CloudFormation has filled it in."""
    (board,) = package.of_type("AWS::CloudWatch::Dashboard").values()

    widgets = json.loads(board["DashboardBody"]["Fn::Sub"])["widgets"]
    assert len(widgets) > 4


def test_a_domain_by_parameter(package: Package) -> None:
    """A stack without parameters has none."""
    template = package.template

    assert template["Parameters"]["DomainName"]["Default"] == ""
    conditional = {
        name
        for name, resource in template["Resources"].items()
        if resource.get("Condition") == "HasDomain"
    }
    assert conditional == {"Domain", "DomainMapping"}
    bare = deployed(package.resources, {"HasBasePath": False})
    assert template["Parameters"]["BasePath"]["Default"] == ""
    assert "BasePath" not in bare["DomainMapping"]["Properties"]
    assert template["Parameters"]["Auth"]["AllowedValues"] == ["keystone", "oidc"]


def test_nobody_is_bounded_unless_set(package: Package) -> None:
    """A stack without parameters has no firewall, no reserved runs and no budget."""
    parameters = package.template["Parameters"]
    resources = package.resources
    bounds = ("RequestsPerAddress", "RequestsPerToken", "MonthlyBudget")

    assert {parameters[name]["Default"] for name in bounds} == {0}
    assert resources["Firewall"]["Condition"] == "HasFirewall"
    assert resources["FirewallOfApi"]["Condition"] == "HasFirewall"
    assert resources["Budget"]["Condition"] == "HasBudget"
    unreserved = {"HasApiConcurrency": False, "HasBackgroundConcurrency": False}
    assert "ReservedConcurrentExecutions" not in json.dumps(
        deployed(resources, unreserved)
    )


def test_the_firewall_counts_addresses_and_tokens(package: Package) -> None:
    """Each by a parameter, and refused with a status that clients retry."""
    conditions = {"BoundsAddresses": False, "BoundsTokens": True}

    rules = deployed(package.resources, conditions)["Firewall"]["Properties"]["Rules"]

    for rule, header in zip(rules, ("x-auth-token", "authorization"), strict=True):
        rate = rule["Statement"]["RateBasedStatement"]
        assert rate["Limit"] == {"Ref": "RequestsPerToken"}
        assert rate["CustomKeys"][0]["Header"]["Name"] == header
    refusals = [rule["Action"]["Block"]["CustomResponse"] for rule in rules]
    assert {one["ResponseCode"] for one in refusals} == {503}
    (address,) = deployed(
        package.resources, {"BoundsAddresses": True, "BoundsTokens": False}
    )["Firewall"]["Properties"]["Rules"]
    rate = address["Statement"]["RateBasedStatement"]
    assert (rate["AggregateKeyType"], rate["Limit"]) == (
        "IP",
        {"Ref": "RequestsPerAddress"},
    )


def test_runs_are_reserved_for_every_function(package: Package) -> None:
    """For the API's by one parameter, for those behind it by another."""
    functions = package.of_type("AWS::Serverless::Function")

    named = {
        name: one["ReservedConcurrentExecutions"]["Fn::If"][1]["Ref"]
        for name, one in functions.items()
    }
    assert named.pop("APIHandler") == "ApiConcurrency"
    assert set(named.values()) == {"BackgroundConcurrency"}


def test_the_table_and_its_indexes_are_bounded(package: Package) -> None:
    """An index without a bound would be read without one."""
    table = package.resources["ImagesTable"]["Properties"]
    bounded = {
        "MaxReadRequestUnits": {"Ref": "TableReadsMax"},
        "MaxWriteRequestUnits": {"Ref": "TableWritesMax"},
    }

    bounds = [one["OnDemandThroughput"] for one in table["GlobalSecondaryIndexes"]]
    assert [table["OnDemandThroughput"], *bounds] == [bounded] * 4


def test_the_address_in_execute_api_can_be_switched_off(package: Package) -> None:
    """The output then names the domain."""
    switch = package.resources["RestAPI"]["Properties"]["DisableExecuteApiEndpoint"]
    outputs = deployed(package.template["Outputs"], {"IsAtDomainAlone": True})

    assert switch == {"Fn::If": ["IsAtDomainAlone", True, False]}
    assert package.template["Parameters"]["ExecuteApi"]["Default"] == "on"
    assert outputs["Endpoint"]["Value"] == {
        "Fn::Sub": "https://${DomainName}/${BasePath}"
    }


def test_every_role_has_the_boundary_that_is_set(package: Package) -> None:
    """Without it GitHub's role could make one that may more than itself."""
    roles = package.of_type("AWS::IAM::Role")
    boundary = {"Fn::If": ["HasBoundary", {"Ref": "Boundary"}, {"Ref": "AWS::NoValue"}]}

    assert len(roles) >= 4
    assert [one["PermissionsBoundary"] for one in roles.values()] == [boundary] * len(
        roles
    )


def test_the_function_is_in_no_network_unless_set(package: Package) -> None:
    """Then no endpoint costs anything, and its role has no right on networks."""
    outside = {"IsInVpc": False}
    resources = deployed(package.resources, outside)

    assert "VpcConfig" not in resources["APIHandler"]["Properties"]
    assert "ManagedPolicyArns" not in resources["ApiRole"]["Properties"]
    made = {
        name: one["Condition"]
        for name, one in resources.items()
        if one["Type"].startswith("AWS::EC2::")
    }
    assert made == {
        "DynamoDbEndpoint": "CreatesEndpoints",
        "S3Endpoint": "CreatesEndpoints",
        "SecretEndpoint": "CreatesSecretEndpoint",
        "SecretEndpointGroup": "CreatesSecretEndpoint",
    }


def test_a_private_keystone_is_reached_from_subnets(package: Package) -> None:
    """And AWS by endpoints of each service that the API's function calls."""
    resources = deployed(package.resources, {"IsInVpc": True})

    network = resources["APIHandler"]["Properties"]["VpcConfig"]
    assert network == {
        name: {"Fn::Split": [",", {"Ref": name}]}
        for name in ("SubnetIds", "SecurityGroupIds")
    }
    (managed,) = resources["ApiRole"]["Properties"]["ManagedPolicyArns"]
    assert managed["Fn::Sub"].endswith("/AWSLambdaVPCAccessExecutionRole")
    called = {action.partition(":")[0] for action, _ in granted()["api"]}
    by_lambda = {"logs", "xray"}
    # One endpoint is that of the credential: of Secrets Manager or of SSM.
    assert called - by_lambda == {"dynamodb", "s3", "secretsmanager", "ssm"}
    endpoints = package.of_type("AWS::EC2::VPCEndpoint")
    assert set(endpoints) == {"DynamoDbEndpoint", "S3Endpoint", "SecretEndpoint"}


def test_no_cors_unless_set(package: Package) -> None:
    """Neither in what API Gateway answers by itself, nor in the bucket."""
    parameters = package.template["Parameters"]

    resources = deployed(package.resources, {"HasCors": False})

    assert parameters["CorsOrigins"]["Default"] == ""
    assert package.template["Conditions"]["HasCors"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "CorsOrigins"}, ""]}]
    }
    assert "Access-Control" not in json.dumps(resources)
    assert "CorsConfiguration" not in json.dumps(resources)


def test_pages_of_origins_that_are_set_reach_all_that_answers(package: Package) -> None:
    """The function, API Gateway by itself, and the bucket."""
    resources = deployed(package.resources, {"HasCors": True})

    variables = resources["APIHandler"]["Properties"]["Environment"]["Variables"]
    assert variables["CORS_ORIGINS"] == {"Ref": "CorsOrigins"}
    body = resources["RestAPI"]["Properties"]["DefinitionBody"]
    header = "gatewayresponse.header.Access-Control-Allow-Origin"
    responses = body["x-amazon-apigateway-gateway-responses"].values()
    assert {one["responseParameters"][header] for one in responses} == {"'*'"}
    rules = resources["DataBucket"]["Properties"]["CorsConfiguration"]["CorsRules"]
    assert {one["AllowedMethods"][0]: one["AllowedOrigins"] for one in rules} == {
        "GET": ["*"],  # A browser that was redirected names no origin.
        "PUT": {"Fn::Split": [",", {"Ref": "CorsOrigins"}]},
    }


def deployed(template: Any, conditions: dict[str, bool]) -> Any:
    """
    Return what CloudFormation makes of `Fn::If` where the conditions are known.
    """
    if isinstance(template, list):
        some = [deployed(one, conditions) for one in template]
        return [one for one in some if one != {"Ref": "AWS::NoValue"}]
    if not isinstance(template, dict):
        return template
    if list(template) == ["Fn::If"] and template["Fn::If"][0] in conditions:
        name, yes, no = template["Fn::If"]
        return deployed(yes if conditions[name] else no, conditions)
    filled = {key: deployed(one, conditions) for key, one in template.items()}
    return {key: one for key, one in filled.items() if one != {"Ref": "AWS::NoValue"}}


def test_what_was_deployed_can_be_deployed_again(package: Package) -> None:
    """CloudFormation goes back to an artifact of any age: none expires."""
    account = read(ROOT / "infra/account.yaml")["Resources"]["ArtifactBucket"]

    assert account["DeletionPolicy"] == "Retain"
    assert "LifecycleConfiguration" not in account["Properties"]
    code = {
        one["CodeUri"] for one in package.of_type("AWS::Serverless::Function").values()
    }
    assert code == {"./deployment.zip"}
