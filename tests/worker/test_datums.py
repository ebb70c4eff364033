"""TypedData and Datum: what the host sends arrives, what a converter makes leaves."""

from __future__ import annotations

import datetime
import json
from http.cookies import SimpleCookie
from typing import Any

import azure.functions as func
import pytest
from azure.functions.http import HttpResponseConverter
from azure.functions.meta import Datum
from hypothesis import given
from hypothesis import strategies as st
from strategies import finite_json, texts

from worker_ext.errors import PayloadError
from worker_ext.rpc import pb
from worker_ext.worker.datums import TriggerMetadata, from_typed_data, write

int64 = st.integers(-(2**63), 2**63 - 1)
plain_datums = st.one_of(
    st.builds(Datum, texts, st.sampled_from(["string", "json"])),
    st.builds(Datum, st.binary(), st.just("bytes")),
    st.builds(Datum, int64, st.just("int")),
    st.builds(Datum, st.floats(allow_nan=False), st.just("double")),
)


def written(datum: Datum | None) -> pb.TypedData:
    data = pb.TypedData()
    write(datum, data)
    return pb.TypedData.FromString(data.SerializeToString())


@given(plain_datums)
def test_value_survives_the_wire(datum: Datum) -> None:
    assert from_typed_data(written(datum)) == datum


@given(st.dictionaries(texts, finite_json, max_size=4) | st.lists(finite_json, max_size=4))
def test_documents_leave_as_json(document: Any) -> None:
    data = written(Datum(document, "dict" if isinstance(document, dict) else "list"))
    assert data.WhichOneof("data") == "json"
    assert json.loads(data.json) == document


def test_boolean_leaves_as_a_number() -> None:
    assert written(Datum(True, "bool")) == pb.TypedData(int=1)


@pytest.mark.parametrize("datum", [None, Datum(None, None)], ids=["None", "empty Datum"])
def test_nothing_leaves_as_a_value_that_is_not_set(datum: Datum | None) -> None:
    data = written(datum)
    assert data.WhichOneof("data") is None
    assert from_typed_data(data) is None


@pytest.mark.parametrize(
    "data",
    [
        pb.TypedData(collection_string=pb.CollectionString(string=["a", "b"])),
        pb.TypedData(collection_bytes=pb.CollectionBytes(bytes=[b"a"])),
        pb.TypedData(collection_double=pb.CollectionDouble(double=[1.5])),
        pb.TypedData(collection_sint64=pb.CollectionSInt64(sint64=[-1])),
        pb.TypedData(model_binding_data=pb.ModelBindingData(version="1", content=b"{}")),
        pb.TypedData(collection_model_binding_data=pb.CollectionModelBindingData()),
    ],
    ids=lambda data: data.WhichOneof("data"),
)
def test_collection_arrives_as_its_message(data: pb.TypedData) -> None:
    kind = data.WhichOneof("data")
    assert kind is not None
    assert from_typed_data(data) == Datum(getattr(data, kind), kind)


def test_stream_is_refused() -> None:
    with pytest.raises(PayloadError) as caught:
        from_typed_data(pb.TypedData(stream=b"x"))
    assert str(caught.value) == "TypedData.stream: expected a value, collection or http request, found a stream"


@pytest.mark.parametrize(
    "body, expected",
    [
        (pb.TypedData(bytes=b"{}"), Datum(b"{}", "bytes")),
        (pb.TypedData(string="{}"), Datum("{}", "string")),
        (pb.TypedData(), Datum(b"", "bytes")),
    ],
    ids=["bytes", "string", "absent"],
)
def test_request_arrives_member_by_member(body: pb.TypedData, expected: Datum) -> None:
    request = pb.RpcHttp(
        method="POST", url="http://x/y?q=1", headers={"a": "b"}, params={"id": "7"}, query={"q": "1"}, body=body
    )
    datum = from_typed_data(pb.TypedData(http=request))
    assert datum == Datum(
        {
            "method": Datum("POST", "string"),
            "url": Datum("http://x/y?q=1", "string"),
            "headers": {"a": Datum("b", "string")},
            "params": {"id": Datum("7", "string")},
            "query": {"q": Datum("1", "string")},
            "body": expected,
        },
        "http",
    )


