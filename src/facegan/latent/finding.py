"""Finds directions in a generator's latent space: of attributes, and principal components."""

import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegan.core import pretrained
from facegan.core.console import progress_bar
from facegan.latent.directions import Directions, find_name
from facegan.networks.attributes import AttributeNetwork, bundled_classifier, classify
from facegan.networks.base import Generator, eval_mode

FIT, HELD_OUT, PCA = 4000, 1000, 2000  # faces: of the regression, of its test, of the components
EFFECT_FACES, EFFECT_AMOUNT = 64, 2.0
ORTHOGONALITY = 0.3  # the ridge of `orthogonalize`: less of it changes other attributes less
COMPONENTS = 10
BATCH = 250


def load_directions(
    generator: Generator, progress: bool = False, wanted: Iterable[str] = ()
) -> Directions:
    """Directions in latent space of 40 attributes of faces, and principal components.

    The bundled weights include them. For other weights they are computed, which takes minutes for a
    large generator on a CPU, and stored beside the weights file until the weights change.
    `progress` announces that and shows a bar. Raises FaceganError, before they are computed, if one
    of the names in `wanted` is not among them.
    """
    path = None if generator.source is None else directions_path(generator.source)
    if path is not None and path.is_file():
        directions = Directions.load(path)
        fit = directions.vectors.shape[1] == generator.latent_dim
        if fit and directions.weights == pretrained.digest(generator):
            return directions
    classifier = bundled_classifier(generator.image_size)
    names = direction_names(generator, classifier)
    for name in wanted:
        find_name(name, names, "a direction of this generator")
    if progress:
        print("measuring the directions of these weights once takes minutes on a CPU", flush=True)
    directions = find_directions(generator, classifier, progress)
    if path is not None and os.access(path.parent, os.W_OK):
        directions.save(path)
    return directions


def directions_path(weights: Path) -> Path:
    """The file of the directions, beside the weights file."""
    return weights.with_name(f"{weights.stem}.directions{weights.suffix}")


def direction_names(generator: Generator, classifier: AttributeNetwork) -> tuple[str, ...]:
    """The names in the result of `find_directions`: attributes, then principal components."""
    components = range(1, 1 + min(COMPONENTS, generator.latent_dim))
    return (*classifier.attributes, *(f"PCA_{number}" for number in components))


def find_directions(
    generator: Generator, classifier: AttributeNetwork, progress: bool = False
) -> Directions:
    """Directions of the classifier's attributes and principal components, from sampled faces.

    Attributes: the classifier's logits of faces are regressed on their latents. For Gaussian
    latents the coefficients are the mean gradient of the logit (Stein's lemma). They are then made
    nearly orthogonal to those of the other attributes. Components: GANSpace (Härkönen et al. 2020,
    section 2.2). Deterministic; takes minutes on a CPU for a small generator.
    """
    classifier = classifier.to(generator.device)
    z = generator.latents(range(FIT + HELD_OUT))
    images = generator.draw(z, "drawing faces for directions" if progress else None)
    logits = standardize(classify(classifier, images))
    gradients = torch.linalg.lstsq(z[:FIT], logits[:FIT]).solution.T  # (A, latent_dim)
    predicted = standardize(z[FIT:] @ gradients.T)  # logits of held-out faces
    correlations = (predicted * standardize(logits[FIT:])).sum(dim=0) / (len(predicted) - 1)
    components, shares = principal_directions(generator, z[:PCA])
    vectors = torch.cat([orthogonalize(gradients), components])
    others = z[FIT : FIT + EFFECT_FACES]
    return Directions(
        names=direction_names(generator, classifier),
        vectors=vectors,
        fit=torch.cat([correlations, shares]),
        effects=measure_effects(generator, classifier, others, vectors, progress),
        attributes=classifier.attributes,
        weights=pretrained.digest(generator),
    )


def orthogonalize(gradients: Tensor) -> Tensor:
    """Unit vectors that follow one gradient each and change the others little: (A, D) -> (A, D).

    Attributes are correlated, and so are their gradients w: to follow w of Male is to follow w of
    No_Beard backwards. Row a is (sum over b ≠ a of w_b w_b' + ridge · I)^-1 w_a, which maximizes
    the change of a for a given sum of squares of the other changes and of the vector's length.
    Without the ridge (hard orthogonality, as by Shen et al. 2020, section 3.2) attributes that
    mean nearly the same, such as Smiling and High_Cheekbones, would leave nothing of each other.
    """
    ridge = ORTHOGONALITY * torch.eye(gradients.shape[1])
    total = gradients.T @ gradients + ridge
    rows = [torch.linalg.solve(total - torch.outer(w, w), w) for w in gradients]
    return F.normalize(torch.stack(rows), dim=1)


def principal_directions(generator: Generator, z: Tensor) -> tuple[Tensor, Tensor]:
    """Latent directions of the first principal components of early features, and their shares.

    (N, latent_dim) -> (K, latent_dim) unit vectors, (K,) shares of the variance. The features are
    the last activations before the first upsampling. A component's direction is the regression of
    the latents on its coordinates (GANSpace, Härkönen et al. 2020, eq. 4).
    """
    features = early_features(generator, z)
    features = features - features.mean(dim=0)
    gram = (features @ features.T).double()  # (N, N): there are fewer latents than features
    values, vectors = torch.linalg.eigh(gram)
    count = min(COMPONENTS, generator.latent_dim)
    coordinates = vectors[:, -count:].flip(1).float()  # (N, K), largest variance first
    directions = F.normalize(coordinates.T @ z, dim=1)
    largest = directions.abs().argmax(dim=1, keepdim=True)
    directions = directions * directions.gather(1, largest).sign()  # eigenvectors have no sign
    return directions, (values[-count:].flip(0) / values.sum()).float()


@torch.inference_mode()
def early_features(generator: Generator, z: Tensor) -> Tensor:
    """The last activations at the generator's lowest resolution: (N, latent_dim) -> (N, F)."""
    maps: list[Tensor] = []  # of one batch, in the order of the layers

    def record(layer: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[-1] > 1:
            maps.append(output)

    features = []
    with ExitStack() as stack:
        stack.enter_context(eval_mode(generator))
        for layer in generator.modules():
            if not list(layer.children()):
                stack.enter_context(layer.register_forward_hook(record))
        for batch in z.split(BATCH):
            maps.clear()
            generator(batch.to(generator.device))
            last = min(reversed(maps), key=lambda activations: activations.shape[-1])
            features.append(last.flatten(1).float().cpu())
    return torch.cat(features)


def measure_effects(
    generator: Generator,
    classifier: AttributeNetwork,
    z: Tensor,
    vectors: Tensor,
    progress: bool = False,
) -> Tensor:
    """Change of every attribute's probability per unit along each vector: (K, D) -> (K, A)."""

    def probabilities(moved: Tensor) -> Tensor:
        return classify(classifier, generator.draw(moved)).sigmoid().mean(dim=0)

    steps = [*(EFFECT_AMOUNT * vectors)]
    bar = progress_bar(steps, desc="measuring directions", disable=not progress)
    changes = [probabilities(z + step) - probabilities(z - step) for step in bar]
    return torch.stack(changes) / (2 * EFFECT_AMOUNT)


def standardize(logits: Tensor) -> Tensor:
    """Every column with mean 0 and standard deviation 1; a column without variance stays 0."""
    return (logits - logits.mean(dim=0)) / logits.std(dim=0).clamp(min=1e-6)
