"""A server with credentials: python boto3_signed.py ENDPOINT"""

import io
import sys
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor

import boto3
import botocore.exceptions
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

ENDPOINT = sys.argv[1]
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def client(key, secret, region="us-east-1", attempts=4):
    return boto3.client("lambda", endpoint_url=ENDPOINT, region_name=region, aws_access_key_id=key, aws_secret_access_key=secret,
                        config=Config(retries={"max_attempts": attempts}))


def refused(code, call, **args):
    try:
        call(**args)
    except botocore.exceptions.ClientError as e:
        assert e.response["Error"]["Code"] == code, e.response
        assert e.response["ResponseMetadata"]["HTTPStatusCode"] == 403, e.response
        return
    raise AssertionError("was not refused")


out = io.BytesIO()
with zipfile.ZipFile(out, "w") as z:
    z.writestr(zipfile.ZipInfo("bootstrap"), "#!/bin/sh")
    z.writestr("large", bytes(12 << 20))  # stored: more than is kept in memory while the signature is checked

good = client("AKIDEXAMPLE", SECRET)
good.create_function(FunctionName="signed", Runtime="provided.al2023", Role="arn:aws:iam::000000000000:role/r", Handler="echo",
                     Code={"ZipFile": out.getvalue()})
good.get_waiter("function_active_v2").wait(FunctionName="signed", WaiterConfig={"Delay": 1})
assert good.invoke(FunctionName="signed", Qualifier="$LATEST", Payload=b'{"a": "b c"}')["Payload"].read() == b'{"a": "b c"}'
good.tag_resource(Resource="arn:aws:lambda:us-east-1:000000000000:function:signed", Tags={"a b": "c/d"})
good.untag_resource(Resource="arn:aws:lambda:us-east-1:000000000000:function:signed", TagKeys=["a b", "x"])
assert good.list_functions(MaxItems=10)["Functions"]

refused("InvalidSignatureException", client("AKIDEXAMPLE", "guess").list_functions)
refused("InvalidSignatureException", client("AKIDEXAMPLE", SECRET, region="eu-central-1").list_functions)
refused("UnrecognizedClientException", client("SOMEBODY", SECRET).list_functions)

for path in ("/2015-03-31/functions", "/cloudjit/v1/functions"):
    try:
        urllib.request.urlopen(ENDPOINT + path)
        raise AssertionError("was not refused")
    except urllib.error.HTTPError as e:
        assert e.code == 403 and e.headers["X-Amzn-ErrorType"] == "MissingAuthenticationTokenException", e.headers
urllib.request.urlopen(ENDPOINT + "/cloudjit/v1/health")

# boto3 signs to the second, and nothing of its own: many calls in the same words have the same signature.
for i in range(50):
    assert good.invoke(FunctionName="signed", Payload=b"{}")["StatusCode"] == 200
    assert good.invoke(FunctionName="signed", Payload=b"{}", InvocationType="Event")["StatusCode"] == 202
with ThreadPoolExecutor(8) as pool:
    assert all(r["StatusCode"] == 200 for r in pool.map(lambda _: good.invoke(FunctionName="signed", Payload=b"[]"), range(100)))
for i in range(3):  # what changes something is signed again, a second later
    good.put_function_concurrency(FunctionName="signed", ReservedConcurrentExecutions=7)

# What was heard on its way and is sent again, as it was or with another number.
heard = []
good.meta.events.register("before-send.lambda.*", lambda request, **_: heard.append(request) and None)
good.invoke(FunctionName="signed", Payload=b'"heard"')
good.tag_resource(Resource="arn:aws:lambda:us-east-1:000000000000:function:signed", Tags={"heard": "1"})
good.list_functions()
for request, change, want in (
    (heard[0], {}, 403),
    (heard[0], {"X-Amz-Invocation-Type": "Event"}, 403),
    (heard[1], {}, 403),
    (heard[1], {"amz-sdk-invocation-id": "another"}, 429),
    (heard[2], {}, 200),  # it only looks
):
    again = urllib.request.Request(request.url, data=request.body or None, method=request.method)
    for k, v in {**dict(request.headers), **change}.items():
        again.add_header(k, v.decode() if isinstance(v, bytes) else v)
    try:
        status = urllib.request.urlopen(again).status
    except urllib.error.HTTPError as e:
        status = e.code
    assert status == want, (request.url, change, status)

# Users that may not do everything.
shop, reader = client("AKIDSHOP", SECRET), client("AKIDREADER", SECRET)


def make(c, name):
    c.create_function(FunctionName=name, Runtime="provided.al2023", Role="arn:aws:iam::000000000000:role/r", Handler="echo",
                      Code={"ZipFile": out.getvalue()})


make(good, "shop-cart")
good.get_waiter("function_active_v2").wait(FunctionName="shop-cart", WaiterConfig={"Delay": 1})
assert shop.invoke(FunctionName="shop-cart", Payload=b"1")["Payload"].read() == b"1"
refused("AccessDeniedException", shop.invoke, FunctionName="signed")
refused("AccessDeniedException", shop.delete_function, FunctionName="shop-cart")
refused("AccessDeniedException", shop.list_functions)
assert [f["FunctionName"] for f in reader.list_functions()["Functions"]] == ["shop-cart"]
refused("AccessDeniedException", reader.get_function, FunctionName="signed")
refused("AccessDeniedException", reader.get_function, FunctionName="arn:aws:lambda:us-east-1:000000000000:function:signed")
refused("AccessDeniedException", reader.invoke, FunctionName="shop-cart")
refused("AccessDeniedException", make, c=client("AKIDDEPLOY", SECRET), name="signed2")
make(client("AKIDDEPLOY", SECRET), "shop-new")
refused("AccessDeniedException", client("AKIDDEPLOY", SECRET).put_function_event_invoke_config, FunctionName="shop-new",
        DestinationConfig={"OnSuccess": {"Destination": "arn:aws:lambda:us-east-1:000000000000:function:signed"}})

# A function's URL that wants signatures.
u = good.create_function_url_config(FunctionName="shop-cart", AuthType="AWS_IAM")["FunctionUrl"]
path = ENDPOINT + "/cloudjit/v1/urls/" + urllib.parse.urlparse(u).hostname.split(".")[0] + "/"


def open_url(key):
    request = AWSRequest("GET", path)
    if key:
        SigV4Auth(Credentials(key, SECRET), "lambda", "us-east-1").add_auth(request)
    try:
        return urllib.request.urlopen(urllib.request.Request(path, headers=dict(request.headers))).status
    except urllib.error.HTTPError as e:
        return e.code


assert [open_url(k) for k in ("AKIDEXAMPLE", "AKIDSHOP", "AKIDREADER", None)] == [200, 200, 403, 403]
