"""The verifiable instructions of IFEval (Zhou et al. 2023, arXiv 2311.07911), written anew.

No kept library offers them: `ifeval` on PyPI is something else, `instruction_following_eval` is not on
PyPI, and
the copy inside `lm-eval` (MIT) comes with a model harness and downloads nltk data when it runs. Differences
from the original: keywords are literal text, not regular expressions; sentences are split by rule, not by
nltk; the language is guessed from scripts and common words (`languages.py`), not by a random classifier.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.graders.languages import reads_as

Check = Callable[..., bool]

_CONSTRAINED = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_ABBREVIATION = re.compile(
    r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|Inc|Ltd|Jr|Sr|Co|vs|etc|e\.g|i\.e|Ph\.D|a\.m|p\.m)\.(?=\s+[a-zA-Z0-9])|"
    r"(?<=\d)\.(?=\d)|\.(?=(?:com|net|org|io|gov|edu|me)\b)|\b[A-Z]\.(?=[A-Z]\.|\s+[A-Z][a-z])"
)
_SENTENCE_END = re.compile(r"[.!?]+[\"'”)]*")
_DOT = "\u2024"


def follows(instruction: str, text: str, options: Mapping[str, Any]) -> bool:
    """Whether `text` follows an instruction. Raises KeyError for one that does not exist."""
    check = CHECKS[instruction.rsplit(":", 1)[-1]]
    return check(text, **{key: value for key, value in options.items() if value is not None})


def follows_loosely(instruction: str, text: str, options: Mapping[str, Any]) -> bool:
    """As IFEval's loose mode: without the first line, the last, both, or the asterisks counts too."""
    lines = text.split("\n")
    cuts = [lines, lines[1:], lines[:-1], lines[1:-1]]
    texts = ["\n".join(cut).strip() for cut in cuts]
    texts += [cut.replace("*", "") for cut in texts]
    return any(cut and follows(instruction, cut, options) for cut in texts)


def sentences(text: str) -> list[str]:
    """Sentences with their marks; abbreviations, decimals and addresses end none."""
    guarded = _ABBREVIATION.sub(lambda dot: dot.group().replace(".", _DOT), text.replace("\n", " "))
    found: list[str] = []
    start = 0
    for end in _SENTENCE_END.finditer(guarded):
        found.append(guarded[start : end.end()])
        start = end.end()
    found.append(guarded[start:])
    return [part.replace(_DOT, ".").strip() for part in found if re.search(r"\w", part)]


def _related(number: int, relation: str, limit: int) -> bool:
    return number < limit if relation.startswith("less") else number >= limit


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def _existence(text: str, keywords: list[str]) -> bool:
    return all(keyword.casefold() in text.casefold() for keyword in keywords)


def _frequency(text: str, keyword: str, frequency: int, relation: str = "at least") -> bool:
    return _related(text.casefold().count(keyword.strip().casefold()), relation, frequency)


def _forbidden(text: str, forbidden_words: list[str]) -> bool:
    return not any(re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) for word in forbidden_words)


def _letter(text: str, letter: str, let_frequency: int, let_relation: str = "at least") -> bool:
    return _related(text.casefold().count(letter.strip().casefold()), let_relation, let_frequency)


def _key_sentences(text: str, key_sentences: list[str], num_sentences: int) -> bool:
    present = set(sentences(text))
    return sum(sentence.strip() in present for sentence in key_sentences) == num_sentences


def _number_words(text: str, num_words: int, relation: str = "at least") -> bool:
    return _related(len(_words(text)), relation, num_words)


def _number_sentences(text: str, num_sentences: int, relation: str = "at least") -> bool:
    return _related(len(sentences(text)), relation, num_sentences)


def _number_paragraphs(text: str, num_paragraphs: int) -> bool:
    parts = [part.strip() for part in re.split(r"\s?\*\*\*\s?", text)]
    return all(parts[1:-1]) and sum(map(bool, parts)) == num_paragraphs


