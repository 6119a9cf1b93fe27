"""Every prompt of an experiment: what is generated from, hinted, evaluated with and trained on.

Layout after Zelikman et al. 2022 (arXiv 2203.14465): figure 2 marks the right choice of a hinted question,
section 3.3 shows the gold answer, never the gold solution. The training prompt is the canonical one:
zero-shot and without hint, whichever prompt produced the rationale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from pipeline.config.experiment import PromptsConfig
from pipeline.errors import ConfigError
from pipeline.prompts.cutting import compile_answer_line
from pipeline.prompts.templates import Template, surroundings
from pipeline.records import Exemplar, Message, Problem, Prompt, PromptStyle

ChatRenderer = Callable[[list[Message]], str]
"""Messages to text with the generation prompt: what the tokenizer's chat template makes of them."""


class Asked(Protocol):
    """What a question is laid out from: a problem or an exemplar."""

    @property
    def question(self) -> str: ...
    @property
    def answer(self) -> str: ...
    @property
    def choices(self) -> Mapping[str, str]: ...


class PromptBook:
    """Lays out the prompts of one experiment. The few-shot part stands first and is the same text for every
    problem, so that an engine's prefix cache shares it."""

    def __init__(
        self,
        config: PromptsConfig,
        exemplars: Sequence[Exemplar],
        hinted_exemplars: Sequence[Exemplar],
        chat: ChatRenderer | None,
        books: Mapping[str, PromptBook] | None = None,
    ) -> None:
        """`chat` renders messages and is given exactly when `config.chat`; `books` lay out the problems of
        the sources they are named for in place of this one.

        Raises ConfigError for an unknown placeholder, a question template without `{question}`, an
        `answer_line` that is not a regular expression, or a renderer that does not fit `config.chat`.
        """
        if config.chat != (chat is not None):
            raise ConfigError(
                f"prompts.chat is {config.chat}, but a chat renderer was {'' if chat else 'not '}given; "
                "set prompts.chat to whether the base has a chat template that is to be used"
            )
        if config.system is not None and not config.chat:
            raise ConfigError(
                f"prompts.system is {config.system!r}, but prompts.chat is false and a plain prompt has no "
                "system message; set prompts.chat to true, or remove prompts.system"
            )
        if config.answer_line is not None:
            compile_answer_line(config.answer_line)
        asked = frozenset({"question", "choices"})
        line = frozenset({"key", "text"})
        self._config = config
        self._chat = chat
        self._books = books or {}
        self._question = Template(config.question, "prompts.question", asked)
        self._hinted_question = Template(config.hinted_question, "prompts.hinted_question", asked | {"hint"})
        self._choice = Template(config.choice, "prompts.choice", line)
        self._hinted_choice = Template(config.hinted_choice, "prompts.hinted_choice", line)
        for template in (self._question, self._hinted_question):
            if "question" not in template.names:
                raise ConfigError(
                    f"{template.where} is {template.text!r}; expected it to contain {{question}}"
                )
        self._exemplars = tuple(exemplars)
        self._hinted_exemplars = tuple(hinted_exemplars)
        self._block = self._render_block(self._exemplars, hinted=False)
        # Rendered when first asked for: a task that is never rationalized needs no template that shows a
        # hint.
        self._hinted_block: str | list[Message] | None = None

    def canonical(self, problem: Problem) -> Prompt:
        """Zero-shot, without hint: what is trained on, and what `checks` compare training rows with."""
        book = self._of(problem)
        return Prompt(book._assemble(book._empty_block(), book._ask(problem)), PromptStyle.ZERO_SHOT)

    def messages(self, problem: Problem) -> list[Message]:
        """What `canonical` renders, as turns: the system message where there is one, and the question as
        `prompts.question` lays it out. For a plain experiment too, which has no template to render them."""
        return [*self._system(), Message("user", self._of(problem)._ask(problem))]

    def generation(self, problem: Problem, few_shot: bool) -> Prompt:
        """What model n-1 writes from; without exemplars `few_shot` makes no difference."""
        book = self._of(problem)
        if few_shot and book._exemplars:
            return Prompt(book._assemble(book._block, book._ask(problem)), PromptStyle.FEW_SHOT)
        return self.canonical(problem)

    def hinted(self, problem: Problem, few_shot: bool) -> Prompt:
        """The question with its gold answer shown. `Prompt.hint` is the part of the text that gives it away.

        Raises ConfigError if the templates show no hint for such a problem.
        """
        return self._of(problem)._with_hint(problem, few_shot)

    def _with_hint(self, problem: Problem, few_shot: bool) -> Prompt:
        if few_shot and self._hinted_exemplars:
            if self._hinted_block is None:
                self._hinted_block = self._render_block(self._hinted_exemplars, hinted=True)
            block = self._hinted_block
        else:
            block = self._empty_block()
        question, hint = self._ask_hinted(problem)
        text = self._assemble(block, question)
        # Chat templates may trim a message.
        visible = next((form for form in (hint, hint.strip()) if form and form in text), None)
        if visible is None:
            raise ConfigError(
                f"the hint {hint!r} of problem {problem.problem_id} is not in its hinted prompt as rendered "
                "by the chat template; change prompts.hinted_question so that it is"
            )
        return Prompt(text, PromptStyle.HINTED, visible)

    def evaluation(self, problem: Problem, style: PromptStyle) -> Prompt:
        """What accuracy is measured with. ConfigError for few-shot without exemplars: it would be
        zero-shot."""
        if style is PromptStyle.ZERO_SHOT:
            return self.canonical(problem)
        if style is PromptStyle.FEW_SHOT and self._of(problem)._exemplars:
            return self.generation(problem, few_shot=True)
        if style is PromptStyle.FEW_SHOT:
            raise ConfigError(
                "evaluate.style is few_shot, but there are no exemplars; give prompts.few_shot or "
                "problems.exemplars_from_train, or set evaluate.style to zero_shot"
            )
        raise ConfigError(
            f"evaluate.style is {style}; expected zero_shot or few_shot: a hint shows the answer"
        )

    def completion(self, text: str) -> str:
        """What follows the canonical prompt in training, without the end token."""
        return text if self._chat else self._config.completion_prefix + text

    def rationale(self, completion: str) -> str:
        """The text in a completion: the inverse of `completion`."""
        return completion if self._chat else completion.removeprefix(self._config.completion_prefix)

    def _of(self, problem: Problem) -> PromptBook:
        return self._books.get(problem.source, self)

    def _ask(self, asked: Asked) -> str:
        lines = [self._choice.fill({"key": key, "text": text}) for key, text in asked.choices.items()]
        return self._question.fill({"question": asked.question, "choices": "\n".join(lines)})

    def _ask_hinted(self, asked: Asked) -> tuple[str, str]:
        """The hinted question and the part of it that gives the answer away."""
        lines = []
        right_line = hint = ""
        for key, text in asked.choices.items():
            plain = self._choice.fill({"key": key, "text": text})
            if key == asked.answer:
                right_line, hint = self._hinted_choice.fill({"key": key, "text": text}), plain
                lines.append(right_line)
            else:
                lines.append(plain)
        marked = bool(lines) and "choices" in self._hinted_question.names and right_line != hint
        if not lines:
            hint = asked.answer
        values = {"question": asked.question, "choices": "\n".join(lines), "hint": hint}
        if marked:
            given_away = right_line
        elif "hint" in self._hinted_question.names:
            around = surroundings(self._hinted_question, "hint", self._question)
            given_away = around.before + hint + around.after
        else:
            raise ConfigError(
                f"prompts.hinted_question {self._hinted_question.text!r} shows no hint for "
                f"{asked.question[:60]!r}; expected {{hint}} in it, or for multiple choice {{choices}} with "
                "a prompts.hinted_choice that differs from prompts.choice"
            )
        return self._hinted_question.fill(values), given_away

    def _empty_block(self) -> str | list[Message]:
        return self._render_block((), hinted=False)

    def _render_block(self, exemplars: Sequence[Exemplar], *, hinted: bool) -> str | list[Message]:
        """What stands before the question: text up to it, or the system message and the exemplars' turns."""
        asked = [self._ask_hinted(exemplar)[0] if hinted else self._ask(exemplar) for exemplar in exemplars]
        rationales = [exemplar.rationale.strip() for exemplar in exemplars]
        if self._chat is None:
            prefix, separator = self._config.completion_prefix, self._config.separator
            pairs = zip(asked, rationales, strict=True)
            return "".join(question + prefix + rationale + separator for question, rationale in pairs)
        messages = self._system()
        for question, rationale in zip(asked, rationales, strict=True):
            messages += [Message("user", question), Message("assistant", rationale)]
        return messages

    def _system(self) -> list[Message]:
        return [Message("system", self._config.system)] if self._config.system is not None else []

    def _assemble(self, block: str | list[Message], question: str) -> str:
        if isinstance(block, str):
            return block + question
        assert self._chat is not None  # a list of messages is only made for chat
        return self._chat([*block, Message("user", question)])
