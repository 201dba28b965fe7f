from .directions import Directions as Directions
from .directions import parse_edit as parse_edit
from .interpolation import slerp as slerp
from .interpolation import slerp_loop as slerp_loop
from .latents import parse_seeds as parse_seeds
from .terminal import Strip as Strip
