"""The authors' implementation of the paper once more, in NumPy float64, from its ``state_dict``.

It is written from what that implementation computes, not from its code; layers that it shares with
IODINE's are those of ``iodine_oracle``. ``run`` can make the mistakes that a port is likely to
make.
"""

import iodine_oracle as layers
import numpy as np
from oracles import elu, sigmoid
from scipy.special import softmax

MISTAKES = (
    # start of a frame
    "last posterior at the start of a frame",
    "new noise in every frame",
    "full gradient at the first evaluation",
    "standard prior at frame 0",
    "refinement state of the last frame",
    "c of the last frame forgotten",
    # grid
    "one evaluation at least",
    "no trailing refinement",
    "weights of the frame's own evaluations",
    "weights from zero",
    # likelihood, prior, decoder
    "one mixture of all channels",
    "variance 0.3²",
    "ELU in the prior",
    "linear log-variance of the prior",
    "softplus as standard deviation",
    "no ELU after the MLP",
    "decoder sees the refinement's h",
    # loss
    "entropy subtracted",
    "entropy not in the inner loss",
    "ψ not in the inner loss",
    "gradients summed over the batch",
    # refinement network
    "normalized posterior masks",
    "columns before rows",
    "flattened channels last",
    "mean gradient normalized per channel",
    "mask gradient normalized over slots",
    "posterior gradient normalized by halves",
    "likelihood not normalized",
    "posterior after its gradient",
    "features before the other images",
    "images normalized for SqueezeNet",
    "nearest pixels by their centers",
    # 2D-LSTM
    "gates in the order of PyTorch",
    "axes of the mixing gate exchanged",
    "weights of time and refinement exchanged",
    "h and c exchanged",
    "forget bias 1",
    "a forget gate per axis",
    # simulation
    "simulation from the last posterior",
    "the last frame in place of a simulated one",
    "simulation without refinement",
)


def run(state, case, video, noise, *, beta, psi, gamma, mistake=None):
    """The loss of the seen frames, and masks, means and the last h of all of them.

    Args:
      state: of ``provide_recipe``.
      case: its case.
      video: [N, T, 3, H, W], simulated frames included.
      noise: [samples, N·K, D].
      beta: β.
      psi: ψ.
      gamma: γ of the masks' entropy, zero without it.
      mistake: one of ``MISTAKES``, or None.
    """
    state = {name: np.asarray(array, np.float64) for name, array in state.items()}
    video, noise = np.float64(video), np.float64(noise)
    n, k = case.batch, case.slots
    samples = iter(noise)
    lambda0 = np.repeat(state["lmbda0"], n * k, axis=0)
    first = _sample(lambda0, next(samples))
    idle = np.zeros((n * k, state["h0"].size))
    h, c, lmbda = idle, idle, lambda0
    weights = {"beta": beta, "psi": psi, "gamma": gamma}
    total, masks, means = 0.0, [], []
    for t in range(case.frames + case.simulated):
        seen = t < case.frames
        prior = _prior(state, h, mistake)
        if t == 0 and mistake == "standard prior at frame 0":
            prior = np.zeros_like(prior)
        if seen and mistake != "last posterior at the start of a frame":
            lmbda = lambda0
        if not seen and mistake != "simulation from the last posterior":
            lmbda = lambda0
        memory = (h, c) if mistake == "refinement state of the last frame" else (idle, idle)
        x, count = (video[:, t], _evaluations(case, t, mistake)) if seen else (None, 1)
        for j in range(count):
            z = first
            if j:
                z = _sample(lmbda, next(samples))
            elif t and mistake == "new noise in every frame":
                z = _sample(lmbda, noise[t])
            seen_h = memory[0] if j and mistake == "decoder sees the refinement's h" else h
            decoded = _evaluate(state, n, z, seen_h, x, mistake)
            if mistake == "the last frame in place of a simulated one" and not seen:
                decoded["x"] = video[:, case.frames - 1]
            if seen:
                kl = _kl(lmbda, prior).reshape(n, k).sum(1)
                entropy = _entropy(decoded["masks"])
                sign = -1 if mistake == "entropy subtracted" else 1
                loss = (beta * decoded["nll"] + psi * kl + sign * gamma * entropy).mean()
                total += _weight(case, j, count, mistake) * loss
            trailing = seen and j == count - 1
            if trailing and (t == 0 or mistake == "no trailing refinement"):
                break
            if not seen and mistake == "simulation without refinement":
                break
            gradients = None
            if seen:
                full = j > 0 or mistake == "full gradient at the first evaluation"
                sample = z if full else None
                gradients = _gradients(n, decoded, lmbda, prior, sample, weights, mistake)
            delta, memory = _refine(state, n, decoded, gradients, lmbda, (h, c), memory, mistake)
            lmbda = lmbda + delta
        h, c = memory
        c = idle if mistake == "c of the last frame forgotten" else c
        masks.append(decoded["masks"][:, :, 0])
        means.append(np.moveaxis(decoded["means"], 2, -1))
    return {"total": total, "masks": np.stack(masks), "means": np.stack(means), "h": h}


