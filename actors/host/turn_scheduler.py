"""The lanes: instances in memory, each taking its turns one at a time, all sharing one loop and one committer.

Theory of operation. Everything here runs on one event loop; what blocks (reads, commits, loading code) runs on threads and
comes back as a callback. An instance goes round like this:

    letters -> queued -> prepared -> turn computed -> commit under way (busy) -> effects -> queued again if more waits

Rules:
1. Nothing acts before the commit: activities start, callers are answered and others are nudged in `_committed` only.
2. An instance has at most one turn between computing and commit. What arrives meanwhile waits in its mailbox.
3. Whatever the store refuses is dropped from memory and read anew; memory is never repaired.
4. A commit refused by the fence ends the process: somebody else owns this name.
5. Effects may be lost with the process. Each can be found again in the store: outstanding activities and due times in the
   instance row, messages in the inbox.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from durable_ray.actors.activities.ports import Marker
from durable_ray.actors.clock import SECOND, Clock
from durable_ray.actors.code.definition_cache import Library
from durable_ray.actors.host.turns import Birth, Turn, answer_to, take_turn
from durable_ray.actors.instances.active_instance import Letter, Live
from durable_ray.actors.messages import Reply
from durable_ray.actors.store.committer import Committer
from durable_ray.actors.store.contract import Fenced, StoreError
from durable_ray.actors.store.writes import Answer, Refused, Repeated, Started, StartInstance, TurnCommitted

log = logging.getLogger("durable_ray.host")


class Surroundings(Protocol):
    """What the lanes hand over: an instance that cannot take its turn yet, a turn that is durable, one that was refused."""

    def prepare(self, live: Live) -> bool:
        """Whether `live` can take a turn now. If not, it is brought to that state and queued again."""

    def entered(self, live: Live) -> None:
        """This instance exists now, durably, and is in memory."""

    def committed(self, live: Live, turn: Turn, answer: TurnCommitted) -> None:
        """The turn is durable: act."""

    def refused(self, live: Live, letters: list[Letter], error: Exception | None) -> None:
        """The turn was not made (`error` None: the instance had changed): drop `live`, mind the letters."""

    def broken(self, live: Live, letters: list[Letter], error: Exception) -> None:
        """This turn can never be made: the runtime failed on it, or the store cannot hold it. Its neighbours go on."""

    def fenced(self) -> None:
        """Somebody else owns this host."""


class Lanes:
    """Computes turns and commits them."""

    def __init__(
        self,
        clock: Clock,
        library: Library,
        committer: Committer,
        marker: Marker,
        birth: Birth,
        receipt_seconds: float,
        surroundings: Surroundings,
    ) -> None:
        self._clock = clock
        self._library = library
        self._committer = committer
        self._marker = marker
        self._birth = birth
        self._receipts = int(receipt_seconds * SECOND)
        self._around = surroundings
        #: Told of letters that left the mailbox without a turn, for they changed nothing (a result that came too late, say).
        self.changed_nothing: Callable[[Sequence[Letter], str], None] = lambda letters, instance_id: None
        self._queue: list[Live] = []
        self._closed = False
        self._loop = asyncio.get_running_loop()

    @property
    def idle(self) -> bool:
        """Whether no turn is queued or being committed."""
        return not self._queue and not self._committer.waiting

    def post(self, live: Live, letter: Letter) -> None:
        """Put a letter into the mailbox of `live`."""
        live.letters.append(letter)
        self.enqueue(live)

    def enqueue(self, live: Live) -> None:
        """Let `live` take a turn as soon as it can. All that are queued in one step of the loop share a commit."""
        if live.queued or live.gone or self._closed:
            return
        live.queued = True
        if not self._queue:
            self._loop.call_soon(self._run)
        self._queue.append(live)

    def close(self) -> None:
        """Begin no more turns."""
        self._closed = True
        self._queue.clear()

    def submit(self, live: Live, turn: Turn) -> None:
        """Commit a turn that was computed elsewhere (an instance set aside)."""
        live.busy = True
        self._commit([(live, turn)])

    def begin(self, live: Live, start: StartInstance) -> asyncio.Future[Answer] | None:
        """Start an instance and take its first turn in one transaction; what became of the start comes by the future.

        None if the first turn cannot be taken now (its code is not loaded): then the start has to go alone. `live` is in
        nobody's hands before the commit.
        """
        turn = self._turn(live, self._clock.now())
        if turn is None:
            return None
        live.busy = True
        started: asyncio.Future[Answer] = self._loop.create_future()

        def done(outcome: Sequence[Answer] | Exception) -> None:
            if isinstance(outcome, Exception):
                if isinstance(outcome, Fenced):
                    self._around.fenced()
                else:
                    self._around.refused(live, [], outcome)  # if it was made after all, its effects are made up for
                if not started.done():
                    started.set_exception(outcome)
                return
            if isinstance(outcome[0], Started):
                self._around.entered(live)
                self._settled(live, turn, outcome[1])
            else:
                # An earlier try of the same start may have left a Pending instance, whose first turn this was.
                self._around.refused(live, [], None)
            if not started.done():  # nobody may be waiting any more
                started.set_result(outcome[0])

        self._committer.submit([start, turn.write], done, whose=live.instance_id)
        return started

    def _run(self) -> None:
        queue, self._queue = self._queue, []
        now = self._clock.now()
        taken: list[tuple[Live, Turn]] = []
        for live in queue:
            live.queued = False
            if live.busy or live.gone:
                continue
            turn = self._turn(live, now)
            if turn is not None:
                live.busy = True
                taken.append((live, turn))
        if taken:
            self._commit(taken)

    def _turn(self, live: Live, now: int) -> Turn | None:
        mailbox = live.letters
        try:
            if not self._around.prepare(live):
                return None
            self._marker.set(live.instance_id)
            try:
                turn = take_turn(live, self._library, now, self._birth, now + self._receipts)
            finally:
                self._marker.clear()
            if turn is None and mailbox:
                self.changed_nothing(mailbox, live.instance_id)
            return turn
        except BaseException as error:  # also SystemExit: it would end the loop, and every instance here with it
            log.exception("a turn of instance %r could not be computed", live.instance_id)
            if live.letters is not mailbox:
                live.letters = [*mailbox, *live.letters]
            cause = error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__}: {error}")
            self._around.broken(live, [], cause)
            return None

    def _commit(self, taken: list[tuple[Live, Turn]]) -> None:
        def done(outcome: Sequence[Answer] | Exception) -> None:
            if isinstance(outcome, Fenced):
                # Nothing was written: who waits for one of these turns may ask the successor.
                for _, turn in taken:
                    for letter in turn.letters:
                        letter.reply(Reply("moved"))
                self._around.fenced()
            elif isinstance(outcome, Exception):
                log.warning("a commit of %d turns failed: %s", len(taken), outcome)
                for live, turn in taken:
                    self._around.refused(live, turn.letters, outcome)
            else:
                for (live, turn), answer in zip(taken, outcome, strict=True):
                    self._settled(live, turn, answer)

        hurry = any(letter.request_id is not None for _, turn in taken for letter in turn.letters)
        self._committer.submit([turn.write for _, turn in taken], done, whose=taken[0][0].instance_id, hurry=hurry)

    def _settled(self, live: Live, turn: Turn, answer: Answer) -> None:
        try:
            self._settle(live, turn, answer)
        except Exception as error:
            # Its effects may be half done; loaded anew, it makes up for the rest. Its neighbours must not notice.
            log.exception("the effects of a turn of %r failed", live.instance_id)
            self._around.refused(live, [], error)

    def _settle(self, live: Live, turn: Turn, answer: Answer) -> None:
        live.busy = False
        if isinstance(answer, Refused):
            self._around.broken(live, turn.letters, StoreError(answer.reason))
            return
        if isinstance(answer, Repeated):
            # Its sender tried another way first: each letter learns from its receipt whether that was it.
            self._around.refused(live, turn.letters, StoreError("one of its requests was carried out before"))
            return
        if not isinstance(answer, TurnCommitted):
            self._around.refused(live, turn.letters, None)
            return
        live.turn += 1
        live.status = turn.write.status
        for letter in turn.letters:
            letter.reply(answer_to(letter, turn.append, live))
        self._around.committed(live, turn, answer)
        if live.letters or live.dirty or live.leftover is not None:
            self.enqueue(live)
