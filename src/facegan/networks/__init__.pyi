from .attributes import AttributeNetwork as AttributeNetwork
from .base import Discriminator as Discriminator
from .base import Generator as Generator
from .dcgan import DCGANDiscriminator as DCGANDiscriminator
from .dcgan import DCGANGenerator as DCGANGenerator
from .residual import ResidualDiscriminator as ResidualDiscriminator
from .residual import ResidualGenerator as ResidualGenerator
