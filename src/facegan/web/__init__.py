"""The pages of facegan.app."""
