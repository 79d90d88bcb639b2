"""The whole account against an endpoint that keeps its own, in small; see ``benchmarks/accounts.py``."""

from __future__ import annotations

from benchmarks.accounts import KINDS, account, limits


def test_our_account_equals_the_vendors_and_no_budget_is_overrun() -> None:
    """To the picodollar if it is reported, bounded if it is not, over calls of every kind."""
    accounts = account(200)
    assert set(accounts["kinds"]) == set(KINDS)
    assert accounts["difference_usd"] == 0
    assert accounts["bounded"]
    assert accounts["calls_equal"]
    assert limits(1)["overruns"] == 0
