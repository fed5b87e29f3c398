"""The page: upload, task, memory budget, the comparison, the file and the notes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from dgunet.demo.networks import Choice
from dgunet.demo.uploads import Restorer, Wish, told

TITLE = "dgunet: restore an image"
ABOUT = (
    "The image stays on this machine. It is restored as `dgunet restore` does it, into a file that"
    " keeps the format, the depth and the descriptive metadata."
)
GIGABYTE = 10**9
"""The unit of memory in the page, as in the messages."""


@dataclass(frozen=True)
class Settings:
    """What the page offers.

    Attributes:
        choices: the networks, by the text that the page shows.
        chosen: the one that is chosen at first.
        most_bytes: the largest memory budget, which is chosen at first.
        explain: the line to show for an error.
        stopped: whether the demo is ending.
    """

    choices: Sequence[Choice]
    chosen: Choice
    most_bytes: int
    explain: Callable[[Exception], str]
    stopped: Callable[[], bool]


def build_page(settings: Settings, restorer: Restorer) -> Any:
    """The page as Gradio's ``Blocks``; one image is restored at a time, the others wait."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.Markdown(f"# {TITLE}\n{ABOUT}")
        with gr.Row():
            with gr.Column(scale=2):
                upload = gr.File(label="Image", elem_id="upload", height=120)
                task = gr.Radio(
                    [choice.label for choice in settings.choices],
                    value=settings.chosen.label,
                    label="Task",
                    elem_id="task",
                )
                memory = _memory_slider(settings.most_bytes)
                button = gr.Button("Restore", variant="primary", elem_id="restore")
            with gr.Column(scale=3):
                compared = gr.ImageSlider(
                    label="Before and after",
                    type="filepath",
                    format="png",
                    interactive=False,
                    buttons=["fullscreen"],  # not the download of a reduced picture
                    elem_id="compared",
                )
                restored = gr.File(label="Restored image", interactive=False, elem_id="restored")
                notes = gr.Textbox(label="Notes", lines=5, interactive=False, elem_id="notes")
        button.click(
            _answering(settings, restorer),
            [upload, task, memory],
            [compared, restored, notes],
            api_name="restore",
            concurrency_limit=1,
        )
    page.queue(default_concurrency_limit=1, max_size=16)
    return page


def _memory_slider(most_bytes: int) -> Any:
    most = round(max(0.01, most_bytes / GIGABYTE), 2)
    return gr.Slider(
        0.01,
        most,
        most,
        step=0.01,
        label="Memory, GB",
        info="an image that needs more is restored in strips",
    )


def _answering(settings: Settings, restorer: Restorer) -> Callable[..., Any]:
    """The function behind the button."""
    weights = {choice.label: choice.weights for choice in settings.choices}

    def answer(
        upload: str | None,
        task: str,
        memory: float,
        progress: Any = gr.Progress(),  # noqa: B008 - Gradio finds it as a default
    ) -> tuple[Any, ...]:
        if upload is None:
            raise gr.Error("Choose an image first.", print_exception=False)
        source = Path(upload)
        budget = min(int(memory * GIGABYTE), settings.most_bytes)
        wish = Wish(weights[task], budget)
        observe = told(lambda part, left: progress(part, desc=left), settings.stopped)
        try:
            made = restorer.restore(source, wish, observe)
        except Exception as error:  # whatever it is, the page says it and goes on
            line = settings.explain(error).removeprefix("error: ")
            for folder in (source.parent, restorer.folder / "restored"):
                line = line.replace(f"{folder}/", "")  # the user knows the names only
            raise gr.Error(escape(line), duration=None, print_exception=False) from None
        return (str(made.before), str(made.after)), str(made.restored), "\n".join(made.lines)

    return answer
