"""The first prompt kind: templates, such as ``a photo of a {}``."""

from __future__ import annotations

from collections.abc import Sequence

from .captions import CAPTIONS
from .grammar import DOUBLE_FRAMES, FRAMES, NEUTRAL, grammar
from .kinds import TEMPLATE, PromptKind, Proposals
from .replies import parse_reply
from .template import SLOT, TEMPLATE_WORDS, Template, with_slots
from .wording import Wordings, built_in

BUILT_IN: tuple[str, ...] = tuple(CAPTIONS.splitlines())
"""Caption templates written for this project, varied in medium, view, light, place and phrasing."""
DEFAULT_TEMPLATE = "a photo of a {}"
_LONGEST_OWN = 10_000


class TemplateKind(PromptKind):
    """Search for templates."""

    name = TEMPLATE
    words = TEMPLATE_WORDS
    example = DEFAULT_TEMPLATE
    slot = SLOT
    frames = FRAMES
    double_frames = DOUBLE_FRAMES
    fillers = NEUTRAL

    @property
    def wordings(self) -> Wordings:
        """Return the texts that come with the program."""
        return built_in()

    def parse(self, raw: str, *, max_words: int | None) -> Template:
        """Read a template; see ``Template.parse``."""
        return Template.parse(raw, max_words=max_words)

    def parse_own(self, raw: str) -> Template:
        """Read a template of any length; its slot may be written in other tools' ways, such as ``{c}``."""
        own_form = SLOT in raw or len(raw) > _LONGEST_OWN
        return Template.parse(raw if own_form else with_slots(raw), max_words=None)

    def read(self, answer: str, *, max_words: int) -> Proposals:
        """Read the templates of an answer; see ``parse_reply``."""
        return parse_reply(answer, max_words=max_words)

    def starting(self, pool: str) -> Sequence[Sequence[Template]]:
        """Return the grammar's templates, one group a production, or the captions as one group."""
        if pool == "grammar":
            return list(grammar().values())
        return [[Template.parse(text, max_words=None) for text in BUILT_IN]]


KIND = TemplateKind()
