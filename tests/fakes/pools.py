"""Pools of limiters without clients, for tests of the queue and of the choice of an endpoint."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from promptclimb.agent.llm.limiter import Permit, RateLimiter
from promptclimb.agent.llm.pool import Endpoint, EndpointPool, PooledEndpoint


def member(limiter: RateLimiter) -> PooledEndpoint:
    endpoint = Endpoint(name=limiter.name, client=cast("Any", None))
    return PooledEndpoint(endpoint, limiter, clock=asyncio.get_running_loop().time)


def pool_of(*limiters: RateLimiter) -> EndpointPool:
    """A pool of one member for each limiter."""
    return EndpointPool([member(one) for one in limiters])


async def acquire(pool: EndpointPool, tokens: int) -> Permit:
    """A permit of whichever member."""
    return (await pool.acquire(tokens))[1]
