"""Clauses and frames: the pieces of which wordings of the widened world are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Syntax = Literal["ask", "embed", "noun", "gap"]


@dataclass(frozen=True, kw_only=True)
class Clauses:
    """One question without a frame, in four syntaxes; the last of each is held out.

    ``gap`` has one clause, used in training, because its frames are held out instead.
    """

    plain: str
    ask: tuple[str, str, str, str]
    embed: tuple[str, str, str]
    noun: tuple[str, str, str]
    gap: str

    def of(self, syntax: Syntax) -> tuple[str, ...]:
        """Return the clauses of a syntax."""
        return {
            "ask": self.ask,
            "embed": self.embed,
            "noun": self.noun,
            "gap": (self.gap,),
        }[syntax]


FRAMES: dict[Syntax, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ask": (
        (
            "{}?",
            "in this video, {}?",
            "look at the video: {}?",
            "please answer: {}?",
            "quick question, {}?",
            "question: {}? answer:",
        ),
        (
            "having seen all of it, {}, would you say?",
            "there is one thing to find: {}?",
        ),
    ),
    "embed": (
        (
            "tell me {}.",
            "could you please tell me {}?",
            "i would like to know {}.",
            "do you know {}?",
            "say {}.",
            "can you make out {} in this video?",
        ),
        ("it would help me to learn {}, thanks.", "{}: that is what i need from you."),
    ),
    "noun": (
        ("{}?", "state {}.", "{}, please.", "please give {}.", "i want {}.", "give {}"),
        ("i am after {}; any luck?", "nothing but {}, if you will."),
    ),
    "gap": (
        ("complete the sentence: {} ...", "fill in the blank: {} ___."),
        ("{} what? finish my sentence.", "how does this go on: {} ..."),
    ),
}
"""Frames of each syntax: those of training, those held out."""

CLAUSES: dict[str, Clauses] = {
    "needle": Clauses(
        plain="What letter is on the {thing}?",
        ask=(
            "what letter is on the {thing}",
            "which letter does the {thing} carry",
            "the {thing} has which letter on it",
            "what is written on the thing that is a {thing}",
        ),
        embed=(
            "which letter the {thing} carries",
            "what letter is on the {thing}",
            "how the badge of the {thing} reads",
        ),
        noun=(
            "the letter on the {thing}",
            "the {thing}'s letter",
            "whatever letter there is to read on the {thing}",
        ),
        gap="the letter on the {thing} is",
    ),
    "attribute": Clauses(
        plain="What {attribute} is the object with the letter {letter}?",
        ask=(
            "what {attribute} is the object with the letter {letter}",
            "which {attribute} does the object marked {letter} have",
            "the object that carries {letter} has which {attribute}",
            "if you find {letter}, of what {attribute} is the thing under it",
        ),
        embed=(
            "what {attribute} the object with the letter {letter} has",
            "of which {attribute} the object marked {letter} is",
            "in what {attribute} the bearer of {letter} comes",
        ),
        noun=(
            "the {attribute} of the object with the letter {letter}",
            "the {attribute} of whatever carries {letter}",
            "the right {attribute} for the bearer of {letter}",
        ),
        gap="the {attribute} of the object with the letter {letter} is",
    ),
    "size": Clauses(
        plain="Is the {thing} small or large?",
        ask=(
            "is the {thing} small or large",
            "how big is the {thing}, small or large",
            "which size has the {thing}",
            "would you call the {thing} a large one or a small one",
        ),
        embed=(
            "whether the {thing} is small or large",
            "what size the {thing} has",
            "how the {thing} measures up, large or small",
        ),
        noun=(
            "the size of the {thing}",
            "the {thing}'s size, small or large",
            "one word for how large the {thing} is",
        ),
        gap="the size of the {thing} is",
    ),
    "presence": Clauses(
        plain="Does {a_thing} appear?",
        ask=(
            "does {a_thing} appear",
            "is there {a_thing}",
            "can {a_thing} be seen at any time",
            "did {a_thing} ever come into view",
        ),
        embed=(
            "whether {a_thing} appears",
            "if there is {a_thing}",
            "whether or not one gets to see {a_thing}",
        ),
        noun=(
            "a yes or a no on whether {a_thing} appears",
            "your verdict on the presence of {a_thing}",
            "word, yes or no, of {a_thing}",
        ),
        gap="yes or no, {a_thing} appears:",
    ),
    "count": Clauses(
        plain="How many times does the {thing} appear?",
        ask=(
            "how many times does the {thing} appear",
            "how often is the {thing} seen",
            "the {thing} comes into view how many times",
            "what number of visits does the {thing} pay",
        ),
        embed=(
            "how many times the {thing} appears",
            "how often the {thing} is seen",
            "on how many occasions the {thing} turns up",
        ),
        noun=(
            "the number of times the {thing} appears",
            "a count of the appearances of the {thing}",
            "the tally for the {thing}",
        ),
        gap="the number of appearances of the {thing} is",
    ),
    "order": Clauses(
        plain="Which appears first, the {thing} or the {other}?",
        ask=(
            "which appears first, the {thing} or the {other}",
            "of the {thing} and the {other}, which comes first",
            "is it the {thing} or the {other} that is seen earlier",
            "who beats whom into view, the {thing} or the {other}",
        ),
        embed=(
            "which of the {thing} and the {other} appears first",
            "whether the {thing} or the {other} comes first",
            "which one leads, the {thing} or the {other}",
        ),
        noun=(
            "the first to appear of the {thing} and the {other}",
            "the earlier one, the {thing} or the {other}",
            "the forerunner among these two: the {thing}, the {other}",
        ),
        gap="of the {thing} and the {other}, the first to appear is",
    ),
    "when": Clauses(
        plain="When does the {thing} appear?",
        ask=(
            "when does the {thing} appear",
            "from when to when is the {thing} in view",
            "at what time can the {thing} be seen",
            "between which moments would i have to look to see the {thing}",
        ),
        embed=(
            "when the {thing} appears",
            "from when to when the {thing} is in view",
            "during which stretch of time the {thing} shows up",
        ),
        noun=(
            "the time at which the {thing} appears",
            "the start and the end of the {thing}'s appearance",
            "the clock times around the visit of the {thing}",
        ),
        gap="the {thing} is in view",
    ),
    "direction": Clauses(
        plain="Which way does the {thing} move, left or right?",
        ask=(
            "which way does the {thing} move, left or right",
            "does the {thing} go left or right",
            "in what direction does the {thing} travel",
            "towards which side is the {thing} heading",
        ),
        embed=(
            "which way the {thing} moves, left or right",
            "whether the {thing} goes left or right",
            "to what side the {thing} makes its way",
        ),
        noun=(
            "the direction in which the {thing} moves",
            "the way the {thing} goes, left or right",
            "the heading of the {thing}",
        ),
        gap="the {thing} moves to the",
    ),
    "topic": Clauses(
        plain="Which room is shown most of the time?",
        ask=(
            "which room is shown most of the time",
            "in what room does most of it take place",
            "what room is seen for the longest time",
            "where are we for the greater part of the film",
        ),
        embed=(
            "which room is shown most of the time",
            "in what room most of it takes place",
            "where the film spends the bulk of its length",
        ),
        noun=(
            "the room that is shown most",
            "the name of the room with the longest time on screen",
            "the main setting",
        ),
        gap="the room shown most of the time is",
    ),
    "anomaly": Clauses(
        plain="What strange thing happens?",
        ask=(
            "what strange thing happens",
            "does something unusual happen, and what",
            "what is odd about it",
            "was there anything that should not be there, and what was it",
        ),
        embed=(
            "what strange thing happens",
            "which unusual event there is",
            "what went wrong, if anything did",
        ),
        noun=(
            "the strange thing that happens",
            "the unusual event",
            "the one oddity, or nothing",
        ),
        gap="the strange thing that happens is that",
    ),
    "caption": Clauses(
        plain="Describe the video.",
        ask=(
            "what does the video show",
            "which objects appear, in which order and where",
            "what can be seen from beginning to end",
            "how would you put this clip into words",
        ),
        embed=(
            "what the video shows",
            "which objects appear and in which order",
            "how a caption of this clip would run",
        ),
        noun=(
            "a description of the video",
            "a caption that names every object",
            "the clip in a sentence",
        ),
        gap="the video shows",
    ),
    "where": Clauses(
        plain="Where on the screen is the {thing}?",
        ask=(
            "where on the screen is the {thing}",
            "in which part of the picture is the {thing}",
            "the {thing} is in what corner or part of the frame",
            "which quarter of the image should one watch for the {thing}",
        ),
        embed=(
            "where on the screen the {thing} is",
            "in which part of the picture the {thing} can be found",
            "what spot of the frame the {thing} takes",
        ),
        noun=(
            "the place of the {thing} on the screen",
            "the part of the picture with the {thing}",
            "the whereabouts of the {thing} within the frame",
        ),
        gap="on the screen, the {thing} is at the",
    ),
    "different": Clauses(
        plain="How many different objects appear?",
        ask=(
            "how many different objects appear",
            "how many distinct things are seen",
            "what is the number of different objects",
            "counting each only once, how many things are there",
        ),
        embed=(
            "how many different objects appear",
            "how many distinct things are seen",
            "what the cast numbers, repeats left out",
        ),
        noun=(
            "the number of different objects",
            "a count of the distinct things",
            "the size of the cast",
        ),
        gap="the number of different objects is",
    ),
    "beside": Clauses(
        plain="What is next to the {thing}?",
        ask=(
            "what is next to the {thing}",
            "which object is beside the {thing}",
            "the {thing} has what for a neighbour",
            "what shares the picture with the {thing}",
        ),
        embed=(
            "what is next to the {thing}",
            "which object is beside the {thing}",
            "what keeps the {thing} company",
        ),
        noun=(
            "the object next to the {thing}",
            "the neighbour of the {thing}",
            "whatever is seen together with the {thing}",
        ),
        gap="next to the {thing} is",
    ),
    "before_after": Clauses(
        plain="Which object appears right {relation} the {thing}?",
        ask=(
            "which object appears right {relation} the {thing}",
            "what comes into view directly {relation} the {thing}",
            "right {relation} the {thing}, what is seen",
            "in the row of arrivals, what stands just {relation} the {thing}",
        ),
        embed=(
            "which object appears right {relation} the {thing}",
            "what comes directly {relation} the {thing}",
            "whose arrival is the one just {relation} that of the {thing}",
        ),
        noun=(
            "the object that appears right {relation} the {thing}",
            "the next arrival {relation} the {thing}",
            "whatever came just {relation} the {thing}",
        ),
        gap="right {relation} the {thing} appears",
    ),
    "action": Clauses(
        plain="What does the {thing} do?",
        ask=(
            "what does the {thing} do",
            "which action does the {thing} perform",
            "what happens to the {thing}",
            "what is the {thing} up to",
        ),
        embed=(
            "what the {thing} does",
            "which action the {thing} performs",
            "what becomes of the {thing} on its way",
        ),
        noun=(
            "the action of the {thing}",
            "a word for what the {thing} does",
            "the trick that the {thing} shows",
        ),
        gap="in the video, the {thing}",
    ),
    "action_time": Clauses(
        plain="When does the {thing} {action}?",
        ask=(
            "when does the {thing} {action}",
            "at what time does the {thing} {action}",
            "from when to when does the {thing} {action}",
            "between which moments could one watch the {thing} {action}",
        ),
        embed=(
            "when it is that the {thing} begins to {action} and when it ends",
            "at what time one sees the {thing} {action}",
            "in which stretch the {thing} was found to {action}",
        ),
        noun=(
            "the time at which one sees the {thing} {action}",
            "the start and the end of it when you see the {thing} {action}",
            "the clock times for the moment that made the {thing} {action}",
        ),
        gap="one can see the {thing} {action}",
    ),
    "change": Clauses(
        plain="What changes about the {thing}?",
        ask=(
            "what changes about the {thing}",
            "in what way does the {thing} change",
            "what is different about the {thing} later on",
            "compare the {thing} early and late: what is no longer the same",
        ),
        embed=(
            "what changes about the {thing}",
            "how the {thing} changes",
            "in what respect the {thing} is not the same at the end",
        ),
        noun=(
            "the change in the {thing}",
            "the one thing that changes about the {thing}",
            "the difference between the {thing} then and now",
        ),
        gap="about the {thing}, what changes is",
    ),
    "summary": Clauses(
        plain="Summarise the video in one sentence.",
        ask=(
            "what is the video about in one sentence",
            "how would you summarise the video",
            "what happens in short",
            "if you had ten seconds to retell it, what would you say",
        ),
        embed=(
            "what the video is about in one sentence",
            "how you would summarise the video",
            "what one has to know who has not seen it",
        ),
        noun=(
            "a summary of the video",
            "the video in one sentence",
            "the gist",
        ),
        gap="in short, the video is about",
    ),
    "claim": Clauses(
        plain="Is it true that {claim}?",
        ask=(
            "is it true that {claim}",
            "is it right to say that {claim}",
            "yes or no, {claim}",
            "someone told me that {claim}; were they right",
        ),
        embed=(
            "whether {claim}",
            "if it is true that {claim}",
            "yes if {claim}, and no otherwise",
        ),
        noun=(
            "a yes or a no on whether {claim}",
            "your verdict, yes or no, on this: {claim}",
            "word on the rumour that {claim}",
        ),
        gap="yes or no, {claim}:",
    ),
    "unanswerable": Clauses(
        plain="What is {fact}?",
        ask=(
            "what is {fact}",
            "what would you say is {fact}",
            "{fact} is what",
            "what have you found out about {fact}",
        ),
        embed=(
            "what {fact} is",
            "what you take {fact} to be",
            "all there is to say on {fact}",
        ),
        noun=("{fact}", "an answer on {fact}", "the truth about {fact}"),
        gap="{fact} is",
    ),
}
"""Clauses of each question; ``size`` is the third form of the kind *attribute*."""
