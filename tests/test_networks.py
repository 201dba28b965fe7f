"""The contract of every architecture, sampling, and the layers of the DCGAN."""

import json
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from facegan import Generator
from facegan.networks.base import FaceNetwork
from facegan.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from facegan.networks.layers import MinibatchStdDev, SelfModulation
from facegan.networks.magnitude import MPDiscriminator
from facegan.networks.residual import ResidualDiscriminator, ResidualGenerator

GENERATORS = [
    partial(DCGANGenerator, width=32),
    partial(DCGANGenerator, width=32, norm="none", dropout=0.5),
    partial(DCGANGenerator, width=32, modulated=True, negative_slope=0.0, dropout=0.5),
    partial(ResidualGenerator, width=32, blocks=1),
    partial(ResidualGenerator, width=32, blocks=2),
]
DISCRIMINATORS = [
    partial(DCGANDiscriminator, width=4),
    partial(DCGANDiscriminator, width=4, norm="none", dropout=0.3, max_width=8, hidden=6),
    partial(DCGANDiscriminator, width=4, norm="none", spectral_norm=True),
    partial(MPDiscriminator, width=4, max_width=16, hidden=8),
    partial(ResidualDiscriminator, width=32, blocks=1),
    partial(ResidualDiscriminator, width=32, blocks=2),
]
every_generator = pytest.mark.parametrize("build", GENERATORS)
every_discriminator = pytest.mark.parametrize("build", DISCRIMINATORS)
NETWORKS = [*(partial(build, latent_dim=5) for build in GENERATORS), *DISCRIMINATORS]
every_size = pytest.mark.parametrize("image_size", [8, 14, 32, 112])


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def seeded(build, **changes: object) -> FaceNetwork:
    torch.manual_seed(0)
    return build(**changes)


tiny_generator = partial(seeded, DCGANGenerator, latent_dim=5, width=8, image_size=14)
tiny_discriminator = partial(seeded, DCGANDiscriminator, width=4, image_size=14)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@every_generator
@every_size
def test_a_generator_draws_images_of_its_shape(build, image_size: int) -> None:
    for channels in (1, 3):
        generator = build(latent_dim=5, image_size=image_size, channels=channels)
        images = generator(noise(2, 5))
        assert images.shape == (2, *generator.image_shape) == (2, channels, image_size, image_size)
        assert images.abs().max() <= 1


@every_discriminator
@every_size
def test_a_discriminator_gives_each_image_one_logit(build, image_size: int) -> None:
    for channels in (1, 3):
        discriminator = build(image_size=image_size, channels=channels).eval()
        for batch in (1, 8):
            assert discriminator(noise(batch, *discriminator.image_shape)).shape == (batch,)


@pytest.mark.parametrize("build", NETWORKS)
def test_config_rebuilds_the_network(build) -> None:
    network = build(image_size=32, channels=1)
    rebuilt = type(network)(**json.loads(json.dumps(network.config)))
    assert repr(rebuilt) == repr(network)
    assert rebuilt.config == network.config
    rebuilt.load_state_dict(network.state_dict())


# without the one that has a minibatch standard deviation
@pytest.mark.parametrize("build", [n for n in NETWORKS if n.func is not MPDiscriminator])
def test_in_eval_mode_an_output_does_not_depend_on_the_batch(build) -> None:
    network = seeded(build, image_size=14)
    shape = (5,) if isinstance(network, Generator) else network.image_shape
    for seed in range(3):  # so that running statistics are not the initial ones
        network(noise(8, *shape, seed=seed))
    network.eval()
    batch = noise(4, *shape, seed=3)
    alone = torch.cat([network(part) for part in batch.split(1)])
    assert torch.allclose(network(batch), alone, atol=1e-5)


