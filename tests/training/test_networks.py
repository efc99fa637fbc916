import pytest
import torch

from mtag.constants import WINDOW_SAMPLES
from mtag.training.networks import Combiner, Model1, Model2, Model3, count_parameters, initialise


@pytest.mark.parametrize(
    ("network", "n_parameters"),
    [(Model1(), 2_153_138), (Model2(), 2_124_466), (Model3(), 783_794), (Combiner(3), 195_890)],
    ids=["model1", "model2", "model3", "combiner"],
)
def test_each_network_has_the_papers_number_of_parameters(network, n_parameters):
    assert count_parameters(network) == n_parameters


def lengths(network, inputs):
    """Length of the last axis wherever it changes on the way through."""
    seen = []
    with torch.inference_mode():
        for layer in network.layers:
            inputs = layer(inputs)
            if inputs.dim() > 2 and (not seen or seen[-1] != inputs.shape[-1]):
                seen.append(inputs.shape[-1])
    return seen, inputs.shape


def test_model_1_has_the_lengths_of_table_1():
    seen, shape = lengths(Model1().eval(), torch.zeros(2, 128, 592))
    assert seen == [589, 294, 291, 145, 142, 71, 1]
    assert shape == (2, 50)


def test_model_2_pools_its_image_down_to_one_column_for_each_tag():
    seen, shape = lengths(Model2().eval(), torch.zeros(1, 1, 128, 592))
    assert seen == [592, 148, 37, 18, 16, 8, 1]
    assert shape == (1, 50)


def test_model_3_takes_a_window_and_any_crop_of_it():
    network = Model3().eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, WINDOW_SAMPLES)).shape == (1, 50)
        assert network(torch.zeros(2, WINDOW_SAMPLES // 4)).shape == (2, 50)


def test_a_fresh_network_answers_with_the_labels_mean():
    torch.manual_seed(0)
    network = Combiner(2)
    initialise(network, output_bias=-2.5)
    scores = torch.sigmoid(network(torch.rand(8, 100)))
    assert scores.mean().item() == pytest.approx(0.076, abs=0.01)
