"""Puts a session together: checks its options, makes its components, and gives each component the others it needs.

The session imports this module when the first one is made, so that a program that only imports its name, such as a
command line that shows its help, loads no HTTP library.
"""

from __future__ import annotations

import functools
import random
from typing import TYPE_CHECKING, Final, Unpack

import attrs

from . import config
from .calls.executor import CallExecutor
from .calls.gateway import Gateway
from .calls.gateway_time import GatewayTime
from .calls.journaling import CallJournal
from .calls.lifecycle import Lifecycle
from .calls.nodes import Nodes
from .calls.observer import CallObserver
from .calls.retries import RetryPolicy
from .clock import SystemClock
from .codes import Language
from .errors import ConfigurationError
from .events import Events
from .fulfilment.announcements import Announcements
from .fulfilment.backends import Listener
from .fulfilment.confirmations import Confirmations
from .fulfilment.guard import OnceGuard
from .fulfilment.memory import MemoryBackend
from .fulfilment.notes import notes_of
from .fulfilment.receiver import NotificationReceiver
from .fulfilment.waits import Waits
from .fulfilment.wakeups import WakeUps
from .options import count, seconds
from .polling.poller import Poller
from .polling.service import PollingService
from .protocol import notifications
from .protocol.conversion import ModelConverter
from .protocol.endpoints import QUERY_ORDER
from .protocol.signing import TaggedNonces
from .transport.client import HTTPClient
from .transport.pool import Priority

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from datetime import tzinfo

    import httpx

    from .clock import Clock
    from .events import Event
    from .fulfilment.backends import Backend
    from .journal import Journal
    from .models import Notification
    from .protocol.notifications import SealedBody
    from .protocol.signing import Credentials, NonceProvider
    from .transport.attempt import Node
    from .transport.proxies import Proxies

_MOST_IN_FLIGHT: Final = 100_000
"""More connections than any process has."""


@attrs.frozen(eq=False, repr=False)
class Options:
    """The options of a session, checked, and with their defaults. ``AsyncOmipay`` describes them."""

    credentials: Credentials
    clock: Clock
    journal: Journal | None
    nodes: list[Node]
    verify: ssl.SSLContext | str | bool
    timeout: float
    timezone: str | tzinfo
    on_event: Callable[[Event], None] | None
    max_in_flight: int
    transport: httpx.AsyncBaseTransport | None
    proxies: Proxies
    nonces: NonceProvider
    retry: RetryPolicy
    language: Language | None
    notify_url: str | None
    backend: Backend
    listener: Listener | None
    """The backend, if it was given, so that other sessions may have it too, and if it can listen to them."""


def checked_options(credentials: Credentials, **given: Unpack[config.SessionArguments]) -> Options:
    """Check the arguments of a session, all of which must be given.

    Raises:
        ConfigurationError: naming the first one that is wrong.
    """
    clock, nonces, journal, transport = given["clock"], given["nonces"], given["journal"], given["transport"]
    language, backend = given["language"], given["backend"]
    clock = config.require_methods("clock", SystemClock() if clock is None else clock, "time_ms", "monotonic", "sleep")
    if journal is not None:
        config.require_methods("journal", journal, "opening", "closing", "confirmed")
    nodes = config.nodes(given["region"], given["base_url"], given["fallback"], plain_http=transport is not None)
    used_backend = MemoryBackend(clock=clock) if backend is None else backend
    return Options(
        credentials=credentials,
        clock=clock,
        journal=journal,
        nodes=nodes,
        verify=config.verification(given["verify"], nodes),
        timeout=seconds("timeout", given["timeout"], above=True),
        timezone=config.timezone(given["timezone"]),
        on_event=config.function("on_event", given["on_event"]),
        max_in_flight=count("max_in_flight", given["max_in_flight"], most=_MOST_IN_FLIGHT),
        transport=transport,
        proxies=config.proxies(given["proxy"], nodes, from_environment=transport is None),
        nonces=TaggedNonces(credentials.keys) if nonces is None else config.nonce_provider(nonces),
        retry=config.instance("retry", given["retry"], RetryPolicy),
        language=None if language is None else config.member("language", language, Language),
        notify_url=config.url("notify_url", given["notify_url"]),
        backend=config.require_lease(
            config.require_methods("backend", used_backend, "claim", "renew", "finish", "release", "wake")
        ),
        listener=backend if backend is not None and isinstance(backend, Listener) else None,
    )


