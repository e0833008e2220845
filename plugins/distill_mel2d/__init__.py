"""What versions 1 and 2 of the format share: mel spectra of one chunk as pictures, and convolutions over them.

A library for the loaders of the two, not a plugin; its modules import torch.
"""