def answered(response: func.HttpResponse) -> pb.RpcHttp:
    return written(HttpResponseConverter.encode(response, expected_type=None)).http


def test_response_leaves_with_status_headers_and_body() -> None:
    response = func.HttpResponse("grüß", status_code=202, headers={"Location": "/there"}, mimetype="application/json")
    assert answered(response) == pb.RpcHttp(
        status_code="202",
        headers={"Location": "/there", "content-type": "application/json"},
        body=pb.TypedData(bytes="grüß".encode()),
    )


def test_cookies_leave_beside_the_headers() -> None:
    response = func.HttpResponse("")
    response.headers.add("Set-Cookie", "a=1; Domain=x.org; Path=/p; Secure; HttpOnly; SameSite=Lax; Max-Age=60")
    response.headers.add("Set-Cookie", "b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT; SameSite=None")
    response.headers.add("Set-Cookie", "c=3; Expires=Wed, 21-Oct-2026 07:28:00 GMT; SameSite=Strict")
    expires = pb.NullableTimestamp()
    expires.value.FromDatetime(datetime.datetime(2026, 10, 21, 7, 28, tzinfo=datetime.UTC))
    http = answered(response)
    assert "Set-Cookie" not in http.headers
    assert list(http.cookies) == [
        pb.RpcHttpCookie(
            name="a",
            value="1",
            domain=pb.NullableString(value="x.org"),
            path=pb.NullableString(value="/p"),
            secure=pb.NullableBool(value=True),
            http_only=pb.NullableBool(value=True),
            same_site=pb.RpcHttpCookie.Lax,
            max_age=pb.NullableDouble(value=60),
        ),
        pb.RpcHttpCookie(name="b", value="2", expires=expires, same_site=pb.RpcHttpCookie.ExplicitNone),
        pb.RpcHttpCookie(name="c", value="3", expires=expires, same_site=pb.RpcHttpCookie.Strict),
    ]


@pytest.mark.parametrize(
    "attribute, message",
    [
        ("Expires=tomorrow", "a cookie's 'expires' must be a date such as 'Wed, 21 Oct 2026 07:28:00 GMT': 'tomorrow'"),
        ("Max-Age=long", "a cookie's 'max-age' must be a number of seconds: 'long'"),
    ],
)
def test_cookie_that_cannot_be_understood_is_refused(attribute: str, message: str) -> None:
    members = {
        "status_code": Datum("200", "string"),
        "headers": {},
        "cookies": [SimpleCookie(f"a=1; {attribute}")],
        "body": Datum(b"", "bytes"),
    }
    with pytest.raises(ValueError, match=r"^a cookie") as caught:
        written(Datum(members, "http"))
    assert str(caught.value) == message


def test_kind_no_host_reads_is_refused() -> None:
    with pytest.raises(TypeError, match="a converter gave a Datum of kind 'stream'; expected one of string, json"):
        written(Datum(b"", "stream"))


def test_datum_that_holds_another_type_than_it_says_is_refused() -> None:
    with pytest.raises(TypeError, match="a converter gave a Datum of kind 'json' that holds a 'dict'"):
        written(Datum({}, "json"))


def test_metadata_is_converted_when_it_is_read() -> None:
    metadata = TriggerMetadata({"Id": pb.TypedData(string="7"), "Bad": pb.TypedData(stream=b"")})
    assert (list(metadata), len(metadata), metadata["Id"]) == (["Id", "Bad"], 2, Datum("7", "string"))
    with pytest.raises(PayloadError):
        metadata["Bad"]


def test_absent_metadata_stays_absent() -> None:
    request = pb.InvocationRequest()
    metadata = TriggerMetadata(request.trigger_metadata)
    assert metadata.get("Id") is None
    with pytest.raises(KeyError):
        metadata["Id"]
    assert request == pb.InvocationRequest()
