"""Waiting: requests that nobody scans yet; the clients take turns, each with its oldest.

A client with a thousand requests delays that of another by one at a time. There is a limit for all and for each client.
"""

from __future__ import annotations

from collections import OrderedDict

from kavfs.scan.asked import Request


class Waiting:
    """The queue. *most* requests, *most_each* of one client; those that joined another are among them."""

    def __init__(self, most: int, most_each: int) -> None:
        self._most = most
        self._most_each = most_each
        self._turns: OrderedDict[object, OrderedDict[int, Request]] = OrderedDict()  # whose turn is next stands first
        self._joined: dict[object, int] = {}  # client -> requests of its that wait for the verdict on another
        self._count = 0

    def limit(self, most: int, most_each: int) -> None:
        """Other limits, for requests to come."""
        self._most = most
        self._most_each = most_each

    def __len__(self) -> int:
        return self._count

    @property
    def anybody(self) -> bool:
        """Whether take() would find one."""
        return bool(self._turns)

    def has_room(self, client: object) -> bool:
        """For one more request of this client."""
        if self._count >= self._most:
            return False
        return len(self._turns.get(client, ())) + self._joined.get(client, 0) < self._most_each

    def add(self, request: Request, first: bool = False) -> None:
        """*first*: before the client's others, as it has waited already."""
        request.waits = True
        queue = self._turns.get(request.client)
        if queue is None:
            queue = self._turns[request.client] = OrderedDict()
        queue[request.ticket] = request
        if first:
            queue.move_to_end(request.ticket, last=False)
        self._count += 1

    def take(self) -> Request | None:
        """The next one, or None."""
        if not self._turns:
            return None
        client, queue = next(iter(self._turns.items()))
        _, request = queue.popitem(last=False)
        request.waits = False
        self._count -= 1
        if queue:
            self._turns.move_to_end(client)
        else:
            del self._turns[client]
        return request

    def remove(self, request: Request) -> None:
        """It waits no longer."""
        request.waits = False
        queue = self._turns[request.client]
        del queue[request.ticket]
        self._count -= 1
        if not queue:
            del self._turns[request.client]

    def join(self, request: Request) -> None:
        """Count one that waits for the verdict on another."""
        self._joined[request.client] = self._joined.get(request.client, 0) + 1
        self._count += 1

    def leave(self, request: Request) -> None:
        """It does so no longer."""
        left = self._joined.pop(request.client) - 1
        if left:
            self._joined[request.client] = left
        self._count -= 1
