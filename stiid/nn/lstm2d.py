"""The 2D-LSTM cell: one recurrence over refinements, one over time (Graves et al., 2007)."""

import flax.linen as nn
import jax.numpy as jnp

from stiid.shapes import Array, LSTMState


class LSTM2D(nn.Module):
    """One input gate, one output gate, one forget gate per axis.

    c_{t,r} = i ⊙ g + s (f_ref ⊙ c_{t,r−1} + f_time ⊙ c_{t−1,R̂}),   h_{t,r} = o ⊙ tanh(c_{t,r}).

    Attributes:
      features: width M.
      forget_scale: s. Paper: 1. With 0.5 (ours) two gates near one cannot make the cell state
        grow along the grid.
      forget_bias: initial bias of the forget gates.
      two_biases: add a second bias to all gates, as PyTorch does (the same functions, another
        path of training).
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
