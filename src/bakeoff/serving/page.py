"""The page: what stands where, and what happens when a photograph is dropped (Gradio's Blocks).

Every answer is HTML with its pictures inside, so that no file is made for it. Nothing is fetched
from elsewhere, nothing is told to anybody, and Gradio's own API is hidden.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

import gradio as gr

from bakeoff.serving import words
from bakeoff.serving.answering import Answers
from bakeoff.serving.asked import promises
from bakeoff.serving.limits import KEPT_SECONDS, MOST_FILE_BYTES, MOST_FILES, MOST_PIXELS, megabytes
from bakeoff.serving.pictures import layers_of

TITLE = "bakeoff serve"
LIKELIEST = "the likeliest"
USUAL = 0.05  # the promise to begin with, or the nearest that can be made
AT_ONCE = 4  # questions of one kind under way
MOST_QUESTIONS = 256  # that wait
_log = logging.getLogger(__name__)


def page(answers: Answers, url: str) -> gr.Blocks:
    """Lay out the page for one model or two; `url` is where the API answers."""
    blocks: gr.Blocks
    with gr.Blocks(
        title=TITLE, analytics_enabled=False, delete_cache=(KEPT_SECONDS // 3, KEPT_SECONDS)
    ) as blocks:
        _html(words.html("head", models=[asked.facts() for asked in answers.models]))
        with gr.Row(elem_classes="bo-ask"):
            with gr.Column(scale=2, min_width=280):
                photograph = _photograph()
                promise = _promise(answers)
            with gr.Column(scale=3, min_width=280):
                answer = _html(words.html("empty"), "answer")
        with gr.Tabs(elem_classes="bo-tabs", overflow_behavior="wrap"):
            with gr.Tab("Where it looked"):
                label = _labels(answers)
                looked = _html("", "looked")
            with gr.Tab("Activation maps"):
                with gr.Row():
                    layers = [_layers(answers, number) for number in range(len(answers.models))]
                activations = _html("", "activations")
            with gr.Tab("Nearest training photographs") as tab:
                nearest = _html("", "nearest")
            with gr.Tab("Many photographs"):
                files = _files()
                ask = gr.Button("Answer all", variant="primary", elem_id="ask")
                many = _html("", "many")
            with gr.Tab("For programs"):
                _html(_interface(answers, url))
        first = _when(photograph.change, answers.answer, [photograph, promise], answer)
        _when(first.then, answers.looked, [photograph, label], looked)
        _when(first.then, answers.activations, [photograph, *layers], activations)
        _when(first.then, answers.nearest, [photograph], nearest)
        _when(tab.select, answers.nearest, [photograph], nearest)  # more may be known by now
        _when(promise.change, answers.answer, [photograph, promise], answer)
        _when(label.change, answers.looked, [photograph, label], looked)
        for layer in layers:
            _when(layer.change, answers.activations, [photograph, *layers], activations)
        _when(ask.click, answers.many, [files, promise], many)
    blocks.queue(max_size=MOST_QUESTIONS, api_open=False)
    return blocks


def _when(
    event: Callable[..., Any], do: Callable[..., str], given: list[Any], shown: gr.HTML
) -> Any:
    """Let `do` fill `shown`; uploads come as they are told, unopened by Gradio."""

    @wraps(do)
    def done(*values: Any) -> str:
        try:
            return do(*values)
        except Exception as error:  # of values that the page would never send
            _log.warning("%s: %s", do.__name__, type(error).__name__)
            return words.html("trouble", sentence="This could not be done; the server goes on.")

    return event(
        done,
        given,
        shown,
        preprocess=False,
        api_visibility="private",
        show_progress="hidden",
        concurrency_limit=AT_ONCE,
    )


def _html(content: str, name: str | None = None) -> gr.HTML:
    return gr.HTML(content, elem_id=name, apply_default_css=False, js_on_load=None)


def _photograph() -> gr.Image:
    return gr.Image(
        type="filepath",
        image_mode=None,
        sources=["upload", "webcam", "clipboard"],
        show_label=False,
        label="Photograph",
        height=320,
        buttons=[],
        placeholder="Drop a photograph here\nor click to choose one",
        elem_id="photograph",
        webcam_options=gr.WebcamOptions(mirror=False),
    )


def _files() -> gr.File:
    return gr.File(
        file_count="multiple",
        file_types=["image"],
        height=180,
        label=f"Up to {MOST_FILES} photographs of at most {megabytes(MOST_FILE_BYTES)}",
        elem_id="files",
    )


def _promise(answers: Answers) -> gr.Dropdown:
    """Offer every promise that a model can keep; 0 stands for none."""
    promised = sorted({error for asked in answers.models for error in promises(asked)})
    choices = [("Always answer", 0.0)]
    choices += [(f"At most {100 * error:g} % of the answers wrong", error) for error in promised]
    return gr.Dropdown(
        choices,
        value=min(promised, key=lambda error: abs(error - USUAL), default=0.0),
        label="Say “I don’t know” rather than be wrong",
        filterable=False,
        interactive=bool(promised),
        elem_id="promise",
    )


def _labels(answers: Answers) -> gr.Dropdown:
    names = dict.fromkeys(name for asked in answers.models for name in asked.classifier.classes)
    return gr.Dropdown(
        [(LIKELIEST, ""), *((name, name) for name in names)],
        value="",
        label="Grad-CAM for the class",
        elem_id="label",
        elem_classes="bo-narrow",
    )


def _layers(answers: Answers, number: int) -> gr.Dropdown:
    asked = answers.models[number]
    names, chosen = layers_of(asked)
    return gr.Dropdown(
        names,
        value=chosen,
        label=f"Layer of {asked.name}" if answers.several else "Layer",
        interactive=bool(names),
        elem_id=f"layer-{number + 1}",
        elem_classes="bo-narrow",
    )


def _interface(answers: Answers, url: str) -> str:
    return words.html(
        "interface",
        url=url,
        several=answers.several,
        example=answers.models[0].classifier.classes[0],
        most_files=MOST_FILES,
        most_file=megabytes(MOST_FILE_BYTES),
        most_pixels=MOST_PIXELS // 10**6,
    )
