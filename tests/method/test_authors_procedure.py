"""The options of the authors' code that no number of a run shows by itself."""

import jax.numpy as jnp
import numpy as np
import pytest

from stiid.method.inference import Inference
from stiid.method.objective import Objective, step_weights
from stiid.method.schedule import Run, runs, schedule


def test_the_trailing_grid_has_two_refinements_at_least():
    """R = 4 here are the authors' 5 evaluations: 5, 4, 3, 2, 2, 2 of them."""
    assert schedule("trailing", refinements=4, num_frames=6) == (4, 4, 3, 2, 2, 2)
    assert schedule("trailing", refinements=2, num_frames=3) == (2, 2, 2)


def test_only_frame_0_ends_with_a_decode():
    options = Inference(grid="trailing", refinements=3)
    assert [options.decodes(t) for t in range(3)] == [True, False, False]
    assert all(Inference().decodes(t) for t in range(3))
    plan = schedule("trailing", refinements=3, num_frames=4)
    found = runs(plan, tuple(options.decodes(t) for t in range(4)))
    assert found == (Run(0, 1, 3, True), Run(1, 1, 3, False), Run(2, 2, 2, False))


def test_shared_weights_have_the_number_of_evaluations_of_frame_0():
    np.testing.assert_allclose(step_weights("shared", 2, 5), [0.2, 0.4])
    np.testing.assert_allclose(step_weights("linear", 2, 5), [0.5, 1.0])


@pytest.mark.parametrize(
    ("nll", "before", "after"),
    [(601.0, 100.0, 300.0), (600.0, 300.0, 100.0), (201.0, 300.0, 100.0), (200.0, 300.0, 300.0)],
)
def test_beta_follows_the_last_batch(nll, before, after):
    objective = Objective(adaptive_beta=True)
    assert float(objective.next_beta(jnp.array(before), jnp.array(nll))) == after


def test_gamma_is_part_of_the_inner_loss_on_request_only():
    assert Objective(gamma=0.1).elbo.gamma is None
    assert Objective(gamma=0.1, inner_entropy=True).elbo.gamma == 0.1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"grid": "trailing", "refinements": 1}, "needs refinements of 2 or more, got 1"),
        ({"grid": "trailing", "last_decode": False}, "needs last_decode=True"),
        (
            {
                "first_sample": "clip",
                "time_axis": "chain",
                "conditional_prior": False,
                "generation": False,
            },
            "first_sample='clip' needs time_axis='lstm2d'",
        ),
        ({"first_sample": "frame"}, "first_sample"),
        ({"posterior_start": "zero"}, "posterior_start"),
    ],
)
def test_contradictions_are_rejected(fields, message):
    with pytest.raises(ValueError, match=message):
        Inference(**fields)
