"""Asking by position: an answer on disk is used, any other is on disk before it is used."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..errors import RequestFailedError, StoreMismatchError, UnusableAnswerError
from ..llm.chat import Asker, ChatAnswer, ChatRequest
from ..position import Position
from ..stop import Stop
from ..store import Store
from .empty_answers import EmptyAnswers
from .restart import Skipped
from .turns import Turns


class Journal:
    """One restart's way to the LLM.

    A request that failed after all retries costs its round. It is written down together with the next
    answer of the same restart, not before: what follows depends on it only then, and a run that is stopped in
    an outage asks again, when it is resumed, for all that it had skipped at its end. Where the model did
    answer, with a refusal for instance, it is written down at once: nothing is paid for twice.

    A request that the endpoint refused, and nobody knows why, waits for the next answer as well: so credit
    that ran out costs no round for good. At the end of a restart no answer follows: there ``keep_refused``
    marks it, and a session in which it is refused again takes it for skipped.

    Args:
        store: The run on disk.
        asker: What asks.
        stop: Stops between an answer and the next request, never between an answer and the disk.
        empty_answers: Counts those of all restarts.
        turns: Keeps restarts that have their answers from going on all at once.
    """

    def __init__(
        self,
        store: Store,
        asker: Asker,
        stop: Stop,
        empty_answers: EmptyAnswers | None = None,
        turns: Turns | None = None,
    ) -> None:
        self._store = store
        self._asker = asker
        self._stop = stop
        self._empty = empty_answers or EmptyAnswers()
        self._turns = turns or Turns()
        self._skipped: list[tuple[Position, _Skip]] = []
        self._refused: dict[Position, str] = {}

    @property
    def unanswered(self) -> int:
        """Rounds skipped since the last answer; unwritten, so that a resumed run asks for them again."""
        return len(self._skipped)

    async def answer(self, position: Position, request: ChatRequest) -> tuple[ChatAnswer, bool]:
        """Return the answer that belongs at a position, and whether it was on disk.

        Raises:
            Skipped: There is none, and will be none.
            StoreMismatchError: What is on disk answers another request.
            InterruptedRunError: A stop was asked for.
            GaveUpError: Too many answers in a row held no template.
        """
        if (stored := self._store.answer(position)) is not None:
            self._check(position, stored.request_hash, request)
            await self._turns.mine()
            return stored.answer, True
        if (skipped := self._store.note(_skip_name(position), _skip)) is not None:
            self._check(position, skipped.request, request)
            await self._turns.mine()
            raise Skipped(skipped.reason, useless=skipped.useless)
        self._stop.check()
        self._empty.check()
        return await self._ask(position, request), False

    def heard(self, *, empty: bool, cut: bool) -> None:
        """Take what came of an answer that was not on disk: whether it held no template, and was cut."""
        self._empty.heard(empty=empty, cut=cut)

    async def keep_refused(self) -> None:
        """Mark what was refused at the end of the restart, once the whole search has gone through."""
        for position, request_hash in self._refused.items():
            await self._store.put_note(_refused_name(position), request_hash)

    def _was_refused(self, position: Position, request: ChatRequest) -> bool:
        return self._store.note(_refused_name(position)) == request.hash

    async def _ask(self, position: Position, request: ChatRequest) -> ChatAnswer:
        try:
            try:
                reply = await self._asker.ask(request)
            except RequestFailedError as error:
                useless = error.__cause__ if isinstance(error.__cause__, UnusableAnswerError) else None
                skip = _Skip(request.hash, str(error), useless=useless is not None)
                self._skipped.append((position, skip))
                if useless is not None:
                    self.heard(empty=True, cut=useless.reason == "length")
                if error.refused:
                    self._refused[position] = request.hash
                if error.answered or (error.refused and self._was_refused(position, request)):
                    await self._write_skipped()
                raise Skipped(skip.reason, useless=skip.useless) from error
            await self._write_skipped()
            await self._store.put_answer(position, request.hash, reply.answer, reply.bill, request.messages)
        finally:
            self._stop.settled()
        # From here on nothing is lost, so a search that is to stop need not wait for scores.
        self._stop.check()
        await self._turns.mine()
        return reply.answer

    def _check(self, position: Position, stored_hash: str, request: ChatRequest) -> None:
        check_request(position, stored_hash, request, self._store.manifest["identity"].get("answer_tokens"))

    async def _write_skipped(self) -> None:
        while self._skipped:
            place, skip = self._skipped[0]
            await self._store.put_note(_skip_name(place), asdict(skip))
            del self._skipped[0]
            self._refused.pop(place, None)


@dataclass(frozen=True, slots=True)
class _Skip:
    """A request that got no answer, why, and whether one came that could not be used."""

    request: str
    reason: str
    useless: bool = False


def _skip(row: Any) -> _Skip:
    return _Skip(request=row["request"], reason=row["reason"], useless=row.get("useless", False))


def _skip_name(position: Position) -> str:
    return "skip:" + ".".join(str(number) for number in position)


def _refused_name(position: Position) -> str:
    return "refused:" + ".".join(str(number) for number in position)


def check_request(
    position: Position, stored_hash: str, request: ChatRequest, answer_tokens: int | None = None
) -> None:
    """Make sure that an answer on disk answers this request.

    Args:
        position: Where the answer lies.
        stored_hash: Of the request that it answers.
        request: What is asked now.
        answer_tokens: What the hashes of a run were made with that is of the time when they told that apart.

    Raises:
        StoreMismatchError: It answers another: the program, its data or the files of the run have changed.
    """
    if answer_tokens is not None and stored_hash == request.hash_with(answer_tokens):
        return
    if stored_hash != request.hash:
        raise StoreMismatchError(
            f"the answer on disk at {position} belongs to another request ({stored_hash[:12]}, now "
            f"{request.hash[:12]}): "
            "the run was made by another version of the program or its files were changed; start a new run",
            differences=(f"request at {position}: it was {stored_hash[:12]}, now {request.hash[:12]}",),
        )
