"""The method once more, in NumPy and float64, as plainly as its equations read.

Nothing here shares code with ``stiid``; only ``infer_video`` borrows its networks (which have
oracles of their own above it) and jax.vjp for the step from image gradients to latent ones.
"""

from typing import NamedTuple

import jax
import numpy as np
from scipy.special import logsumexp, softmax, xlogy
from scipy.stats import norm

from stiid.shapes import Decoded, LSTMState


def float64(tree):
    """A tree of arrays as NumPy float64."""
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


# --- networks -------------------------------------------------------------------------------------


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0.0)))


def dense(params, x):
    return x @ params["kernel"] + params["bias"]


def conv2d(x, kernel, stride=1):
    """SAME convolution, pixel by pixel; of an odd amount of padding the larger part is high."""
    size = kernel.shape[0]
    extents = [-(-n // stride) for n in x.shape[1:3]]
    totals = [
        max((m - 1) * stride + size - n, 0) for n, m in zip(x.shape[1:3], extents, strict=True)
    ]
    padded = np.pad(x, ((0, 0), *((n // 2, n - n // 2) for n in totals), (0, 0)))
    y = np.zeros((len(x), *extents, kernel.shape[-1]))
    for i, j in np.ndindex(*extents):
        rows, columns = slice(i * stride, i * stride + size), slice(j * stride, j * stride + size)
        y[:, i, j] = np.tensordot(padded[:, rows, columns], kernel, axes=3)
    return y


def coordinates(height, width):
    """[H, W, 2]: row, then column, from −1 to 1."""
    rows, columns = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
    return np.stack([np.repeat(rows[:, None], width, 1), np.repeat(columns[None], height, 0)], -1)


def decoder(module, params, z, h):
    """Appearance and mask logits by a full convolution of the broadcast image."""
    if h is not None:
        mixed = dense(params["mlp_out"], elu(dense(params["mlp_in"], np.concatenate([z, h], -1))))
        z = z + mixed if module.residual else mixed
    flat = z.reshape(-1, z.shape[-1])
    size = (len(flat), module.height, module.width)
    image = np.broadcast_to(flat[:, None, None], (*size, flat.shape[-1]))
    grid = np.broadcast_to(coordinates(module.height, module.width), (*size, 2))
    x = np.concatenate([image, grid], -1)
    x = conv2d(x, params["broadcast"]["kernel"]) + params["broadcast"]["bias"]
    if module.modulated:  # Σ_p s_p(z) φ_p(row, column) W_p
        scales = dense(params["modulated"]["scales"], flat)
        mix = params["modulated"]["mix"]["kernel"]
        x = x + np.einsum("np,ijp,po->nijo", scales, grid[0], mix)
    for name in [*(f"conv_{i}" for i in range(1, module.layers)), "out"]:
        x = conv2d(elu(x), params[name]["kernel"]) + params[name]["bias"]
    x = x.reshape(*z.shape[:2], *x.shape[1:])
    return sigmoid(x[..., :-1]), x[..., -1:]


def lstm2d(params, x, refinement, time, *, scale):
    """State (t, r) from states (h, c) on both axes; gates in the order i, g, o, f_ref, f_time."""
    states = [refinement] if time is None else [refinement, time]
    inputs = np.concatenate([x, *(h for h, _ in states)], -1)
    gates = np.split(dense(params["gates"], inputs), 3 + len(states), axis=-1)
    c = sigmoid(gates[0]) * np.tanh(gates[1])
    for gate, (_, past) in zip(gates[3:], states, strict=True):
        c = c + scale * sigmoid(gate) * past
    return sigmoid(gates[2]) * np.tanh(c), c


def refiner(module, params, images, vectors, refinement, time):
    """Δλ and the new state, from images [B, K, H, W, F] and vectors [B, K, V]."""
    x = images.reshape(-1, *images.shape[2:])
    for i in range(module.layers):
        layer = params[f"conv_{i}"]
        x = elu(conv2d(x, layer["kernel"], module.stride) + layer["bias"])
    if module.pool == "average":
        n, height, width, features = x.shape
        whole = x[:, : height - height % 4, : width - width % 4]
        x = whole.reshape(n, height // 4, 4, width // 4, 4, features).mean((2, 4))
    elif module.pool == "mean":
        x = x.mean((1, 2))
    if module.layers:
        x = elu(dense(params["in"], x.reshape(*images.shape[:2], -1)))
        x = np.concatenate([vectors, x], -1)
    else:
        x = vectors
    scale = 1.0 if time is None else module.forget_scale
    h, c = lstm2d(params["lstm"], x, refinement, time, scale=scale)
    return dense(params["out"], h), (h, c)


# --- densities ------------------------------------------------------------------------------------


def kl_divergence(q, p):
    """KL(q ‖ p) per slot, from standard deviations."""
    (q_mean, q_std), (p_mean, p_std) = ((g[0], np.exp(np.asarray(g[1]) / 2)) for g in (q, p))
    terms = np.log(p_std / q_std) + (q_std**2 + (q_mean - p_mean) ** 2) / (2 * p_std**2) - 0.5
    return terms.sum(-1)


def slot_log_densities(x, means, *, variance, mixture):
    """log N(x; μ_k, σ²) [B, K, H, W, C], summed over channels (to C = 1) in a pixel mixture."""
    log_densities = norm.logpdf(x[:, None], means, np.sqrt(variance))
    return log_densities.sum(-1, keepdims=True) if mixture == "pixel" else log_densities


def log_likelihood(x, means, masks, *, variance, mixture):
    """The log-density of each pixel [B, H, W], its constant included."""
    log_densities = slot_log_densities(x, means, variance=variance, mixture=mixture)
    return logsumexp(log_densities, b=masks, axis=1).sum(-1)


def nll_gradients(x, means, masks, *, variance, mixture):
    """Closed forms of ∂/∂μ_k and ∂/∂m_k of −Σ log p(x)."""
    log_densities = slot_log_densities(x, means, variance=variance, mixture=mixture)
    log_mixed = logsumexp(log_densities, b=masks, axis=1, keepdims=True)
    ratios = np.exp(log_densities - log_mixed)  # N_k / Σ_j m_j N_j
    by_means = masks * ratios * (means - x[:, None]) / variance
    return by_means, -ratios.sum(-1, keepdims=True)


# --- inference ------------------------------------------------------------------------------------


class Frame(NamedTuple):
    """One frame of the grid; the terms are lists over its R̂ + 1 evaluations."""

    nll: list
    kl: list
    mask_entropy: list
    areas: list
    reconstruction: np.ndarray
    masks: np.ndarray
    means: np.ndarray
    posterior: tuple
    context: tuple  # prior and temporal hidden state


def layer_norm(x, axes):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)


def refinement_count(grid, refinements, t):
    """R̂_t."""
    return {
        "triangular": max(refinements - t, 1),
        "alternative": refinements if t == 0 else 1,
        "full": refinements,
    }[grid]


def infer_video(model, params, video, noise, *, beta, psi, num_simulated=0):
    """All frames of the grid of (t, r), a ``Frame`` each, by two plain loops."""
    settings, video, noise = model.inference, np.asarray(video), np.asarray(noise)
    slots, size = (video.shape[0], noise.shape[3]), noise.shape[-1]
    zeros = np.zeros((*slots, model.refiner.lstm_features))
    initial = np.broadcast_to(np.asarray(params["posterior"]), (*slots, 2 * size))
    standard = (np.zeros((*slots, size)), np.zeros((*slots, size)))
    time, posterior, frames = (zeros, zeros), None, []

    for t in range(video.shape[1] + num_simulated):
        x = video[:, t] if t < video.shape[1] else None
        if t == 0 or settings.time_axis == "none":
            time, posterior = (zeros, zeros), (initial[..., :size], initial[..., size:])
        prior = standard
        if settings.conditional_prior and (t > 0 or settings.first_prior == "learned"):
            prior = float64(tuple(model.prior.apply({"params": params["prior"]}, time[0])))
            if settings.residual_prior and t > 0:
                prior = (posterior[0] + prior[0], prior[1])
        follows = settings.posterior_start if x is not None else settings.simulation_start
        if follows == "prior" and t > 0:
            posterior = prior
        state = time if settings.time_axis == "chain" else (zeros, zeros)
        terms = []
        count = 1 if x is None else refinement_count(settings.grid, settings.refinements, t)
        for r in range(count + settings.last_decode):
            cell = _Cell(model, params, posterior, prior, time[0], x, noise[t, r])
            terms.append(cell.terms)
            if r < count:
                posterior, state = cell.refine(state, time, beta=beta, psi=psi)
        masks = cell.m if x is None or settings.result_masks == "prior" else cell.assignment()
        last = (cell.x_tilde, masks[..., 0], cell.mu, cell.posterior, (prior, time[0]))
        frames.append(Frame(*zip(*terms, strict=True), *last))
        time = state
    return frames


class _Cell:
    """A cell of the grid: everything that follows from one sample."""

    def __init__(self, model, params, posterior, prior, h, x, noise):
        self.model, self.params, self.posterior, self.prior = model, params, posterior, prior
        self.std = np.exp(posterior[1] / 2)
        self.noise = noise
        z = posterior[0] + self.std * noise
        variables = {"params": params["decoder"]}
        h = h if model.inference.generation else None
        decoded, self.pullback = jax.vjp(lambda z: model.decoder.apply(variables, z, h), z)
        self.mu, self.logits = float64(tuple(decoded))
        self.m = softmax(self.logits, axis=1)
        self.x_tilde = (self.m * self.mu).sum(1)
        self.simulated = x is None
        self.x = self.x_tilde if x is None else x
        self.mixture = {"variance": model.inference.variance, "mixture": model.inference.mixture}
        log_p = log_likelihood(self.x, self.mu, self.m, **self.mixture)
        constant = norm.logpdf(0, 0, np.sqrt(model.inference.variance)) * self.x.shape[-1]
        self.log_p = log_p - constant
        self.terms = (
            -self.log_p.sum((1, 2)),
            kl_divergence(posterior, prior),
            -xlogy(self.m, self.m).sum((1, 2, 3, 4)),
            self.m.sum((2, 3, 4)),
        )

    def assignment(self):
        """The posterior of the slot behind each pixel, by Bayes' rule."""
        densities = slot_log_densities(self.x, self.mu, **self.mixture | {"mixture": "pixel"})
        joint = self.m * np.exp(densities)
        return joint / joint.sum(1, keepdims=True)

    def gradients(self, beta, psi):
        """∇_λ L as one vector, ∇_μx L, ∇_m L."""
        if self.simulated:
            return np.zeros((*self.std.shape[:2], 2 * self.std.shape[2])), 0 * self.mu, 0 * self.m
        by_mu, by_m = (beta * g for g in nll_gradients(self.x, self.mu, self.m, **self.mixture))
        by_logits = self.m * (by_m - (self.m * by_m).sum(1, keepdims=True))
        (by_z,) = float64(self.pullback(Decoded(by_mu, by_logits)))
        (mean, _), (prior_mean, prior_log_var) = self.posterior, self.prior
        by_mean = by_z + psi * (mean - prior_mean) / np.exp(prior_log_var)
        ratio = self.std**2 / np.exp(prior_log_var)
        by_log_var = by_z * self.noise * self.std / 2 + psi * (ratio - 1) / 2
        return np.concatenate([by_mean, by_log_var], -1), by_mu, by_m

    def refine(self, state, time, *, beta, psi):
        """λ_{t,r+1} and the state (t, r)."""
        settings = self.model.inference
        bound = settings.gradient_clamp or np.inf
        by_lambda, by_mu, by_m = (
            np.clip(settings.gradient_scale * g, -bound, bound) for g in self.gradients(beta, psi)
        )
        by_lambda = layer_norm(by_lambda, (-1,))
        log_densities = slot_log_densities(self.x, self.mu, **self.mixture | {"mixture": "pixel"})
        constant = norm.logpdf(0, 0, np.sqrt(settings.variance)) * self.x.shape[-1]
        weights = log_densities - constant
        if settings.posterior_mask == "softmax":
            weights = np.exp(weights)
        shape = self.mu.shape[:-1]
        everywhere = (-3, -2, -1)
        images = [
            self.mu,
            self.m,
            self.logits,
            layer_norm(by_mu, everywhere),
            layer_norm(by_m, everywhere),
            softmax(weights, axis=1),
            np.broadcast_to(layer_norm(self.log_p, (1, 2))[:, None, ..., None], (*shape, 1)),
        ]
        vector = np.concatenate(self.posterior, -1)
        delta, state = self.model.refiner.apply(
            {"params": self.params["refiner"]},
            self.x,
            np.concatenate(images, -1),
            np.concatenate([vector, by_lambda], -1),
            LSTMState(*state),
            LSTMState(*time) if settings.time_axis == "lstm2d" else None,
        )
        delta = np.concatenate(float64(tuple(delta)), -1)
        if settings.gradient_skip:
            delta = delta - np.asarray(self.params["gradient_skip"]) * by_lambda
        bound = settings.delta_clamp or np.inf
        vector = vector + np.clip(delta, -bound, bound)
        mean, log_var = np.split(vector, 2, -1)
        if settings.log_var_range is not None:
            log_var = np.clip(log_var, *settings.log_var_range)
        return (mean, log_var), float64(tuple(state))
