"""Charts of runs and of the unfolded stages."""

import numpy as np
import pandas as pd
import pytest
import torch

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
    (axes,) = setting_chart(runs, "stages", "psnr").axes
    assert axes.lines[0].get_xydata().tolist() == [[3, 28], [9, 31]]
    assert [text.get_text() for text in axes.texts] == ["b", "a"]


def test_the_curves_chart_has_one_curve_per_run():
    points = pd.DataFrame({"name": ["a", "a", "b"], "step": [0, 1, 0], "loss": [1.0, 0.5, 2.0]})
    (axes,) = curves_chart(points).axes
    assert [line.get_label() for line in axes.lines] == ["a", "b"]
    assert axes.get_ylabel() == "loss"
    curves_chart(points.iloc[:0])


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
