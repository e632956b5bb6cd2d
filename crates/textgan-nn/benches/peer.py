"""The PyTorch side of `cargo xtask bench --peer`: one work, one variant, timed on request.

    python peer.py WORK VARIANT [THREADS [PATH..]]

VARIANT is `eager` or `compile`, or for `metrics/encoder` the number of sentences in a batch. PATH is,
for `seqgan-step`, `relgan-step` and `leakgan-step`, a folder with TextGAN-PyTorch (github.com/williamSYSU/TextGAN-PyTorch), whose
classes it drives as they are; for `metrics/mauve` a file of two sets of embeddings (needs mauve-text
and faiss-cpu); for `metrics/encoder` an encoder's folder and a file of sentences (needs
sentence-transformers). Prints one JSON line when it is warm; then, for every line that it reads, does the work for about a
second and prints the median milliseconds of a call and the peak resident memory so far. The program
that calls it alternates between this and its own side, so both see the same machine.
"""

import importlib.util
import importlib.metadata
import json
import resource
import statistics
import sys
import time
import types

import torch
import torch.nn as nn
import torch.nn.functional as F

VOCABULARY, SMALL_VOCABULARY = 5000, 4682


class Block(nn.Module):
    """RMSNorm, rotary causal attention, SwiGLU; no biases: the layout of Llama."""

    def __init__(self, width, heads, inner):
        super().__init__()
        self.heads = heads
        self.attention_norm, self.mlp_norm = nn.RMSNorm(width), nn.RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.gate_up = nn.Linear(width, 2 * inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x, cos, sin, cache=None, place=None, mask=None):
        batch, time, width = x.shape
        qkv = self.qkv(self.attention_norm(x))
        qkv = qkv.view(batch, time, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = rotate(qkv[0], cos, sin), rotate(qkv[1], cos, sin), qkv[2]
        if cache is None:
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        elif mask is not None:
            # The place is a tensor: all of the cache is read, so that shapes stay the same.
            cache[0].index_copy_(2, place, key)
            cache[1].index_copy_(2, place, value)
            mixed = F.scaled_dot_product_attention(query, *cache, attn_mask=mask)
        else:
            cache[0][:, :, place], cache[1][:, :, place] = key[:, :, 0], value[:, :, 0]
            keys, values = cache[0][:, :, : place + 1], cache[1][:, :, : place + 1]
            mixed = F.scaled_dot_product_attention(query, keys, values)
        x = x + self.output(mixed.transpose(1, 2).reshape(batch, time, width))
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


def rotate(x, cos, sin):
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


class Transformer(nn.Module):
    def __init__(self, vocabulary, width, layers, heads, inner, positions):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(Block(width, heads, inner) for _ in range(layers))
        self.norm = nn.RMSNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        half = width // heads // 2
        angles = torch.outer(torch.arange(positions), 1e4 ** (-torch.arange(half) / half))
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, ids):
        x, time = self.embedding(ids), ids.shape[1]
        for block in self.blocks:
            x = block(x, self.cos[:time], self.sin[:time])
        return self.head(self.norm(x))

    def step(self, ids, caches, place):
        """The next tokens, with the place as a number."""
        x = self.embedding(ids)
        cos, sin = self.cos[place : place + 1], self.sin[place : place + 1]
        for block, cache in zip(self.blocks, caches):
            x = block(x, cos, sin, cache, place)
        return draw(self.head(self.norm(x))[:, 0])

    def step_at(self, ids, caches, place):
        """The same with the place as a tensor `[1]`: one program for all places."""
        x = self.embedding(ids)
        cos, sin = self.cos[place], self.sin[place]
        mask = (torch.arange(caches[0][0].shape[2]) <= place).view(1, 1, 1, -1)
        for block, cache in zip(self.blocks, caches):
            x = block(x, cos, sin, cache, place, mask)
        return draw(self.head(self.norm(x))[:, 0])

    def caches(self, batch, positions):
        width = self.embedding.weight.shape[1]
        heads = self.blocks[0].heads
        shape = (batch, heads, positions, width // heads)
        return [(torch.zeros(shape), torch.zeros(shape)) for _ in self.blocks]

    @torch.no_grad()
    def sample(self, batch, time, compiled_step=None):
        ids, caches = torch.zeros(batch, 1, dtype=torch.long), self.caches(batch, time)
        tokens = []
        for place in range(time):
            if compiled_step:
                ids = compiled_step(ids, caches, torch.tensor([place]))
            else:
                ids = self.step(ids, caches, place)
            tokens.append(ids)
        return torch.cat(tokens, 1)


def draw(logits):
    """Faster than `torch.multinomial`, which draws a number for every word."""
    sums = F.softmax(logits, -1).cumsum(-1)
    draws = torch.rand(len(logits), 1) * sums[:, -1:]
    return torch.searchsorted(sums, draws).clamp_(max=logits.shape[1] - 1)


class GruDiscriminator(nn.Module):
    def __init__(self, vocabulary, embedding=64, hidden=128):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.gru = nn.GRU(embedding, hidden, batch_first=True)
        self.output = nn.Linear(hidden, 1)

    def forward(self, ids):
        return self.judge(self.embedding(ids))

    def judge(self, x):
        return self.output(self.gru(x)[0][:, -1]).squeeze(1)


class CnnDiscriminator(nn.Module):
    """SeqGAN's: convolutions over 1 to 20 words, max over time, a highway layer."""

    WIDTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20)
    FILTERS = (100, 200, 200, 200, 200, 100, 100, 100, 100, 100, 160, 160)

    def __init__(self, vocabulary, embedding=64):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding)
        pairs = zip(self.WIDTHS, self.FILTERS)
        self.convolutions = nn.ModuleList(nn.Conv1d(embedding, n, w) for w, n in pairs)
        features = sum(self.FILTERS)
        self.highway = nn.Linear(features, 2 * features)
        self.output = nn.Linear(features, 1)

    def forward(self, ids):
        x = self.embedding(ids).transpose(1, 2)
        x = torch.cat([F.relu(c(x)).amax(-1) for c in self.convolutions], 1)
        gate, value = self.highway(x).chunk(2, 1)
        gate = torch.sigmoid(gate)
        return self.output(gate * F.relu(value) + (1 - gate) * x).squeeze(1)


