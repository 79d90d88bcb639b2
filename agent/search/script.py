"""One conversation's steps as its method yields them, one at a time."""

from __future__ import annotations

from .methods import Ask, Consult, Feedback, Propose, Step, Steps


class Script:
    """What a method wants done next.

    A step stands until something is feedback of it: a request that got no answer is the next round's first
    step again, and the method need not know, unless it wants to.

    Args:
        steps: The method's generator.
        most_requests: Requests that an round may make.
    """

    def __init__(self, steps: Steps, *, most_requests: int) -> None:
        self._steps = steps
        self._most_requests = most_requests
        self._step: Step | None = None
        self._heard: Feedback | None = None
        self._over = False

    def next(self, requests: int) -> Step | None:
        """Return the step to do now, None where the method has ended its conversation.

        Args:
            requests: How many this round has made.

        Raises:
            TypeError: The method yields what is no step, or more requests than it says that it makes.
        """
        if not self._over and (self._step is None or self._heard is not None):
            self._advance()
        if self._step is not None and not isinstance(self._step, Ask | Consult | Propose):
            raise TypeError(f"a method yields Ask, Consult or Propose, not {type(self._step).__name__}")
        if isinstance(self._step, Ask | Consult) and requests >= self._most_requests:
            raise TypeError(f"the method makes more than its {self._most_requests} requests an round")
        return self._step

    def take(self, feedback: Feedback) -> None:
        """Take what came of the step; the method is told when the next one is asked for."""
        self._heard = feedback

    def skip(self) -> None:
        """Take that the step got no answer; it stands, unless the method wants to hear of that."""
        if isinstance(self._step, Ask | Consult) and self._step.gets_skip:
            self.take(Feedback(skipped=True))

    def _advance(self) -> None:
        feedback, self._heard = self._heard, None
        try:
            self._step = next(self._steps) if feedback is None else self._steps.send(feedback)
        except StopIteration:
            self._step, self._over = None, True
