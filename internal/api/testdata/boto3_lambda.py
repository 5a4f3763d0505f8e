"""What real clients do, by boto3 with nothing but an endpoint set.

Run by TestBoto3 against a server whose functions behave as their Handler says
(fake_test.go): python boto3_lambda.py ENDPOINT
"""

import base64
import io
import json
import sys
import unittest
import urllib.error
import urllib.request
import zipfile

import boto3
import botocore.exceptions
from botocore.config import Config

ENDPOINT = sys.argv.pop(1)
ROLE = "arn:aws:iam::000000000000:role/anything"
ARN = "arn:aws:lambda:us-east-1:000000000000:function:"


def archive(*names):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name in names or ("bootstrap",):
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o755 << 16
            z.writestr(info, "#!/bin/sh\n# " + name)
    return out.getvalue()


def client(**more):
    config = Config(retries={"max_attempts": 1}, read_timeout=30, parameter_validation=more.pop("check", True))
    return boto3.client("lambda", endpoint_url=ENDPOINT, region_name="us-east-1", aws_access_key_id="test",
                        aws_secret_access_key="test", config=config, **more)


class Lambda(unittest.TestCase):
    def setUp(self):
        self.c = client()
        self.name = self.id().rsplit(".", 1)[1]

    def create(self, handler="echo", name=None, **more):
        r = self.c.create_function(FunctionName=name or self.name, Runtime="provided.al2023", Role=ROLE, Handler=handler,
                                   Code={"ZipFile": archive()}, **more)
        self.c.get_waiter("function_active_v2").wait(FunctionName=name or self.name, WaiterConfig={"Delay": 1})
        return r

    def refused(self, code, status, call, **args):
        with self.assertRaises(botocore.exceptions.ClientError) as caught:
            call(**args)
        r = caught.exception.response
        self.assertEqual((r["Error"]["Code"], r["ResponseMetadata"]["HTTPStatusCode"]), (code, status), r)
        self.assertTrue(r["Error"]["Message"], r)
        return r

    def test_create_and_get(self):
        r = self.create(Description="d", Timeout=7, MemorySize=256, Environment={"Variables": {"STAGE": "x"}}, Tags={"a": "b"},
                        EphemeralStorage={"Size": 1024}, TracingConfig={"Mode": "Active"}, LoggingConfig={"LogFormat": "JSON"},
                        SnapStart={"ApplyOn": "None"})
        self.assertEqual(r["ResponseMetadata"]["HTTPStatusCode"], 201)
        self.assertEqual((r["State"], r["Version"], r["PackageType"]), ("Pending", "$LATEST", "Zip"))
        g = self.c.get_function(FunctionName=self.name)
        c = g["Configuration"]
        want = {"FunctionName": self.name, "FunctionArn": ARN + self.name, "Timeout": 7, "MemorySize": 256, "Description": "d",
                "Environment": {"Variables": {"STAGE": "x"}}, "State": "Active", "LastUpdateStatus": "Successful", "Role": ROLE,
                "EphemeralStorage": {"Size": 1024}, "TracingConfig": {"Mode": "Active"}, "Runtime": "provided.al2023"}
        self.assertEqual({k: c[k] for k in want}, want)
        self.assertEqual(g["Tags"], {"a": "b"})
        logs = {"LogFormat": "JSON", "ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO", "LogGroup": "/aws/lambda/" + self.name}
        self.assertEqual(c["LoggingConfig"], logs)
        self.refused("InvalidParameterValueException", 400, self.c.update_function_configuration, FunctionName=self.name,
                     LoggingConfig={"LogFormat": "Text", "ApplicationLogLevel": "WARN"})
        self.assertEqual(len(base64.b64decode(c["CodeSha256"])), 32)
        code = urllib.request.urlopen(g["Code"]["Location"]).read()
        self.assertEqual((len(code), code), (c["CodeSize"], archive()))
        for name in (ARN + self.name, "000000000000:function:" + self.name, "function:" + self.name):
            self.assertEqual(self.c.get_function_configuration(FunctionName=name)["RevisionId"], c["RevisionId"])
        self.refused("ResourceConflictException", 409, self.create)

    def test_create_is_refused(self):
        ok = dict(FunctionName=self.name, Runtime="provided.al2023", Role=ROLE, Handler="echo", Code={"ZipFile": archive()})
        loose = client(check=False)
        invalid = "InvalidParameterValueException"
        for code, change in (
            (invalid, {"Code": {"ZipFile": b"no zip at all"}}),
            (invalid, {"Code": {"ZipFile": archive()[:-30]}}),
            (invalid, {"Code": {"ZipFile": archive("../bootstrap")}}),
            (invalid, {"Code": {"ZipFile": archive("/etc/x", "bootstrap")}}),
            (invalid, {"Code": {"ZipFile": archive("main.py")}}),
            (invalid, {"Code": {"S3Bucket": "bucket", "S3Key": "key"}}),
            (invalid, {"Code": {"ImageUri": "image"}, "PackageType": "Image"}),
            (invalid, {"Runtime": "python3.12"}),
            (invalid, {"Layers": ["arn:aws:lambda:us-east-1:000000000000:layer:l:1"]}),
            (invalid, {"Environment": {"Variables": {"AWS_REGION": "x"}}}),
            (invalid, {"Environment": {"Variables": {"A1": "x" * 5000}}}),
            (invalid, {"VpcConfig": {"SubnetIds": ["s"], "SecurityGroupIds": ["g"]}}),
            ("ValidationException", {"FunctionName": "bad name"}),
            ("ValidationException", {"FunctionName": "x" * 65}),
            ("ValidationException", {"Timeout": 901}),
            ("ValidationException", {"Timeout": 0}),
            ("ValidationException", {"MemorySize": 64}),
            ("ValidationException", {"Role": "me"}),
            ("ValidationException", {"Environment": {"Variables": {"1A": "x"}}}),
        ):
            with self.subTest(change=str(change)[:60]):
                self.refused(code, 400, loose.create_function, **{**ok, **change})
        self.refused("ResourceNotFoundException", 404, self.c.get_function, FunctionName=self.name)

    def test_list_is_paged(self):
        names = [f"{self.name}-{i:02}" for i in range(7)]
        for n in names:
            self.create(name=n)
        pages = list(self.c.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 3}))
        self.assertGreaterEqual(len(pages), 3)
        got = [f["FunctionName"] for p in pages for f in p["Functions"]]
        self.assertEqual([n for n in got if n.startswith(self.name)], names)
        self.assertEqual(len(got), len(set(got)))
        self.c.publish_version(FunctionName=names[3])
        got = [f["FunctionArn"] for p in self.c.get_paginator("list_functions").paginate(
            FunctionVersion="ALL", PaginationConfig={"PageSize": 2}) for f in p["Functions"]]
        self.assertIn(ARN + names[3] + ":1", got)
        self.assertIn(ARN + names[3] + ":$LATEST", got)
        for n in names:
            self.c.delete_function(FunctionName=n)

    def test_update(self):
        self.create()
        before = self.c.get_function_configuration(FunctionName=self.name)
        dry = self.c.update_function_code(FunctionName=self.name, ZipFile=archive("bootstrap", "more"), DryRun=True)
        self.assertNotEqual(dry["CodeSha256"], before["CodeSha256"])
        self.assertEqual(self.c.get_function_configuration(FunctionName=self.name)["CodeSha256"], before["CodeSha256"])
        r = self.c.update_function_code(FunctionName=self.name, ZipFile=archive("bootstrap", "more"), RevisionId=before["RevisionId"])
        self.assertEqual(r["CodeSha256"], dry["CodeSha256"])
        self.c.get_waiter("function_updated_v2").wait(FunctionName=self.name, WaiterConfig={"Delay": 1})
        self.refused("PreconditionFailedException", 412, self.c.update_function_code, FunctionName=self.name, ZipFile=archive(),
                     RevisionId=before["RevisionId"])
        self.refused("InvalidParameterValueException", 400, self.c.update_function_code, FunctionName=self.name, ZipFile=b"PK\x03\x04")
        r = self.c.update_function_configuration(FunctionName=self.name, Timeout=9, Handler="describe", Environment={"Variables": {"STAGE": "y"}})
        self.assertEqual((r["Timeout"], r["Handler"]), (9, "describe"))
        self.c.get_waiter("function_updated_v2").wait(FunctionName=self.name, WaiterConfig={"Delay": 1})
        self.assertEqual(json.load(self.c.invoke(FunctionName=self.name)["Payload"])["stage"], "y")
        r = self.c.update_function_configuration(FunctionName=self.name, Description="only words")
        self.assertEqual((r["LastUpdateStatus"], r["Timeout"]), ("Successful", 9))

    def test_invoke(self):
        self.create()
        r = self.c.invoke(FunctionName=self.name, Payload=b'{"a": [1, "\xc3\xa9"]}', LogType="Tail")
        self.assertEqual((r["StatusCode"], r["ExecutedVersion"], json.load(r["Payload"])), (200, "$LATEST", {"a": [1, "é"]}))
        self.assertIn(b"hello", base64.b64decode(r["LogResult"]))
        self.assertNotIn("FunctionError", r)
        self.assertEqual(self.c.invoke(FunctionName=self.name, InvocationType="DryRun")["StatusCode"], 204)
        self.assertEqual(self.c.invoke(FunctionName=self.name, InvocationType="Event", Payload=b"{}")["StatusCode"], 202)
        self.create("fail", name=self.name + "-f")
        r = self.c.invoke(FunctionName=self.name + "-f")
        self.assertEqual((r["StatusCode"], r["FunctionError"]), (200, "Unhandled"))
        self.assertEqual(json.load(r["Payload"])["errorType"], "java.lang.IllegalStateException")
        self.refused("ResourceNotFoundException", 404, self.c.invoke, FunctionName="none")
        self.refused("InvalidRequestContentException", 400, self.c.invoke, FunctionName=self.name, Payload=b"{")
        self.refused("RequestTooLargeException", 413, self.c.invoke, FunctionName=self.name, Payload=b'"' + b"x" * (6 << 20) + b'"')
        self.create("throttle", name=self.name + "-t")
        r = self.refused("TooManyRequestsException", 429, self.c.invoke, FunctionName=self.name + "-t")
        self.assertEqual(r["Reason"], "ReservedFunctionConcurrentInvocationLimitExceeded")

    def test_invoke_with_response_stream(self):
        self.create("stream")
        events = list(self.c.invoke_with_response_stream(FunctionName=self.name)["EventStream"])
        self.assertEqual([e["PayloadChunk"]["Payload"] for e in events[:-1]], [b"one ", b"two"])
        self.assertIn("InvokeComplete", events[-1])
        self.create("fail", name=self.name + "-f")
        events = list(self.c.invoke_with_response_stream(FunctionName=self.name + "-f", LogType="Tail")["EventStream"])
        self.assertEqual(events[-1]["InvokeComplete"]["ErrorCode"], "Unhandled")
        self.assertIn("IllegalState", events[-1]["InvokeComplete"]["ErrorDetails"])

    def test_versions_and_aliases(self):
        self.create("describe", Publish=True)
        self.assertEqual(self.c.publish_version(FunctionName=self.name)["Version"], "1")  # nothing has changed
        self.c.update_function_configuration(FunctionName=self.name, Timeout=5)
        self.c.get_waiter("function_updated_v2").wait(FunctionName=self.name, WaiterConfig={"Delay": 1})
        self.refused("InvalidParameterValueException", 400, self.c.publish_version, FunctionName=self.name, CodeSha256="x")
        v = self.c.publish_version(FunctionName=self.name, Description="second")
        self.assertEqual((v["Version"], v["FunctionArn"], v["Description"]), ("2", ARN + self.name + ":2", "second"))
        self.c.get_waiter("published_version_active").wait(FunctionName=self.name, Qualifier="2", WaiterConfig={"Delay": 1})
        got = [x["Version"] for p in self.c.get_paginator("list_versions_by_function").paginate(
            FunctionName=self.name, PaginationConfig={"PageSize": 2}) for x in p["Versions"]]
        self.assertEqual(got, ["$LATEST", "1", "2"])
        a = self.c.create_alias(FunctionName=self.name, Name="live", FunctionVersion="1", Description="d")
        self.assertEqual((a["AliasArn"], a["FunctionVersion"]), (ARN + self.name + ":live", "1"))
        self.refused("ResourceConflictException", 409, self.c.create_alias, FunctionName=self.name, Name="live", FunctionVersion="1")
        self.refused("ResourceNotFoundException", 404, self.c.create_alias, FunctionName=self.name, Name="x", FunctionVersion="9")
        a = self.c.update_alias(FunctionName=self.name, Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 1.0}})
        self.assertEqual(a["RoutingConfig"], {"AdditionalVersionWeights": {"2": 1.0}})
        r = self.c.invoke(FunctionName=self.name, Qualifier="live")
        body = json.load(r["Payload"])
        self.assertEqual((r["ExecutedVersion"], body["version"], body["arn"]), ("2", "2", ARN + self.name + ":live"))
        self.refused("PreconditionFailedException", 412, self.c.update_alias, FunctionName=self.name, Name="live", RevisionId="x")
        self.assertEqual(self.c.get_alias(FunctionName=self.name, Name="live")["RevisionId"], a["RevisionId"])
        self.assertEqual(self.c.get_function(FunctionName=self.name, Qualifier="live")["Configuration"]["Version"], "1")
        self.assertEqual(len(self.c.list_aliases(FunctionName=self.name)["Aliases"]), 1)
        self.refused("ResourceConflictException", 409, self.c.delete_function, FunctionName=self.name, Qualifier="2")
        self.assertEqual(self.c.delete_alias(FunctionName=self.name, Name="live")["ResponseMetadata"]["HTTPStatusCode"], 204)
        self.refused("ResourceNotFoundException", 404, self.c.get_alias, FunctionName=self.name, Name="live")
        self.c.delete_function(FunctionName=self.name, Qualifier="2")
        self.refused("ResourceNotFoundException", 404, self.c.get_function, FunctionName=self.name, Qualifier="2")
        self.refused("InvalidParameterValueException", 400, self.c.delete_function, FunctionName=self.name, Qualifier="$LATEST")
        self.assertEqual(self.c.delete_function(FunctionName=self.name)["ResponseMetadata"]["HTTPStatusCode"], 204)
        self.refused("ResourceNotFoundException", 404, self.c.delete_function, FunctionName=self.name)

    def test_concurrency(self):
        self.create()
        self.assertNotIn("ReservedConcurrentExecutions", self.c.get_function_concurrency(FunctionName=self.name))
        self.c.put_function_concurrency(FunctionName=self.name, ReservedConcurrentExecutions=5)
        self.assertEqual(self.c.get_function_concurrency(FunctionName=self.name)["ReservedConcurrentExecutions"], 5)
        self.assertEqual(self.c.get_function(FunctionName=self.name)["Concurrency"], {"ReservedConcurrentExecutions": 5})
        limits = self.c.get_account_settings()["AccountLimit"]
        self.assertEqual(limits["ConcurrentExecutions"] - limits["UnreservedConcurrentExecutions"], 5)
        self.refused("InvalidParameterValueException", 400, self.c.put_function_concurrency, FunctionName=self.name, ReservedConcurrentExecutions=10000)
        self.c.delete_function_concurrency(FunctionName=self.name)
        self.refused("ProvisionedConcurrencyConfigNotFoundException", 404, self.c.get_provisioned_concurrency_config, FunctionName=self.name, Qualifier="1")
        self.assertEqual(self.c.list_provisioned_concurrency_configs(FunctionName=self.name)["ProvisionedConcurrencyConfigs"], [])

    def test_url(self):
        self.create("http")
        u = self.c.create_function_url_config(FunctionName=self.name, AuthType="NONE", Cors={"AllowOrigins": ["https://a.test"], "AllowMethods": ["GET"], "MaxAge": 60})
        self.refused("ResourceConflictException", 409, self.c.create_function_url_config, FunctionName=self.name, AuthType="NONE")
        self.assertEqual(self.c.get_function_url_config(FunctionName=self.name)["FunctionUrl"], u["FunctionUrl"])
        host, port = u["FunctionUrl"].split("/")[2].split(":")
        self.assertTrue(host.endswith(".lambda-url.localhost"), u)

        def fetch(method="GET", **headers):
            r = urllib.request.Request(ENDPOINT + "/x", method=method, headers={"Host": host, **headers})
            return urllib.request.urlopen(r)

        r = fetch(Origin="https://a.test")
        self.assertEqual((r.status, r.read(), r.headers["X-A"], r.headers["Set-Cookie"]), (201, b"hi", "b", "c=1"))
        self.assertEqual(r.headers["Access-Control-Allow-Origin"], "https://a.test")
        r = fetch("OPTIONS", Origin="https://a.test", **{"Access-Control-Request-Method": "GET"})
        self.assertEqual((r.headers["Access-Control-Allow-Methods"], r.headers["Access-Control-Max-Age"]), ("GET", "60"))
        self.assertIsNone(fetch(Origin="https://b.test").headers["Access-Control-Allow-Origin"])
        self.assertEqual(self.c.update_function_url_config(FunctionName=self.name, InvokeMode="RESPONSE_STREAM")["InvokeMode"], "RESPONSE_STREAM")
        self.assertEqual(len(self.c.list_function_url_configs(FunctionName=self.name)["FunctionUrlConfigs"]), 1)
        self.c.delete_function_url_config(FunctionName=self.name)
        self.refused("ResourceNotFoundException", 404, self.c.get_function_url_config, FunctionName=self.name)
        with self.assertRaises(urllib.error.HTTPError):
            fetch()

    def test_tags(self):
        self.create(Tags={"a": "1"})
        self.c.tag_resource(Resource=ARN + self.name, Tags={"b": "2", "c d": "3"})
        self.assertEqual(self.c.list_tags(Resource=ARN + self.name)["Tags"], {"a": "1", "b": "2", "c d": "3"})
        self.c.untag_resource(Resource=ARN + self.name, TagKeys=["a", "c d"])
        self.assertEqual(self.c.list_tags(Resource=ARN + self.name)["Tags"], {"b": "2"})
        self.refused("ResourceNotFoundException", 404, self.c.list_tags, Resource=ARN + "none")

    def test_event_invoke_config(self):
        self.create()
        self.create(name=self.name + "-to")
        to = {"OnFailure": {"Destination": ARN + self.name + "-to"}}
        self.refused("ResourceNotFoundException", 404, self.c.get_function_event_invoke_config, FunctionName=self.name)
        self.c.put_function_event_invoke_config(FunctionName=self.name, MaximumRetryAttempts=1, DestinationConfig=to)
        r = self.c.update_function_event_invoke_config(FunctionName=self.name, MaximumEventAgeInSeconds=60)
        self.assertEqual((r["MaximumRetryAttempts"], r["MaximumEventAgeInSeconds"], r["DestinationConfig"]["OnFailure"]), (1, 60, to["OnFailure"]))
        self.assertEqual(len(self.c.list_function_event_invoke_configs(FunctionName=self.name)["FunctionEventInvokeConfigs"]), 1)
        self.refused("InvalidParameterValueException", 400, self.c.put_function_event_invoke_config, FunctionName=self.name,
                     DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:000000000000:queue"}})
        self.c.delete_function_event_invoke_config(FunctionName=self.name)

    def test_permissions(self):
        self.create()
        self.refused("ResourceNotFoundException", 404, self.c.get_policy, FunctionName=self.name)
        add = dict(FunctionName=self.name, StatementId="s3", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com", SourceArn="arn:aws:s3:::bucket")
        s = json.loads(self.c.add_permission(**add)["Statement"])
        self.assertEqual((s["Principal"], s["Resource"]), ({"Service": "s3.amazonaws.com"}, ARN + self.name))
        self.refused("ResourceConflictException", 409, self.c.add_permission, **add)
        p = self.c.get_policy(FunctionName=self.name)
        self.assertEqual([x["Sid"] for x in json.loads(p["Policy"])["Statement"]], ["s3"])
        self.refused("PreconditionFailedException", 412, self.c.remove_permission, FunctionName=self.name, StatementId="s3", RevisionId="x")
        self.c.remove_permission(FunctionName=self.name, StatementId="s3", RevisionId=p["RevisionId"])
        self.refused("ResourceNotFoundException", 404, self.c.remove_permission, FunctionName=self.name, StatementId="s3")

    def test_what_is_not_here(self):
        self.create()
        self.assertEqual(self.c.list_event_source_mappings()["EventSourceMappings"], [])
        self.refused("InvalidParameterValueException", 400, self.c.create_event_source_mapping, FunctionName=self.name, EventSourceArn="arn:aws:sqs:us-east-1:000000000000:q")
        self.assertEqual(self.c.list_layers()["Layers"], [])
        self.assertFalse(self.c.get_function_code_signing_config(FunctionName=self.name).get("CodeSigningConfigArn"))
        self.assertEqual(self.c.get_runtime_management_config(FunctionName=self.name)["UpdateRuntimeOn"], "Auto")
        self.assertEqual(self.c.get_function_recursion_config(FunctionName=self.name)["RecursiveLoop"], "Terminate")

    def test_terraform(self):
        """What the AWS provider for Terraform sends for a function and what comes with it: create, refresh, change, destroy."""
        name, missing = self.name, "ResourceNotFoundException"
        self.refused(missing, 404, self.c.get_function, FunctionName=name)
        self.create(Publish=True, Tags={"t": "1"}, PackageType="Zip")
        self.c.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=3)

        def refresh(version):
            g = self.c.get_function(FunctionName=name)
            self.assertEqual((g["Tags"], g["Concurrency"]), ({"t": "1"}, {"ReservedConcurrentExecutions": 3}))
            self.assertTrue(g["Code"]["Location"])
            self.assertEqual(self.c.get_function_code_signing_config(FunctionName=name)["FunctionName"], name)
            last = self.c.list_versions_by_function(FunctionName=name, MaxItems=10000)["Versions"][-1]
            self.assertEqual((last["Version"], last["FunctionArn"]), (version, ARN + name + ":" + version))
            q = self.c.get_function(FunctionName=name, Qualifier=version)
            self.assertEqual(q["Configuration"]["Version"], version)
            self.assertEqual(self.c.get_function_concurrency(FunctionName=name)["ReservedConcurrentExecutions"], 3)
            self.assertEqual(self.c.list_tags(Resource=ARN + name)["Tags"], {"t": "1"})
            self.assertEqual(self.c.get_runtime_management_config(FunctionName=name)["UpdateRuntimeOn"], "Auto")

        refresh("1")

        # aws_lambda_function_url: two statements for everybody, then the URL; aws_lambda_permission
        self.refused(missing, 404, self.c.get_policy, FunctionName=name)
        self.c.add_permission(FunctionName=name, StatementId="FunctionURLAllowPublicAccess", Action="lambda:InvokeFunctionUrl", Principal="*", FunctionUrlAuthType="NONE")
        self.c.add_permission(FunctionName=name, StatementId="FunctionURLInvokeAllowPublicAccess", Action="lambda:InvokeFunction", Principal="*", InvokedViaFunctionUrl=True)
        self.refused(missing, 404, self.c.get_function_url_config, FunctionName=name)
        url = self.c.create_function_url_config(FunctionName=name, AuthType="NONE")
        self.assertEqual(self.c.get_function_url_config(FunctionName=name)["FunctionArn"], url["FunctionArn"])
        self.c.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
        self.c.add_permission(FunctionName=name, Qualifier="live", StatementId="events", Action="lambda:InvokeFunction", Principal="events.amazonaws.com")
        statements = json.loads(self.c.get_policy(FunctionName=name, Qualifier="live")["Policy"])["Statement"]
        self.assertEqual([(s["Sid"], s["Resource"]) for s in statements], [("events", ARN + name + ":live")])
        self.assertEqual(len(json.loads(self.c.get_policy(FunctionName=name)["Policy"])["Statement"]), 2)

        # aws_lambda_function_event_invoke_config, ..._recursion_config, aws_lambda_runtime_management_config
        self.refused(missing, 404, self.c.get_function_event_invoke_config, FunctionName=name)
        r = self.c.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0, MaximumEventAgeInSeconds=60, DestinationConfig={"OnFailure": {}, "OnSuccess": {}})
        self.assertEqual(r["FunctionArn"], ARN + name + ":$LATEST")
        self.assertEqual(self.c.put_function_recursion_config(FunctionName=name, RecursiveLoop="Terminate")["RecursiveLoop"], "Terminate")
        self.refused("InvalidParameterValueException", 400, self.c.put_function_recursion_config, FunctionName=name, RecursiveLoop="Allow")
        self.assertEqual(self.c.put_runtime_management_config(FunctionName=name, UpdateRuntimeOn="Auto")["FunctionArn"], ARN + name)
        self.refused("ProvisionedConcurrencyConfigNotFoundException", 404, self.c.get_provisioned_concurrency_config, FunctionName=name, Qualifier="live")

        # change
        self.c.update_function_configuration(FunctionName=name, MemorySize=512, VpcConfig={"SubnetIds": [], "SecurityGroupIds": [], "Ipv6AllowedForDualStack": False},
                                             Layers=[], FileSystemConfigs=[], DeadLetterConfig={"TargetArn": ""}, ImageConfig={}, Environment={"Variables": {}})
        self.c.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
        self.c.update_function_code(FunctionName=name, ZipFile=archive("bootstrap", "new"), Architectures=["x86_64"])
        self.c.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
        v = self.c.publish_version(FunctionName=name)
        self.assertEqual(v["Version"], "2")
        # it waits for the version by its ARN and its number
        done = self.c.get_function_configuration(FunctionName=v["FunctionArn"], Qualifier="2")
        self.assertEqual(done["LastUpdateStatus"], "Successful")
        refresh("2")

        # destroy, in the order of dependencies; each is looked for afterwards
        self.c.remove_permission(FunctionName=name, Qualifier="live", StatementId="events")
        self.refused(missing, 404, self.c.get_policy, FunctionName=name, Qualifier="live")
        self.c.delete_alias(FunctionName=name, Name="live")
        self.refused(missing, 404, self.c.get_alias, FunctionName=name, Name="live")
        self.c.delete_function_event_invoke_config(FunctionName=name)
        self.refused(missing, 404, self.c.delete_function_event_invoke_config, FunctionName=name)
        self.c.delete_function_url_config(FunctionName=name)
        self.refused(missing, 404, self.c.get_function_url_config, FunctionName=name)
        self.c.delete_function_concurrency(FunctionName=name)
        self.assertNotIn("Concurrency", self.c.get_function(FunctionName=name))
        self.c.delete_function(FunctionName=name)
        for call in (self.c.get_function, self.c.get_policy, self.c.list_versions_by_function, self.c.get_function_code_signing_config, self.c.delete_function):
            self.refused(missing, 404, call, FunctionName=name)
        self.refused(missing, 404, self.c.list_tags, Resource=ARN + name)

    def test_every_operation_has_an_answer(self):
        """Each operation of the service model is served, or refused with an error that the model knows."""
        c, known = client(check=False), {"InvalidParameterValueException", "ResourceNotFoundException", "ValidationException"}

        def example(shape, name):
            if shape.type_name == "structure":
                return {k: example(v, k) for k, v in shape.members.items() if k in shape.required_members}
            if shape.type_name == "list":
                return [example(shape.member, name)]
            if shape.type_name == "string" and shape.enum:
                return shape.enum[0]
            arn = ARN + "nobody"
            return {"integer": 1, "long": 1, "boolean": True, "map": {"a": "b"}, "blob": b"{}", "timestamp": 0,
                    "string": {"Resource": arn}.get(name, "nobody")}[shape.type_name]

        for name in c.meta.service_model.operation_names:
            shape = c.meta.service_model.operation_model(name).input_shape
            try:
                getattr(c, botocore.xform_name(name))(**(example(shape, "") if shape else {}))
            except botocore.exceptions.ClientError as e:
                self.assertIn(e.response["Error"]["Code"], known, name + ": " + str(e))
                self.assertIn(e.response["ResponseMetadata"]["HTTPStatusCode"], (400, 404), name)

    def test_settings_without_effect_are_refused(self):
        for setting in (dict(PublishTo="LATEST_PUBLISHED", Publish=True), dict(TenancyConfig={"TenantIsolationMode": "PER_TENANT"}),
                        dict(DurableConfig={"ExecutionTimeout": 60, "RetentionPeriodInDays": 1}), dict(Layers=["arn:aws:lambda:us-east-1:000000000000:layer:l:1"])):
            self.refused("InvalidParameterValueException", 400, self.c.create_function, FunctionName=self.name, Runtime="provided.al2023", Role=ROLE,
                         Handler="echo", Code={"ZipFile": archive()}, **setting)


if __name__ == "__main__":
    unittest.main()
