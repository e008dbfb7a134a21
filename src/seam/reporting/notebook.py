"""What a notebook shows of a result."""

from __future__ import annotations

import base64

from seam.jobs.result import Result
from seam.reporting.page import environment
from seam.reporting.plots import frontier_figure, png
from seam.reporting.run_view import methods_view, verdict_of
from seam.reporting.terminal import problem_title


def shown(result: Result) -> str:
    """Sentence, table and frontier as HTML, without scripts or styles: a notebook may drop both."""
    picture = base64.b64encode(png(frontier_figure(result.report, result.history))).decode()
    return (
        environment()
        .get_template("notebook.html.j2")
        .render(
            title=problem_title(result.report["problem"]),
            verdict=verdict_of(result.report),
            methods=methods_view(result.report, result.report["size_bytes"]),
            picture=f"data:image/png;base64,{picture}",
        )
    )
