"""CloudJIT's runtime client for Python: runs the handler that _HANDLER names, as AWS Lambda's own does.

It does what the published awslambdaric does for a function, and imports no more than it needs: what a function does not
use (logging, decimal, traceback) is imported when it does. The tests compare the two over many forms of handlers.
"""

import json
import os
import sys
from _socket import AF_INET, IPPROTO_TCP, SOCK_STREAM, TCP_NODELAY, socket

BASE = "/2018-06-01/runtime/"

# Of the invocation that runs, for the log.
request_id = ""
tenant_id = None


class Fault(Exception):
    """An error that has Lambda's own name."""

    def __init__(self, kind, message, trace=None):
        super().__init__(message)
        self.kind, self.message, self.trace = kind, message, trace


# --- The Runtime API ---


class Gone(Exception):
    """The connection has ended."""


class Api:
    """The Runtime API on one connection. A request whose connection ends is sent again on a new one: to ask for the next
    event takes nothing that was not delivered, and answers carry the identifier of their invocation."""

    ATTEMPTS = 3

    def __init__(self, endpoint):
        host, _, port = endpoint.rpartition(":")
        self.address = (host, int(port))
        self.host = endpoint
        self.asks = self.head("GET", "invocation/next")
        self.socket = None
        self.rest = b""

    def head(self, method, path, headers="", length=None):
        text = f"{method} {BASE}{path} HTTP/1.1\r\nHost: {self.host}\r\n{headers}"
        if length is not None:
            text += f"Content-Length: {length}\r\n"
        return (text + "\r\n").encode("utf-8", "replace")

    def connect(self):
        if self.socket is None:
            s = socket(AF_INET, SOCK_STREAM)
            s.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            s.connect(self.address)
            self.socket, self.rest = s, b""

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def read(self):
        """One response: status, headers, body, and whether the connection goes on."""
        data = self.rest
        while True:
            end = data.find(b"\r\n\r\n")
            if end >= 0:
                break
            more = self.socket.recv(65536)
            if not more:
                raise Gone()
            data += more
        lines = data[:end].decode("utf-8", "replace").split("\r\n")
        status = int(lines[0].split(" ", 2)[1])
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        body = data[end + 4 :]
        if len(body) < length:
            parts, have = [body], len(body)
            while have < length:
                more = self.socket.recv(min(length - have, 1 << 20))
                if not more:
                    raise Gone()
                parts.append(more)
                have += len(more)
            body = b"".join(parts)
        self.rest = body[length:]
        keeps = headers.get("connection", "").lower() != "close"
        if not keeps:
            self.close()
        return status, headers, body[:length], keeps

    def exchange(self, request):
        for attempt in range(self.ATTEMPTS):
            fresh = self.socket is None
            try:
                self.connect()
                self.socket.sendall(request)
                return self.read()
            except (OSError, Gone):
                self.close()
                if fresh or attempt + 1 == self.ATTEMPTS:
                    raise

    def next(self):
        status, headers, body, _ = self.exchange(self.asks)
        return self.invocation(status, headers, body)

    def invocation(self, status, headers, body):
        if status != 200:
            raise RuntimeError(f"the Runtime API answered {status} to the request for an invocation: {body[:200]!r}")
        return headers, body

    def respond(self, invoke_id, body, content_type):
        """Gives the answer, and asks for the next event in the same write. What is said to the answer (accepted, or too
        large) is the platform's to tell."""
        head = self.head("POST", f"invocation/{invoke_id}/response", f"Content-Type: {content_type}\r\n", len(body))
        for attempt in range(self.ATTEMPTS):
            fresh, taken = self.socket is None, False
            try:
                self.connect()
                if len(body) < 65536:
                    self.socket.sendall(head + body + self.asks)
                else:
                    self.socket.sendall(head)
                    self.socket.sendall(body)
                    self.socket.sendall(self.asks)
                taken = self.read()[3]
                if taken:
                    return self.invocation(*self.read()[:3])
                return self.next()
            except (OSError, Gone):
                self.close()
                if taken:
                    return self.next()
                if fresh or attempt + 1 == self.ATTEMPTS:
                    raise

    def fail(self, path, document):
        body = encode(document).encode("utf-8", "backslashreplace")
        kind = "".join(c if " " < c < "\x7f" else "?" for c in document["errorType"]) or "Unhandled"
        headers = f"Content-Type: application/json\r\nLambda-Runtime-Function-Error-Type: {kind}\r\n"
        return self.exchange(self.head("POST", path, headers, len(body)) + body)[0]