SIZES = {
    "big": dict(vocabulary=VOCABULARY, width=256, layers=4, heads=4, inner=683),
    "small": dict(vocabulary=SMALL_VOCABULARY, width=64, layers=2, heads=2, inner=171),
}


def optimizer(network):
    return torch.optim.AdamW(network.parameters(), lr=3e-4, fused=True)


def maximum_likelihood(size, time, batch, compiled, autocast=False):
    model = Transformer(**SIZES[size], positions=64)
    network = torch.compile(model) if compiled else model
    adam, vocabulary = optimizer(model), SIZES[size]["vocabulary"]
    ids = torch.randint(0, vocabulary, (batch, time))
    targets = torch.randint(0, vocabulary, (batch, time))

    def work():
        adam.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            logits = network(ids)
            loss = F.cross_entropy(logits.view(-1, vocabulary), targets.view(-1))
        loss.backward()
        adam.step()
        return loss.item()

    return work


def discriminator(model, vocabulary, time, batch, compiled):
    network = torch.compile(model) if compiled else model
    adam = optimizer(model)
    ids = torch.randint(0, vocabulary, (batch, time))
    real = torch.randint(0, 2, (batch,)).float()

    def work():
        adam.zero_grad(set_to_none=True)
        loss = F.binary_cross_entropy_with_logits(network(ids), real)
        loss.backward()
        adam.step()
        return loss.item()

    return work