def _first_word(text: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    parts = text.split("\n\n")
    if sum(bool(part.strip()) for part in parts) != num_paragraphs or nth_paragraph > len(parts):
        return False
    words = parts[nth_paragraph - 1].split()
    if not words:
        return False
    word = re.split(r"[.,?!'\"]", words[0].lstrip("'\""))[0]
    return word.casefold() == first_word.casefold()


def _placeholders(text: str, num_placeholders: int) -> bool:
    return len(re.findall(r"\[[^\[\]]*\]", text)) >= num_placeholders


def _postscript(text: str, postscript_marker: str) -> bool:
    marker = re.sub(r"\\\.", r"\\.\\s?", re.escape(postscript_marker.strip()))
    return re.search(marker.removesuffix("\\s?"), text, re.IGNORECASE) is not None


def _bullets(text: str, num_bullets: int) -> bool:
    return len(re.findall(r"^[ \t]*(?:\*[^*\n]|-).*$", text, re.MULTILINE)) == num_bullets


def _constrained(text: str) -> bool:
    return any(option in text for option in _CONSTRAINED)


def _starts(text: str, starter: str) -> bool:
    return any(line.lstrip().startswith(starter.strip()) for line in text.split("\n"))


def _highlights(text: str, num_highlights: int) -> bool:
    single = [found for found in re.findall(r"\*([^\n*]*)\*", text) if found.strip()]
    double = [found for found in re.findall(r"\*\*([^\n*]*)\*\*", text) if found.strip()]
    return len(single) + len(double) >= num_highlights


def _sections(text: str, section_spliter: str, num_sections: int) -> bool:
    return len(re.findall(rf"{re.escape(section_spliter.strip())}\s?\d+", text)) >= num_sections


def _json(text: str) -> bool:
    inner = re.sub(r"^```(?:json)?|```$", "", text.strip(), flags=re.IGNORECASE).strip()
    try:
        json.loads(inner)
    except (ValueError, RecursionError):
        return False
    return True


def _title(text: str) -> bool:
    return any(found.strip() for found in re.findall(r"<<([^\n<>]+)>>", text))


def _two(text: str) -> bool:
    parts = [part.strip() for part in text.split("******")]
    filled = [part for part in parts if part]
    return all(parts[1:-1]) and len(filled) == 2 and filled[0] != filled[1]


def _repeat(text: str, prompt_to_repeat: str) -> bool:
    return text.strip().casefold().startswith(prompt_to_repeat.strip().casefold())


def _ends(text: str, end_phrase: str) -> bool:
    return text.strip().strip('"').casefold().endswith(end_phrase.strip().casefold())


def _capital_words(text: str, capital_frequency: int, capital_relation: str = "at least") -> bool:
    capital = [word for word in re.findall(r"[\w'-]+", text) if word.isupper()]
    return _related(len(capital), capital_relation, capital_frequency)


def _upper(text: str) -> bool:
    return text.isupper() and reads_as(text, "en")


def _lower(text: str) -> bool:
    return text.islower() and reads_as(text, "en")


def _no_comma(text: str) -> bool:
    return "," not in text


def _quoted(text: str) -> bool:
    stripped = text.strip()
    return len(stripped) > 1 and stripped[0] == stripped[-1] == '"'


def _language(text: str, language: str) -> bool:
    return reads_as(text, language)


def _rephrase(text: str, original_message: str) -> bool:
    def frame(message: str) -> str:
        return re.sub(r"\*[^*\n]*\*", "", message)

    return frame(text) != text and frame(text) == frame(original_message)


def _rephrase_paragraph(text: str, original_paragraph: str, low: int, high: int) -> bool:
    shared = Counter(_words(text.casefold())) & Counter(_words(original_paragraph.casefold()))
    return low <= sum(shared.values()) <= high


CHECKS: dict[str, Check] = {
    "existence": _existence,
    "frequency": _frequency,
    "keyword_frequency": _frequency,
    "forbidden_words": _forbidden,
    "letter_frequency": _letter,
    "key_sentences": _key_sentences,
    "number_words": _number_words,
    "number_sentences": _number_sentences,
    "number_paragraphs": _number_paragraphs,
    "nth_paragraph_first_word": _first_word,
    "number_placeholders": _placeholders,
    "postscript": _postscript,
    "number_bullet_lists": _bullets,
    "exact_number_bullet_points": _bullets,
    "constrained_response": _constrained,
    "constrained_start": _starts,
    "number_highlighted_sections": _highlights,
    "minimum_number_highlighted_sections": _highlights,
    "multiple_sections": _sections,
    "json_format": _json,
    "title": _title,
    "two_responses": _two,
    "repeat_prompt": _repeat,
    "end_checker": _ends,
    "capital_word_frequency": _capital_words,
    "english_capital": _upper,
    "english_lowercase": _lower,
    "no_comma": _no_comma,
    "quotation": _quoted,
    "response_language": _language,
    "rephrase": _rephrase,
    "rephrase_paragraph": _rephrase_paragraph,
}
"""By the part of the identifier after the colon."""