# --- Events and answers ---

# As the published client: text beyond ASCII is written as it is from Python 3.12 on.
plain_text = sys.version_info >= (3, 12)

leaves = frozenset((str, int, float, bool, type(None)))


def tamed(value):
    """The value with named tuples as objects, as Lambda writes them; the value itself where there are none."""
    kind = type(value)
    if kind in leaves:
        return value
    if isinstance(value, dict):
        changed = None
        for k, v in value.items():
            if type(v) in leaves:
                continue
            t = tamed(v)
            if t is not v:
                changed = dict(value) if changed is None else changed
                changed[k] = t
        return value if changed is None else changed
    if isinstance(value, (list, tuple)):
        if kind is not list and kind is not tuple and callable(getattr(value, "_asdict", None)):
            return tamed(value._asdict())
        changed = None
        for i, v in enumerate(value):
            if type(v) in leaves:
                continue
            t = tamed(v)
            if t is not v:
                changed = list(value) if changed is None else changed
                changed[i] = t
        return value if changed is None else changed
    return value


class Exact(float):
    """A decimal number on its way through the encoder of the standard library, which knows none."""


def other(value):
    """What the encoder does not know."""
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8")
    decimal = sys.modules.get("decimal")
    if decimal is not None and isinstance(value, decimal.Decimal):
        if value.is_nan():
            return float("nan")
        exact = Exact(0)
        exact.text = str(value)
        return exact
    raise TypeError(f"Object of type {value.__class__.__name__} is not JSON serializable")


class HasDecimal(Exception):
    pass


def simple(value):
    v = other(value)
    if type(v) is Exact:
        raise HasDecimal()
    return v


def number(value):
    if type(value) is Exact:
        return value.text
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return float.__repr__(value)


fast = json.JSONEncoder(ensure_ascii=not plain_text, default=simple)


def encode(value):
    try:
        try:
            value = tamed(value)
        except RecursionError:
            pass  # the encoder says that it is circular
        return fast.encode(value)
    except HasDecimal:
        e = json.encoder
        text = e.encode_basestring if plain_text else e.encode_basestring_ascii
        return "".join(e._make_iterencode({}, other, text, None, number, ": ", ", ", False, False, True)(value, 0))


def marshal(answer):
    if isinstance(answer, bytes):
        return answer, "application/unknown"
    try:
        return encode(answer).encode("utf-8"), "application/json"
    except Exception as e:
        raise Fault("Runtime.MarshalError", f"Unable to marshal response: {e}") from None


def parsed(text, what):
    try:
        return json.loads(text)
    except Exception as e:
        raise Fault("Runtime.LambdaContextUnmarshalError", f"Unable to parse {what} JSON: {e}") from None


# --- The context object ---


class Fields:
    """An object with the fields of a document; what the document lacks is None."""

    __slots__ = ()

    def __init__(self, document):
        for name in self.__slots__:
            setattr(self, name, document.get(name))

    def __repr__(self):
        return f"{self.__class__.__name__}([" + ",".join(f"{n}={getattr(self, n, None)}" for n in self.__slots__) + "])"


class Client(Fields):
    __slots__ = ["installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name"]


class ClientContext(Fields):
    __slots__ = ["custom", "env", "client"]

    def __init__(self, document):
        super().__init__(document)
        if self.client is not None:
            self.client = Client(self.client)