def generator_step(token_loop, compiled, time=37, batch=64):
    """Straight-through Gumbel through the GRU discriminator."""
    size = SIZES["small"]
    generator = Transformer(**size, positions=64)
    judge = GruDiscriminator(size["vocabulary"]).requires_grad_(False)
    network = torch.compile(generator) if compiled else generator
    sampling_step = torch.compile(generator.step_at) if compiled else None
    adam = optimizer(generator)

    def relaxed(logits):
        words = F.gumbel_softmax(logits, tau=1.0, hard=True)
        return words, words @ judge.embedding.weight

    def loop():
        # How the peers do it: a graph through every step; the sampled word is fed back.
        ids = torch.zeros(batch, 1, dtype=torch.long)
        read, embedded = [], []
        for _ in range(time):
            read.append(ids)
            logits = generator(torch.cat(read, 1))[:, -1]
            words, embedding = relaxed(logits)
            embedded.append(embedding)
            ids = words.argmax(-1, keepdim=True)
        return torch.stack(embedded, 1)

    def one_pass():
        tokens = generator.sample(batch, time, sampling_step)
        read = F.pad(tokens[:, :-1], (1, 0))
        return relaxed(network(read))[1]

    def work():
        adam.zero_grad(set_to_none=True)
        embedded = loop() if token_loop else one_pass()
        loss = F.softplus(-judge.judge(embedded)).mean()
        loss.backward()
        adam.step()
        return loss.item()

    return work


class RecurrentModel(nn.Module):
    """A language model; padding and the beginning, 0 and 2, have probability zero."""

    def __init__(self, vocabulary, embedding, hidden, cell):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.rnn = cell(embedding, hidden, batch_first=True)
        self.head = nn.Linear(hidden, vocabulary, bias=False)
        # As a bias it costs no pass over the logits.
        support = torch.zeros(vocabulary)
        support[[0, 2]] = -1e9
        self.register_buffer("support", support)

    def forward(self, read):
        hidden = self.rnn(self.embedding(read))[0].flatten(0, 1)
        return F.linear(hidden, self.head.weight, self.support)


def ratio_game(vocabulary, time, batch):
    """Generator, discriminator, what they read and what comes next."""
    generator = RecurrentModel(vocabulary, 32, 32, nn.LSTM)
    judge = RecurrentModel(vocabulary, 96, 192, nn.GRU)
    tokens = torch.randint(4, vocabulary, (batch, time))
    return generator, judge, F.pad(tokens[:, :-1], (1, 0), value=2), tokens.flatten()


def ratio_adam(network, rate):
    return torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.99), fused=True)


def ratio_discriminator_step(vocabulary, compiled, time=16, batch=128):
    """A logistic step on log-ratios of whole texts; real and generated ones are read together."""
    generator, judge, read, tokens = ratio_game(vocabulary, time, 2 * batch)
    adam = ratio_adam(judge, 1e-4)

    def log_probs(model):
        return -F.cross_entropy(model(read), tokens, reduction="none")

    def loss_of_texts():
        with torch.no_grad():
            own = log_probs(generator)
        ratios = (log_probs(judge) - own).view(2 * batch, time).sum(1)
        return F.softplus(-ratios[:batch]).mean() + F.softplus(ratios[batch:]).mean()

    loss_of_texts = torch.compile(loss_of_texts) if compiled else loss_of_texts
    return lambda: descend(loss_of_texts, judge, adam)


def expected_policy_gradient_step(vocabulary, compiled, time=16, batch=128):
    """The expected policy gradient against a held discriminator."""
    generator, judge, read, _ = ratio_game(vocabulary, time, batch)
    adam = ratio_adam(generator, 1e-3)

    def loss_of_places():
        policy = generator(read).softmax(-1)
        with torch.no_grad():
            # In place: nothing but the policy is kept for the backward pass.
            ratios = judge(read).log_softmax(-1).sub_(policy.log()).clamp_(-5.0, 5.0)
        return -(policy * ratios).sum() / len(policy)

    loss_of_places = torch.compile(loss_of_places) if compiled else loss_of_places
    return lambda: descend(loss_of_places, generator, adam)


