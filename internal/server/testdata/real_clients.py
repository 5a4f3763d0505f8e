"""What boto3 sees of functions that really run: python real_clients.py ENDPOINT FOLDER

The folder has greeter.jar, site.jar and guest.zip (see fixture_test.go).
"""

import base64
import concurrent.futures
import http.client
import json
import os
import re
import socket
import sys
import threading
import time
import unittest
import urllib.request

import boto3
import botocore.exceptions
from botocore.config import Config

ENDPOINT, FOLDER = sys.argv.pop(1), sys.argv.pop(1)
HOST = ENDPOINT.split("/")[2]
ROLE = "arn:aws:iam::000000000000:role/anything"
ARN = "arn:aws:lambda:us-east-1:000000000000:function:"


def client():
    return boto3.client("lambda", endpoint_url=ENDPOINT, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x",
                        config=Config(retries={"max_attempts": 1}, read_timeout=60, max_pool_connections=50))


def code(name):
    with open(os.path.join(FOLDER, name), "rb") as f:
        return f.read()


def own(path):
    return json.load(urllib.request.urlopen(ENDPOINT + "/cloudjit/v1" + path))


def until(what, seconds=20):
    end = time.monotonic() + seconds
    while not (got := what()):
        if time.monotonic() > end:
            raise AssertionError("still not so: " + what.__name__)
        time.sleep(0.05)
    return got


c = client()


def create(name, archive, runtime, handler, tag="1", **more):
    variables = {"TAG": tag, **more.pop("variables", {})}
    c.create_function(FunctionName=name, Runtime=runtime, Role=ROLE, Handler=handler, Code={"ZipFile": code(archive)},
                      Environment={"Variables": variables}, **{"Timeout": 20, "MemorySize": 256, **more})
    c.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})


def java(name, **more):
    create(name, "greeter.jar", "java21", "Greeter::handle", **more)


def guest(name, **more):
    create(name, "guest.zip", "provided.al2023", "any", **more)


def invoke(name, do="", id="a", ms=0, **more):
    r = c.invoke(FunctionName=name, Payload=json.dumps({"do": do, "id": id, "ms": ms}), **more)
    body = r["Payload"].read()
    return r, json.loads(body) if body else None