class CognitoIdentity(Fields):
    __slots__ = ["cognito_identity_id", "cognito_identity_pool_id"]

    def __init__(self, document):
        if document is None:
            self.cognito_identity_id = self.cognito_identity_pool_id = None
            return
        self.cognito_identity_id = document.get("cognitoIdentityId")
        self.cognito_identity_pool_id = document.get("cognitoIdentityPoolId")


class LambdaContext:
    def __init__(self, headers):
        env = os.environ
        self.aws_request_id = headers["lambda-runtime-aws-request-id"]
        self.log_group_name = env.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = env.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = env.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = env.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = env.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn")
        self.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
        client = headers.get("lambda-runtime-client-context")
        client = parsed(client, "Client Context") if client else None
        trace = client.pop("w3c", None) if isinstance(client, dict) else None
        trace = trace if isinstance(trace, dict) else {}
        self._w3c_fields = {k: trace[k] for k in ("traceparent", "tracestate", "baggage") if isinstance(trace.get(k), str)}
        self.client_context = None if client is None else ClientContext(client)
        identity = headers.get("lambda-runtime-cognito-identity")
        self.identity = CognitoIdentity(parsed(identity, "Cognito Identity") if identity else None)
        self._epoch_deadline_time_in_ms = int(headers.get("lambda-runtime-deadline-ms", 0))

    def get_remaining_time_in_millis(self):
        import time

        return max(self._epoch_deadline_time_in_ms - int(time.time() * 1000), 0)

    def w3c(self):
        return dict(self._w3c_fields)

    def log(self, msg):
        sys.stdout.write(str(msg))

    def __repr__(self):
        names = ("aws_request_id", "log_group_name", "log_stream_name", "function_name", "memory_limit_in_mb",
                 "function_version", "invoked_function_arn", "client_context", "identity", "tenant_id")  # fmt: skip
        return "LambdaContext([" + ",".join(f"{n}={getattr(self, n)}" for n in names) + "])"


# --- The log ---