def descend(loss_of, network, adam):
    adam.zero_grad(set_to_none=True)
    loss = loss_of()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    adam.step()
    return loss.item()


def sampling(size, compiled, time=37, batch=64):
    model = Transformer(**SIZES[size], positions=64).eval()
    step = torch.compile(model.step_at) if compiled else None
    return lambda: model.sample(batch, time, step)


def textgan_pytorch(time, batch, vocabulary):
    """Makes the modules of TextGAN-PyTorch importable, told the sizes; gives its `config`."""
    if len(sys.argv) < 5:
        sys.exit(f"{sys.argv[1]} needs a checkout of TextGAN-PyTorch as its last argument")
    sys.path.insert(0, sys.argv[4])
    if importlib.util.find_spec("nltk") is None:
        # Imported for reading files of text, of which there are none here.
        sys.modules["nltk"] = types.ModuleType("nltk")
    import config

    # Its classes read these when they are imported.
    config.CUDA, config.batch_size, config.max_seq_len = False, batch, time
    config.vocab_size, config.gen_init, config.dis_init = vocabulary, "normal", "uniform"
    return config


def seqgan_step(time=20, batch=64, vocabulary=VOCABULARY, rollouts=16):
    """TextGAN-PyTorch's own generator step, with the sizes of its run script for SeqGAN."""
    config = textgan_pytorch(time, batch, vocabulary)
    from models.SeqGAN_D import SeqGAN_D
    from models.SeqGAN_G import SeqGAN_G
    from utils.rollout import ROLLOUT

    generator = SeqGAN_G(32, 32, vocabulary, time, config.padding_idx)
    judge = SeqGAN_D(64, vocabulary, config.padding_idx)
    search = ROLLOUT(generator, gpu=False)
    adam = torch.optim.Adam(generator.parameters(), lr=1e-2)

    def work():
        words = generator.sample(batch, batch)
        read = F.pad(words[:, :-1], (1, 0), value=config.start_letter)
        rewards = search.get_reward(words, rollouts, judge)
        loss = generator.batchPGLoss(read, words, rewards)
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss.item()

    return work


def relgan_step(time=20, batch=64, vocabulary=VOCABULARY):
    """A step of its discriminator and one of its generator, with the sizes of its run script for RelGAN."""
    config = textgan_pytorch(time, batch, vocabulary)
    from models.RelGAN_D import RelGAN_D
    from models.RelGAN_G import RelGAN_G
    from utils.helpers import get_losses

    generator = RelGAN_G(1, 2, 256, 32, 32, vocabulary, time, config.padding_idx)
    generator.temperature = 2.0
    judge = RelGAN_D(64, time, 64, vocabulary, config.padding_idx)
    words = torch.randint(4, vocabulary, (batch, time))
    sides = [
        (judge, torch.optim.Adam(judge.parameters(), lr=1e-4), 1),
        (generator, torch.optim.Adam(generator.parameters(), lr=1e-4), 0),
    ]

    def work():
        for network, adam, which in sides:
            real = F.one_hot(words, vocabulary).float()
            fake = generator.sample(batch, batch, one_hot=True)
            loss = get_losses(judge(real), judge(fake), "rsgan")[which]
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            adam.step()
        return loss.item()

    return work


