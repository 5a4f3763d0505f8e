"""Handlers of many forms: the event says which one answers."""

import collections
import datetime
import decimal
import enum
import logging
import os
import sys
import time
import uuid

logger = logging.getLogger()
child = logging.getLogger("my.child")

Point = collections.namedtuple("Point", "x y")


class Color(enum.IntEnum):
    RED = 1


class Text(str):
    pass


class Custom(Exception):
    pass


class Odd(Exception):
    def __str__(self):
        return "odd \u00fc\n second line"


def nested():
    raise KeyError("missing")


def chain():
    try:
        nested()
    except KeyError as e:
        raise Custom("outer") from e


def circular():
    a = []
    a.append(a)
    return a


def context(c):
    return {
        "request": c.aws_request_id,
        "group": c.log_group_name,
        "stream": c.log_stream_name,
        "name": c.function_name,
        "memory": c.memory_limit_in_mb,
        "version": c.function_version,
        "arn": c.invoked_function_arn,
        "tenant": c.tenant_id,
        "left": 0 < c.get_remaining_time_in_millis() <= 60000,
        "type": type(c.get_remaining_time_in_millis()).__name__,
        "identity": [c.identity.cognito_identity_id, c.identity.cognito_identity_pool_id],
        "client": None
        if c.client_context is None
        else {
            "custom": c.client_context.custom,
            "env": c.client_context.env,
            "client": None
            if c.client_context.client is None
            else {n: getattr(c.client_context.client, n) for n in c.client_context.client.__slots__},
        },
        "w3c": c.w3c(),
        "trace": os.environ.get("_X_AMZN_TRACE_ID"),
        "repr": repr(c),
    }


def logs(c):
    print("printed", "twice")
    print("no newline", end="")
    print()
    print("to stderr", file=sys.stderr)
    logger.warning("a warning %s", 1)
    logger.info("not shown")
    logger.setLevel(logging.INFO)
    logger.info("shown: \u00fc")
    child.error("of a child")
    logging.info("by the module")
    logger.setLevel(logging.WARNING)
    c.log("by the context\n")
    logging.basicConfig(level=logging.DEBUG)  # does nothing: there is a handler
    logger.debug("not shown")
    try:
        nested()
    except KeyError:
        logger.exception("caught")


answers = {
    "none": lambda e, c: None,
    "echo": lambda e, c: e["value"],
    "numbers": lambda e, c: [1, -0.0, 1.5, 1e100, 10**30, True, 1e16, 0.1, 123456789.123],
    "special": lambda e, c: [float("nan"), float("inf"), float("-inf")],
    "text": lambda e, c: {"a": "\u00fc\u20ac\U0001f600\u2028", "b": '"\\/\n\x7f\x00'},
    "tuple": lambda e, c: (1, (2, 3)),
    "named tuple": lambda e, c: {"p": [Point(1, Point(2, 3))], "q": Point(1, 2)},
    "decimal": lambda e, c: {"a": decimal.Decimal("1.10"), "b": [decimal.Decimal("NaN"), decimal.Decimal("1E+5")], "c": 0.5},
    "keys": lambda e, c: {1: "a", 1.5: "b", None: "c", True: "d"},
    "bad key": lambda e, c: {(1, 2): 3},
    "enum": lambda e, c: [Color.RED, {Color.RED: Color.RED}],
    "subclass": lambda e, c: [Text("x"), collections.OrderedDict(b=1, a=2), collections.defaultdict(list, x=[1])],
    "bytes": lambda e, c: b"raw \xff bytes",
    "bytes inside": lambda e, c: {"a": b"text"},
    "bad bytes inside": lambda e, c: {"a": b"\xff"},
    "set": lambda e, c: {1, 2},
    "date": lambda e, c: datetime.datetime(2026, 1, 2),
    "uuid": lambda e, c: {"id": uuid.UUID(int=1)},
    "object": lambda e, c: object,
    "generator": lambda e, c: (i for i in range(3)),
    "circular": lambda e, c: circular(),
    "lone surrogate": lambda e, c: "\ud800",
    "large": lambda e, c: "x" * 2_000_000,
    "context": lambda e, c: context(c),
    "raise": lambda e, c: nested(),
    "raise chain": lambda e, c: chain(),
    "raise odd": lambda e, c: (_ for _ in ()).throw(Odd()),
    "raise empty": lambda e, c: (_ for _ in ()).throw(Custom()),
    "type": lambda e, c: e["a"]["b"],
    "environment": lambda e, c: {k: os.environ.get(k) for k in ("AWS_EXECUTION_ENV", "_HANDLER", "LAMBDA_TASK_ROOT", "PYTHONPATH")},
    "directory": lambda e, c: [os.getcwd(), sys.path[0]],
    "level": lambda e, c: [logger.level, len(logger.handlers), logging.Formatter.converter is time.gmtime],
    "logs": lambda e, c: logs(c),
}


def handler(event, context):
    if isinstance(event, dict) and "do" in event:
        return answers[event["do"]](event, context)
    return event


async def coroutine(event, context):
    return 1


def exits(event, context):
    print("before")
    sys.exit(event)


def dies(event, context):
    os._exit(7)


def one_argument(event):
    return 1


class Callable:
    def __call__(self, event, context):
        return "called"

    def method(self, event, context):
        return "method"


instance = Callable()
method = instance.method
number = 5
