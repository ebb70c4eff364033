"""host.json, local.settings.json, environment and flags."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from worker_ext.errors import HostError
from worker_ext.host.settings import (
    DurableHttpSettings,
    DurableSettings,
    HostSettings,
    HttpSettings,
    load_settings,
    resolve_placeholders,
)
from worker_ext.protocol.jsonc import read_json_object, without_comments


class App:
    """A folder with settings in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host_json({"version": "2.0"})

    def host_json(self, content: Mapping[str, Any] | str) -> None:
        self._write("host.json", content)

    def durable(self, **members: Any) -> None:
        self.host_json({"version": "2.0", "extensions": {"durableTask": members}})

    def local_settings(self, content: Mapping[str, Any] | str) -> None:
        self._write("local.settings.json", content)

    def load(self, environ: Mapping[str, str] | None = None, port: int | None = None) -> HostSettings:
        return load_settings(self.folder, port=port, environ=environ or {})

    def refusal(self, environ: Mapping[str, str] | None = None) -> str:
        """What loading the settings is refused with, the folder left out."""
        with pytest.raises(HostError) as caught:
            self.load(environ)
        return str(caught.value).replace(f"{self.folder}{os.sep}", "")

    def warnings(self, environ: Mapping[str, str] | None = None) -> list[str]:
        return [warning.replace(f"{self.folder}{os.sep}", "") for warning in self.load(environ).warnings]

    def _write(self, name: str, content: Mapping[str, Any] | str) -> None:
        (self.folder / name).write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App(tmp_path)


def test_the_defaults_are_those_of_the_extension(app: App) -> None:
    cores = 10 * (os.cpu_count() or 1)
    assert app.load() == HostSettings(
        app_dir=app.folder,
        port=7071,
        function_timeout=timedelta(minutes=30),
        functions=None,
        durable=DurableSettings(
            hub_name="TestHubName",
            default_version=None,
            max_concurrent_activity_functions=cores,
            max_concurrent_orchestrator_functions=cores,
            max_concurrent_entity_functions=cores,
            max_entity_operation_batch_size=5000,
            max_orchestration_actions=100000,
            overridable_existing_instance_states="NonRunningStates",
            store_inputs_in_orchestration_history=False,
            local_rpc_endpoint_enabled=True,
            http_settings=DurableHttpSettings(
                default_async_request_sleep_time_milliseconds=30000, use_forwarded_host=False
            ),
        ),
        http=HttpSettings(
            route_prefix="api", max_concurrent_requests=-1, max_outstanding_requests=-1, custom_headers={}
        ),
        environment={},
        warnings=(),
    )


class TestSample:
    """host.json.sample at the root of the repository."""

    @pytest.fixture
    def sample(self, repository: Path) -> str:
        return (repository / "host.json.sample").read_text()

    def test_it_says_what_the_defaults_are(self, app: App, sample: str) -> None:
        defaults = app.load()
        app.host_json(sample)
        assert app.load() == defaults

    def test_it_has_every_setting_that_is_read(self, sample: str) -> None:
        content = json.loads(without_comments(sample))
        assert set(_paths(content["extensions"]["http"])) == set(_settings(HttpSettings))
        assert set(_paths(content["extensions"]["durableTask"])) == set(_settings(DurableSettings))
        assert content.keys() == {"version", "functionTimeout", "functions", "logging", "extensions"}

    def test_every_setting_has_a_comment(self, sample: str) -> None:
        lines = [line.strip() for line in sample.splitlines()]
        bare = []
        for before, line in itertools.pairwise(lines):
            is_setting = line.startswith('"') and not line.endswith("{")
            if is_setting and not before.startswith(("//", '"maxConcurrent')):
                bare.append(line)
        assert bare == []


