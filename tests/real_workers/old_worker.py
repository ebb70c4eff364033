"""`worker.py` of a worker folder: runs the worker that PyPI calls azure-functions-worker, version 1.1.9.

It is older than half of what hosts tell a worker on the command line and refuses what it does not know, so the newer
spellings are left out.
"""

# mypy: ignore-errors

import os
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
KNOWN = ("--host", "--port", "--workerId", "--requestId", "--grpcMaxMessageLength")

sys.path.insert(0, str(FOLDER))
sys.path.append(os.environ.get("AzureWebJobsScriptRoot", ""))  # noqa: SIM112

if __name__ == "__main__":
    given = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    sys.argv[1:] = [text for name in KNOWN if name in given for text in (name, given[name])]
    from azure_functions_worker import main

    main.main()
