"""Fixtures for every conftest: a test fails in which something went over the wire that `bindings/` does not allow."""

from __future__ import annotations

from collections.abc import Iterator

import contract
import pytest

contract.watch()


@pytest.fixture(autouse=True)
def keeps_to_the_contract() -> Iterator[None]:
    yield
    faults = contract.take_faults()
    if faults:
        pytest.fail("not as bindings/ has it:\n" + "\n".join(dict.fromkeys(faults)), pytrace=False)


@pytest.fixture(autouse=True, scope="session")
def forgets_the_file_of_faults() -> Iterator[None]:
    yield
    contract.forget_file()
