"""IODINE's PyTorch implementation once more, in NumPy float64, from its ``state_dict`` as it is.

Channels first, as there. ``run`` can make the mistakes that a port is likely to make.
"""

import numpy as np
from oracles import elu, sigmoid
from scipy.special import softmax

MISTAKES = (
    "columns before rows",
    "one mixture of all channels",
    "normalized posterior masks",
    "variance 0.3²",
    "gates in the order of Flax",
    "one bias",
    "flattened channels last",
    "equal weights of the evaluations",
    "weights without the first",
    "mean gradient normalized per channel",
    "mask gradient normalized over slots",
    "posterior gradient normalized by halves",
    "likelihood not normalized",
    "gradients summed over the batch",
    "posterior after its gradient",
    "log-variance before mean",
)


def shapes(*, latent=64, width=64, hidden=128, lstm=128, image=64, squeezenet=False):
    """Names and shapes of the parameters, in PyTorch's order."""

    def layer(name, *shape):
        return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}

    found = {"lmbda0": (1, 2 * latent)}
    for i, (out, into) in enumerate([(width, latent + 2), *[(width, width)] * 3, (4, width)]):
        found |= layer(f"decoder.conv_layer.{2 * i}", out, into, 3, 3)
    for i, into in enumerate([32 if squeezenet else 16, *[width] * 3]):
        found |= layer(f"refine_net.convnet.model.{2 * i}", width, into, 3, 3)
    found |= layer("refine_net.fc_in.0", hidden, width * (image // 4) ** 2)
    found["refine_net.lstm.weight_ih"] = (4 * lstm, hidden + 4 * latent)
    found["refine_net.lstm.weight_hh"] = (4 * lstm, lstm)
    found |= {f"refine_net.lstm.bias_{axis}": (4 * lstm,) for axis in ("ih", "hh")}
    found |= layer("refine_net.fc_out", 2 * latent, lstm)
    if squeezenet:
        found |= layer("feature_extractor.0.0", 64, 3, 3, 3)
        for i, into in ((3, 64), (4, 128)):
            for name, *shape in (
                ("squeeze", 16, into, 1, 1),
                ("expand1x1", 64, 16, 1, 1),
                ("expand3x3", 64, 16, 3, 3),
            ):
                found |= layer(f"feature_extractor.0.{i}.{name}", *shape)
        for i, (out, into) in zip((1, 3, 5), ((64, 128), (32, 64), (16, 32)), strict=True):
            found |= layer(f"feature_extractor.{i}", out, into, 3, 3)
    return found


def draw_state(*, evaluations, slots, beta=10.0, **sizes):
    """A ``state_dict`` with weights from NumPy."""
    rng, state = np.random.default_rng(0), {}
    for name, shape in shapes(**sizes).items():
        scale = 0.3 if name == "lmbda0" else (np.prod(shape[1:]) if len(shape) > 1 else 4.0) ** -0.5
        state[name] = (rng.normal(size=shape) * scale).astype(np.float32)
    line = np.linspace(-1, 1, sizes.get("image", 64), dtype=np.float32)
    size = (len(line), len(line))
    rows, columns = np.broadcast_to(line[:, None], size), np.broadcast_to(line, size)
    lstm = sizes.get("lstm", 128)
    return state | {
        **{name: np.array(n) for name, n in (("T", evaluations), ("K", slots))},
        "z_dim": np.array(sizes.get("latent", 64)),
        "var_x": np.float32(0.3) * np.ones((), np.float32),
        "b": np.array(beta, np.float32),
        "h0": np.zeros((1, lstm), np.float32),
        "base_loss": np.zeros((1, 1), np.float32),
        "x_grid": rows[None, None, None],
        "y_grid": columns[None, None, None],
        "decoder.x_grid": rows[None, None],
        "decoder.y_grid": columns[None, None],
    }


def run(state, x, noise, *, mistake=None):
    """All losses and the last decode.

    Args:
      state: of ``draw_state``.
      x: [N, 3, H, W].
      noise: [T, N, K, D].
      mistake: one of ``MISTAKES``, or None.
    """
    state = {name: np.asarray(array, np.float64) for name, array in state.items()}
    steps, n, k = noise.shape[:3]
    var, beta = float(state["var_x"]), float(state["b"])
    var = var**2 if mistake == "variance 0.3²" else var
    per = 1 if mistake == "gradients summed over the batch" else n
    lmbda = np.broadcast_to(state["lmbda0"], (n, k, state["lmbda0"].size))
    h = c = np.zeros((n * k, state["h0"].size))
    features = squeezenet(state, x) if "feature_extractor.0.0.weight" in state else None
    losses = []
    for it in range(steps):
        mean, logvar = np.split(lmbda, 2, -1)
        if mistake == "log-variance before mean":
            mean, logvar = logvar, mean
        z = mean + noise[it] * np.exp(logvar / 2)
        decoded, pullback = decode(state, z.reshape(n * k, -1), mistake)
        decoded = decoded.reshape(n, k, *decoded.shape[1:])
        mu, logits = sigmoid(decoded[:, :, :3]), decoded[:, :, 3:]
        masks = softmax(logits, axis=1)
        exponents = -((mu - x[:, None]) ** 2) / (2 * var)
        if mistake == "one mixture of all channels":
            exponents = exponents.sum(2, keepdims=True)
        mixed = (masks * np.exp(exponents)).sum(1, keepdims=True)
        ll = np.log(mixed).sum(2)  # [N, 1, H, W]
        div = -0.5 * (1 + logvar - np.exp(logvar) - mean**2).sum((1, 2))
        losses.append((beta * -ll.sum((1, 2, 3)) + div).mean())
        if it == steps - 1:
            break
        ratio = np.exp(exponents) / mixed
        dmu = beta / per * masks * ratio * (mu - x[:, None]) / var
        dmasks = -beta / per * ratio.sum(2, keepdims=True)
        dlogits = masks * (dmasks - (masks * dmasks).sum(1, keepdims=True))
        back = np.concatenate([dmu * mu * (1 - mu), dlogits], 2)
        dz = pullback(back.reshape(n * k, *back.shape[2:])).reshape(n, k, -1)
        dmean = dz + mean / per
        dlogvar = dz * noise[it] * np.exp(logvar / 2) / 2 + (np.exp(logvar) - 1) / 2 / per
        images = image_inputs(state, x, mu, masks, logits, dmu, dmasks, exponents, ll, mistake)
        if features is not None:
            shape = (n, k, *features.shape[1:])
            images = np.concatenate([images, np.broadcast_to(features[:, None], shape)], 2)
        dlmbda = np.concatenate([dmean, dlogvar], -1)
        if mistake == "posterior gradient normalized by halves":
            dlmbda = np.concatenate([norm(dmean, (-1,)), norm(dlogvar, (-1,))], -1)
        else:
            dlmbda = norm(dlmbda, (-1,))
        vectors = [lmbda, dlmbda]
        if mistake == "posterior after its gradient":
            vectors.reverse()
        vectors = np.concatenate(vectors, -1).reshape(n * k, -1)
        flat = images.reshape(n * k, *images.shape[2:])
        delta, h, c = _refine(state, flat, vectors, h, c, mistake)
        lmbda = lmbda + delta.reshape(lmbda.shape)
    weights = np.arange(1, steps + 1) / steps
    if mistake == "equal weights of the evaluations":
        weights[:] = 1.0
    if mistake == "weights without the first":
        weights = np.arange(steps) / (steps - 1)
    return {
        "total": weights @ losses,
        "losses": np.array(losses),
        "masks": masks[:, :, 0],
        "means": np.moveaxis(mu, 2, -1),
        "lambda": lmbda,
    }


def image_inputs(state, x, mu, masks, logits, dmu, dmasks, exponents, ll, mistake):
    everywhere = (-3, -2, -1)
    p = np.exp(exponents.sum(2, keepdims=True))
    if mistake == "normalized posterior masks":
        p = np.log(p)
    per_channel = mistake == "mean gradient normalized per channel"
    over_slots = mistake == "mask gradient normalized over slots"
    ll = ll if mistake == "likelihood not normalized" else norm(ll, everywhere)
    one = masks.shape
    parts = [
        np.broadcast_to(x[:, None], mu.shape),
        mu,
        masks,
        logits,
        norm(dmu, (-2, -1) if per_channel else everywhere),
        norm(dmasks, (1, -2, -1) if over_slots else everywhere),
        softmax(p, axis=1),
        np.broadcast_to(ll[:, None], one),
        *(np.broadcast_to(grid[None, None, None], one) for grid in _grids(state, mistake)),
    ]
    return np.concatenate(parts, 2)


def _grids(state, mistake):
    rows, columns = (state[f"decoder.{axis}_grid"][0, 0] for axis in "xy")
    return (columns, rows) if mistake == "columns before rows" else (rows, columns)


def decode(state, z, mistake):
    """Output before the sigmoid, [N·K, 4, H, W], and the function from its gradient to z's."""
    grids = np.stack(_grids(state, mistake))
    size = (len(z), *grids.shape[1:])
    broadcast = np.broadcast_to(z[:, :, None, None], (*z.shape, *size[-2:]))
    a = np.concatenate([np.broadcast_to(grids, (len(z), *grids.shape)), broadcast], 1)
    names = [f"decoder.conv_layer.{2 * i}" for i in range(5)]
    before = []
    for i, name in enumerate(names):
        y = conv(a, state[f"{name}.weight"]) + state[f"{name}.bias"][:, None, None]
        before.append(y)
        a = elu(y) if i < 4 else y

    def pullback(g):
        for i in range(4, -1, -1):
            if i < 4:
                g = g * np.where(before[i] > 0, 1.0, np.exp(np.minimum(before[i], 0.0)))
            weight = state[f"{names[i]}.weight"]
            g = conv(g, np.swapaxes(weight[:, :, ::-1, ::-1], 0, 1))
        return g[:, 2:].sum((2, 3))

    return a, pullback


def encode(state, x, mistake):
    """Features of the image-sized inputs of a refinement network, [N·K, hidden]."""
    for i in range(4):
        name = f"refine_net.convnet.model.{2 * i}"
        x = elu(conv(x, state[f"{name}.weight"]) + state[f"{name}.bias"][:, None, None])
    n, channels, height, width = x.shape
    x = x.reshape(n, channels, height // 4, 4, width // 4, 4).mean((3, 5))
    if mistake == "flattened channels last":
        x = np.moveaxis(x, 1, -1)
    return elu(linear(state, "refine_net.fc_in.0", x.reshape(n, -1)))


def _refine(state, x, vectors, h, c, mistake):
    x = np.concatenate([vectors, encode(state, x, mistake)], 1)
    prefix = "refine_net.lstm"
    gates = x @ state[f"{prefix}.weight_ih"].T + h @ state[f"{prefix}.weight_hh"].T
    gates = gates + state[f"{prefix}.bias_ih"]
    if mistake != "one bias":
        gates = gates + state[f"{prefix}.bias_hh"]
    i, f, g, o = np.split(gates, 4, 1)
    if mistake == "gates in the order of Flax":
        f, g = g, f
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return linear(state, "refine_net.fc_out", h), h, c


def squeezenet(state, x, *, mistake=None):
    """SqueezeNet's features with the head of three convolutions, [N, 16, H, W]."""

    def layer(name, x):
        return conv(x, state[f"{name}.weight"]) + state[f"{name}.bias"][:, None, None]

    if mistake == "images normalized for SqueezeNet":
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        x = (x - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    size = 4 * x.shape[-1] + 1
    from_centers = 0.5 * (mistake == "nearest pixels by their centers")
    nearest = np.floor((np.arange(size) + from_centers) * (x.shape[-1] / size)).astype(int)
    x = x[:, :, nearest][:, :, :, nearest]
    x = np.maximum(layer("feature_extractor.0.0", x)[:, :, 1:-1:2, 1:-1:2], 0)
    padded = np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1)))  # what was ≥ 0 has a maximum ≥ 0
    half = x.shape[-1] // 2
    windows = [
        padded[:, :, i : i + 2 * half : 2, j : j + 2 * half : 2] for i in range(3) for j in range(3)
    ]
    x = np.max(windows, axis=0)
    for i in (3, 4):
        fire = f"feature_extractor.0.{i}"
        x = np.maximum(layer(f"{fire}.squeeze", x), 0)
        x = np.concatenate([layer(f"{fire}.expand{j}x{j}", x) for j in (1, 3)], 1)
        x = np.maximum(x, 0)
    for i in (1, 3, 5):
        x = elu(layer(f"feature_extractor.{i}", x))
    return x


def conv(x, weight):
    """Zero padding that keeps the size, [N, I, H, W] by [O, I, k, k]."""
    size = weight.shape[-1]
    height, width = x.shape[2:]
    p = np.pad(x, ((0, 0), (0, 0), *[(size // 2, size // 2)] * 2))
    return sum(
        np.einsum("oi,nihw->nohw", weight[:, :, i, j], p[:, :, i : i + height, j : j + width])
        for i in range(size)
        for j in range(size)
    )


def linear(state, name, x):
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def norm(x, axes):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
