"""An app folder, imported and described."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from worker.conftest import WriteApp

from worker_ext.errors import AppError
from worker_ext.rpc import pb
from worker_ext.worker import indexing

pytestmark = pytest.mark.usefixtures("clean_imports")

HELLO = """
    import azure.functions as func
    app = func.FunctionApp()

    @app.route("hello/{name}", methods=["GET", "POST"], auth_level="ANONYMOUS")
    def hello(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse("hello")
"""


def index(folder: Path) -> list[indexing.AppFunction]:
    indexing.prepare_paths(folder)
    return indexing.index(folder)


def refusal(folder: Path) -> str:
    with pytest.raises(AppError) as caught:
        index(folder)
    return str(caught.value)


def test_function_is_described_as_hosts_expect(write_app: WriteApp) -> None:
    folder = write_app(HELLO)
    (function,) = index(folder)
    bindings = [json.loads(text) for text in function.metadata.raw_bindings]
    assert bindings == [
        {
            "direction": "IN",
            "type": "httpTrigger",
            "name": "req",
            "methods": ["GET", "POST"],
            "authLevel": "ANONYMOUS",
            "route": "hello/{name}",
        },
        {"direction": "OUT", "type": "http", "name": "$return"},
    ]
    assert function.metadata == pb.RpcFunctionMetadata(
        name="hello",
        function_id="4d71d03f-f19b-5d9e-8523-9628ba18063c",
        directory=str(folder),
        script_file="function_app.py",
        entry_point="hello",
        language="python",
        bindings={
            "req": pb.BindingInfo(type="httpTrigger"),
            "$return": pb.BindingInfo(type="http", direction=pb.BindingInfo.out),
        },
        raw_bindings=function.metadata.raw_bindings,
        properties={"worker_indexed": "True"},
    )


def test_data_type_goes_into_the_binding(write_app: WriteApp) -> None:
    (function,) = index(
        write_app("""
        import azure.functions as func
        app = func.FunctionApp()

        @app.generic_trigger(arg_name="x", type="anything", data_type=func.decorators.core.DataType.BINARY)
        def work(x: bytes):
            pass
        """)
    )
    assert dict(function.metadata.bindings) == {"x": pb.BindingInfo(type="anything", data_type=pb.BindingInfo.binary)}


def test_async_functions_are_told_apart(write_app: WriteApp) -> None:
    functions = index(
        write_app("""
        import azure.functions as func
        app = func.FunctionApp()

        @app.generic_trigger(arg_name="x", type="anything")
        async def waits(x):
            pass

        @app.generic_trigger(arg_name="x", type="anything")
        def blocks(x):
            pass
        """)
    )
    assert {function.name: function.is_async for function in functions} == {"waits": True, "blocks": False}


def test_blueprint_in_another_module_is_found_through_the_app(write_app: WriteApp) -> None:
    folder = write_app(
        """
        import azure.functions as func
        from parts import more
        app = func.FunctionApp()
        app.register_functions(more)
        """,
        parts="""
        import azure.functions as func
        more = func.Blueprint()

        @more.generic_trigger(arg_name="x", type="anything")
        def work(x):
            pass
        """,
    )
    assert [function.name for function in index(folder)] == ["work"]


def test_same_app_under_two_names_is_one_app(write_app: WriteApp) -> None:
    assert [function.name for function in index(write_app(HELLO + "    application = app\n"))] == ["hello"]


def test_app_brings_packages_of_its_own(write_app: WriteApp) -> None:
    folder = write_app(HELLO + "    import brought_along\n")
    packages = folder / ".python_packages" / "lib" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "brought_along.py").write_text("")
    index(folder)
    assert (sys.path[0], sys.path[-1]) == (str(packages), str(folder))


def test_module_of_the_app_does_not_hide_one_of_the_standard_library(write_app: WriteApp) -> None:
    index(write_app(HELLO + "    import this\n", this="raise RuntimeError('the wrong one')"))


def test_script_file_may_be_called_otherwise(write_app: WriteApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_SCRIPT_FILE_NAME", "main-app.py")
    (function,) = index(write_app("", **{"main-app": HELLO}))
    assert function.metadata.script_file == "main-app.py"


def test_script_file_setting_must_be_a_file_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_SCRIPT_FILE_NAME", "../other.py")
    with pytest.raises(AppError) as caught:
        indexing.script_file()
    assert str(caught.value) == (
        "the setting PYTHON_SCRIPT_FILE_NAME must be the name of a file in the app's folder, of letters, digits, '_' "
        "and '-', ending in '.py'; it is '../other.py'"
    )


def test_folder_without_script_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path} has no function_app.py: start the worker with the folder of a function app"


def test_syntax_error_is_shown_with_its_place(write_app: WriteApp) -> None:
    folder = write_app("import azure.functions\n\ndef work(:\n    pass\n")
    assert refusal(folder) == (
        "function_app.py cannot be imported.\n"
        f'  File "{folder}/function_app.py", line 3\n'
        "    def work(:\n"
        "             ^\n"
        "SyntaxError: invalid syntax"
    )


def test_syntax_error_of_an_imported_module_names_that_module(write_app: WriteApp) -> None:
    folder = write_app("import parts\n", parts="x = = 1\n")
    assert f'File "{folder}/parts.py", line 1' in refusal(folder)


def test_failing_import_shows_the_frames_of_the_app_only(write_app: WriteApp) -> None:
    folder = write_app("def fail():\n    raise ValueError('no')\nfail()\n")
    # Newer Pythons underline the call.
    assert re.sub(r"^ +[~^]+\n", "", refusal(folder), flags=re.MULTILINE) == (
        "function_app.py cannot be imported: ValueError: no\n"
        "Traceback (most recent call last):\n"
        f'  File "{folder}/function_app.py", line 3, in <module>\n'
        "    fail()\n"
        f'  File "{folder}/function_app.py", line 2, in fail\n'
        "    raise ValueError('no')\n"
        "ValueError: no"
    )


def test_missing_package_is_told_with_the_interpreter_that_lacks_it(write_app: WriteApp) -> None:
    message = refusal(write_app("import no_such_package_anywhere\n")).splitlines()[0]
    assert message == (
        "function_app.py cannot be imported: ModuleNotFoundError: No module named 'no_such_package_anywhere'. Is it in "
        f"requirements.txt, and installed for {sys.executable}?"
    )


def test_script_that_exits_is_refused(write_app: WriteApp) -> None:
    assert refusal(write_app("import sys\nsys.exit(3)\n")) == (
        "function_app.py ended the process while it was imported (sys.exit(3)); take that out"
    )


@pytest.mark.parametrize(
    "source, message",
    [
        ("x = 1", "function_app.py holds no app, expected one such as app = azure.functions.FunctionApp()"),
        (
            "import azure.functions as func\nbp = func.Blueprint()",
            "function_app.py holds no app, expected one such as app = azure.functions.FunctionApp() (the blueprint "
            "'bp' is no app: register it with one)",
        ),
        (
            "import azure.functions as func\none = func.FunctionApp()\ntwo = func.FunctionApp()",
            "function_app.py holds 2 apps (one, two), expected one: keep one and turn the others into blueprints that "
            "it registers",
        ),
    ],
)
def test_script_must_hold_one_app(write_app: WriteApp, source: str, message: str) -> None:
    assert refusal(write_app(source)) == message


def test_function_names_must_be_unique(write_app: WriteApp) -> None:
    folder = write_app("""
        import azure.functions as func
        app = func.FunctionApp()
        for _ in range(2):
            @app.generic_trigger(arg_name="x", type="anything")
            def work(x):
                pass
    """)
    assert refusal(folder).startswith("function_app.py: Function work does not have a unique function name.")


def test_function_without_trigger_is_refused(write_app: WriteApp) -> None:
    folder = write_app("""
        import azure.functions as func
        app = func.FunctionApp()
        @app.function_name("work")
        def work():
            pass
    """)
    assert refusal(folder).startswith("function_app.py: Function work does not have a trigger.")


def test_faults_of_several_functions_are_told_together(write_app: WriteApp) -> None:
    folder = write_app("""
        import azure.functions as func
        app = func.FunctionApp()

        @app.generic_trigger(arg_name="x", type="anything")
        def first():
            pass

        @app.generic_trigger(arg_name="x", type="anything")
        def second(x: int):
            pass
    """)
    assert refusal(folder) == (
        "2 functions cannot be served:\n"
        "- function 'first': binding 'x' has no parameter: give the function a parameter of that name, or correct the "
        "argument name in the decorator\n"
        "- function 'second': parameter 'x': the binding 'anything' does not accept the annotation 'int'; use the type "
        "that azure-functions documents for it, or no annotation"
    )


def test_forgotten_app_is_imported_anew(write_app: WriteApp) -> None:
    folder = write_app("from parts import app\n", parts=HELLO)
    index(folder)
    write_app("from parts import app\n", parts=HELLO.replace("def hello", "def goodbye_world"))
    indexing.forget(folder)
    assert [function.name for function in index(folder)] == ["goodbye_world"]


def test_folder_of_the_older_model_is_known_by_its_function_json(tmp_path: Path) -> None:
    assert not indexing.uses_function_json(tmp_path)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "function.json").write_text("{}")
    assert indexing.uses_function_json(tmp_path)
    (tmp_path / "function_app.py").write_text("")
    assert not indexing.uses_function_json(tmp_path)
