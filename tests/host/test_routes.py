"""Routes of HTTP triggers, as ASP.NET Core reads their templates."""

from __future__ import annotations

import pytest

from worker_ext.errors import HostError
from worker_ext.host.route_constraints import parse_constraint
from worker_ext.host.routes import RouteTable, make_route


def values(template: str, path: str) -> dict[str, str] | None:
    """The values of a path on a table with one route, or None where it is not found."""
    found = RouteTable([make_route(template, [], template)]).find("GET", path)
    return found and found[1]


@pytest.mark.parametrize(
    "template, path, expected",
    [
        ("hello", "/hello", {}),
        ("hello", "/hello/", {}),
        ("/hello/", "/hello", {}),
        ("hello", "/HeLLo", {}),
        ("hello", "/hello/there", None),
        ("", "/", {}),
        ("", "/x", None),
        ("a/{id}", "/a/Xy", {"id": "Xy"}),
        ("a/{id}", "/a", None),
        ("a/{id}", "/a//", None),
        ("a/{id?}", "/a", {}),
        ("a/{id?}", "/a/1", {"id": "1"}),
        ("a/{id=5}", "/a", {"id": "5"}),
        ("a/{id=5}", "/a/6", {"id": "6"}),
        ("a/{id:int=5}", "/a/x", None),
        ("a/{id:int?}", "/a", {}),
        ("a/{id:int?}", "/a/7", {"id": "7"}),
        ("a/{id:int?}", "/a/x", None),
        ("a/{x}/{y}", "/a/1/2", {"x": "1", "y": "2"}),
        ("a/{*rest}", "/a", {}),
        ("a/{*rest}", "/a/b/c", {"rest": "b/c"}),
        ("a/{**rest}", "/a/b/c", {"rest": "b/c"}),
        ("a/{*rest:maxlength(3)}", "/a/b/c", {"rest": "b/c"}),
        ("a/{*rest:maxlength(3)}", "/a/bb/c", None),
        ("{name}.{ext}", "/archive.tar.gz", {"name": "archive.tar", "ext": "gz"}),
        ("{name}.{ext?}", "/readme", {"name": "readme"}),
        ("{name}.{ext?}", "/readme.md", {"name": "readme", "ext": "md"}),
        ("v{major:int}-{minor:int}", "/v1-20", {"major": "1", "minor": "20"}),
        ("v{major:int}-{minor:int}", "/v1-x", None),
        ("a{{b}}", "/a{b}", {}),
        ("a/{id}", "/a/b%20c%2Fd", {"id": "b c/d"}),
        ("a/{id}", "/a/%C3%A9", {"id": "é"}),
        (r"{id:regex(^\d{{3}}$)}", "/123", {"id": "123"}),
        (r"{id:regex(^\d{{3}}$)}", "/1234", None),
        (r"{id:regex(a=b|c:d)}", "/c:d", {"id": "c:d"}),
        ("{id:int:min(3):max(5)}", "/4", {"id": "4"}),
        ("{id:int:min(3):max(5)}", "/6", None),
    ],
)
def test_a_template_matches_a_path(template: str, path: str, expected: dict[str, str] | None) -> None:
    assert values(template, path) == expected


@pytest.mark.parametrize(
    "constraint, good, bad",
    [
        ("int", ["0", "-5", "+7", "2147483647"], ["2147483648", "1.5", "x", ""]),
        ("long", ["9223372036854775807", "-9223372036854775808"], ["9223372036854775808"]),
        ("bool", ["true", "FALSE"], ["1", "yes"]),
        ("alpha", ["abc", "ABC", ""], ["a1", "é"]),
        (
            "guid",
            ["0f8fad5b-d9cb-469f-a165-70867728950e", "{0F8FAD5BD9CB469FA16570867728950E}"],
            ["0f8fad5b", "x" * 32],
        ),
        ("decimal", ["1.5", "-3", ".5", "1,000"], ["1e3", "x", "79228162514264337593543950336"]),
        ("double", ["1.5", "1e3", "-.5E-2", "NaN"], ["x", "1.5.5"]),
        ("float", ["3"], ["three"]),
        ("datetime", ["2026-01-02", "2026-01-02T03:04:05Z", "12/31/2026"], ["31/12/2026", "soon"]),
        ("length(3)", ["abc"], ["ab", "abcd"]),
        ("length(2,3)", ["ab", "abc"], ["a", "abcd"]),
        ("minlength(2)", ["ab"], ["a"]),
        ("maxlength(2)", ["ab"], ["abc"]),
        ("min(3)", ["3", "10"], ["2", "x"]),
        ("max(3)", ["3", "-10"], ["4", "x"]),
        ("range(3,5)", ["3", "5"], ["2", "6", "x"]),
        ("regex(^a+$)", ["aaa", "AA"], ["aab"]),
        ("required", ["x"], [""]),
        ("INT", ["1"], ["x"]),
    ],
)
def test_a_constraint_takes_and_refuses(constraint: str, good: list[str], bad: list[str]) -> None:
    fits = parse_constraint(constraint)
    assert [value for value in good if not fits(value)] == []
    assert [value for value in bad if fits(value)] == []


def test_the_more_literal_route_wins() -> None:
    templates = ["{*rest}", "{a}/{b}", "{a:int}/{b}", "x/{b}", "x/y", "x"]
    table = RouteTable(make_route(template, [], template) for template in templates)
    paths = ["x", "x/y", "x/z", "5/z", "w/z", "w/z/q"]
    found = [hit[0] for path in paths if (hit := table.find("GET", path)) is not None]
    assert found == ["x", "x/y", "x/{b}", "{a:int}/{b}", "{a}/{b}", "{*rest}"]


def test_a_literal_wins_over_an_optional_parameter() -> None:
    table = RouteTable(make_route(template, [], template) for template in ["a/{id?}", "a"])
    assert table.find("GET", "a") == ("a", {})


def test_methods_choose_among_routes_of_one_path() -> None:
    table = RouteTable([make_route("a", ["get"], "read"), make_route("a", ["POST", "PUT"], "write")])
    assert [table.find(method, "a") for method in ("GET", "PUT", "DELETE")] == [("read", {}), ("write", {}), None]


@pytest.mark.parametrize(
    "template, fault",
    [
        ("a//b", "expected something between two slashes"),
        ("a/{id", "expected every brace and parenthesis to be closed"),
        ("a}", "expected every brace and parenthesis to be closed"),
        ("{}", "expected a parameter's name, found ''"),
        ("{id}/{ID}", "expected each parameter once"),
        ("{id?}/b", "expected catch-all and optional parameters at the end"),
        ("{*id}/b", "expected catch-all and optional parameters at the end"),
        ("a{*id}", "expected a catch-all parameter to be a segment of its own"),
        ("{id:hex}", "parameter 'id': unknown constraint 'hex'"),
        ("{id:range(1)}", "parameter 'id': unknown constraint 'range(1)'"),
        ("{id=5?}", "parameter 'id' is optional, so it takes neither a default nor `*`"),
    ],
)
def test_a_template_that_breaks_the_rules_is_refused(template: str, fault: str) -> None:
    with pytest.raises(HostError) as caught:
        make_route(template, [], None)
    assert str(caught.value) == f"route {template!r}: {fault}"