@pytest.mark.parametrize(
    ("generator", "discriminator", "structure"),
    [
        (DCGANGenerator, DCGANDiscriminator, {"width": 64, "norm": "batch"}),
        (DCGANGenerator, DCGANDiscriminator, {"width": 64, "norm": "none"}),
        (ResidualGenerator, ResidualDiscriminator, {"width": 64, "blocks": 8}),
    ],
)
def test_the_signal_does_not_vanish_in_an_untrained_network(
    generator, discriminator, structure
) -> None:
    images = seeded(generator, latent_dim=5, image_size=64, **structure)(noise(16, 5))
    logits = seeded(discriminator, image_size=64, **structure)(noise(16, 3, 64, 64))
    assert 0.005 < images.std() < 1
    assert 0.005 < logits.std() < 10


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (partial(tiny_generator, image_size=30), "got 30; try 28 or 32"),
        (partial(tiny_discriminator, image_size=30), "got 30; try 28 or 32"),
        (partial(tiny_generator, image_size=4), "image_size must be 4"),
        (partial(tiny_generator, channels=5), "channels must be a whole number from 1 to 4"),
        (partial(tiny_discriminator, dropout=1.0), "dropout must be a number from 0 to 0.99"),
        (partial(tiny_discriminator, norm=None), "norm must be one of batch, none, got None"),
        (partial(tiny_generator, width=3, image_size=28), "width must be a whole number from 4"),
        (partial(tiny_discriminator, width=0), "width must be a whole number from 1"),
        (partial(tiny_discriminator, minibatch_stddev=True), "minibatch_stddev needs hidden units"),
        (partial(ResidualGenerator, 5, width=8, blocks=0), "blocks must be a whole number from 1"),
        (partial(ResidualGenerator, 5, width=16, blocks=2**16), "blocks must be .* from 1 to 64"),
        (partial(MPDiscriminator, 16, max_width=8, hidden=8), "max_width must be a whole number"),
    ],
)
def test_values_out_of_range_are_refused(build: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_parameters_of_the_articles_generator() -> None:
    dense = 100 * 7 * 7 * 1024
    convolutions = 1024 * 512 * 4 * 4 + 512 * 256 * 4 * 4
    norms = 2 * (1024 + 512 + 256)
    last = 256 * 3 * 3 * 3 + 3
    generator = DCGANGenerator(latent_dim=100, width=1024, image_size=28)
    assert parameters(generator) == dense + convolutions + norms + last == 15_513_859


def test_parameters_of_the_articles_discriminator() -> None:
    first = 3 * 64 * 4 * 4 + 64
    convolutions = 64 * 128 * 4 * 4 + 128 * 256 * 4 * 4
    norms = 2 * (128 + 256)
    last = 256 * 3 * 3 + 1
    discriminator = DCGANDiscriminator(width=64, image_size=28)
    assert parameters(discriminator) == first + convolutions + norms + last == 661_569
    assert sum(isinstance(layer, nn.Conv2d) for layer in discriminator.modules()) == 4


def test_every_layer_of_the_generator_but_the_last_has_norm_and_dropout() -> None:
    kinds = [type(layer) for layer in tiny_generator(image_size=28, dropout=0.2).layers]
    finish = [nn.BatchNorm2d, nn.LeakyReLU, nn.Dropout]
    up = [nn.ConvTranspose2d, *finish]
    last = [nn.ConvTranspose2d, nn.Tanh]
    assert kinds == [nn.Linear, nn.Unflatten, *finish, *up, *up, *last]


def test_initial_weights_have_the_papers_standard_deviation() -> None:
    for layer in seeded(DCGANGenerator, latent_dim=50, width=64).modules():
        if isinstance(layer, nn.Linear | nn.ConvTranspose2d):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
            assert layer.weight.mean().item() == pytest.approx(0, abs=4e-3)


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_without_norm_the_variance_is_the_same_in_every_layer(slope: float) -> None:
    """Before every activation, without the borders (He et al. 2015, eq. 14)."""
    sizes = {"latent_dim": 64, "width": 96, "image_size": 28}
    x = noise(256, 64)
    for layer in tiny_generator(**sizes, norm="none", negative_slope=slope).layers:
        x = layer(x)
        if isinstance(layer, nn.Linear | nn.ConvTranspose2d):
            inner = x[:, :, 2:-2, 2:-2] if x.ndim == 4 else x
            assert inner.square().mean().item() == pytest.approx(2 / (1 + slope**2), rel=0.3)


def test_max_width_limits_the_channels_of_a_discriminator() -> None:
    for limit, widths in ((None, [4, 8, 16, 32]), (16, [4, 8, 16, 16])):
        discriminator = tiny_discriminator(image_size=56, max_width=limit)
        convolutions = [m for m in discriminator.layers if isinstance(m, nn.Conv2d)]
        assert [m.out_channels for m in convolutions] == [*widths, 1]


def test_hidden_units_come_before_the_logit() -> None:
    discriminator = tiny_discriminator(image_size=28, hidden=6)
    hidden, logit = [m for m in discriminator.layers if isinstance(m, nn.Linear)]
    assert hidden.weight.shape == (6, 16 * 3 * 3)  # the last feature map at 28x28
    assert logit.weight.shape == (1, 6)


@pytest.mark.parametrize(("batch", "groups"), [(6, [[0, 2, 4], [1, 3, 5]]), (5, [[0, 1, 2, 3, 4]])])
def test_minibatch_stddev_is_the_mean_deviation_within_a_group(batch: int, groups) -> None:
    x = noise(batch, 2, 3, 3)
    out = MinibatchStdDev(group=3)(x)  # a batch that 3 does not divide is one group
    assert torch.equal(out[:, :2], x)
    for group in groups:
        expected = np.std(x[group].numpy(), axis=0).mean()
        assert out[group, 2].flatten().tolist() == pytest.approx([expected] * 9 * len(group), 1e-5)


def test_minibatch_stddev_of_equal_images_has_a_gradient() -> None:
    x = torch.ones(4, 2, 3, 3, requires_grad=True)
    MinibatchStdDev()(x).sum().backward()
    assert x.grad.isfinite().all()


def test_minibatch_stddev_makes_a_logit_depend_on_the_other_images() -> None:
    images = noise(8, 3, 14, 14)
    same = images[:1].expand(8, -1, -1, -1)
    for sees in (False, True):
        discriminator = tiny_discriminator(norm="none", hidden=6, minibatch_stddev=sees)
        alone, among_others = discriminator(same)[0], discriminator(images)[0]
        assert torch.allclose(alone, among_others, atol=1e-6) != sees


def test_self_modulation_agrees_with_its_formula() -> None:
    torch.manual_seed(0)
    layer, x, z = SelfModulation(5, 3), noise(2, 3, 4, 4), noise(2, 5, seed=1)
    nn.init.normal_(layer.affine.weight)
    nn.init.normal_(layer.affine.bias)
    for image, latent, changed in zip(x, z, layer(x, z), strict=True):
        units = layer.hidden.weight @ latent + layer.hidden.bias
        conditioning = torch.cat([latent, torch.where(units > 0, units, 0.2 * units)])
        affine = layer.affine.weight @ conditioning + layer.affine.bias
        expected = image * (1 + affine[:3, None, None]) + affine[3:, None, None]
        assert torch.allclose(changed, expected, atol=1e-5)


def test_latents_modulate_every_norm_of_the_generator() -> None:
    generator = tiny_generator(modulated=True)
    modulations = [m for m in generator.layers if isinstance(m, SelfModulation)]
    assert [m.affine.out_features for m in modulations] == [2 * 8, 2 * 4]  # at 7x7 and 14x14
    generator.layers[0].weight.data.zero_()  # the only other input of the latents
    images = generator.eval()(noise(2, 5))
    assert not torch.allclose(images[0], images[1], atol=1e-6)


@pytest.mark.parametrize(("hidden", "layers"), [(0, 3), (6, 4)])
def test_spectral_norm_makes_every_layer_one_lipschitz(hidden: int, layers: int) -> None:
    discriminator = tiny_discriminator(norm="none", spectral_norm=True, hidden=hidden)
    for _ in range(100):  # one step of the power iteration each
        discriminator(noise(2, 3, 14, 14))
    kinds = nn.Conv2d | nn.Linear
    weights = [layer.weight for layer in discriminator.layers if isinstance(layer, kinds)]
    assert len(weights) == layers
    for weight in weights:
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("weights", ["lite-28", "dcgan-28"])
def test_a_seed_has_the_same_bytes_whatever_is_drawn_with_it(weights: str) -> None:
    generator = Generator.from_pretrained(weights)
    together = generator.sample(n=80)
    for seeds in ([0], [79], [41, 3], range(80)[::-3], range(5, 70)):
        assert torch.equal(generator.sample(seeds=seeds), together[list(seeds)])


def test_truncation_scales_the_latents() -> None:
    generator = tiny_generator()
    assert len(generator.sample(n=4, truncation=0).unique(dim=0)) == 1
    assert torch.equal(generator.latents([7], 0.5), 0.5 * generator.latents([7]))
    half = generator.draw(generator.latents(range(4), 0.5))
    assert torch.equal(generator.sample(n=4, truncation=0.5), half)


@pytest.mark.parametrize("training", [True, False])
def test_draw_is_in_eval_mode_and_restores_the_mode(training: bool) -> None:
    generator = tiny_generator(dropout=0.5).train(training)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    assert torch.equal(generator.draw(noise(3, 5)), generator.draw(noise(3, 5)))
    assert generator.training == training
    assert all(torch.equal(before[name], now) for name, now in generator.state_dict().items())
