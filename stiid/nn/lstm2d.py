"""Two 2D-LSTM cells, each with one recurrence over refinements and one over time.

``LSTM2D`` is the cell of Graves et al. (2007), which the paper cites; ``MixingLSTM2D`` is the cell
of the authors' code.
"""

import flax.linen as nn
import jax.numpy as jnp

from stiid.shapes import Array, LSTMState


class LSTM2D(nn.Module):
    """2D-LSTM cell with one input gate, one output gate and one forget gate per axis.

    c_{t,r} = i ⊙ g + s (f_ref ⊙ c_{t,r−1} + f_time ⊙ c_{t−1,R̂}),   h_{t,r} = o ⊙ tanh(c_{t,r}).

    Attributes:
      features: width M.
      forget_scale: s. Paper: 1. With 0.5 the cell state cannot grow along the grid, even if both
        forget gates are near one (the *authors' code* prevents growth with ``MixingLSTM2D``).
      forget_bias: initial bias of the forget gates.
      two_biases: add a second bias to all gates, as PyTorch does (this represents the same
        functions, but trains differently).
    """

    features: int
    forget_scale: float
    forget_bias: float
    two_biases: bool

    @nn.compact
    def __call__(self, x: Array, refinement: LSTMState, time: LSTMState | None) -> LSTMState:
        """Advance one cell of the grid.

        Args:
          x: [B, K, F] features a of the refinement network.
          refinement: state after the previous refinement, (t, r−1).
          time: state after the last refinement of the previous frame, (t−1, R̂), or None for a
            plain LSTM over refinements (IODINE); the scale s then does not apply.

        Returns:
          State (t, r), [B, K, M] each.
        """
        axes = [refinement] if time is None else [refinement, time]
        scale = 1.0 if time is None else self.forget_scale
        inputs = jnp.concatenate([x, *(state.h for state in axes)], axis=-1)
        gates = nn.Dense(self.features * (3 + len(axes)), bias_init=self._bias, name="gates")(
            inputs
        )
        if self.two_biases:
            second = self.param("second_bias", nn.initializers.zeros, gates.shape[-1:])
            gates = gates + second.reshape(1, 1, -1)
        i, g, o, *forgets = jnp.split(gates, 3 + len(axes), axis=-1)
        kept = sum(nn.sigmoid(f) * state.c for f, state in zip(forgets, axes, strict=True))
        c = nn.sigmoid(i) * jnp.tanh(g) + scale * kept
        return LSTMState(nn.sigmoid(o) * jnp.tanh(c), c)

    def _bias(self, key: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
        del key
        return jnp.zeros(shape, dtype).at[3 * self.features :].set(self.forget_bias)


class MixingLSTM2D(nn.Module):
    """2D-LSTM cell whose gate λ mixes the two axes (arXiv:1810.03975; *authors' code*).

    c_{t,r} = i ⊙ g + f ⊙ (λ ⊙ c_{t−1,R̂} + (1 − λ) ⊙ c_{t,r−1}),   h_{t,r} = o ⊙ tanh(c_{t,r}).

    The single forget gate f multiplies a weighted mean of the two states, which, unlike the sum in
    ``LSTM2D``, cannot grow along the grid. Each of the three inputs has a linear layer with a bias
    of its own; this represents the same functions as one bias, but trains differently.

    Attributes:
      features: width M.
    """

    features: int

    @nn.compact
    def __call__(self, x: Array, refinement: LSTMState, time: LSTMState) -> LSTMState:
        """Advance one cell of the grid; see ``LSTM2D``."""
        inputs = {"input": x, "time": time.h, "refinement": refinement.h}
        gates = sum(nn.Dense(5 * self.features, name=name)(v) for name, v in inputs.items())
        i, f, o, mixing, g = jnp.split(gates, 5, axis=-1)
        mixing = nn.sigmoid(mixing)
        kept = mixing * time.c + (1.0 - mixing) * refinement.c
        c = nn.sigmoid(i) * jnp.tanh(g) + nn.sigmoid(f) * kept
        return LSTMState(nn.sigmoid(o) * jnp.tanh(c), c)