class Real(unittest.TestCase):
    def refused(self, error, status, call, **args):
        with self.assertRaises(botocore.exceptions.ClientError) as caught:
            call(**args)
        r = caught.exception.response
        self.assertEqual((r["Error"]["Code"], r["ResponseMetadata"]["HTTPStatusCode"]), (error, status), r)
        self.assertTrue(r["Error"]["Message"], r)
        return r

    def logs(self, name):
        doc = urllib.request.urlopen(ENDPOINT + "/cloudjit/v1/functions/" + name + "/logs").read().decode()
        return doc

    def failed(self, name, error, message, **how):
        r, doc = invoke(name, **how)
        self.assertEqual((r["StatusCode"], r["FunctionError"], doc["errorType"]), (200, "Unhandled", error), doc)
        self.assertRegex(doc["errorMessage"], message)
        r, doc = invoke(name, id="after")  # costs the next caller nothing
        self.assertNotIn("FunctionError", r)
        self.assertEqual(doc["id"], "after")

    def test_kinds_of_invocation(self):
        for make, name in ((java, "kinds-java"), (guest, "kinds-guest")):
            make(name)
            for cold in (True, False):
                r, doc = invoke(name, "print", "x1", LogType="Tail")
                self.assertEqual((r["StatusCode"], r["ExecutedVersion"], doc), (200, "$LATEST", {"id": "x1", "tag": "1"}))
                self.assertNotIn("FunctionError", r)
                log = base64.b64decode(r["LogResult"]).decode()
                request = r["ResponseMetadata"]["RequestId"]
                self.assertRegex(log, "START RequestId: " + request + r" Version: \$LATEST\n(?s:.*)printed x1\n(?s:.*)END RequestId: " + request)
                report = re.search(r"REPORT RequestId: (\S+)\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 256 MB\t"
                                   r"Max Memory Used: (\d+) MB(\tInit Duration: [\d.]+ ms)?\n", log)
                self.assertIsNotNone(report, log)
                self.assertEqual((report[1], report[3] is not None), (request, cold))
                self.assertTrue(2 <= int(report[2]) <= 256, log)
            self.assertEqual(invoke(name, InvocationType="DryRun")[0]["StatusCode"], 204)
            self.assertEqual(invoke(name, "print", "event-1", InvocationType="Event")[0]["StatusCode"], 202)

            def printed():
                return "printed event-1" in self.logs(name)

            until(printed)

    def test_what_functions_do_wrong(self):
        java("wrong-java")
        r, doc = invoke("wrong-java", "fail", "f1")
        self.assertEqual((r["StatusCode"], r["FunctionError"]), (200, "Unhandled"))
        self.assertEqual((doc["errorType"], doc["errorMessage"]), ("java.lang.IllegalStateException", "told to fail: f1"))
        self.assertRegex(doc["stackTrace"][0], r"Greeter\.handle\(")
        self.failed("wrong-java", "Runtime.ExitError", "exit status 3", do="exit")
        self.failed("wrong-java", "java.lang.OutOfMemoryError", "Java heap space", do="allocate")
        guest("wrong-guest", Timeout=1, MemorySize=128)
        self.failed("wrong-guest", "Guest.Error", "told to fail", do="fail")
        self.failed("wrong-guest", "Runtime.ExitError", "exit status 3", do="exit")
        self.failed("wrong-guest", "Sandbox.Timedout", r"Task timed out after 1\.00 seconds", ms=5000)
        if os.geteuid() == 0:  # where control groups limit memory
            self.failed("wrong-guest", "Runtime.OutOfMemory", "signal: killed", do="allocate")

    def test_a_function_that_cannot_start(self):
        create("no-class", "greeter.jar", "java21", "Nobody::handle")
        r, doc = invoke("no-class")
        self.assertEqual(r["FunctionError"], "Unhandled", doc)
        self.assertIn("Nobody", json.dumps(doc))

    def test_limits(self):
        guest("limits", MemorySize=512)
        big = "x" * (6 << 20)
        self.assertEqual(invoke("limits", id=big[:-100])[1]["id"], big[:-100])
        self.refused("RequestTooLargeException", 413, c.invoke, FunctionName="limits", Payload=json.dumps({"id": big}))
        self.refused("RequestTooLargeException", 413, c.invoke, FunctionName="limits", InvocationType="Event", Payload=json.dumps({"id": big[:1 << 20]}))
        self.refused("InvalidRequestContentException", 400, c.invoke, FunctionName="limits", Payload="{no")
        self.refused("ResourceNotFoundException", 404, c.invoke, FunctionName="nobody")
        self.refused("ResourceNotFoundException", 404, c.invoke, FunctionName="limits", Qualifier="7")

    def test_throttles(self):
        guest("throttled")
        c.put_function_concurrency(FunctionName="throttled", ReservedConcurrentExecutions=0)
        r = self.refused("TooManyRequestsException", 429, c.invoke, FunctionName="throttled")
        self.assertEqual(r["Reason"], "ReservedFunctionConcurrentInvocationLimitExceeded")
        c.put_function_concurrency(FunctionName="throttled", ReservedConcurrentExecutions=1)

        def one(i):
            try:
                r, doc = invoke("throttled", id=str(i), ms=300)
            except botocore.exceptions.ClientError as e:
                self.assertEqual(e.response["Error"]["Code"], "TooManyRequestsException")
                return "throttled"
            self.assertEqual(doc["id"], str(i))
            return "ok"

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            got = list(pool.map(one, range(8)))
        self.assertIn("ok", got)
        self.assertIn("throttled", got)
        self.assertEqual(sum(w["function"] == "throttled" for w in own("/workers")["workers"]), 1)
        c.delete_function_concurrency(FunctionName="throttled")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            self.assertEqual(set(pool.map(one, range(8))), {"ok"})

    def test_versions_and_weighted_alias(self):
        guest("versions")
        self.assertEqual(c.publish_version(FunctionName="versions")["Version"], "1")
        c.update_function_configuration(FunctionName="versions", Environment={"Variables": {"TAG": "2"}})
        c.get_waiter("function_updated_v2").wait(FunctionName="versions", WaiterConfig={"Delay": 1})
        self.assertEqual(c.publish_version(FunctionName="versions")["Version"], "2")
        c.create_alias(FunctionName="versions", Name="live", FunctionVersion="1", RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}})
        seen = {"1": 0, "2": 0}
        for _ in range(60):
            r, doc = invoke("versions", Qualifier="live")
            self.assertEqual(doc["tag"], r["ExecutedVersion"])
            seen[doc["tag"]] += 1
        self.assertGreater(min(seen.values()), 10, seen)
        self.assertEqual(invoke("versions", Qualifier="1")[1]["tag"], "1")

    def test_updates_under_load(self):
        guest("updated", tag="0")
        stop, newest, counts, errors = threading.Event(), [0], [], []

        def load():
            n, last = 0, 0
            while not stop.is_set():
                least = newest[0]
                try:
                    r, doc = invoke("updated", id=str(n))
                    tag = int(doc["tag"])
                    if "FunctionError" in r or doc["id"] != str(n) or tag < least or tag < last:
                        errors.append((r, doc, least, last))
                    last = tag
                except Exception as e:  # noqa: BLE001: whatever it is, it is wrong
                    errors.append(repr(e))
                n += 1
            counts.append(n)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for t in threads:
            t.start()
        for i in range(1, 9):
            if i % 2:
                c.update_function_configuration(FunctionName="updated", Environment={"Variables": {"TAG": str(i)}})
            else:
                c.update_function_code(FunctionName="updated", ZipFile=code("other.zip" if i % 4 else "guest.zip"))
            c.get_waiter("function_updated_v2").wait(FunctionName="updated", WaiterConfig={"Delay": 1})
            newest[0] = i if i % 2 else i - 1
        stop.set()
        for t in threads:
            t.join()
        self.assertEqual(errors[:3], [])
        print(f"{sum(counts)} answers during 8 updates", file=sys.stderr)

    def test_on_failure_destination(self):
        guest("failing")
        guest("undertaker", variables={"PRINT": "1"})
        c.put_function_event_invoke_config(FunctionName="failing", MaximumRetryAttempts=1,
                                           DestinationConfig={"OnFailure": {"Destination": ARN + "undertaker"}})
        request = invoke("failing", "fail", "lost-1", InvocationType="Event")[0]["ResponseMetadata"]["RequestId"]

        def told():
            m = re.search(r'\{\\?"version\\?".*lost-1.*', self.logs("undertaker"))
            return m and m[0]

        doc = until(told)
        for want in ("RetriesExhausted", request, "told to fail: lost-1"):
            self.assertIn(want, doc)
        self.assertRegex(doc, r'approximateInvokeCount\\?":\s*2')
        letters = [d for d in own("/dead-letters")["deadLetters"] if d["function"] == "failing"]
        self.assertEqual([(d["requestId"], d["attempts"]) for d in letters], [(request, 2)])

    def test_web(self):
        create("site", "site.jar", "java21", "Site", Timeout=2)
        u = c.create_function_url_config(FunctionName="site", AuthType="NONE")["FunctionUrl"]
        host = u.split("/")[2]

        def connect(**more):
            return http.client.HTTPConnection(HOST.split(":")[0], int(HOST.split(":")[1]), timeout=30, **more)

        def get(path):
            h = connect()
            h.request("GET", path, headers={"Host": host})
            r = h.getresponse()
            answer = r.status, r.read()
            h.close()
            return answer

        self.assertEqual(get("/w1"), (200, b'{"id":"w1","tag":"1"}'))

        def idle():
            return all(w["state"] == "idle" for w in own("/workers")["workers"] if w["function"] == "site")

        began = time.monotonic()  # a stream of twice the timeout
        status, body = get("/events")
        self.assertEqual((status, body.count(b"data:")), (200, 8))
        self.assertGreater(time.monotonic() - began, 3)
        self.assertEqual(get("/hang")[0], 504)
        until(idle)

        h = connect()  # a client that goes
        h.request("GET", "/endless", headers={"Host": host})
        r = h.getresponse()
        r.read(1000)
        r.close()
        h.close()
        until(idle)

        s = socket.create_connection((HOST.split(":")[0], int(HOST.split(":")[1])), timeout=10)  # bodies stream both ways
        s.sendall(f"POST /upload HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n".encode())
        f = s.makefile("rb")
        got = b""
        while b"first" not in got:
            line = f.readline()
            self.assertTrue(line, got)
            got += line
        for _ in range(20):
            s.sendall(b"2000\r\n" + b"x" * 8192 + b"\r\n")
        s.sendall(b"0\r\n\r\n")
        while b"all of it" not in got:
            line = f.readline()
            self.assertTrue(line, got)
            got += line
        s.close()
        f.close()

        s = socket.create_connection((HOST.split(":")[0], int(HOST.split(":")[1])), timeout=10)  # another protocol
        s.sendall(f"GET /upgrade HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n".encode())
        f = s.makefile("rb")
        self.assertIn(b"101", f.readline())
        while f.readline().strip():
            pass
        for word in (b"hello\n", b"again\n"):
            s.sendall(word)
            self.assertEqual(f.readline(), word.upper())
        s.close()
        f.close()
        until(idle)
        self.assertEqual(get("/w2")[0], 200)

    def test_delete(self):
        guest("gone")
        invoke("gone")
        c.delete_function(FunctionName="gone")
        self.refused("ResourceNotFoundException", 404, c.get_function, FunctionName="gone")
        self.refused("ResourceNotFoundException", 404, c.invoke, FunctionName="gone")

        def stopped():
            return not any(w["function"] == "gone" for w in own("/workers")["workers"])

        until(stopped)
        guest("gone", tag="new")
        self.assertEqual(invoke("gone")[1]["tag"], "new")


if __name__ == "__main__":
    unittest.main()
