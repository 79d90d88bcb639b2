"""Calls of the scorer, and whose fault it is when one fails.

A call that fails is halved until the culprit stands alone. A template that fails alone is tried again; if it
goes on failing, one that was scored before is scored again as a witness. If the witness passes and the
template still fails, it is the template's fault, and everything else goes on (``CrashingTemplateError``). If
the witness fails too, or if nothing has been scored yet and several templates fail, it is the scorer's fault
(``ScoringFailedError``): then nothing is known of any template.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..errors import ConsumerError, CrashingTemplateError, ScoringFailedError
from ..scoring import Score, Scorer, Verdict, batches_at_once, checked
from ..threads import DaemonThreads

MAX_FAILURES = 3
"""Calls with one template alone that may fail before it is blamed; where nothing has been scored yet, also
templates that may fail alone before the scorer is."""
_SHOWN = 300


@dataclass(eq=False, slots=True)
class Job:
    """One template in flight.

    Attributes:
        template: Its text.
        future: Gets its verdict, or an error.
        arrived: When it came, in the loop's time.
        waiters: How many tasks wait for it.
        failures: Calls with this template alone that failed.
        witnessed: Whether the scorer has scored another template since it failed.
        asked_again: Whether its first answer was no number.
    """

    template: str
    future: asyncio.Future[Verdict]
    arrived: float
    waiters: int = 0
    failures: int = 0
    witnessed: bool = False
    asked_again: bool = False

    def settle(self, verdict: Verdict) -> None:
        """Hand out the verdict, if anybody may still want it."""
        if not self.future.done():
            self.future.set_result(verdict)

    def fail(self, error: BaseException) -> None:
        """Hand out an error."""
        if not self.future.done():
            self.future.set_exception(error)
            # Retrieved here, so that a job that nobody waits for any more does not warn at collection.
            self.future.exception()


@dataclass(slots=True)
class _Docket:
    """What is left of a batch: parts to be tried, the last one first, and templates held back.

    Attributes:
        parts: Not tried yet, or to be tried again.
        suspects: Failed alone while no other template had ever been scored.
        error: The last failure, as an error for those that wait.
    """

    parts: list[list[Job]]
    suspects: list[Job] = field(default_factory=list)
    error: ScoringFailedError | None = None

    def fail(self, error: BaseException) -> None:
        """Fail all of it."""
        for job in (*self.suspects, *(job for part in self.parts for job in part)):
            job.fail(error)
        self.parts, self.suspects = [], []


class Caller:
    """Calls a scorer from as many threads as it takes batches at once.

    Args:
        scorer: What scores.
        max_batch: Most templates a call.

    Attributes:
        in_flight: How many batches the scorer takes at once.
        max_batch: Most templates a call now: halved when the scorer runs out of memory.

    Raises:
        ConfigError: The scorer's ``in_flight`` is not a number of batches.
    """

    def __init__(self, scorer: Scorer, *, max_batch: int) -> None:
        self.in_flight = batches_at_once(type(scorer).__name__, getattr(scorer, "in_flight", 1))
        self.max_batch = max_batch
        self._scorer = scorer
        self._threads = DaemonThreads(self.in_flight)
        self._witness: str | None = None

    def close(self) -> None:
        """Start no call any more; one that runs is not waited for."""
        self._threads.shutdown()

    async def score(self, batch: list[Job], closing: Callable[[], bool]) -> None:
        """Score a batch: every job of it gets a verdict or an error.

        Args:
            batch: What to score.
            closing: Whether to begin no further call.

        Raises:
            ConsumerError: The scorer cannot be worked with: it miscounts, or asks to leave the program.
        """
        docket = _Docket([batch])
        while docket.parts and not closing():
            part = docket.parts.pop()
            if len(part) > self.max_batch:
                docket.parts += [part[self.max_batch :], part[: self.max_batch]]
                continue
            try:
                verdicts = await self._call([job.template for job in part])
            except ConsumerError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever the scorer raises is judged
                await self._judge(part, error, docket)
            else:
                docket.parts += self._settle(part, verdicts)
            if not docket.parts and docket.suspects:
                self._reopen(docket)
        docket.fail(ConsumerError("the consumer was closed before this template was scored"))

    async def _judge(self, part: list[Job], error: Exception, docket: _Docket) -> None:
        """Decide what becomes of a part that failed."""
        if len(part) > 1:
            middle = (len(part) + 1) // 2
            if is_out_of_memory(error):
                self.max_batch = min(self.max_batch, middle)
            docket.parts += [part[middle:], part[:middle]]
            return
        (job,) = part
        docket.error = _failed(job, error)
        job.failures += 1
        if job.failures >= MAX_FAILURES and job.witnessed:
            job.fail(_crashing(job, error))
        elif job.failures < MAX_FAILURES - 1 or job.witnessed:
            docket.parts.append(part)
        elif self._witness is None:
            docket.suspects.append(job)
            if len(docket.suspects) == MAX_FAILURES:
                docket.fail(docket.error)
        elif await self._scores(self._witness):
            job.witnessed = True
            docket.parts.append(part)
        else:
            docket.suspects.append(job)
            docket.fail(docket.error)

    def _reopen(self, docket: _Docket) -> None:
        """Try templates that were held back once more, now that the rest of the batch has been tried."""
        for job in docket.suspects:
            job.witnessed = self._witness is not None
        if self._witness is None:
            docket.fail(docket.error or ScoringFailedError("the scorer fails"))
        docket.parts, docket.suspects = [[job] for job in docket.suspects], []

    async def _scores(self, witness: str) -> bool:
        """Return whether the scorer still scores what it has scored before."""
        try:
            await self._call([witness])
        except ConsumerError:
            raise
        except Exception:  # noqa: BLE001 - that it fails is the answer
            return False
        return True

    async def _call(self, templates: list[str]) -> Sequence[Verdict]:
        """Call the scorer in a thread."""
        loop = asyncio.get_running_loop()
        answers = await loop.run_in_executor(self._threads, _call, self._scorer, templates)
        if len(answers) != len(templates):
            raise ConsumerError(f"the scorer gave {len(answers)} answers for {len(templates)} templates")
        return answers

    def _settle(self, part: list[Job], verdicts: Sequence[Verdict]) -> list[list[Job]]:
        """Hand out verdicts; return the jobs whose answer is no number, to be asked once more."""
        again: list[list[Job]] = []
        for job, given in zip(part, verdicts, strict=True):
            verdict = checked(given)
            if verdict is not given and not job.asked_again:
                job.asked_again = True
                again.append([job])
                continue
            if isinstance(verdict, Score):
                self._witness = job.template
            job.settle(verdict)
        return again


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on the host or on a device; needs no torch."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    said = str(error).lower()
    return named or (
        isinstance(error, RuntimeError) and ("out of memory" in said or "can't allocate memory" in said)
    )


def _call(scorer: Scorer, templates: list[str]) -> Sequence[Verdict]:
    try:
        return scorer.score(templates)
    except (KeyboardInterrupt, SystemExit) as error:
        # Raised in a task, these would tear the event loop down under everybody else.
        raise ConsumerError("the scorer asked to leave the program") from error


def _failed(job: Job, error: Exception) -> ScoringFailedError:
    failure = ScoringFailedError(f"the scorer fails, last on {job.template!r}: {repr(error)[:_SHOWN]}")
    failure.__cause__ = error
    return failure


def _crashing(job: Job, error: Exception) -> CrashingTemplateError:
    text = f"the scorer failed on it {job.failures} times, while it scores others: {repr(error)[:_SHOWN]}"
    failure = CrashingTemplateError(job.template, text)
    failure.__cause__ = error
    return failure
