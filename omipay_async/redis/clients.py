"""Makes a client of a URL, or checks one of the user's. It does not connect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from omipay_async.errors import ConfigurationError

if TYPE_CHECKING:
    from redis.asyncio import Redis

ANSWER_S: Final = 5.0
"""How long a request may take, with connecting and all repeats."""
_CONNECT_S: Final = 2.0
_CONNECTIONS: Final = 50


def client_from_url(url: str) -> Redis:
    """A client with bounded connections, timeouts and repeats."""
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import ExponentialBackoff
    from redis.exceptions import RedisError

    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=ANSWER_S,
            socket_timeout=ANSWER_S,
            socket_connect_timeout=_CONNECT_S,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 2),
        )
        pool.connection_class(**pool.connection_kwargs)  # not connected; it rejects parameters that redis does not have
    except (ValueError, TypeError, AttributeError, RedisError):
        message = (
            "url_or_client: not a URL that redis accepts, or one with a parameter that it does not have "
            "(it is not shown, since it may contain a password)"
        )
        raise ConfigurationError(message) from None
    return Redis.from_pool(pool)


def checked_client(client: object) -> Redis:
    """The user's own client, if its calls are awaited and it can publish and subscribe."""
    from redis import Redis as SyncRedis
    from redis.cluster import RedisCluster as SyncCluster

    kind = f"{type(client).__module__}.{type(client).__name__}"
    if isinstance(client, SyncRedis | SyncCluster) or not hasattr(client, "eval"):
        message = f"url_or_client must be a URL or a redis.asyncio client, not {kind}"
        raise ConfigurationError(message)
    if not hasattr(client, "pubsub"):
        message = (
            f"url_or_client: {kind} has no pubsub(), which wake-ups need; RedisCluster has it in redis 8 and later"
        )
        raise ConfigurationError(message)
    return cast("Redis", client)
