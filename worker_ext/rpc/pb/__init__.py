"""The messages of FunctionRpc, as classes of a descriptor pool of their own.

`__init__.pyi`, generated from protos/, says what is here; `_classes` says how it comes to be, and why in this way.
"""

from worker_ext.rpc.pb._classes import build

globals().update(build())

del build