def _sample(lmbda, noise):
    mean, log_var = np.split(lmbda, 2, -1)
    return mean + np.exp(log_var / 2) * noise


def _evaluations(case, t, mistake):
    return max(case.evaluations - t, 1 if mistake == "one evaluation at least" else 2)


def _weight(case, j, count, mistake):
    most = count if mistake == "weights of the frame's own evaluations" else case.evaluations
    return (j if mistake == "weights from zero" else j + 1) / most


def _prior(state, h, mistake):
    """Mean and log-variance side by side."""
    hidden = layers.linear(state, "prior.0", h)
    hidden = elu(hidden) if mistake == "ELU in the prior" else np.maximum(hidden, 0)
    spread = layers.linear(state, "prior_var.0", hidden)
    if mistake != "linear log-variance of the prior":
        spread = np.log1p(np.exp(spread))
    if mistake == "softplus as standard deviation":
        spread = 2 * np.log(spread)
    return np.concatenate([layers.linear(state, "prior_mean", hidden), spread], -1)


def _kl(q, p):
    (m1, v1), (m2, v2) = np.split(q, 2, -1), np.split(p, 2, -1)
    return 0.5 * (v2 - v1 + (np.exp(v1) + (m1 - m2) ** 2) / np.exp(v2) - 1).sum(-1)


def _entropy(masks):
    return -(masks * np.log(masks + 1e-9)).sum((1, 2, 3, 4))


def _evaluate(state, n, z, h, x, mistake):
    """What a sample decodes to, and how well it explains the frame x, or itself."""
    inputs = np.concatenate([z, h], -1)
    inner = layers.linear(state, "decoder.pre_mlp.0", inputs)
    outer = layers.linear(state, "decoder.pre_mlp.2", elu(inner))
    last = mistake == "no ELU after the MLP"
    decoded, pullback = layers.decode(state, outer if last else elu(outer), mistake)
    decoded = decoded.reshape(n, -1, *decoded.shape[1:])
    means, logits = sigmoid(decoded[:, :, :3]), decoded[:, :, 3:]
    masks = softmax(logits, axis=1)
    x = (masks * means).sum(1) if x is None else x
    variance = 0.3**2 if mistake == "variance 0.3²" else 0.3
    exponents = -((means - x[:, None]) ** 2) / (2 * variance)
    if mistake == "one mixture of all channels":
        exponents = exponents.sum(2, keepdims=True)
    mixed = (masks * np.exp(exponents)).sum(1, keepdims=True)
    log_likelihood = np.log(mixed).sum(2)

    def to_z(gradient):
        g = pullback(gradient)
        g = g if last else g * _elu_slope(outer)
        g = (g @ state["decoder.pre_mlp.2.weight"]) * _elu_slope(inner)
        return (g @ state["decoder.pre_mlp.0.weight"])[:, : z.shape[1]]

    return {
        **{"x": x, "means": means, "logits": logits, "masks": masks, "to_z": to_z},
        **{"exponents": exponents, "mixed": mixed, "variance": variance},
        **{"log_likelihood": log_likelihood, "nll": -log_likelihood.sum((1, 2, 3))},
    }


def _elu_slope(x):
    return np.where(x > 0, 1.0, np.exp(np.minimum(x, 0.0)))