class Watch:
    """Sets logging up as soon as the function imports it, which most functions do and some do not: it takes longer to
    import than all of this."""

    def find_spec(self, name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        import importlib.util

        spec = importlib.util.find_spec("logging")
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            del spec.loader.exec_module
            import cloudjit_logging

            cloudjit_logging.set_up(module)

        spec.loader.exec_module = exec_module
        return spec


def log_failure(document):
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON":
        import time

        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        sys.stdout.write(encode({"timestamp": at, "level": "ERROR", **document}) + "\n")
        return
    line = "[ERROR]"
    if document["errorType"]:
        line += " " + document["errorType"] + (":" if document["errorMessage"] else "")
    if document["errorMessage"]:
        line += " " + document["errorMessage"]
    lines = [line, "Traceback (most recent call last):"]
    for frame in document["stackTrace"]:
        lines += frame.splitlines() or [""]
    sys.stdout.write("\n".join(lines) + "\n")


# --- The handler ---


def load(handler):
    module, dot, name = handler.rpartition(".")
    if not dot:
        raise Fault("Runtime.MalformedHandlerName",
                    f"Bad handler '{handler}': not enough values to unpack (expected 2, got 1)")  # fmt: skip
    if module.split(".")[0] in sys.builtin_module_names:
        raise Fault("Runtime.BuiltInModuleConflict", f"Cannot use built-in module {module} as a handler module")
    import importlib

    try:
        loaded = importlib.import_module(module.replace("/", "."))
    except ImportError as e:
        raise Fault("Runtime.ImportModuleError", f"Unable to import module '{module}': {e}") from None
    except SyntaxError as e:
        raise Fault("Runtime.UserCodeSyntaxError", f"Syntax error in module '{module}': {e}",
                    [f'  File "{e.filename}" Line {e.lineno}\n    {e.text}']) from None  # fmt: skip
    try:
        return getattr(loaded, name)
    except AttributeError:
        raise Fault("Runtime.HandlerNotFound", f"Handler '{name}' missing on module '{module}'") from None


def document(message, kind, trace, invoke_id=""):
    return {"errorMessage": message or "", "errorType": kind or "", "requestId": invoke_id, "stackTrace": trace or []}


def failure(error, invoke_id=""):
    """What is told of an exception: of its frames those of the function."""
    if isinstance(error, Fault):
        return document(error.message, error.kind, error.trace, invoke_id)
    import traceback

    frames = [(f.filename, f.lineno, f.name, f.line) for f in traceback.extract_tb(error.__traceback__)]
    while frames and frames[0][0] == __file__:
        frames.pop(0)
    return document(str(error), type(error).__name__, traceback.format_list(frames), invoke_id)


def invoke(handler, headers, event):
    context = LambdaContext(headers)
    kind = headers.get("content-type", "application/json")
    if kind == "application/json":
        try:
            event = json.loads(event)
        except Exception as e:
            raise Fault("Runtime.UnmarshalError", f"Unable to unmarshal input: {e}") from None
    return marshal(handler(event, context))


def serve(api, handler, headers, event):
    """Runs one invocation, and returns the next."""
    global request_id, tenant_id
    request_id = headers["lambda-runtime-aws-request-id"]
    tenant_id = headers.get("lambda-runtime-aws-tenant-id")
    trace = headers.get("lambda-runtime-trace-id")
    if trace:
        os.environ["_X_AMZN_TRACE_ID"] = trace
    else:
        os.environ.pop("_X_AMZN_TRACE_ID", None)
    try:
        body, kind = invoke(handler, headers, event)
    except Exception as e:
        told = failure(e, request_id)
        # Logged first: the platform may close the invocation's log with its answer.
        log_failure(told)
        flush()
        api.fail(f"invocation/{request_id}/error", told)
        return api.next()
    flush()
    return api.respond(request_id, body, kind)


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # the function has put something else in its place, or closed it


def checkpoint(api):
    """Gets ready to be saved, and in a copy makes it another one than its siblings. Returns the next invocation."""
    try:
        import cloudjit_checkpoint

        kind = "Runtime.BeforeSnapshotError"
        cloudjit_checkpoint.before()
        flush()
        status, headers, _, _ = api.exchange(api.head("GET", "restore/next"))
        if status != 200:
            raise RuntimeError(f"the Runtime API answered {status} to restore/next")
        if "lambda-runtime-environment" in headers:
            from urllib.parse import parse_qsl

            os.environ.update(parse_qsl(headers["lambda-runtime-environment"], keep_blank_values=True))
        kind = "Runtime.AfterRestoreError"
        cloudjit_checkpoint.after()
        flush()
    except Exception as e:
        told = failure(e)
        log_failure(told)
        flush()
        told["errorType"] = kind
        api.fail("restore/error", told)
        sys.exit(65)
    return api.next()


def main():
    # One write for each line that is printed, whatever it is printed by.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    release = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for extra in ("/opt/python", f"/opt/python/lib/python{release}/site-packages"):
        if os.path.isdir(extra):
            sys.path.insert(1, extra)
    if os.environ.get("AWS_LAMBDA_LOG_LEVEL") or "logging" in sys.modules:
        import logging

        import cloudjit_logging

        cloudjit_logging.set_up(logging)
    else:
        sys.meta_path.insert(0, Watch())
    api = Api(os.environ["AWS_LAMBDA_RUNTIME_API"])
    try:
        handler = load(os.environ["_HANDLER"])
    except Exception as e:
        told = failure(e)
        log_failure(told)
        flush()
        api.fail("init/error", told)
        sys.exit(1)
    headers, event = api.next()
    while True:
        if "lambda-runtime-checkpoint" in headers:
            headers, event = checkpoint(api)
        else:
            headers, event = serve(api, handler, headers, event)
