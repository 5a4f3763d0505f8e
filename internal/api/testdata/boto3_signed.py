"""A server with credentials: python boto3_signed.py ENDPOINT"""

import io
import sys
import urllib.error
import urllib.request
import zipfile

import boto3
import botocore.exceptions
from botocore.config import Config

ENDPOINT = sys.argv[1]
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def client(key, secret):
    return boto3.client("lambda", endpoint_url=ENDPOINT, region_name="eu-central-1", aws_access_key_id=key, aws_secret_access_key=secret,
                        config=Config(retries={"max_attempts": 1}))


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
refused("UnrecognizedClientException", client("SOMEBODY", SECRET).list_functions)

for path in ("/2015-03-31/functions", "/cloudjit/v1/functions"):
    try:
        urllib.request.urlopen(ENDPOINT + path)
        raise AssertionError("was not refused")
    except urllib.error.HTTPError as e:
        assert e.code == 403 and e.headers["X-Amzn-ErrorType"] == "MissingAuthenticationTokenException", e.headers
urllib.request.urlopen(ENDPOINT + "/cloudjit/v1/health")