def _gradients(n, decoded, lmbda, prior, z, weights, mistake):
    """Gradients of β nll + ψ KL + γ H, mean over the batch, by means, masks and the λ of z."""
    beta, psi, gamma = (weights[name] for name in ("beta", "psi", "gamma"))
    psi = 0.0 if mistake == "ψ not in the inner loss" else psi
    gamma = 0.0 if mistake == "entropy not in the inner loss" else gamma
    per = 1 if mistake == "gradients summed over the batch" else n
    means, masks = decoded["means"], decoded["masks"]
    ratio = np.exp(decoded["exponents"]) / decoded["mixed"]
    of_means = beta / per * masks * ratio * (means - decoded["x"][:, None]) / decoded["variance"]
    of_masks = -beta / per * ratio.sum(2, keepdims=True)
    of_masks -= gamma / per * (np.log(masks + 1e-9) + masks / (masks + 1e-9))
    (mean, log_var), (m2, v2) = np.split(lmbda, 2, -1), np.split(prior, 2, -1)
    of_mean = psi / per * (mean - m2) / np.exp(v2)
    of_log_var = psi / per * (np.exp(log_var - v2) - 1) / 2
    if z is not None:
        of_logits = masks * (of_masks - (masks * of_masks).sum(1, keepdims=True))
        back = np.concatenate([of_means * means * (1 - means), of_logits], 2)
        of_z = decoded["to_z"](back.reshape(-1, *back.shape[2:]))
        of_mean, of_log_var = of_mean + of_z, of_log_var + of_z * (z - mean) / 2
    return of_means, of_masks, np.concatenate([of_mean, of_log_var], -1)


def _refine(state, n, decoded, gradients, lmbda, time, memory, mistake):
    """Δλ, and the state (h, c) of the refinement."""
    if gradients is None:  # simulation
        zeros = (decoded["means"], decoded["masks"], lmbda)
        gradients = tuple(map(np.zeros_like, zeros))
    of_means, of_masks, of_lambda = gradients
    parts = ("x", "means", "masks", "logits")
    images = [decoded[name] for name in parts]
    images += [of_means, of_masks, decoded["exponents"], decoded["log_likelihood"]]
    images = layers.image_inputs(state, *images, mistake)
    code = layers.squeezenet(state, decoded["x"], mistake=mistake)[:, None]
    code = np.broadcast_to(code, (*images.shape[:2], *code.shape[2:]))
    pair = [code, images] if mistake == "features before the other images" else [images, code]
    flat = np.concatenate(pair, 2).reshape(len(lmbda), -1, *images.shape[3:])
    if mistake == "posterior gradient normalized by halves":
        of_lambda = np.concatenate([layers.norm(g, (-1,)) for g in np.split(of_lambda, 2, -1)], -1)
    else:
        of_lambda = layers.norm(of_lambda, (-1,))
    vectors = [lmbda, of_lambda]
    if mistake == "posterior after its gradient":
        vectors.reverse()
    x = np.concatenate([*vectors, layers.encode(state, flat, mistake)], -1)
    h, c = _lstm(state, x, time, memory, mistake)
    out = c if mistake == "h and c exchanged" else h
    return layers.linear(state, "refine_net.fc_out", out), (h, c)


def _lstm(state, x, time, memory, mistake):
    axes = ["hor", "ver"]
    if mistake == "weights of time and refinement exchanged":
        axes.reverse()
    inputs = {"x": x, axes[0]: time[0], axes[1]: memory[0]}
    gates = sum(layers.linear(state, f"refine_net.lstm.W_{name}", v) for name, v in inputs.items())
    i, f, o, mixing, g = np.split(gates, 5, -1)
    if mistake == "gates in the order of PyTorch":
        i, f, g, o, mixing = i, f, o, mixing, g
    f = f + (mistake == "forget bias 1")
    i, f, o, mixing = map(sigmoid, (i, f, o, mixing))
    if mistake == "axes of the mixing gate exchanged":
        mixing = 1 - mixing
    kept = f * (mixing * time[1] + (1 - mixing) * memory[1])
    if mistake == "a forget gate per axis":
        kept = f * time[1] + mixing * memory[1]
    c = i * np.tanh(g) + kept
    return o * np.tanh(c), c
