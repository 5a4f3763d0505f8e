"""The root logger of a function, as AWS Lambda sets it up."""

import json
import os
import sys
import time
import traceback

import cloudjit_runtime


def set_up(logging):
    as_json = os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    level = "DEBUG" if level == "TRACE" else level
    logging.Formatter.converter = time.gmtime

    class LambdaLoggerHandler(logging.Handler):
        def emit(self, record):
            sys.stdout.write(self.format(record))

    class LambdaLoggerFilter(logging.Filter):
        def filter(self, record):
            record.aws_request_id = cloudjit_runtime.request_id
            record.tenant_id = cloudjit_runtime.tenant_id
            return True

    known = frozenset(vars(logging.makeLogRecord({}))) | {"aws_request_id", "tenant_id", "message", "asctime"}

    class JsonFormatter(logging.Formatter):
        def format(self, record):
            number = min(50, max(0, record.levelno)) // 10 * 10
            failed = record.exc_info or None
            fields = {
                "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
                "level": logging.getLevelName(number),
                "message": record.msg if isinstance(record.msg, dict) and not record.args else record.getMessage(),
                "logger": record.name,
                "stackTrace": failed and traceback.format_tb(failed[2]),
                "errorType": failed and failed[0] and failed[0].__name__,
                "errorMessage": failed and str(failed[1]),
                "requestId": record.aws_request_id,
                "location": failed and f"{record.pathname}:{record.funcName}:{record.lineno}",
                "tenantId": record.tenant_id,
            }
            for name, value in vars(record).items():
                if name not in known and name not in fields:
                    fields[name] = value
            return json.dumps({k: v for k, v in fields.items() if v is not None}, ensure_ascii=False, default=str) + "\n"

    handler = LambdaLoggerHandler()
    if as_json:
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n", "%Y-%m-%dT%H:%M:%S"))
    handler.addFilter(LambdaLoggerFilter())
    root = logging.getLogger()
    if level in logging._nameToLevel:
        root.setLevel(level)
    root.addHandler(handler)