@attrs.frozen(eq=False, repr=False)
class Components:
    """The components of one session."""

    life: Lifecycle
    client: HTTPClient
    executor: CallExecutor
    gateway: Gateway
    wake_ups: WakeUps
    poller: Poller
    polling: PollingService
    receiver: NotificationReceiver


def compose(options: Options) -> Components:
    """Make the components of a session, and connect them."""
    clock = options.clock
    events = Events(options.on_event)

    def leave_loop() -> None:
        for component in (executor, poller, receiver, client):  # nothing is under way, or the event loop is closed
            component.leave_loop()

    life = Lifecycle(leave_loop)
    client = HTTPClient(
        size=options.max_in_flight,
        transport=options.transport,
        proxies=options.proxies,
        verify=options.verify,
    )
    executor = _executor(options, life, client, CallObserver(events, clock))
    gateway = Gateway(executor, language=options.language, notify_url=options.notify_url, timeout=options.timeout)
    wake_ups = WakeUps(options.listener, m_number=options.credentials.m_number, clock=clock)
    poller = Poller(
        life=life,
        clock=clock,
        max_concurrent=client.pool.limits[Priority.POLL],
        timeout=options.timeout,
        primary_node=executor.nodes.primary.name,
    )
    polling = PollingService(poller=poller, gateway=gateway, life=life, events=events, clock=clock, wake_ups=wake_ups)
    receiver = _receiver(options, executor, gateway, polling, wake_ups=wake_ups, events=events)
    return Components(life, client, executor, gateway, wake_ups, poller, polling, receiver)


def _executor(options: Options, life: Lifecycle, client: HTTPClient, observer: CallObserver) -> CallExecutor:
    clock, journal = options.clock, options.journal
    return CallExecutor(
        life=life,
        client=client,
        nodes=Nodes(options.nodes, clock),
        credentials=options.credentials,
        nonces=options.nonces,
        gateway_time=GatewayTime(clock),
        policy=options.retry,
        observer=observer,
        converter=_converter(options.timezone),
        random=random.random,
        journal=None if journal is None else CallJournal(journal, clock, options.credentials.m_number),
    )


def _receiver(
    options: Options,
    executor: CallExecutor,
    gateway: Gateway,
    polling: PollingService,
    *,
    wake_ups: WakeUps,
    events: Events,
) -> NotificationReceiver:
    clock, m_number = options.clock, options.credentials.m_number
    backend, journal = options.backend, options.journal
    notes = notes_of(backend, journal, clock=clock, m_number=m_number, converter=executor.converter)
    waits = Waits(notes=notes, clock=clock, life=executor.life, wake_ups=wake_ups)

    def parse(body: SealedBody, max_age: float | None) -> Notification:
        issued, converter = getattr(executor.nonces, "issued", None), executor.converter()
        parsed = notifications.parse(body, credentials=executor.credentials, issued=issued, converter=converter)
        notifications.check_age(parsed, executor.gateway_time.time_ms(), max_age)
        return parsed

    return NotificationReceiver(
        parse=parse,
        gateway=gateway,
        confirmations=Confirmations(
            gateway.question(QUERY_ORDER, "order_no", Priority.CONFIRMATION),
            clock,
            max_concurrent=executor.client.pool.limits[Priority.CONFIRMATION],
        ),
        announcements=Announcements(
            backend=backend,
            clock=clock,
            m_number=m_number,
            deliver_to_polls=polling.deliver,
            waits=waits,
            notes=notes,
            journal=journal,
        ),
        waits=waits,
        guard=OnceGuard(backend, clock, m_number),
        life=executor.life,
        events=events,
        clock=clock,
        primary_node=executor.nodes.primary.name,
    )


def _converter(timezone: str | tzinfo) -> Callable[[], ModelConverter]:
    @functools.cache
    def converter() -> ModelConverter:
        try:
            zone = config.zone(timezone) if isinstance(timezone, str) else timezone
            return ModelConverter(zone)
        except (ImportError, OSError) as error:  # such as too many open files
            message = f"zoneinfo or cattrs, which read the replies, cannot be loaded: {type(error).__name__}: {error}"
            raise ConfigurationError(message) from error

    return converter
