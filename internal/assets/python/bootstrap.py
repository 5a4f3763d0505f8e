# What a Python function's worker starts with. The rest is a module of its own, so that Python can keep its compiled form.
import os
import sys

runtime = sys.path[0]
sys.path[0] = os.environ["LAMBDA_TASK_ROOT"]
sys.path.append(runtime)

import cloudjit_runtime  # noqa: E402

cloudjit_runtime.main()
