"""`import azure.durable_functions` means this package once it is told to; each case in an interpreter of its own."""

import subprocess
import sys

import pytest

HIDE_THE_REAL_ONE = """
import sys
from importlib.abc import MetaPathFinder

class NotInstalled(MetaPathFinder):
    def find_spec(self, fullname, path, target=None):
        if fullname.startswith("azure.durable_functions"):
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)

sys.meta_path.insert(0, NotInstalled())
"""

REPLACE = """
import worker_ext
worker_ext.replace_durable_functions()
"""


def run(program: str) -> str:
    """What a program prints; its own failure is told too."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr.strip().rpartition("\n")[2]).strip()


@pytest.fixture(params=["installed", "not installed"])
def replaced(request: pytest.FixtureRequest) -> str:
    """The beginning of a program in which the package is replaced."""
    return (HIDE_THE_REAL_ONE if request.param == "not installed" else "") + REPLACE


def test_the_package_and_its_submodules_are_this_package(replaced: str) -> None:
    program = """
import azure.durable_functions as df
import azure.durable_functions.models.Task, azure.durable_functions.decorators.durable_app
from azure.durable_functions import DFApp, models
from azure.durable_functions.models.history import HistoryEventType
from azure.durable_functions.models.utils.entity_utils import EntityId
from azure.durable_functions.orchestrator import Orchestrator
from azure.durable_functions.entity import Entity
from azure.durable_functions.testing import orchestrator_generator_wrapper
import azure.functions, worker_ext.models.Task, worker_ext.decorators.durable_app
print(df is worker_ext, azure.durable_functions is worker_ext, models is worker_ext.models, DFApp is worker_ext.DFApp)
print(azure.durable_functions.models.Task.TaskBase is worker_ext.Task, EntityId is worker_ext.EntityId)
print(Orchestrator is worker_ext.Orchestrator, Entity is worker_ext.Entity, HistoryEventType.TIMER_FIRED)
modules = [name for name in sys.modules if name.startswith("azure.durable_functions")]
print({sys.modules[name].__spec__.name.partition(".")[0] for name in modules})
print([name for name in modules if sys.modules[name] is not sys.modules["worker_ext" + name[23:]]])
"""
    assert run("import sys\n" + replaced + program).splitlines() == [
        "True True True True",
        "True True",
        "True True 11",
        "{'worker_ext'}",
        "[]",
    ]


def test_an_app_that_imports_the_old_name_runs(replaced: str) -> None:
    program = """
import azure.functions as func
import azure.durable_functions as df
from worker_ext.testing import HistoryBuilder

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

@app.orchestration_trigger(context_name="context")
def hello(context: df.DurableOrchestrationContext):
    return [isinstance(context, df.DurableOrchestrationContext)]
    yield

print(hello.build().get_user_function()(HistoryBuilder().started("hello").payload()))
"""
    assert run(replaced + program) == '{"isDone":true,"actions":[[]],"output":[true],"schemaVersion":2}'


def test_a_patch_of_the_old_name_is_one_of_this_package(replaced: str) -> None:
    program = """
from unittest.mock import patch
with patch("azure.durable_functions.DurableOrchestrationClient") as client:
    print(worker_ext.DurableOrchestrationClient is client)
"""
    assert run(replaced + program) == "True"


def test_a_module_that_is_not_here_is_not_taken_from_the_real_one(replaced: str) -> None:
    expected = (
        "No module named 'azure.durable_functions.models.RpcManagementOptions': azure.durable_functions is replaced by "
        "worker_ext, which has no 'worker_ext.models.RpcManagementOptions'"
    )
    program = """
try:
    import azure.durable_functions.models.RpcManagementOptions
except ModuleNotFoundError as error:
    print(error)
"""
    assert run(replaced + program) == expected


def test_a_second_call_does_nothing(replaced: str) -> None:
    program = """
import sys
before = list(sys.meta_path)
worker_ext.replace_durable_functions()
print(sys.meta_path == before)
"""
    assert run(replaced + program) == "True"


@pytest.mark.parametrize(
    "imported,named",
    [
        ("import azure.durable_functions", "azure.durable_functions, azure.durable_functions.constants, "),
        ("from azure.durable_functions.models import RetryOptions", "azure.durable_functions, "),
    ],
)
def test_what_was_imported_before_is_an_error_that_says_what_to_do(imported: str, named: str) -> None:
    pytest.importorskip("azure.durable_functions", reason="azure-functions-durable 1.7.0 is not installed")
    told = run(imported + REPLACE)
    assert told.startswith(f"worker_ext.errors.AppError: replace_durable_functions() was called when {named}")
    assert told.endswith(
        "had already been imported, so that its classes may be in use. Call it first, at the top of function_app.py, "
        "before the import that brings azure-functions-durable in"
    )


def test_other_packages_of_the_namespace_are_left_alone(replaced: str) -> None:
    assert run(replaced + "import azure.functions; print(azure.functions.__name__)") == "azure.functions"
