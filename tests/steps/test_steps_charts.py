"""Charts of runs and of the unfolded stages."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from dgunet import network
from dgunet.network.introspect import inspect_network
from dgunet.tools.run_charts import curves_chart, setting_chart
from dgunet.tools.stage_inspection import impulse_response, operators_chart, stages_chart

TINY = {"n_feat": 8, "scale": 4, "last_width": 4, "gradient_width": 8}


@pytest.fixture(params=["DGUNet", "DGUNet+"])
def net(request):
    torch.manual_seed(0)
    return network.DGUNet(network.preset("derain", request.param, **TINY)).eval()


def test_the_setting_chart_has_the_varied_setting_as_its_axis():
    runs = pd.DataFrame(
        {"name": ["a", "b", "c"], "stages": [9, 3, np.nan], "psnr": [31.0, 28.0, 5.0]}
    )
    (axes,) = setting_chart(runs, "stages", "psnr", series=True).axes
    assert axes.lines[0].get_xydata().tolist() == [[3, 28], [9, 31]]
    assert [text.get_text() for text in axes.texts] == ["b", "a"]


def test_the_curves_chart_has_one_curve_per_run():
    points = pd.DataFrame({"name": ["a", "a", "b"], "step": [0, 1, 0], "loss": [1.0, 0.5, 2.0]})
    (axes,) = curves_chart(points).axes
    assert [line.get_label() for line in axes.lines] == ["a", "b"]
    assert axes.get_ylabel() == "loss"
    curves_chart(points.iloc[:0])


NINE = pd.DataFrame(
    {
        "name": [f"without-something-{number}" for number in range(9)],
        "parameters": [100, 200, 201, 202, 203, 300, 301, 500, 900],
        "stages": [1, 2, 3, 4, 5, 6, 7, 8, 9],
        "psnr": [30.0, 30.0, 30.0, 30.01, 30.0, 31.0, 30.9, 30.0, 30.0],
    }
)


def test_runs_that_differ_in_more_than_the_setting_are_not_joined():
    (axes,) = setting_chart(NINE, "parameters", "psnr").axes
    assert [len(line.get_xdata()) for line in axes.lines] == [1] * 9
    looks = {(line.get_color(), line.get_marker()) for line in axes.lines}
    assert len(looks) == 9 and not axes.texts


@pytest.mark.parametrize("kind", ["setting", "series", "curves"])
def test_legends_and_labels_cover_nothing(kind):
    if kind == "curves":
        steps = pd.concat([NINE.assign(step=step) for step in range(3)])
        figure = curves_chart(steps[["name", "step", "psnr"]])
    elif kind == "series":
        short = NINE.iloc[::2].assign(name=[f"stages-{n}" for n in range(1, 10, 2)])
        figure = setting_chart(short, "stages", "psnr", series=True)
    else:
        figure = setting_chart(NINE, "parameters", "psnr")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (axes,) = figure.axes
    drawn = canvas.get_renderer()
    boxes = [text.get_window_extent(drawn) for text in axes.texts]
    assert len(boxes) == (5 if kind == "series" else 0)
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    inside = axes.get_window_extent(drawn)
    assert all(inside.contains(*box.min) and inside.contains(*box.max) for box in boxes)
    for legend in figure.legends:
        assert not legend.get_window_extent(drawn).overlaps(inside)
    assert len(figure.legends) == (0 if kind == "series" else 1)


def test_the_impulse_response_is_the_derivative_of_the_learned_operator(net):
    x = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    net.double()
    pixel = torch.zeros_like(x)
    pixel[..., 8, 8] = 1e-6
    gradient = net.middle[0].gradient
    with torch.no_grad():
        change = gradient.f_a(x + pixel) - gradient.f_a(x)
    expected = (change / 1e-6 - pixel / 1e-6).mean(1)[0].numpy()
    for stage in (2, 6) if net.config.shared else (2,):
        np.testing.assert_allclose(impulse_response(net, x, stage), expected, atol=1e-4)
    assert np.abs(impulse_response(net, x, 1) - expected).max() > 1e-3, (
        "stage 1 has its own operator"
    )


def test_the_charts_show_every_stage(net):
    image = torch.rand(1, 3, 16, 16)
    numbers = stages_chart(inspect_network(net, image))
    assert [len(axes.lines[0].get_xdata()) for axes in numbers.axes] == [7, 7, 7]
    assert len(operators_chart(net, image).axes) == 7 + 1


def test_a_network_without_learned_operator_is_refused():
    known = network.DGUNet(network.preset("cs", ratio=10, **TINY)).eval()
    with pytest.raises(ValueError, match="no learned operator"):
        impulse_response(known, torch.rand(1, 1, 32, 32), 1)