def leakgan_step(time=20, batch=64, vocabulary=VOCABULARY, rollouts=4):
    """Its own generator step, with the sizes of its run script for LeakGAN."""
    config = textgan_pytorch(time, batch, vocabulary)
    from models.LeakGAN_D import LeakGAN_D
    from models.LeakGAN_G import LeakGAN_G
    from utils.rollout import ROLLOUT

    generator = LeakGAN_G(32, 32, vocabulary, time, config.padding_idx, 16, 4)
    judge = LeakGAN_D(64, vocabulary, config.padding_idx)
    search = ROLLOUT(generator, gpu=False)
    adams = [torch.optim.Adam(part, lr=1e-2) for part in generator.split_params()]

    def work():
        with torch.no_grad():
            words = generator.sample(batch, batch, judge, train=True)
        rewards = search.get_reward_leakgan(words, rollouts, judge, 0)
        losses = generator.adversarial_loss(words, rewards, judge)
        # Both at once: PyTorch refuses a graph whose weights an optimizer has moved since.
        generator.zero_grad()
        sum(losses).backward()
        for adam in adams:
            adam.step()
        return sum(losses).item()

    return work


def mauve():
    import mauve as package
    import numpy as np

    real, generated = np.fromfile(sys.argv[4], "<f4").reshape(2, 10_000, -1)
    return lambda: package.compute_mauve(p_features=real, q_features=generated)


def encoder(batch):
    from sentence_transformers import SentenceTransformer

    with open(sys.argv[5], encoding="utf-8") as file:
        sentences = file.read().splitlines()
    model = SentenceTransformer(sys.argv[4], device="cpu")
    return lambda: model.encode(sentences, batch_size=batch, convert_to_numpy=True)


WORKS = {
    "likelihood-big": lambda c: maximum_likelihood("big", 32, 64, c),
    "likelihood-big-bf16": lambda c: maximum_likelihood("big", 32, 64, c, True),
    "likelihood-small": lambda c: maximum_likelihood("small", 37, 64, c),
    "discriminator-gru": lambda c: discriminator(
        GruDiscriminator(SMALL_VOCABULARY), SMALL_VOCABULARY, 37, 64, c
    ),
    "discriminator-cnn": lambda c: discriminator(
        CnnDiscriminator(VOCABULARY), VOCABULARY, 20, 64, c
    ),
    "generator-loop": lambda c: generator_step(True, c),
    "generator-one-pass": lambda c: generator_step(False, c),
    "sample-small": lambda c: sampling("small", c),
    "sample-big": lambda c: sampling("big", c),
    "seqgan-step": lambda c: seqgan_step(),
    "relgan-step": lambda c: relgan_step(),
    "leakgan-step": lambda c: leakgan_step(),
    "ratio-discriminator-step": lambda c: ratio_discriminator_step(619, c),
    "ratio-discriminator-step-5600": lambda c: ratio_discriminator_step(5600, c),
    "expected-policy-gradient-step": lambda c: expected_policy_gradient_step(619, c),
    "expected-policy-gradient-step-5600": lambda c: expected_policy_gradient_step(5600, c),
    "metrics/mauve": lambda c: mauve(),
    "metrics/encoder": lambda c: encoder(int(sys.argv[2])),
}

# Whose version counts, where it is not PyTorch's.
PACKAGES = {"metrics/mauve": "mauve-text", "metrics/encoder": "sentence-transformers"}


def main():
    work, variant = sys.argv[1:3]
    torch.manual_seed(0)
    torch.set_num_threads(int(sys.argv[3]) if len(sys.argv) > 3 else 2)
    call = WORKS[work](variant == "compile")
    begin = time.perf_counter()
    for i in range(3):
        # A long one is warm after its first call.
        if i == 0 or time.perf_counter() - begin < 5.0:
            call()
    package = PACKAGES.get(work)
    version = f"PyTorch {torch.__version__}"
    if package:
        version = f"{package} {importlib.metadata.version(package)}"
    print(json.dumps({"version": version, "threads": torch.get_num_threads()}), flush=True)
    for _ in sys.stdin:
        times, begin = [], time.perf_counter()
        while time.perf_counter() - begin < (1.0 if len(times) >= 3 else 10.0):
            start = time.perf_counter()
            call()
            times.append((time.perf_counter() - start) * 1e3)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"ms": statistics.median(times), "mb": peak}), flush=True)


if __name__ == "__main__":
    main()