def _paths(section: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in section.items():
        if isinstance(value, dict) and value:
            yield from _paths(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _settings(shape: type[msgspec.Struct], prefix: str = "") -> Iterator[str]:
    for field in msgspec.structs.fields(shape):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from _settings(field.type, f"{prefix}{field.encode_name}.")
        else:
            yield prefix + field.encode_name


class TestHostJson:
    def test_names_are_read_without_regard_to_case(self, app: App) -> None:
        app.host_json({"VERSION": "2.0", "Extensions": {"DURABLETASK": {"HubName": "Other"}}})
        assert app.load().durable.hub_name == "Other"
        assert app.warnings() == []

    def test_comments_and_trailing_commas_are_passed_over(self, app: App) -> None:
        app.host_json(
            """{
              // a comment with "quotes" and a }
              "version": "2.0", /* another, */
              "extensions": {"http": {"routePrefix": "http://not/*a*/comment",},},
            }"""
        )
        assert app.load().http.route_prefix == "http://not/*a*/comment"

    def test_null_is_the_default(self, app: App) -> None:
        app.host_json({"version": "2.0", "functionTimeout": None, "extensions": {"durableTask": None, "http": None}})
        settings = app.load()
        assert (settings.durable, settings.http) == (DurableSettings(), HttpSettings())

    @pytest.mark.parametrize(
        "text, timeout",
        [
            ("00:05:00", timedelta(minutes=5)),
            ("1.00:00:00", timedelta(days=1)),
            ("00:00:01", timedelta(seconds=1)),
            ("-1", None),
        ],
    )
    def test_function_timeout_is_a_duration_or_none(self, app: App, text: str, timeout: timedelta | None) -> None:
        app.host_json({"version": "2.0", "functionTimeout": text})
        assert app.load().function_timeout == timeout

    def test_functions_names_the_only_ones_to_load(self, app: App) -> None:
        app.host_json({"version": "2.0", "functions": ["a", "b"]})
        assert app.load().functions == frozenset({"a", "b"})

    def test_numbers_and_truth_values_may_be_text(self, app: App) -> None:
        app.durable(maxConcurrentActivityFunctions="7", storeInputsInOrchestrationHistory="True")
        durable = app.load().durable
        assert (durable.max_concurrent_activity_functions, durable.store_inputs_in_orchestration_history) == (7, True)

    @pytest.mark.parametrize(
        "members, refusal",
        [
            (
                {"maxConcurrentActivityFunctions": "many"},
                'maxConcurrentActivityFunctions: expected `int`, found "many"',
            ),
            ({"maxConcurrentActivityFunctions": 0}, "maxConcurrentActivityFunctions: expected `int` >= 1, found 0"),
            ({"storeInputsInOrchestrationHistory": 7}, "storeInputsInOrchestrationHistory: expected `bool`, found 7"),
            ({"HTTPSETTINGS": [1]}, "httpSettings: expected `object`, found [1]"),
            (
                {"httpSettings": {"useForwardedHost": {}}},
                "httpSettings.useForwardedHost: expected `bool`, found {}",
            ),
            (
                {"overridableExistingInstanceStates": "None"},
                'overridableExistingInstanceStates: expected "AnyState" or "NonRunningStates", found "None"',
            ),
            (
                {"hubName": "a"},
                'hubName: expected 3 to 45 letters and digits that start with a letter, found "a"',
            ),
            (
                {"hubName": "%HUB%"},
                "hubName: %HUB% names no app setting. Set HUB in the environment or in local.settings.json",
            ),
        ],
    )
    def test_a_mistyped_setting_is_refused_with_its_path(self, app: App, members: dict[str, Any], refusal: str) -> None:
        app.durable(**members)
        assert app.refusal() == f"host.json: extensions.durableTask.{refusal}"

    @pytest.mark.parametrize("text", ["soon", "00:00:00", "-00:01:00", "5"])
    def test_a_wrong_function_timeout_is_refused(self, app: App, text: str) -> None:
        app.host_json({"version": "2.0", "functionTimeout": text})
        assert app.refusal() == (
            f'host.json: functionTimeout: expected "hh:mm:ss" of at least 1 s, or "-1", found "{text}"'
        )

    def test_another_version_is_refused(self, app: App) -> None:
        app.host_json({"version": "1.0"})
        assert app.refusal() == 'host.json: version: expected "2.0", found "1.0"'

    def test_a_syntax_error_is_refused_with_its_line(self, app: App) -> None:
        app.host_json('{\n  "version": "2.0",\n  "é": x\n}')
        assert app.refusal() == "host.json:3:8: not valid JSON: JSON is malformed: invalid character"

    @pytest.mark.parametrize("text, found", [("[]", "list"), ('"x"', "str")])
    def test_what_is_no_object_is_refused(self, app: App, text: str, found: str) -> None:
        app.host_json(text)
        assert app.refusal() == f"host.json: expected a JSON object, found {found}"

    def test_unknown_settings_are_named_once_each(self, app: App) -> None:
        app.host_json(
            {
                "version": "2.0",
                "bogus": 1,
                "extensions": {
                    "durableTask": {"hubname": "Other", "maxThings": 3},
                    "http": {"prefix": "x"},
                    "oops": {},
                },
            }
        )
        assert app.warnings() == [
            "host.json: bogus: unknown setting, not used",
            "host.json: extensions.durableTask.maxThings: unknown setting, not used",
            "host.json: extensions.http.prefix: unknown setting, not used",
            "host.json: extensions.oops: unknown setting, not used",
        ]

    def test_what_only_the_cloud_reads_is_passed_over(self, app: App) -> None:
        app.host_json(
            {
                "version": "2.0",
                "logging": {"logLevel": {"default": "Information"}},
                "extensionBundle": {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"},
                "extensions": {"durableTask": {"storageProvider": {"type": "mssql"}}, "queues": {}},
            }
        )
        assert app.warnings() == []

    def test_a_folder_without_one_has_the_defaults_and_a_warning(self, app: App) -> None:
        (app.folder / "host.json").unlink()
        assert app.load().durable == DurableSettings()
        assert app.warnings() == [
            'host.json is missing. Azure and `func start` need one; the shortest is {"version": "2.0"}'
        ]

    def test_one_without_a_version_has_a_warning(self, app: App) -> None:
        app.host_json({})
        assert app.warnings() == ['host.json: version is missing. Azure and `func start` need "version": "2.0"']


class TestHubName:
    @pytest.mark.parametrize(
        "site, hub", [("My-Site", "MySite"), ("9lives", "t9lives"), ("a", "aHub"), ("x" * 60, "x" * 45)]
    )
    def test_it_comes_from_the_name_of_the_site(self, app: App, site: str, hub: str) -> None:
        assert app.load({"WEBSITE_SITE_NAME": site}).durable.hub_name == hub

    def test_one_that_is_given_wins_over_the_site(self, app: App) -> None:
        app.durable(hubName="Given")
        assert app.load({"WEBSITE_SITE_NAME": "site"}).durable.hub_name == "Given"

    def test_it_may_name_an_app_setting(self, app: App) -> None:
        app.durable(hubName="%HUB%x")
        assert app.load({"HUB": "FromEnv"}).durable.hub_name == "FromEnvx"


class TestEnvironment:
    """The environment's overrides of host.json."""

    def test_a_variable_wins_over_host_json(self, app: App) -> None:
        app.durable(hubName="Given", maxConcurrentActivityFunctions=3)
        durable = app.load(
            {"AzureFunctionsJobHost__extensions__durabletask__maxConcurrentActivityFunctions": "5"}
        ).durable
        assert durable == DurableSettings(hub_name="Given", max_concurrent_activity_functions=5)

    def test_colons_separate_too(self, app: App) -> None:
        assert app.load({"AzureFunctionsJobHost:extensions:http:routePrefix": "v1"}).http.route_prefix == "v1"

    def test_numbered_variables_are_a_list(self, app: App) -> None:
        app.host_json({"version": "2.0", "functions": ["x"]})
        environ = {"AzureFunctionsJobHost__functions__0": "a", "AzureFunctionsJobHost__functions__1": "b"}
        assert app.load(environ).functions == frozenset({"a", "b"})

    def test_a_mistyped_one_is_named(self, app: App) -> None:
        name = "AzureFunctionsJobHost__extensions__http__maxOutstandingRequests"
        assert app.refusal({name: "lots"}) == (
            f'environment variable {name}: extensions.http.maxOutstandingRequests: expected `int`, found "lots"'
        )


class TestLocalSettings:
    def test_values_become_the_environment_of_the_app(self, app: App) -> None:
        app.local_settings({"Values": {"A": "1", "B": "from file", "N": 5, "T": True, "Z": None}})
        assert app.load({"B": "from environment"}).environment == {
            "A": "1",
            "B": "from environment",
            "N": "5",
            "T": "true",
        }

    def test_the_port_is_the_flag_then_the_file_then_7071(self, app: App) -> None:
        assert app.load().port == 7071
        app.local_settings({"Host": {"LocalHttpPort": 8080}})
        assert app.load().port == 8080
        assert app.load(port=0).port == 0

    def test_what_core_tools_reads_is_passed_over(self, app: App) -> None:
        app.local_settings({"IsEncrypted": False, "Host": {"CORS": "*"}, "ConnectionStrings": {"x": "y"}})
        assert app.warnings() == []

    @pytest.mark.parametrize(
        "content, refusal",
        [
            ({"IsEncrypted": True}, "IsEncrypted is true. Decrypt it with `func settings decrypt` first"),
            ({"Values": {"A": {}}}, "Values.A: expected text, found {}"),
            (
                {"Values": {"A=B": "x"}},
                "Values: expected names that environment variables can have, without '=', found 'A=B'",
            ),
            (
                {"Values": {"A\0": "x"}},
                "Values: expected names that environment variables can have, without '=', found 'A\\x00'",
            ),
            ({"Values": {"": 1}}, "Values: expected names that environment variables can have, without '=', found ''"),
            ({"Values": {"A": "\0"}}, "Values.A: expected a text that an environment variable can have, found a NUL"),
            ({"Host": {"LocalHttpPort": 70000}}, "Host.LocalHttpPort: expected `int` <= 65535, found 70000"),
        ],
    )
    def test_what_is_wrong_is_refused_with_its_path(self, app: App, content: dict[str, Any], refusal: str) -> None:
        app.local_settings(content)
        assert app.refusal() == f"local.settings.json: {refusal}"


def test_settings_do_not_change(app: App) -> None:
    with pytest.raises(AttributeError):
        app.load().port = 1  # type: ignore[misc]


def test_placeholders_are_replaced_by_app_settings() -> None:
    assert resolve_placeholders("a/%X%/%Y%", {"X": "1", "Y": "2"}) == "a/1/2"
    assert resolve_placeholders("100 % of %", {}) == "100 % of %"


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "host.json"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(HostError, match=r"host\.json: cannot be read: "):
        read_json_object(file)
