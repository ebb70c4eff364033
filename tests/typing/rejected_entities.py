"""What type checkers must refuse of class entities, and in what words; see `rejected.py` for how to read it."""

from __future__ import annotations

from accepted_entities import Counter

import worker_ext as df


async def wrong_calls(context: df.DurableOrchestrationContext) -> None:
    counter = context.entity(Counter, "a")
    # M[arg-type] incompatible type "str"; expected "int"
    # P[reportArgumentType] "Literal['1']" is not assignable to "int"
    await counter.add("1")
    # M[assignment] expression has type "int", variable has type "str"
    # P[reportAssignmentType] "int" is not assignable to "str"
    total: str = await counter.add(1)
    # M[attr-defined] has no attribute "nothing"
    # P[reportAttributeAccessIssue] Attribute "nothing" is unknown
    await counter.nothing()
    # M[call-arg] Too few arguments
    # P[reportCallIssue] Argument missing for parameter "name"
    await counter.fetch()
    # M[arg-type] incompatible type "str"; expected "int"
    # P[reportArgumentType] "Literal['1']" is not assignable to "int"
    counter.signal.add("1")
    # M[arg-type] incompatible type "str"; expected "EntityId
    # P[reportArgumentType] "Literal['a']" is not assignable to "EntityId"
    context.lock("a")


async def wrong_uses_of_a_client(client: df.DurableOrchestrationClient) -> None:
    # M[attr-defined] "ClientEntity[Counter]" has no attribute "add"
    # P[reportAttributeAccessIssue] Cannot access attribute "add"
    await client.entity(Counter, "a").add(1)
    # M[arg-type] incompatible type "str"; expected "int"
    # P[reportArgumentType] "Literal['x']" is not assignable to "int"
    await client.entity(Counter, "a").signal.add("x")
    # M[union-attr] Item "None" of "Counter | None" has no attribute "value"
    # P[reportOptionalMemberAccess] "value" is not a known attribute of "None"
    (await client.entity(Counter, "a").state()).value


async def wrong_calls_of_the_class_itself() -> None:
    # M[arg-type] incompatible type "str"; expected "int"
    # P[reportArgumentType] "Literal['x']" is not assignable to "int"
    Counter(1).add("x")
    # M[misc] Incompatible types in "await"
    # P[reportGeneralTypeIssues] "int" is not awaitable
    await Counter(1).add(1)


class Wrong(df.PayloadConverter):
    # M[override] Return type "bytes" of "encode" incompatible with return type "str"
    # P[reportIncompatibleMethodOverride] override returns type "bytes"
    def encode(self, value: object) -> bytes:
        return b""
